local support = require "tests.spec.rules.support"

describe("a reload", function()
  after_each(support.cleanup)

  it("makes the new rules hear from the next event on, and the old ones no more", function()
    local t = support.run [[ami.on("Hangup", function() note "old" end)]]
    t:event "Hangup"
    t:put("rule.lua", [[ami.on("Hangup", function() note "new" end)]])
    assert.is_true(t:reload())
    t:event "Hangup"
    assert.same({ "old", "new" }, t:said())
    assert.equal(2, t:generations()[1].number)
  end)

  it("that fails changes nothing and names every fault", function()
    local t = support.run { ["a.lua"] = [[ami.on("Hangup", function() note "old" end)]], ["b.lua"] = "" }
    t:put("a.lua", "oops(")
    t:put("b.lua", "\nerror 'wrong'")
    local ok, faults = t:reload()
    assert.is_nil(ok)
    assert.matches("scripts/a.lua:1: ", faults[1])
    assert.matches("scripts/b.lua:2: wrong", faults[2])
    t:event "Hangup"
    assert.same({ "old" }, t:said())
    assert.equal(1, t:generations()[1].number)
  end)

  it("that fails leaves nothing of the files that were good", function()
    local t = support.run [[ami.on("Hangup", function() note "old" end)]]
    t:put("a.lua", [[ami.on("Hangup", function() note "half" end) timer.every(1, function() note "half" end)]])
    t:put("b.lua", "error 'wrong'")
    assert.is_nil((t:reload()))
    t:event "Hangup"
    t:advance(3)
    assert.same({ "old" }, t:said())
  end)

  it("lets what the old rules began go on: calls, sleeps, waits and sends", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server)
        local ev = ami.wait "Newstate"
        note("waited", ev.N)
        timer.sleep(1)
        note("slept", server:call({ Action = "Ping" }).message)
      end)]]
    t:event "Hangup"
    t:put("rule.lua", "")
    assert.is_true(t:reload())
    t:advance()
    assert.is_true(t:generations()[2].draining)
    t:event("Newstate", { N = 1 })
    t:advance(1)
    t:reply { Response = "Success", Message = "Pong" }
    assert.same({ "waited 1", "slept Pong" }, t:said())
    t:advance()
    assert.equal(1, #t:generations())
  end)

  it("stops the old rules' timers", function()
    local t = support.run [[timer.every(1, function() note "old" end) timer.after(2, function() note "old" end)]]
    t:put("rule.lua", [[timer.every(1, function() note "new" end)]])
    assert.is_true(t:reload())
    t:advance(2)
    assert.same({ "new", "new" }, t:said())
  end)

  it("lets old rules begin nothing new: listeners, subscriptions and timers fail there", function()
    local t = support.run [[ami.on("Hangup", function()
      timer.sleep(1)
      note((pcall(ami.on, "X", print)), (pcall(ami.subscribe, "X")), (pcall(timer.after, 1, print)), (pcall(ami.wait, "X")))
      note((select(2, pcall(ami.on, "X", print))))
    end)]]
    t:event "Hangup"
    assert.is_true(t:reload())
    t:advance(1)
    local said = t:said()
    assert.equal("false false false false", said[1])
    assert.matches("newer rules were loaded", said[2])
  end)

  it("ends what still waits after the drain: callbacks get cancelled, coroutines are closed", function()
    local t = support.run([[ami.on("Hangup", function(ev, server)
      server:send({ Action = "Ping" }, function(res, err) note("callback", res, err.code) end)
      local x <close> = setmetatable({}, { __close = function() note "closed" end })
      server:call { Action = "Ping" }
      note "returned"
    end)]], { limits = { drain = 10 } })
    t:event "Hangup"
    assert.is_true(t:reload())
    t:advance(9)
    assert.same({}, t:said())
    t:advance(2)
    local said = t:said()
    table.sort(said)
    assert.same({ "callback nil cancelled", "closed" }, said)
    assert.equal(1, #t:generations())
    -- The answers that come now are nobody's.
    t:reply()
    t:reply()
    assert.same({}, t:said())
  end)

  it("a callback that is cancelled may not start the game again", function()
    local t = support.run([[ami.on("Hangup", function(ev, server)
      local function again(res, err)
        note(err.code)
        local id, why = server:send({ Action = "Ping" }, again)
        note(id, why and why.code)
      end
      server:send({ Action = "Ping" }, again)
    end)]], { limits = { drain = 1 } })
    t:event "Hangup"
    assert.is_true(t:reload())
    t:advance(2)
    assert.same({ "cancelled", "nil cancelled" }, t:said())
    assert.equal(1, #t:generations())
  end)

  it("drains at most four generations: one more ends the oldest's waits", function()
    local t = support.run [[ami.on("Hangup", function(ev)
      local x <close> = setmetatable({}, { __close = function() note("closed", ev.N) end })
      timer.sleep(50) end)]]
    for n = 1, 6 do
      t:event("Hangup", { N = n })
      assert.is_true(t:reload())
      t:advance()
    end
    assert.same({ "closed 1", "closed 2" }, t:said())
    assert.equal(5, #t:generations())
  end)

  it("takes new settings, servers and limits", function()
    local t = support.run([[local s = settings { n = 1 } ami.on("Hangup", function() note(s.n, ami.server "pbx2") end)]])
    t:event "Hangup"
    assert.is_true(t:reload { settings = { rule = { n = 2 } }, servers = { "pbx1", "pbx2" } })
    t:event "Hangup"
    assert.same({ "1 nil", "2 pbx2" }, t:said())
  end)

  it("a thousand times leaves the memory as it was", function()
    local t = support.run [[
      local kept = {}
      ami.on("Hangup", function(ev, server) server:send({ Action = "Ping" }, function() end) ami.wait "Newstate" end)
      timer.every(1, function() kept[#kept + 1] = timer.now() end)]]
    for n = 1, 1000 do
      t:event "Hangup"
      assert.is_true(t:reload())
      if n % 10 == 0 then t:advance(1) end
    end
    t:advance(100)
    assert.equal(1, #t:generations())
    assert.equal(1001, t:generations()[1].number)
    assert.is_true(t:generations()[1].memory < 300000)
  end)

  it("stop ends everything that waits", function()
    local t = support.run [[ami.on("Hangup", function(ev, server)
      server:send({ Action = "Ping" }, function(res, err) note(err.code) end)
      local x <close> = setmetatable({}, { __close = function() note "closed" end })
      ami.wait "Newstate"
    end)]]
    t:event "Hangup"
    t:stop()
    local said = t:said()
    table.sort(said)
    assert.same({ "cancelled", "closed" }, said)
    assert.equal(0, t:rule().waiting)
  end)
end)
