local support = require "tests.spec.rules.support"

describe("order", function()
  after_each(support.cleanup)

  it("is that of the wire: every listener of an event begins before the next event's", function()
    local t = support.run {
      ["a.lua"] = [[ami.on("*", function(ev) note("a", ev.N) end)]],
      ["b.lua"] = [[ami.on({ "Newstate", "Hangup" }, function(ev) note("b", ev.N) timer.sleep(0) end)]],
    }
    t:feed(("Event: Newstate\r\nN: 1\r\n\r\nEvent: Hangup\r\nN: 2\r\n\r\nEvent: Newstate\r\nN: 3\r\n\r\n"))
    assert.same({ "a 1", "b 1", "a 2", "b 2", "a 3", "b 3" }, t:said())
  end)

  it("a completion resumes its coroutine before the next frame is dispatched", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server) server:call { Action = "Ping" } note "completed" end)
      ami.on("Newstate", function() note "event" end)]]
    t:event "Hangup"
    t:answer(1, { Response = "Success" })
    t:event "Newstate"
    assert.same({ "completed", "event" }, t:said())
  end)

  it("a callback runs when its answer comes, before the next frame", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server) server:send({ Action = "Ping" }, function() note "completed" end) end)
      ami.on("Newstate", function() note "event" end)]]
    t:event "Hangup"
    t:answer(1, { Response = "Success" })
    t:event "Newstate"
    assert.same({ "completed", "event" }, t:said())
  end)

  it("servers do not mix: the same Uniqueid on two servers is two calls", function()
    local t = support.run([[
      local seen = {}
      ami.on("Newchannel", function(ev, server)
        local key = server.name .. ev.Uniqueid
        seen[key] = (seen[key] or 0) + 1
        note(key, seen[key])
      end)]], { servers = { "a", "b" } })
    t:event("Newchannel", { Uniqueid = "1" }, { server = "a" })
    t:event("Newchannel", { Uniqueid = "1" }, { server = "b" })
    assert.same({ "a1 1", "b1 1" }, t:said())
  end)
end)

-- One event of a server in each half of a turn: the others wait in the server's log.
local LAG = { turn_events = 1 }

