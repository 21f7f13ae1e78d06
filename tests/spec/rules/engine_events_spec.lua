local support = require "tests.spec.rules.support"

describe("the engine's own events", function()
  after_each(support.cleanup)

  it("report a session that begins and ends", function()
    local t = support.run([[ami.on({ "server.ready", "server.lost" }, function(ev, s) note(ev.Event, s.name, s.ready, ev.reason, ev.version) end)]],
      { servers = { "pbx1" }, ready = false })
    t:ready("pbx1", "9.0.0")
    assert.same({}, t:said())
    t:turn()
    t:lost("pbx1", "timeout")
    t:turn()
    assert.same({ "server.ready pbx1 true connected 9.0.0", "server.lost pbx1 false timeout nil" }, t:said())
  end)

  it("report to a rule that was loaded itself once, and every server that is ready", function()
    local t = support.run([[ami.on({ "script.loaded", "server.ready" }, function(ev, s) note(ev.Event, s, ev.reason) end)]],
      { servers = { "a", "b" }, ready = false })
    assert.same({ "script.loaded nil nil" }, t:said())
    t:ready "b"
    t:advance()
    assert.same({ "server.ready b connected" }, t:said())
    assert.is_true(t:reload { all = true })
    t:advance()
    assert.same({ "script.loaded nil nil", "server.ready b reloaded" }, t:said())
  end)

  it("that are for one state of a rule are heard by no other, however quickly they follow", function()
    local t = support.run [[ami.on({ "script.loaded", "server.ready" }, function(ev, s) note(ev.Event, ev.generation or ev.reason) end)]]
    t:said()
    assert.is_true(t:reload { all = true })
    assert.is_true(t:reload { all = true })
    t:advance()
    assert.same({ "script.loaded 3", "server.ready reloaded" }, t:said())
  end)

  it("are filtered by server", function()
    local t = support.run([[ami.on("server.ready", { server = "b" }, function(ev, s) note(s) end)]], { servers = { "a", "b" } })
    assert.same({ "b" }, t:said())
  end)

  it("cannot be forged by a server", function()
    local t = support.run [[
      ami.on({ "server.lost", "script.loaded", "crm.x" }, { where = { forged = "yes" } }, function(ev) note("forged", ev.Event) end)
      ami.on("*", function(ev) note("any", ev.Event) end)]]
    for _, name in ipairs { "server.lost", "SERVER.LOST", "script.loaded", "crm.x" } do t:event(name, { forged = "yes" }) end
    t:advance()
    assert.same({ "any server.lost", "any SERVER.LOST", "any script.loaded", "any crm.x" }, t:said())
  end)

  it("are not heard by *", function()
    local t = support.run [[ami.on("*", function(ev) note(ev.Event) end)]]
    t:emit "crm.x"
    t:lost "pbx1"
    t:advance()
    assert.same({}, t:said())
  end)

  describe("ami.emit", function()
    it("queues an event for every rule, its server is nil", function()
      local t = support.run {
        ["a.lua"] = [[ami.on("Hangup", function() note(ami.emit("crm.answered", { id = 7, ok = true, rate = 0.5, who = "x" })) note "after" end)]],
        ["b.lua"] = [[ami.on("CRM.answered", function(ev, server) note("b", ev.Event, ev.id, ev.ok, ev.rate, ev.WHO, server, select("#", server)) end)]],
      }
      t:event "Hangup"
      assert.same({ "true", "after" }, t:said())
      t:turn()
      assert.same({ "b crm.answered 7 true 0.5 x nil 1" }, t:said())
    end)

    it("delivers fields in the order of their names", function()
      local t = support.run [[
        ami.on("crm.x", function(ev) note(ev) end)
        ami.on("Hangup", function() ami.emit("crm.x", { d = 4, a = 1, c = 3, b = 2 }) end)]]
      t:event "Hangup"
      t:turn()
      assert.same({ "crm.x a=1 b=2 c=3 d=4" }, t:said())
    end)

    it("is never nested: what a listener emits comes a turn later", function()
      local t = support.run [[ami.on("crm.x", function(ev) note(ev.n) if tonumber(ev.n) < 3 then ami.emit("crm.x", { n = ev.n + 1 }) end end)]]
      t:emit("crm.x", { n = 1 })
      t:turn()
      assert.same({ "1" }, t:said())
      t:turn()
      assert.same({ "2" }, t:said())
    end)

    it("refuses the engine's names, and names without a dot", function()
      local t = support.run [[ami.on("Hangup", function()
        for _, name in ipairs { "Hangup", "server.x", "Script.loaded", "a b.c", "", ("x."):rep(100) } do note((select(2, ami.emit(name)) or {}).code) end
      end)]]
      t:event "Hangup"
      assert.same({ "invalid", "invalid", "invalid", "invalid", "invalid", "invalid" }, t:said())
      local ok, code = t:emit "server.ready"
      assert.is_nil(ok)
      assert.equal("invalid", code)
    end)

    it("refuses fields that are no plain values", function()
      local t = support.run [[ami.on("Hangup", function()
        note((pcall(ami.emit, "a.b", { x = {} })), (pcall(ami.emit, "a.b", { "x" })), (pcall(ami.emit, "a.b", 7)), (pcall(ami.emit)))
      end)]]
      t:event "Hangup"
      assert.same({ "false false false false" }, t:said())
    end)

    it("fails as overflow when too many wait, which is counted", function()
      -- One emitter may hold a quarter of what may wait for a rule.
      local t = support.run([[ami.on("a.b", function() end) ami.on("Hangup", function() for i = 1, 6 do local ok, err = ami.emit "a.b" if not ok then note(i, err.code) end end end)]],
        { limits = { emitted = 16 } })
      for _ = 1, 2 do
        t:event "Hangup"
        assert.same({ "5 overflow", "6 overflow" }, t:said())
        t:advance()
      end
      assert.equal(4, t:metric "hookswitch_engine_events_dropped_total")
      for i = 1, 4 do assert.is_true((t:emit "a.b")) end
      assert.equal("overflow", select(2, t:emit "a.b"))
      assert.equal(5, t:metric "hookswitch_engine_events_dropped_total")
    end)

    it("fails as overflow when too many bytes wait", function()
      local t = support.run([[ami.on("a.b", function() end)
        ami.on("Hangup", function()
          for i = 1, 6 do
            local ok, err = ami.emit("a.b", { text = ("x"):rep(900) })
            if not ok then note(i, err.code) end
          end
        end)]], { limits = { rule_bytes = 16384 } })
      for _ = 1, 2 do
        t:event "Hangup"
        assert.same({ "5 overflow", "6 overflow" }, t:said())
        t:advance()
      end
      assert.equal(4, t:metric "hookswitch_engine_events_dropped_total")
    end)

    it("takes one event of each emitter, however large", function()
      local t = support.run({ ["a.lua"] = [[ami.on("a.b", function(ev) note(#ev.text) end)]],
        ["b.lua"] = [[ami.on("Hangup", function() note(ami.emit("a.b", { text = ("x"):rep(60000) })) end)]] }, { limits = { rule_bytes = 4096 } })
      t:event "Hangup"
      t:advance()
      assert.same({ "true", "60000" }, t:said())
    end)

    it("is not possible while loading", function()
      assert.matches("loading", support.faults "ami.emit 'a.b'")
    end)

    it("keeps any byte, and cannot make another header", function()
      local t = support.run [[
        ami.on("a.b", function(ev) note(#ev, ev.x, ev.Event) end)
        ami.on("Hangup", function() ami.emit("a.b", { x = "1\r\nEvent: server.lost" }) end)]]
      t:event "Hangup"
      t:turn()
      assert.same({ "2 1\r|Event: server.lost a.b" }, t:said())
    end)
  end)
end)
