local support = require "tests.spec.rules.support"

describe("a rule that fails", function()
  after_each(support.cleanup)

  it("is logged once, with place, rule, listener, event, server and traceback", function()
    local t = support.run "local function deep(x) return x.y.z end\nami.on('Hangup', { label = 'mine' }, function(ev)\n local r = deep(ev)\n return r end)"
    local records = support.logged(function() t:event "Hangup" end, "error")
    assert.equal(1, #records)
    local record = records[1]
    assert.matches("^scripts/rule.lua:1: attempt to index a nil value %(field 'y'%)", record.msg)
    assert.same({ "error", "rule", "error", "mine", "Hangup", "pbx1" }, { record.level, record.rule, record.kind, record.listener, record.event, record.server })
    assert.matches("scripts/rule.lua:3: in", record.traceback)
    assert.equal(1, t:metric 'hookswitch_rules_errors_total{rule="rule",kind="error"}')
    assert.equal(record.msg, t:rule().last_error)
  end)

  it("stands at 0 in the metrics before it fails, so that an alert sees the first failure", function()
    local t = support.run "ami.on('Hangup', function() error 'x' end)"
    for _, kind in ipairs { "error", "deadline", "memory" } do
      assert.equal(0, t:metric(('hookswitch_rules_errors_total{rule="rule",kind="%s"}'):format(kind)))
    end
    assert.equal(0, t:metric 'hookswitch_rules_quarantined_total{rule="rule"}')
  end)

  it("is logged with its place also when only C functions name the error", function()
    local t = support.run "ami.on('Hangup', function()\n for _ in ipairs(nil) do end end)"
    t:event "Hangup"
    assert.equal("scripts/rule.lua:2: attempt to index a nil value", t:rule().last_error)
  end)

  it("of memory is logged with its place as well", function()
    local t = support.run("ami.on('Hangup', function()\n local t = {}\n while true do t[#t + 1] = { #t } end end)",
      { limits = { rule_memory = 2e6, deadline = 5 } })
    t:event "Hangup"
    assert.equal("scripts/rule.lua:3: not enough memory", t:rule().last_error)
  end)

  -- Lua's own traceback walks all the calls some thirty times, where no deadline reaches.
  it("in a recursion that ran away is logged with the calls at its top", function()
    local t = support.run("local function deep(n)\n if n == 0 then error 'at the bottom' end\n return 1 + deep(n - 1)\nend\n"
      .. "ami.on('Hangup', function() deep(20000) end)", { limits = { deadline = 5 } })
    local records = support.logged(function() t:event "Hangup" end, "error")
    assert.equal("scripts/rule.lua:2: at the bottom", records[1].msg)
    assert.matches("scripts/rule.lua:3: in", records[1].traceback)
    assert.matches("more calls than can be shown$", records[1].traceback)
    assert.is_true(select(2, records[1].traceback:gsub("\n", "")) <= 10)
  end)

  it("does not keep the next listener and the next event from running", function()
    local t = support.run {
      ["a.lua"] = [[ami.on("Hangup", function(ev) note("a", ev.N) error { } end)]],
      ["b.lua"] = [[ami.on("Hangup", { priority = -1 }, function(ev) note("b", ev.N) end)]],
    }
    t:event("Hangup", { N = 1 })
    t:event("Hangup", { N = 2 })
    assert.same({ "a 1", "b 1", "a 2", "b 2" }, t:said())
  end)

  it("may throw anything", function()
    for _, value in ipairs { "{}", "nil", "42", "print", "setmetatable({}, { __tostring = function() error 'x' end })", "setmetatable({}, { __tostring = function() return 'mine' end })" } do
      local t = support.run(("ami.on('Hangup', function() error(%s) end) ami.on('Hangup', function() note 'next' end)"):format(value))
      t:event "Hangup"
      assert.same({ "next" }, t:said())
      assert.equal(1, t:rule().errors)
      support.cleanup()
    end
  end)

  it("in a timer, a callback and after a wait is logged with what it was", function()
    local t = support.run [[
      timer.after(1, function() error "in timer" end)
      ami.on("Hangup", function(ev, server)
        server:send({ Action = "Ping" }, function() error "in callback" end)
        timer.sleep(2)
        error "after wait"
      end)]]
    local records = support.logged(function()
      t:event "Hangup"
      t:reply()
      t:advance(3)
    end, "error")
    assert.equal("timer", support.record(records, "in timer")["in"])
    assert.equal("callback", support.record(records, "in callback")["in"])
    assert.equal("Ping", support.record(records, "in callback").action)
    assert.is_nil(support.record(records, "in callback").event)
    assert.equal("listener", support.record(records, "after wait")["in"])
    assert.equal("Hangup", support.record(records, "after wait").event)
    assert.equal(3, t:rule().errors)
  end)

  it("closes its <close> variables on the way", function()
    local t = support.run [[ami.on("Hangup", function()
      local x <close> = setmetatable({}, { __close = function(_, err) note("closed", err) end })
      error("oh", 0)
    end)]]
    t:event "Hangup"
    assert.same({ "closed oh" }, t:said())
  end)

  it("again and again is quarantined: five errors in its last ten calls, then probed after a while", function()
    local t = support.run {
      ["bad.lua"] = [[local broken = true
        ami.on("Hangup", { label = "bad one" }, function(ev) note("bad", ev.N) if broken then error "x" end end)
        ami.on("Newstate", function() broken = false note "other" end)
        ami.on("server.gap", function(ev) note("gap", ev.count) end)]],
      ["good.lua"] = [[
        ami.on("Hangup", function(ev) note("good", ev.N) end)
        ami.on("script.quarantined", function(ev) note(ev.Event, ev.rule, ev.reason, ev.listener) end)]],
    }
    for n = 1, 5 do t:event("Hangup", { N = n }) end
    t:advance()
    local said = t:said()
    assert.equal("script.quarantined bad errors bad one", said[#said])
    assert.equal(1, t:metric 'hookswitch_rules_quarantined_total{rule="bad"}')
    t:event("Hangup", { N = 6 })
    t:event "Newstate"
    assert.same({ "good 6", "other" }, t:said())
    t:advance(31)
    t:event("Hangup", { N = 7 })
    t:advance()
    assert.same({ "gap 1", "bad 7", "good 7", "gap 0" }, t:said())
    t:event("Hangup", { N = 8 })
    assert.same({ "bad 8", "good 8" }, t:said())
  end)

  it("rarely stays: four errors in ten calls are not enough", function()
    local t = support.run [[ami.on("Hangup", function(ev) if tonumber(ev.N) % 10 < 4 then error "x" end note(ev.N) end)]]
    for n = 0, 49 do t:event("Hangup", { N = n }) end
    assert.equal(30, #t:said())
  end)

  it("that a probe finds still failing stays away, longer each time", function()
    local t = support.run [[ami.on("Hangup", function(ev) note(ev.N) error "x" end)]]
    for n = 1, 5 do t:event("Hangup", { N = n }) end
    t:said()
    t:advance(31)
    t:event("Hangup", { N = "probe" })
    t:advance(31)
    t:event("Hangup", { N = "too early" })
    t:advance(31)
    t:event("Hangup", { N = "second probe" })
    assert.same({ "probe", "second probe" }, t:said())
  end)
end)

describe("a rule that runs too long", function()
  after_each(support.cleanup)
  local LIMITS = { limits = { deadline = 0.02 } }

  it("is ended, and logged otherwise than an error, with its line", function()
    local t = support.run("ami.on('Hangup', function()\n while true do end\n end)\nami.on('Hangup', function() note 'next' end)", LIMITS)
    local records = support.logged(function() t:event "Hangup" end, "error")
    assert.matches("scripts/rule.lua:2: deadline", records[1].msg)
    assert.equal("deadline", records[1].kind)
    assert.equal(1, t:rule().deadlines)
    assert.equal(0, t:rule().errors)
    assert.equal(1, t:metric 'hookswitch_rules_errors_total{rule="rule",kind="deadline"}')
  end)

  it("cannot catch it", function()
    for _, body in ipairs {
      "while true do pcall(function() while true do end end) end",
      "while true do xpcall(function() while true do end end, function() while true do end end) end",
      "coroutine.wrap(function() while true do end end)()",
      "local co = coroutine.create(function() while true do end end) coroutine.resume(co) while true do end",
      "table.sort({ 3, 2, 1 }, function(a, b) while true do end end)",
      "string.gsub('aaa', 'a', function() while true do end end)",
      "local x <close> = setmetatable({}, { __close = function() while true do end end }) error 'x'",
      "return setmetatable({}, { __index = function() while true do end end }).x",
    } do
      local t = support.run({ ["rule.lua"] = "ami.on('Hangup', function() " .. body .. " end)", ["other.lua"] = "ami.on('Newstate', function() note 'served' end)" }, LIMITS)
      t:event "Hangup"
      t:event "Newstate"
      assert.same({ "served" }, t:said(), body)
      assert.equal(1, t:rule().deadlines, body)
      support.cleanup()
    end
  end)

  it("runs nothing more in that turn, and hears in the next one what came meanwhile", function()
    local t = support.run({
      ["rule.lua"] = [[
        ami.on("Hangup", function(ev) note("begin", ev.N) if ev.N == "1" then while true do end end end)
        ami.on("server.gap", function(ev) note("gap", ev.count) end)]],
      ["other.lua"] = [[ami.on("Hangup", function(ev) note("other", ev.N) end)]],
    }, LIMITS)
    for n = 1, 3 do t:event("Hangup", { N = n }) end
    assert.same({ "other 1", "begin 1", "other 2", "other 3" }, t:said())
    t:advance(1)
    assert.same({ "begin 2", "begin 3" }, t:said())
    t:event("Hangup", { N = 4 })
    assert.same({ "other 4", "begin 4" }, t:said())
  end)

  it("three times in ten seconds is quarantined whole, but its pending callbacks and waits still complete", function()
    local t = support.run({
      ["rule.lua"] = [[
        ami.on("Newstate", function(ev, server) server:send({ Action = "Ping" }, function() note "callback" end) timer.sleep(20) note "slept" end)
        ami.on("Hangup", function() while true do end end)
        ami.on("Newexten", function() note "heard" end)]],
      ["other.lua"] = [[ami.on("script.quarantined", function(ev) note(ev.rule, ev.reason) end)]],
    }, LIMITS)
    t:event "Newstate"
    for _ = 1, 3 do
      t:event "Hangup"
      t:advance(1)
    end
    assert.is_true(t:rule().quarantined)
    assert.same({ "rule deadline" }, t:said())
    t:event "Newexten"
    t:reply()
    t:advance(20)
    assert.same({ "callback", "slept" }, t:said())
    t:advance(31)
    t:event "Newexten"
    assert.same({ "heard" }, t:said())
    assert.is_false(t:rule().quarantined)
  end)

  it("counts only its own time: waiting costs nothing", function()
    local t = support.run([[ami.on("Hangup", function()
      for _ = 1, 200 do local s = 0 for i = 1, 20000 do s = s + i end timer.sleep(1) end note "done" end)]], LIMITS)
    t:event "Hangup"
    t:advance(300)
    assert.same({ "done" }, t:said())
    assert.equal(0, t:rule().deadlines)
  end)
end)

describe("a rule that wants too much memory", function()
  after_each(support.cleanup)
  local LIMITS = { limits = { rule_memory = 2e6, deadline = 5 } }

  it("gets an error, is logged as memory, and its neighbours go on", function()
    local t = support.run({
      ["rule.lua"] = "local hoard = {}\nami.on('Hangup', function()\n while true do hoard[#hoard + 1] = { 1, 2, 3 } end\n end)",
      ["other.lua"] = [[ami.on("Hangup", { priority = -1 }, function() local t = {} for i = 1, 1000 do t[i] = { i } end note(#t) end)]],
    }, LIMITS)
    local records = support.logged(function() t:event "Hangup" end, "error")
    assert.same({ "1000" }, t:said())
    assert.equal("memory", records[1].kind)
    assert.equal(1, t:rule().refused)
    assert.equal(1, t:metric 'hookswitch_rules_errors_total{rule="rule",kind="memory"}')
    assert.is_true(t:rule().memory > t:rule("other").memory)
  end)

  it("counts as failed even when it catches the error", function()
    local t = support.run([[
      local hoard = {}
      ami.on("Hangup", function() note(pcall(function() while true do hoard[#hoard + 1] = { 1, 2, 3 } end end)) end)]], LIMITS)
    t:event "Hangup"
    assert.equal(1, t:rule().refused)
  end)

  it("with one huge text gets an error", function()
    local t = support.run([[ami.on("Hangup", function() local s = "x" while true do s = s .. s end end)]], LIMITS)
    t:event "Hangup"
    assert.equal(1, t:rule().refused)
  end)
end)