describe("a rule that lags", function()
  after_each(support.cleanup)

  local function events(t, name, from, to, options)
    for n = from, to do t:event(name, { N = n }, options) end
  end

  it("hears every event, in order, a part in each turn", function()
    local t = support.run([[ami.on("*", function(ev) note(ev.N) end)]], { limits = LAG })
    events(t, "Hangup", 1, 5)
    assert.same({ "1" }, t:said())
    assert.equal(0, t:turn())
    assert.same({ "2" }, t:said())
    t:turn()
    events(t, "Hangup", 6, 6)
    t:advance()
    assert.same({ "3", "4", "5", "6" }, t:said())
    t:advance()
    events(t, "Hangup", 7, 7)
    assert.same({ "7" }, t:said())
  end)

  it("misses nothing with a listener or a wait that it makes while it lags", function()
    local t = support.run([[
      ami.on("Hangup", function(ev)
        if ev.N ~= "1" then return end
        ami.on("Newstate", function(ev) note("listener", ev.N) end)
        note("waited", ami.wait("Newexten").N)
      end)
      ami.on("Busy", function() end)]], { limits = LAG })
    t:event "Busy"
    t:event("Hangup", { N = 1 })
    t:event("Newstate", { N = 2 })
    t:event("Newexten", { N = 3 })
    assert.same({}, t:said())
    t:advance()
    assert.same({ "listener 2", "waited 3" }, t:said())
  end)

  it("does not time out of a wait whose event is in the log", function()
    local t = support.run([[
      ami.on("Hangup", function() local ev, err = ami.wait("Newstate", nil, 5) note(ev and ev.N or err.code) end)
      ami.on("Busy", function() end)]], { limits = LAG })
    t:event "Hangup"
    t:turn()
    events(t, "Busy", 1, 3)
    t:event("Newstate", { N = 7 })
    t:advance(6)
    assert.same({ "7" }, t:said())
    t:event "Hangup"
    t:advance(6)
    assert.same({ "timeout" }, t:said())
  end)

  it("keeps limits.rule_bytes of answers, late ones too: those beyond end as overflow, and the session stays", function()
    local t = support.run([[
      ami.on("Newchannel", function(ev, server)
        for n = 1, 4 do server:send({ Action = "Ping" }, { timeout = n == 4 and 60 or 1 }, function(res, err) note(n, err and err.code or #res.Text) end) end
      end)
      ami.on("Hangup", function() end)]], { limits = { turn_events = 1, rule_bytes = 8192 } })
    t:event "Newchannel"
    t:turn()
    events(t, "Hangup", 1, 30)
    local records = support.logged(function()
      t:answer(1, { Response = "Success", Text = "a list", events = { { Event = "QueueMember", Name = ("x"):rep(5000) } } })
      for n = 2, 3 do t:answer(n, { Response = "Success", Text = ("x"):rep(5000) }) end
      t:advance(2)
    end, "warn")
    assert.same({ "1 6", "2 overflow", "3 overflow" }, t:said())
    assert.equal(2, t:metric 'hookswitch_rules_answers_dropped_total{rule="rule"}')
    assert.equal(1, #records)
    assert.same({ "an answer was dropped: a rule has not taken those before it (limits.rule_bytes)", "rule", "Ping" },
      { records[1].msg, records[1].rule, records[1].action })
    -- What was taken counts no more.
    events(t, "Hangup", 1, 30)
    t:answer(4, { Response = "Success", Text = ("x"):rep(5000) })
    t:advance()
    assert.same({ "4 5000" }, t:said())
  end)

  it("gets an answer in its place, and other rules get theirs at once", function()
    local t = support.run({
      ["a.lua"] = [[
        ami.on("Newchannel", function(ev, server) server:send({ Action = "Ping" }, function(res) note "a answered" end) end)
        ami.on("Hangup", function(ev) note("a", ev.N) end)]],
      ["b.lua"] = [[ami.on("Newchannel", function(ev, server) server:send({ Action = "Ping" }, function(res) note "b answered" end) end)]],
    }, { limits = LAG })
    t:event "Newchannel"
    t:turn()
    events(t, "Hangup", 1, 3)
    assert.same({ "a 1" }, t:said())
    t:answer(1, { Response = "Success" })
    t:answer(2, { Response = "Success" })
    events(t, "Hangup", 4, 4)
    assert.same({ "b answered" }, t:said())
    t:advance()
    assert.same({ "a 2", "a 3", "a answered", "a 4" }, t:said())
  end)

  it("hears server.lost, server.ready and gaps in their places", function()
    local t = support.run([[
      ami.on({ "Hangup", "server.lost", "server.ready" }, function(ev, server) note(ev.Event, ev.N or server.ready) end)
      local sub = ami.subscribe("Never", { server = "pbx1" })
      ami.on("server.lost", function() local ev, err = sub:next(0) note(err.code) end)]], { limits = LAG })
    t:said()
    events(t, "Hangup", 1, 2)
    t:lost "pbx1"
    t:ready "pbx1"
    events(t, "Hangup", 3, 3)
    assert.same({ "Hangup 1" }, t:said())
    t:advance()
    -- server.ready shows the present.
    assert.same({ "Hangup 2", "server.lost true", "lost", "server.ready true", "Hangup 3" }, t:said())
  end)

  it("skips the oldest events beyond its bound, and hears of them in their place; other rules miss nothing", function()
    local t = support.run({
      ["a.lua"] = [[ami.on({ "Hangup", "server.gap" }, function(ev) note("a", ev.N or "gap " .. ev.count .. " " .. ev.names .. " " .. ev.reason) end)
        ami.on("Stop", function() while true do end end)]],
      ["b.lua"] = [[ami.on("Hangup", function(ev) note("b", ev.N) end)]],
    }, { limits = { deadline = 0.03, rule_events = 4 } })
    t:event "Stop"
    events(t, "Hangup", 1, 6)
    assert.same({ "b 1", "b 2", "b 3", "b 4", "b 5", "b 6" }, t:said())
    t:advance()
    assert.same({ "a gap 2 Hangup shed", "a 3", "a 4", "a 5", "a 6" }, t:said())
    assert.equal(2, t:metric 'hookswitch_rules_events_skipped_total{rule="a"}')
    assert.equal(0, t:metric 'hookswitch_rules_events_skipped_total{rule="b"}')
  end)

  it("is not held up by another server", function()
    local t = support.run([[ami.on("Hangup", function(ev, server) note(server, ev.N) end)]], { servers = { "x", "y" }, limits = LAG })
    events(t, "Hangup", 1, 4, { server = "x" })
    events(t, "Hangup", 5, 5, { server = "y" })
    assert.same({ "x 1", "y 5" }, t:said())
  end)

  it("hears emitted events between the frames that came before and after them", function()
    local t = support.run({
      ["a.lua"] = [[ami.on("Hangup", function(ev) ami.emit("seen.it", { N = ev.N }) end)]],
      ["b.lua"] = [[ami.on({ "Hangup", "seen.it" }, function(ev) note(ev.Event, ev.N) end)]],
    })
    events(t, "Hangup", 1, 2)
    t:advance()
    assert.same({ "Hangup 1", "seen.it 1", "Hangup 2", "seen.it 2" }, t:said())
  end)

  it("runs due timers between the events that came before and after them", function()
    local t = support.run([[
      ami.on("Hangup", function(ev) note(ev.N) if ev.N == "1" then timer.after(1, function() note "timer" end) end end)]], { limits = LAG })
    events(t, "Hangup", 1, 3)
    t:advance(1)
    assert.same({ "1", "2", "3", "timer" }, t:said())
  end)

  it("calls its listeners by priority, as a rule that is up to date does", function()
    local t = support.run({
      ["a.lua"] = [[
        ami.on("Hangup", { priority = 1 }, function(ev) note("a1", ev.N) end)
        ami.on("*", { priority = 5 }, function(ev) note("a5", ev.N) end)]],
      ["b.lua"] = [[ami.on("Hangup", { priority = 3 }, function(ev) note("b3", ev.N) end)]],
    }, { limits = LAG })
    events(t, "Hangup", 1, 2)
    assert.same({ "a5 1", "b3 1", "a1 1" }, t:said())
    t:advance()
    local said = t:said()
    local of_a = {}
    for _, text in ipairs(said) do if text:find "^a" then of_a[#of_a + 1] = text end end
    assert.equal(3, #said)
    assert.same({ "a5 2", "a1 2" }, of_a)
  end)
end)

describe("rules that lag behind one server", function()
  after_each(support.cleanup)

  it("take an event each for one event of its budget", function()
    local rules = {}
    for n = 1, 20 do rules[("r%02d.lua"):format(n)] = ('ami.on("*", function(ev) note(%d, ev.N) end)'):format(n) end
    local t = support.run(rules, { limits = { turn_events = 2 } })
    for n = 1, 50 do t:event("Hangup", { N = n }) end
    assert.equal(2 * 20, #t:said())
    t:turn()
    local said = t:said() -- in both halves of a turn
    assert.equal(2 * 20, #said)
    assert.equal("1 3", said[1])
  end)
end)

describe("a rule that keeps itself busy", function()
  after_each(support.cleanup)

  local WARNING = "a rule keeps itself busy: its events or timers begin the next ones at once, again and again"

  for what, text in pairs {
    ["with events"] = [[ami.on("own.again", function() ami.emit "own.again" end) timer.after(0, function() ami.emit "own.again" end)]],
    ["with timers"] = [[local function again() timer.after(0, again) end again()]],
    ["with sleeps"] = [[timer.after(0, function() while true do timer.sleep(0) end end)]],
  } do
    it(what .. " is named once", function()
      local good, err
      local records = support.logged(function()
        -- Time cannot pass.
        good, err = pcall(function()
          support.run({ ["busy.lua"] = text, ["other.lua"] = [[timer.every(0.1, function() note "tick" end)]] }):advance(1)
        end)
      end)
      assert.is_false(good)
      assert.matches("busy", err)
      local names = {}
      for _, record in ipairs(records) do
        if record.msg == WARNING then names[#names + 1] = record.rule end
      end
      assert.same({ "busy" }, names)
    end)
  end

  it("is not one that answers each event of a server with one of its own, or whose timers take time", function()
    local t = support.run { ["rule.lua"] = [[
      local heard, ticks = 0, 0
      ami.on("Hangup", function() ami.emit "own.step" end)
      ami.on("own.step", function() heard = heard + 1 end)
      local function again()
        ticks = ticks + 1
        timer.after(0.001, again)
      end
      again()
      ami.on("own.count", function() note(heard, ticks > 5500) end)]] }
    local records = support.logged(function()
      for _ = 1, 5500 do
        t:event "Hangup"
        t:turn()
      end
      t:advance(6)
    end, "info")
    t:emit "own.count"
    t:turn()
    assert.same({ "5500 true" }, t:said())
    assert.same({}, records)
  end)
end)

describe("the share of a turn", function()
  after_each(support.cleanup)

  it("ends the calls of a turn; the next one begins with the rule behind the last", function()
    local slow = [[ami.on("Hangup", function(ev) local e = os.clock() + 0.03 while os.clock() < e do end note("%s", ev.N) end)]]
    local t = support.run({ ["a.lua"] = slow:format "a", ["b.lua"] = [[ami.on("Hangup", function(ev) note("b", ev.N) end)]], ["c.lua"] = slow:format "c" },
      { limits = { turn_rules = 0.01, deadline = 1 } })
    t:event("Hangup", { N = 1 })
    assert.same({ "a 1" }, t:said())
    t:turn()
    assert.same({ "b 1", "c 1" }, t:said())
    for n = 2, 3 do t:event("Hangup", { N = n }) end
    assert.same({}, t:said())
    t:turn()
    assert.same({ "a 2" }, t:said())
    t:turn()
    assert.same({ "b 2", "b 3", "c 2" }, t:said())
  end)

  it("that a slow rule uses up leaves a quick one enough for a flood", function()
    local t = support.run({
      ["quick.lua"] = [[ami.on("Hangup", function() end)]],
      ["slow.lua"] = [[ami.on("Hangup", function(ev) local e = os.clock() + 0.012 while os.clock() < e do end end)]],
    }, { limits = { turn_rules = 0.01, deadline = 1 } })
    for round = 1, 10 do
      for n = 1, 200 do t:event("Hangup", { N = n }) end
      t:turn()
    end
    assert.is_true(t:rule("quick").calls >= 1600, t:rule("quick").calls)
  end)

  it("that slow rules use up, one in each turn, makes the rule between them no slower: it takes as much as in every turn", function()
    local rules = { ["quick.lua"] = [[local n = 0 ami.on("Hangup", function(ev) n = n + 1 end) ami.on("own.count", function() note(n) end)]] }
    for i = 1, 5 do
      rules[("slow%d.lua"):format(i)] = [[ami.on("Hangup", function(ev) local e = os.clock() + 0.012 while os.clock() < e do end end)]]
    end
    local t = support.run(rules, { limits = { turn_rules = 0.01, deadline = 1 } })
    for n = 1, 1000 do t:event("Hangup", { N = n }) end
    for _ = 1, 18 do t:turn() end -- three rounds
    -- Answered when all of it was heard.
    t:emit "own.count"
    t:turn()
    assert.is_true(t:rule("quick").calls > 500, t:rule("quick").calls)
    for _ = 1, 30 do t:turn() end
    assert.same({ "1000" }, t:said())
  end)

  -- Long enough for a tick of CPU time to come on a machine whose processors others use too.
  local BURN = "local function burn() local e = os.clock() + 0.1 while os.clock() < e do end end\n"
  local SHARE = { turn_rules = 0.01, deadline = 1 }

  -- Two tasks that get the same event, and listeners that have taken the whole share when `b` is asked.
  local function with_wakes(b)
    return support.run({
      ["a.lua"] = BURN .. [[
        for n = 1, 2 do
          timer.after(0, function()
            ami.subscribe("Busy"):next()
            burn()
            note("a woke", n)
          end)
        end
        ami.on("Hangup", { priority = 1 }, burn)]],
      ["b.lua"] = b,
    }, { limits = SHARE })
  end

  it("is not taken by what tasks waited for while events of others wait", function()
    local t = with_wakes [[ami.on("Hangup", function() note "b" end)]]
    t:turn()
    t:event "Busy"
    t:event "Hangup"
    assert.same({}, t:said())
    t:turn()
    t:turn()
    assert.same({ "a woke 1", "b", "a woke 2" }, t:said())
  end)

  it("goes around between rules whose tasks wait", function()
    local t = with_wakes [[timer.after(0, function() ami.subscribe("Busy"):next() note "b woke" end)]]
    t:turn()
    t:event "Busy"
    t:advance()
    assert.same({ "a woke 1", "b woke", "a woke 2" }, t:said())
  end)

  it("goes around between rules whose queues have jobs, however many queues one of them has", function()
    local t = support.run({
      ["a.lua"] = BURN .. [[
        for n = 1, 8 do work.on("slow" .. n, function() burn() note "a" end) end
        ami.on("Hangup", function() for n = 1, 8 do work.push("slow" .. n, {}, function() end) end end)]],
      ["b.lua"] = [[
        for n = 1, 2 do work.on("quick" .. n, function() note "b" end) end
        ami.on("Hangup", function() for n = 1, 2 do work.push("quick" .. n, {}, function() end) end end)]],
    }, { limits = SHARE })
    t:event "Hangup"
    t:work()
    local said = t:said()
    assert.equal(10, #said)
    -- Behind one job of the other rule at the most, and then one in each turn.
    local first, second
    for i, line in ipairs(said) do
      if line == "b" then first, second = first or i, i end
    end
    assert.is_true(first <= 2 and second <= 3, table.concat(said, " "))
  end)

  it("is not taken by callbacks of pushes while jobs of others wait", function()
    local t = support.run({
      ["a.lua"] = BURN .. [[
        ami.on("Hangup", function() for n = 1, 8 do work.push("others", {}, function() burn() note "a" end) end end)
        work.on("others", { at_once = 1 }, function() end)]],
      ["b.lua"] = [[work.on("quick", function() note "b" end) ami.on("Hangup", function() work.push("quick", {}, function() end) end)]],
    }, { limits = SHARE })
    t:event "Hangup"
    t:work()
    local said = t:said()
    assert.equal(9, #said)
    local at
    for i, line in ipairs(said) do at = line == "b" and i or at end
    assert.is_true(at <= 5, table.concat(said, " "))
  end)

  it("ends one replaced rule in a turn, and more of them while there is time", function()
    local rules = {}
    for n = 1, 4 do
      rules[("slow%d.lua"):format(n)] = BURN .. [[timer.after(0, function()
        local guard <close> = setmetatable({}, { __close = burn })
        timer.sleep(1e6)
      end)]]
      rules[("quick%d.lua"):format(n)] = "timer.after(0, function() timer.sleep(1e6) end)"
    end
    local t = support.run(rules, { limits = { turn_rules = 0.01, deadline = 1, drain = 0 } })
    t:turn()
    for name in pairs(rules) do t:remove_file(name) end
    assert(t:reload())
    assert.equal(8, #t:draining())
    local turns = 0
    while #t:draining() > 0 do
      local before = #t:draining()
      t:turn()
      assert.is_true(#t:draining() < before)
      turns = turns + 1
    end
    assert.is_true(turns >= 4, turns) -- one for each slow one
  end)

  it("and one deadline are all that the listeners of one event get, however short each of their calls is", function()
    local t = support.run([[
      local n = 0
      for _ = 1, 3000 do
        ami.on("Hangup", function()
          local e = os.clock() + 0.00005
          while os.clock() < e do end
          n = n + 1
        end)
      end
      ami.on("server.gap", function(ev) note(n + math.tointeger(tonumber(ev.count)), ev.reason) note(n < 2000) end)]], { limits = { turn_rules = 0.01, deadline = 0.02 } })
    t:event "Hangup"
    t:advance()
    assert.same({ "3000 not started", "true" }, t:said())
  end)

  it("is no bound where a test sets none: short calls of one turn may be many", function()
    local t = support.run([[
      local n = 0
      for _ = 1, 4 do ami.on("Hangup", function() n = n + 1 for _ = 1, 1000 do end end) end
      ami.on("server.gap", function() note "gap" end)
      ami.on("Busy", function() note(n) end)]], { limits = { deadline = 0.02 } })
    t:feed(("Event: Hangup\r\n\r\n"):rep(3000))
    t:event "Busy"
    t:advance()
    assert.same({ "12000" }, t:said())
  end)

  it("keeps what waits for a rule in its order, whoever is served meanwhile", function()
    local url = "https://crm.example.net/"
    local get = ('http.get("%s", function() %%s end)'):format(url)
    local t = support.run({
      ["a.lua"] = ([[ami.on("Hangup", function(ev)
        if ev.N == "1" then ]] .. get .. get .. " else " .. get .. [[ end
      end)]]):format("while true do end", "note 'a 2'", "note 'a 3'"),
      ["b.lua"] = ([[ami.on("Hangup", function(ev) if ev.N == "1" then ]] .. get .. " end end)"):format "note 'b'",
    }, { policy = { http = { url } }, limits = { deadline = 0.02 } })
    t:event("Hangup", { N = 1 })
    t:event("Hangup", { N = 2 })
    for n = 1, 4 do t:respond(n, { status = 200 }) end
    t:turn()
    assert.same({ "b" }, t:said())
    t:turn()
    assert.same({ "a 2", "a 3" }, t:said())
  end)

  it("is logged with the rule that had most of it", function()
    local t = support.run({ ["slow.lua"] = [[ami.on("Hangup", function(ev) local e = os.clock() + 0.05 while os.clock() < e do end end)]],
      ["quick.lua"] = [[ami.on("Hangup", function(ev) end)]] }, { limits = { turn_rules = 0.01, deadline = 1 } })
    local records = support.logged(function()
      t:event "Hangup"
      t:event "Hangup"
      t:advance()
    end)
    assert.equal("slow", support.record(records, "^the rules have used up their share of a turn").rule)
  end)
end)
