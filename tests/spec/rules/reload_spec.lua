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
    assert.equal(2, t:status().generation)
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
    assert.equal(1, t:status().generation)
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
    assert.equal(1, #t:draining())
    t:event("Newstate", { N = 1 })
    t:advance(1)
    t:reply { Response = "Success", Message = "Pong" }
    assert.same({ "waited 1", "slept Pong" }, t:said())
    t:advance()
    assert.equal(0, #t:draining())
  end)

  it("stops the old rules' intervals; timers that fire once still do", function()
    local t = support.run [[timer.every(1, function() note "old" end) timer.after(2, function() note "once" end)]]
    t:put("rule.lua", [[timer.every(1, function() note "new" end)]])
    assert.is_true(t:reload())
    t:advance(2)
    local said = t:said()
    table.sort(said)
    assert.same({ "new", "new", "once" }, said)
    t:advance()
    assert.equal(0, #t:draining())
  end)

  it("leaves what old rules began all their tools, but no new listener and no new interval", function()
    local t = support.run [[ami.on("Hangup", function()
      timer.sleep(1)
      note((pcall(ami.on, "X", print)), (pcall(timer.every, 1, print)))
      note((select(2, pcall(ami.on, "X", print))))
      timer.after(1, function() note "after" end)
      local sub <close> = ami.subscribe "Newstate"
      note("subscribed", sub:next(10).N)
      note("waited", ami.wait("Newstate").N)
    end)]]
    t:event "Hangup"
    assert.is_true(t:reload { all = true })
    t:advance(1)
    local said = t:said()
    assert.equal("false false", said[1])
    assert.matches("newer rules were loaded", said[2])
    t:advance(1)
    t:event("Newstate", { N = 1 })
    t:advance()
    t:event("Newstate", { N = 2 })
    t:advance()
    assert.same({ "after", "subscribed 1", "waited 2" }, t:said())
    assert.equal(0, #t:draining())
  end)

  it("keeps rules that have not changed: state, variables, timers, waits", function()
    local t = support.run {
      ["a.lua"] = [[local n = 0
        ami.on("Hangup", function() n = n + 1 note("a", n) end)
        ami.on("script.loaded", function() note "loaded a" end)
        ami.on("Newchannel", function() note("waited", ami.wait("Newstate").N) end)
        timer.every(10, function() note "tick" end)]],
      ["b.lua"] = [[ami.on("Hangup", function() note "b1" end)]],
    }
    t:advance()
    t:event "Hangup"
    t:event "Newchannel"
    t:advance(4)
    t:said()
    t:put("b.lua", [[ami.on("Hangup", function() note "b2" end)]])
    assert.is_true(t:reload())
    assert.equal("kept", t:rule("a").change)
    assert.equal("replaced", t:rule("b").change)
    assert.equal(1, t:rule("a").generation)
    assert.equal(2, t:rule("b").generation)
    t:event "Hangup"
    t:event("Newstate", { N = "yes" })
    t:advance(6)
    assert.same({ "a 2", "b2", "waited yes", "tick" }, t:said())
  end)

  it("replaces a rule when a module, its settings, a limit or its policy has changed, or a file comes in front of its module", function()
    local t = support.run {
      ["a.lua"] = [[local m = require "m" local s = settings { n = 1 } ami.on("Hangup", function() note("a", m, s.n) end)]],
      ["b.lua"] = [[ami.on("Hangup", function() note "b" end)]],
      ["lib/m.lua"] = "return 1",
    }
    local function reload(options, a, b)
      assert.is_true(t:reload(options))
      assert.same({ a, b }, { t:rule("a").change, t:rule("b").change })
    end
    reload(nil, "kept", "kept")
    t:put("lib/m.lua", "return 2")
    reload(nil, "replaced", "kept")
    t:put("raw:m.lua", "return 'scripts'")
    reload(nil, "replaced", "kept")
    reload({ settings = { a = { n = 2 } } }, "replaced", "kept")
    reload({ policy = { rules = { b = { allow = { "Command" } } } } }, "kept", "replaced")
    reload({ policy = { deny = { "Ping" }, rules = { b = { allow = { "Command" } } } } }, "replaced", "replaced")
    reload({ policy = { deny = { "Ping" }, rules = { b = { allow = { "Command" } } } } }, "kept", "kept")
    reload({ limits = { waiting = 10 } }, "replaced", "replaced")
    t:event "Hangup"
    assert.same({ "a scripts 2", "b" }, t:said())
  end)

  it("replaces a rule that names servers while it loads when the servers change, and repeats the warnings of one that is kept", function()
    local t = support.run { ["a.lua"] = [[local s = ami.server "pbx2" ami.on("Hangup", function() note("a", s) end)]],
      ["b.lua"] = [[ami.on("Hangpu", function() end)]] }
    local _, faults = t:reload()
    assert.equal(2, #faults)
    assert.is_true(t:reload { servers = { "pbx1", "pbx2" } })
    assert.same({ "replaced", "kept" }, { t:rule("a").change, t:rule("b").change })
    t:event "Hangup"
    assert.same({ "a pbx2" }, t:said())
  end)

  it("that fails leaves kept and replaced rules as they were", function()
    local t = support.run { ["a.lua"] = [[ami.on("Hangup", function() note "a" end)]], ["b.lua"] = [[ami.on("Hangup", function() note "b" end)]] }
    t:put("b.lua", "oops(")
    assert.is_nil((t:reload()))
    t:event "Hangup"
    assert.same({ "a", "b" }, t:said())
  end)

  it("refuses metrics of one name and two shapes, also beside a rule that is kept", function()
    local t = support.run { ["a.lua"] = [[metric.counter("n", "n")]], ["b.lua"] = "" }
    t:put("b.lua", [[metric.gauge("n", "n")]])
    local ok, faults = t:reload()
    assert.is_nil(ok)
    assert.matches("scripts/b.lua: .*hookswitch_rule_n", faults[1])
  end)

  it("ends what still waits after the drain: callbacks get cancelled, coroutines are closed", function()
    local t = support.run([[ami.on("Hangup", function(ev, server)
      server:send({ Action = "Ping" }, function(res, err) note("callback", res, err.code) end)
      local x <close> = setmetatable({}, { __close = function() note "closed" end })
      server:call { Action = "Ping" }
      note "returned"
    end)]], { limits = { drain = 10 } })
    t:event "Hangup"
    assert.is_true(t:reload { all = true })
    t:advance(9)
    assert.same({}, t:said())
    t:advance(2)
    local said = t:said()
    table.sort(said)
    assert.same({ "callback nil cancelled", "closed" }, said)
    assert.equal(0, #t:draining())
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
    assert.is_true(t:reload { all = true })
    t:advance(2)
    assert.same({ "cancelled", "nil cancelled" }, t:said())
    assert.equal(0, #t:draining())
  end)

  it("drains at most four states of a rule: one more ends the oldest's waits", function()
    local t = support.run [[ami.on("Hangup", function(ev)
      local x <close> = setmetatable({}, { __close = function() note("closed", ev.N) end })
      timer.sleep(50) end)]]
    for n = 1, 6 do
      t:event("Hangup", { N = n })
      assert.is_true(t:reload { all = true })
      t:advance()
    end
    assert.same({ "closed 1", "closed 2" }, t:said())
    assert.equal(4, #t:draining())
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
      assert.is_true(t:reload { all = true })
      if n % 10 == 0 then t:advance(1) end
    end
    t:advance(100)
    assert.equal(0, #t:draining())
    assert.equal(1001, t:status().generation)
    assert.is_true(t:status().memory < 300000)
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

  -- With `turn_events = 1` a rule takes one event in each half of a turn; the others wait.
  local LAG = { turn_events = 1 }
  local HEAR = [[ami.on({ "Hangup", "Newstate", "crm.told" }, function(ev) note("%s", ev.Event, ev.N) end)]]

  local function hangups(t, from, to)
    for n = from, to do t:event("Hangup", { N = n }) end
  end

  it("loses nothing of a rule that lags: the old one hears what had arrived, and then the new one the rest, each event once", function()
    local t = support.run(HEAR:format "old", { limits = LAG })
    hangups(t, 1, 4)
    t:put("rule.lua", HEAR:format "new")
    assert.is_true(t:reload())
    hangups(t, 5, 8)
    t:advance()
    assert.same({ "old Hangup 1", "old Hangup 2", "old Hangup 3", "old Hangup 4",
      "new Hangup 5", "new Hangup 6", "new Hangup 7", "new Hangup 8" }, t:said())
    t:advance()
    assert.equal(0, #t:draining())
    assert.equal(0, t:rule().skipped)
  end)

  it("loses nothing of a rule that lags and is removed, or replaced twice", function()
    local t = support.run({ ["rule.lua"] = HEAR:format "one", ["gone.lua"] = HEAR:format "gone" }, { limits = LAG })
    hangups(t, 1, 3)
    t:remove_file "gone.lua"
    t:put("rule.lua", HEAR:format "two")
    assert.is_true(t:reload())
    hangups(t, 4, 5)
    t:put("rule.lua", HEAR:format "three")
    assert.is_true(t:reload())
    hangups(t, 6, 7)
    t:advance()
    local of = {}
    for _, line in ipairs(t:said()) do
      local who, n = line:match "^(%a+) Hangup (%d)$"
      of[who] = (of[who] or "") .. n
    end
    assert.same({ one = "123", gone = "123", two = "45", three = "67" }, of)
  end)

  it("gives emitted events and gaps that wait to the rule that they waited for", function()
    local rules = { ["a.lua"] = [[ami.on("Busy", function(ev) ami.emit("crm.told", { N = ev.N }) end)]],
      ["rule.lua"] = HEAR:format "old" .. [[ ami.on("server.gap", function(ev) note("old gap", ev.count) end)]] }
    local t = support.run(rules, { limits = { turn_events = 1, rule_events = 4 } })
    hangups(t, 1, 7)
    t:event("Busy", { N = 8 })
    t:turn()
    t:turn()
    t:put("rule.lua", HEAR:format "new" .. [[ ami.on("server.gap", function(ev) note("new gap", ev.count) end)]])
    assert.is_true(t:reload())
    t:advance()
    local heard, gaps = {}, 0
    for _, line in ipairs(t:said()) do
      assert.is_nil(line:match "^new", line)
      gaps = gaps + (tonumber(line:match "^old gap (%d+)") or 0)
      heard[#heard + 1] = line:match "^old (%u%a+ %d)$" or line:match "^old (crm.told %d)$"
    end
    assert.is_true(gaps > 0)
    assert.equal(8, #heard + gaps, table.concat(heard, ","))
    assert.equal("crm.told 8", heard[#heard])
  end)

  -- Of `sent` events the replaced rule hears a few, and the rest is counted.
  local function replaced(t, sent)
    t:put("rule.lua", HEAR:format "new")
    assert.is_true(t:reload())
    t:advance()
    local heard = #t:said()
    assert.is_true(heard < 4)
    assert.equal(sent - heard, t:metric 'hookswitch_rules_events_skipped_total{rule="rule"}')
  end

  it("counts what waits for a replaced rule still when its drain time is over", function()
    local t = support.run(HEAR:format "old", { limits = { turn_events = 1, drain = 0 } })
    hangups(t, 1, 4)
    t:emit "crm.told"
    replaced(t, 5)
  end)

  it("counts what it skipped before and what waits still, each once", function()
    local t = support.run([[ami.on({ "Hangup", "FullyBooted" }, function(ev) note(ev.N) end)]], { limits = { turn_events = 1, drain = 0, rule_events = 2 } })
    for n = 1, 12 do t:event(n % 3 == 2 and "FullyBooted" or "Hangup", { N = n }) end
    replaced(t, 12)
  end)
end)
