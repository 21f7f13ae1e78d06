local support = require "tests.spec.rules.support"

describe("listening", function()
  after_each(support.cleanup)

  it("calls a listener with the event and its server", function()
    local t = support.run [[ami.on("Newchannel", function(ev, server) note(ev.Channel, server.name, server == ami.server "pbx1") end)]]
    assert.is_true(t:event("Newchannel", { Channel = "SIP/1-1" }))
    assert.same({ "SIP/1-1 pbx1 true" }, t:said())
  end)

  it("says whether some rule heard an event", function()
    local t = support.run [[ami.on("Newchannel", { where = { Channel = "a" } }, function() end)]]
    assert.is_true(t:event("Newchannel", { Channel = "a" }))
    assert.is_false(t:event("Newchannel", { Channel = "b" }))
    assert.is_false(t:event("Hangup"))
  end)

  it("hears names without regard to case", function()
    local t = support.run [[ami.on("newCHANNEL", function(ev) note(ev.Event) end)]]
    t:event "Newchannel"
    t:event "NEWCHANNEL"
    assert.same({ "Newchannel", "NEWCHANNEL" }, t:said())
  end)

  it("hears a list of names, each event once", function()
    local t = support.run [[ami.on({ "Hangup", "Newchannel", "hangup" }, function(ev) note(ev.Event) end)]]
    for _, name in ipairs { "Newchannel", "Hangup", "Newstate" } do t:event(name) end
    assert.same({ "Newchannel", "Hangup" }, t:said())
  end)

  it("hears every AMI event as *, once even when it names it too", function()
    local t = support.run [[ami.on({ "*", "Hangup" }, function(ev) note(ev.Event) end)]]
    for _, name in ipairs { "Newchannel", "Hangup", "NobodyKnows" } do t:event(name) end
    assert.same({ "Newchannel", "Hangup", "NobodyKnows" }, t:said())
  end)

  it("hears names that were heard before as * from the next event on, until it is cancelled", function()
    local t = support.run [[
      local all
      ami.on("Hangup", function(ev)
        note "named"
        if ev.Do == "listen" then all = ami.on("*", function() note "all" end) elseif ev.Do == "cancel" then all:cancel() end
      end)]]
    for _, what in ipairs { "nothing", "listen", "nothing", "cancel", "nothing" } do t:event("Hangup", { Do = what }) end
    assert.same("named named named all named named", table.concat(t:said(), " "))
  end)

  it("calls once what was made with once", function()
    local t = support.run [[ami.once("Hangup", function(ev) note(ev.Cause) end)]]
    t:event("Hangup", { Cause = 16 })
    t:event("Hangup", { Cause = 17 })
    assert.same({ "16" }, t:said())
    assert.equal(0, t:rule().listeners)
  end)

  it("once waits for an event that its filter lets through", function()
    local t = support.run [[ami.once("Hangup", { where = { Cause = 17 } }, function(ev) note(ev.Cause) end)]]
    for _, cause in ipairs { 16, 17, 17 } do t:event("Hangup", { Cause = cause }) end
    assert.same({ "17" }, t:said())
  end)

  it("ends with cancel, also from inside, and cancelling again is nothing", function()
    local t = support.run [[
      local l
      l = ami.on("Hangup", function(ev) note(ev.Cause) if ev.Cause == "2" then l:cancel() l:cancel() end end)]]
    for cause = 1, 3 do t:event("Hangup", { Cause = cause }) end
    assert.same({ "1", "2" }, t:said())
    assert.equal(0, t:rule().listeners)
  end)

  it("goes on when its handle is not kept", function()
    local t = support.run [[
      ami.on("Hangup", function() note "heard" end)
      ami.on("Newstate", function() local t = {} for i = 1, 5000 do t[i % 10] = { i } end end)]]
    for _ = 1, 20 do
      t:event "Newstate"
      t:turn()
    end
    t:event "Hangup"
    assert.same({ "heard" }, t:said())
  end)

  it("a call that has begun goes on after cancel", function()
    local t = support.run [[
      local l
      l = ami.on("Hangup", function() timer.sleep(1) note "done" end)
      ami.on("Newstate", function() l:cancel() end)]]
    t:event "Hangup"
    t:event "Newstate"
    t:event "Hangup"
    t:advance(2)
    assert.same({ "done" }, t:said())
  end)

  it("a listener that another one cancels during the same event is not called any more", function()
    local t = support.run [[
      local second
      ami.on("Hangup", function() note "first" second:cancel() end)
      second = ami.on("Hangup", function() note "second" end)]]
    t:event "Hangup"
    assert.same({ "first" }, t:said())
  end)

  it("a listener made during an event does not hear that event", function()
    local t = support.run [[
      ami.on("Hangup", function() note "outer" ami.once("Hangup", function() note "inner" end) end)]]
    t:event "Hangup"
    assert.same({ "outer" }, t:said())
    t:event "Hangup"
    assert.same({ "outer", "inner" }, t:said())
  end)

  it("calls higher priorities first, equal ones in the order they were made, named ones and * alike", function()
    local t = support.run {
      ["a.lua"] = [[
        ami.on("Hangup", function() note "a" end)
        ami.on("*", { priority = 5 }, function() note "a*5" end)
        ami.on("Hangup", { priority = -1 }, function() note "a-1" end)]],
      ["b.lua"] = [[
        ami.on("Hangup", { priority = 10 }, function() note "b10" end)
        ami.on("*", function() note "b*" end)
        ami.on("Hangup", function() note "b" end)]],
    }
    t:event "Hangup"
    assert.same({ "b10", "a*5", "a", "b*", "b", "a-1" }, t:said())
  end)

  it("leaves nothing behind, called once or cancelled, thousands of times", function()
    local t = support.run([[
      local n = 0
      local function again() n = n + 1 ami.once("Hangup", function() again() end) ami.on("Newstate", function() return n end):cancel() end
      again()
      ami.on("Newexten", function() note(n) end)]], { limits = { rule_memory = 6e5 } })
    for i = 1, 20000 do
      t:event "Hangup"
      if i % 50 == 0 then t:turn() end
    end
    t:event "Newexten"
    assert.same({ "20001" }, t:said())
    assert.equal(2, t:rule().listeners)
    assert.equal(0, t:rule().refused)
  end)

  it("names a listener in the log by its label, or by place and event", function()
    local t = support.run [[ami.on("Hangup", { label = "the end" }, function() error "x" end)
      ami.on("Hangup", function() error "y" end)]]
    local records = support.logged(function() t:event "Hangup" end)
    assert.equal("the end", support.record(records, ":1: x$").listener)
    assert.matches("rule.lua:2: Hangup$", support.record(records, ":2: y$").listener)
  end)

  describe("filters", function()
    local function heard(filter, events)
      local t = support.run(("ami.on('Hangup', %s, function(ev, server) note(ev.N) end)"):format(filter), { servers = { "pbx1", "pbx2", "lab" } })
      for i, event in ipairs(events) do
        local server = event.server
        event.server, event.N = nil, i
        t:event("Hangup", event, { server = server or "pbx1" })
      end
      return table.concat(t:said(), " ")
    end

    it("by a header's value, exactly", function()
      assert.equal("1", heard("{ where = { Queue = 'sales' } }", { { Queue = "sales" }, { Queue = "Sales" }, { Queue = "sales2" }, {} }))
    end)

    it("by header names without regard to case", function()
      assert.equal("1", heard("{ where = { qUEUE = 'sales' } }", { { Queue = "sales" }, { Queue = "x" } }))
    end)

    it("by an integer", function()
      assert.equal("2", heard("{ where = { Cause = 17 } }", { { Cause = "16" }, { Cause = "17" }, { Cause = "017" } }))
    end)

    it("by an empty value, which is not an absent one", function()
      assert.equal("1", heard("{ where = { Queue = '' } }", { { Queue = "" }, {}, { Queue = "x" } }))
    end)

    it("by a list of values of every form", function()
      assert.equal("1 2 3 5", heard("{ where = { Channel = { 'a', 7, ami.prefix 'SIP/', ami.glob '*;1' } } }",
        { { Channel = "a" }, { Channel = "7" }, { Channel = "SIP/" }, { Channel = "sip/x" }, { Channel = "Local/1@x;1" }, { Channel = "Local/1@x;2" } }))
    end)

    it("by a glob of a whole value, where * may be nothing and ? is one byte", function()
      assert.equal("1 2", heard("{ where = { Channel = ami.glob 'P?SIP/*-1' } }",
        { { Channel = "PJSIP/-1" }, { Channel = "PJSIP/alice-x-1" }, { Channel = "PSIP/a-1" }, { Channel = "PJSIP/a-12" } }))
    end)

    it("by several headers, which must all hold", function()
      assert.equal("1", heard("{ where = { Queue = 'a', Cause = 16 } }", { { Queue = "a", Cause = 16 }, { Queue = "a", Cause = 17 }, { Cause = 16 } }))
    end)

    it("by alternatives, of which one must hold", function()
      assert.equal("1 3", heard("{ where = { { Queue = 'a', Cause = 16 }, { Queue = 'b' } } }",
        { { Queue = "a", Cause = 16 }, { Queue = "a", Cause = 17 }, { Queue = "b", Cause = 17 } }))
    end)

    it("on the first value of a header that repeats", function()
      assert.equal("1", heard("{ where = { V = 'a' } }", { { V = { "a", "b" } }, { V = { "b", "a" } } }))
    end)

    it("by server: a name, a list, a handle, a glob, a prefix", function()
      local events = function() return { { server = "pbx1" }, { server = "pbx2" }, { server = "lab" } } end
      assert.equal("2", heard("{ server = 'pbx2' }", events()))
      assert.equal("1 3", heard("{ server = { 'lab', 'pbx1' } }", events()))
      assert.equal("3", heard("{ server = ami.server 'lab' }", events()))
      assert.equal("1 2", heard("{ server = ami.glob 'pbx*' }", events()))
      assert.equal("1 2", heard("{ server = ami.prefix 'pb' }", events()))
      assert.equal("2 3", heard("{ server = { ami.server 'lab', ami.glob '*2' } }", events()))
    end)
  end)

  describe("refuses", function()
    local function fault(text)
      return support.faults(text)
    end

    it("names that are none", function()
      assert.matches("rule.lua:1: .*name", fault [[ami.on(7, function() end)]])
      assert.matches("name", fault [[ami.on({}, function() end)]])
      assert.matches("name", fault [[ami.on("", function() end)]])
      assert.matches("string", fault [[ami.on({ "a", false }, function() end)]])
    end)

    it("a listener without a function", function()
      assert.matches("function expected", fault [[ami.on("Hangup")]])
      assert.matches("function expected", fault [[ami.on("Hangup", {})]])
    end)

    it("a filter behind the function, which would be ignored", function()
      assert.matches("before the function", fault [[ami.on("Hangup", function() end, { server = "pbx1" })]])
    end)

    it("filters with unknown keys or values that cannot be tested", function()
      assert.matches("unknown key 'were'", fault [[ami.on("Hangup", { were = {} }, function() end)]])
      assert.matches("where.Queue", fault [[ami.on("Hangup", { where = { Queue = function() end } }, function() end)]])
      assert.matches("where.Queue", fault [[ami.on("Hangup", { where = { Queue = {} } }, function() end)]])
      assert.matches("where", fault [[ami.on("Hangup", { where = {} }, function() end)]])
      assert.matches("where", fault [[ami.on("Hangup", { where = { { Queue = "a" }, Cause = 1 } }, function() end)]])
      assert.matches("priority", fault [[ami.on("Hangup", { priority = "high" }, function() end)]])
      assert.matches("label", fault [[ami.on("Hangup", { label = 1 }, function() end)]])
    end)

    it("more listeners than the limit", function()
      assert.matches("limits.listeners", support.faults([[for i = 1, 4 do ami.on("Hangup", function() end) end]], { limits = { listeners = 3 } }))
    end)
  end)

  it("warns of events and servers that nothing knows", function()
    local _, warnings = support.load [[
      ami.on("Newchanel", function() end)
      ami.on("server.redy", function() end)
      ami.on("Hangup", { server = "pbx9" }, function() end)
      ami.on({ "crm.anything", "Hangup", "server.lost" }, { server = "pbx1" }, function() end)]]
    local text = table.concat(warnings, "\n")
    assert.equal(3, #warnings)
    assert.matches("warning: scripts/rule.lua.*Newchanel.*did you mean Newchannel", text)
    assert.matches("server.redy", text)
    assert.matches("no server 'pbx9'", text)
  end)

  it("starts a new call for each event, also while earlier ones wait", function()
    local t = support.run [[ami.on("Hangup", function(ev) note("begin", ev.N) timer.sleep(1) note("end", ev.N) end)]]
    for n = 1, 3 do t:event("Hangup", { N = n }) end
    t:advance(1)
    assert.same({ "begin 1", "begin 2", "begin 3", "end 1", "end 2", "end 3" }, t:said())
  end)

  it("at limits.waiting the next call is not started, which is counted, logged and reported to the rule", function()
    local t = support.run([[
      ami.on("Hangup", function(ev) note("begin", ev.N) timer.sleep(1) end)
      ami.on("server.gap", function(ev) note("gap", ev.count, ev.reason) end)]], { limits = { waiting = 2 } })
    local records = support.logged(function()
      for n = 1, 5 do t:event("Hangup", { N = n }) end
    end)
    assert.same({ "begin 1", "begin 2" }, t:said())
    assert.equal("waiting", support.record(records, "event not given").reason)
    assert.equal(3, t:metric 'hookswitch_rules_events_skipped_total{rule="rule"}')
    t:advance(2)
    assert.same({ "gap 3 not started" }, t:said())
  end)
end)
