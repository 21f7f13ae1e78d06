local support = require "tests.spec.rules.support"

describe("timers", function()
  after_each(support.cleanup)

  it("after runs once, after its time", function()
    local t = support.run [[ami.on("Hangup", function() timer.after(2, function() note(timer.now()) end) end)]]
    local start = t:now()
    t:event "Hangup"
    t:advance(1.9)
    assert.same({}, t:said())
    t:advance(10)
    assert.same({ tostring(start + 2) }, t:said())
    assert.equal(0, t:rule().timers)
  end)

  it("run in the order of their times, equal ones in the order they were made", function()
    local t = support.run [[for i, s in ipairs { 3, 1, 2, 1, 3, 1 } do timer.after(s, function() note(s, i) end) end]]
    t:advance(3)
    assert.same({ "1 2", "1 4", "1 6", "2 3", "3 1", "3 5" }, t:said())
  end)

  it("every runs again and again, from its first time on", function()
    local t = support.run [[timer.every(1.5, function() note(timer.now()) end)]]
    local start = t:now()
    t:advance(5)
    assert.same({ tostring(start + 1.5), tostring(start + 3.0), tostring(start + 4.5) }, t:said())
    assert.equal(1, t:rule().timers)
  end)

  it("count from the moment when the rules go live", function()
    local t = support.run [[timer.after(1, function() note "live" end)]]
    t:advance(0.9)
    assert.same({}, t:said())
    t:advance(0.2)
    assert.same({ "live" }, t:said())
  end)

  it("end with cancel, also from inside, and cancelling again is nothing", function()
    local t = support.run [[
      local a = timer.after(1, function() note "a" end)
      local b; b = timer.every(1, function() note "b" b:cancel() b:cancel() end)
      local c = timer.after(0.5, function() note "c" end)
      timer.after(0.6, function() a:cancel() c:cancel() end)]]
    t:advance(5)
    assert.same({ "c", "b" }, t:said())
    assert.equal(0, t:rule().timers)
  end)

  it("may cancel one that is due at the same moment", function()
    local t = support.run [[
      local b
      timer.after(1, function() note "a" b:cancel() end)
      b = timer.after(1, function() note "b" end)]]
    t:advance(2)
    assert.same({ "a" }, t:said())
  end)

  it("go on when their handles are not kept", function()
    local t = support.run [[
      timer.every(1, function() note "tick" local t = {} for i = 1, 5000 do t[i] = { i } end end)]]
    t:advance(3)
    assert.same({ "tick", "tick", "tick" }, t:said())
  end)

  it("skip a tick while the last one still waits", function()
    local t = support.run [[
      local n = 0
      timer.every(1, function() n = n + 1 note(n) if n == 1 then timer.sleep(2.5) note "awake" end end)]]
    t:advance(5)
    assert.same({ "1", "awake", "2", "3" }, t:said())
  end)

  it("may cancel themselves while their tick waits", function()
    local t = support.run [[local t; t = timer.every(1, function() timer.sleep(0.5) t:cancel() timer.sleep(5) note "done" end)]]
    t:advance(20)
    assert.same({ "done" }, t:said())
    assert.equal(0, t:rule().timers)
  end)

  it("of zero seconds run in the next turn, and leave the others served", function()
    local t = support.run [[
      local n = 0
      local function again() n = n + 1 timer.after(0, again) end
      ami.once("Hangup", again)
      ami.on("Hangup", { priority = -1 }, function() note(n) end)]]
    t:event "Hangup"
    t:turn()
    t:event "Hangup"
    local before = tonumber(t:said()[2])
    for _ = 1, 3 do assert.equal(0, t:turn()) end
    t:event "Hangup"
    assert.equal(before + 3, tonumber(t:said()[1]))
  end)

  it("sleep waits its time, at least one turn", function()
    local t = support.run [[ami.on("Hangup", function(ev) timer.sleep(tonumber(ev.S)) note(ev.S) end)]]
    for _, s in ipairs { "2", "1", "0" } do t:event("Hangup", { S = s }) end
    assert.same({}, t:said())
    t:turn()
    assert.same({ "0" }, t:said())
    t:advance(2)
    assert.same({ "1", "2" }, t:said())
  end)

  it("sleep(0) in a loop leaves the others served", function()
    local t = support.run [[
      ami.on("Busy", function() while true do timer.sleep(0) end end)
      ami.on("Hangup", function() note "heard" end)]]
    t:event "Busy"
    for _ = 1, 10 do assert.equal(0, t:turn()) end
    t:event "Hangup"
    assert.same({ "heard" }, t:said())
  end)

  it("now and os.time follow the virtual clock, while loading too", function()
    local t = support.run [[
      local loaded = timer.now()
      ami.on("Hangup", function() note(timer.now() - loaded, os.time()) end)]]
    t:advance(100)
    t:event "Hangup"
    local _, wall = t:now()
    assert.same({ ("100.0 %d"):format(wall // 1) }, t:said())
  end)

  it("refuse times and functions that are none", function()
    for _, text in ipairs { "timer.after(-1, print)", "timer.after(0/0, print)", "timer.after(math.huge, print)", "timer.after('x', print)",
      "timer.after(1)", "timer.every(0, print)", "timer.every(0.0001, print)", "timer.after(1e9, print)" } do
      assert.matches("rule.lua:1: bad argument", support.faults(text))
      support.cleanup()
    end
  end)

  it("are bounded in number", function()
    assert.matches("limits.timers", support.faults([[for _ = 1, 4 do timer.after(1, print) end]], { limits = { timers = 3 } }))
  end)

  it("that fail are logged and the next one runs", function()
    local t = support.run [[timer.after(1, function() error "x" end) timer.after(1, function() note "next" end)
      timer.every(1, function() error "y" end)]]
    t:advance(3)
    assert.same({ "next" }, t:said())
    assert.equal(4, t:rule().errors)
  end)

  it("give back what they used, fired or cancelled", function()
    local t = support.run([[
      local n = 0
      timer.every(0.01, function()
        n = n + 1
        timer.after(0.005, function() end)
        timer.after(60, function() end):cancel()
        timer.sleep(0.001)
      end)
      ami.on("Hangup", function() note(n) end)]], { limits = { rule_memory = 6e5 } })
    t:advance(300.008)
    t:event "Hangup"
    assert.is_true(tonumber(t:said()[1]) > 29000)
    assert.equal(0, t:rule().refused)
    assert.equal(1, t:rule().timers)
  end)

  it("of rules that want to run at once for ever end a test with the rule's name", function()
    for _, code in ipairs { "timer.after(0, function() while true do timer.sleep(0) end end)",
      "ami.on('a.b', function() ami.emit 'a.b' end) timer.after(0, function() ami.emit 'a.b' end)" } do
      local good, err = pcall(support.run, { ["busy.lua"] = code, ["calm.lua"] = "timer.every(1, function() end)" })
      assert.is_false(good)
      assert.matches("rule 'busy' wants to run at once again and again %(10000 turns in 0.1 s%)", err)
    end
  end)
end)
