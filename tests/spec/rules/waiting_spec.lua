local support = require "tests.spec.rules.support"

describe("waiting", function()
  after_each(support.cleanup)

  describe("ami.wait", function()
    it("gives the next event that matches, and its server", function()
      local t = support.run [[ami.on("Hangup", function(ev)
        local got, server = ami.wait("Newstate", { where = { Uniqueid = ev.Uniqueid } })
        note(got.Event, got.Uniqueid, server.name)
      end)]]
      t:event("Hangup", { Uniqueid = "1" })
      t:event("Newstate", { Uniqueid = "2" })
      t:event("Newstate", { Uniqueid = "1" })
      t:advance()
      assert.same({ "Newstate 1 pbx1" }, t:said())
      assert.equal(0, t:rule().subscriptions)
      assert.equal(0, t:rule().waiting)
    end)

    it("ends as timeout after 60 seconds, or after those that were asked for", function()
      local t = support.run [[
        ami.on("Hangup", function() local ev, err = ami.wait "Newstate" note("default", ev, err.code, timer.now()) end)
        ami.on("Hangup", function() local ev, err = ami.wait("Newstate", nil, 2.5) note("own", ev, err.code, timer.now()) end)]]
      local start = t:now()
      t:event "Hangup"
      t:advance(59.9)
      assert.same({ ("own nil timeout %s"):format(start + 2.5) }, t:said())
      t:advance(0.2)
      assert.same({ ("default nil timeout %s"):format(start + 60) }, t:said())
    end)

    it("takes at least one turn, also with a timeout of 0", function()
      local t = support.run [[ami.on("Hangup", function() note "before" note(select(2, ami.wait("Newstate", nil, 0)).code) end)]]
      t:event "Hangup"
      assert.same({ "before" }, t:said())
      t:turn()
      assert.same({ "timeout" }, t:said())
    end)

    it("does not end when the timeout is for ever", function()
      local t = support.run [[ami.on("Hangup", function() note(ami.wait("Newstate", nil, math.huge)) end)]]
      t:event "Hangup"
      t:advance(1e6)
      assert.same({}, t:said())
      t:event("Newstate", { { "A", 1 } })
      t:advance()
      assert.same({ "Newstate A=1 pbx1" }, t:said())
    end)

    it("waits for own events too", function()
      local t = support.run [[ami.on("Hangup", function() local ev, server = ami.wait "crm.done" note(ev.id, server) end)]]
      t:event "Hangup"
      t:emit("crm.done", { id = 7 })
      t:advance()
      assert.same({ "7 nil" }, t:said())
    end)

    it("refuses wrong arguments", function()
      local t = support.run [[ami.on("Hangup", function()
        note((pcall(ami.wait)), (pcall(ami.wait, "X", 5)), (pcall(ami.wait, "X", nil, -1)), (pcall(ami.wait, "X", nil, 0/0)))
      end)]]
      t:event "Hangup"
      assert.same({ "false false false false" }, t:said())
      assert.equal(0, t:rule().subscriptions)
    end)

    it("many names and years of waiting leave nothing behind", function()
      local t = support.run [[
        local function loop() for n = 1, 2000 do ami.wait("crm.done." .. n, nil, 1) end note "end" end
        timer.after(0, loop)]]
      t:advance(2000)
      assert.same({ "end" }, t:said())
      assert.equal(0, t:rule().subscriptions)
      assert.is_true(t:rule().memory < 2e6)
    end)
  end)

  describe("a subscription", function()
    it("buffers from its creation on, in order", function()
      local t = support.run [[ami.on("Hangup", function()
        local sub = ami.subscribe { "Newstate", "Newexten" }
        timer.sleep(1)
        for _ = 1, 3 do note(sub:next()) end
        note(sub:next(0)) sub:cancel()
      end)]]
      t:event "Hangup"
      t:event("Newstate", { N = 1 })
      t:event("Newexten", { N = 2 })
      t:event("Newstate", { N = 3 })
      t:advance(1)
      assert.same({ "Newstate N=1 pbx1", "Newexten N=2 pbx1", "Newstate N=3 pbx1", "nil timeout: no such event came in time" }, t:said())
    end)

    it("gives what it has without waiting, and waits else", function()
      local t = support.run [[ami.on("Hangup", function()
        local sub <close> = ami.subscribe "Newstate"
        while true do note(sub:next().N) end
      end)]]
      t:event "Hangup"
      for n = 1, 3 do
        t:event("Newstate", { N = n })
        t:advance()
        assert.same({ tostring(n) }, t:said())
      end
    end)

    it("keeps when its events arrived", function()
      local t = support.run [[ami.on("Hangup", function()
        local sub = ami.subscribe "Newstate"
        timer.sleep(100)
        note(ami.time(sub:next()))
      end)]]
      t:event "Hangup"
      t:advance(10)
      local _, wall = t:now()
      t:event "Newstate"
      t:advance(90)
      assert.equal(wall, tonumber(t:said()[1]))
    end)

    it("wakes in the turn after the event, not within its dispatch", function()
      local t = support.run [[
        ami.on("Hangup", function() note("got", ami.wait("Newstate").N) end)
        ami.on("Newstate", { priority = -1 }, function(ev) note("heard", ev.N) end)]]
      t:event "Hangup"
      t:event("Newstate", { N = 1 })
      assert.same({ "heard 1" }, t:said())
      t:turn()
      assert.same({ "got 1" }, t:said())
    end)

    it("ends as overflow beyond its bound, after what it kept", function()
      local t = support.run([[ami.on("Hangup", function()
        local sub = ami.subscribe "Newstate"
        timer.sleep(1)
        repeat local ev, err = sub:next(0) note(ev and ev.N or err.code) until not ev
        note(select(2, sub:next()).code)
      end)]], { limits = { subscription_events = 3 } })
      t:event "Hangup"
      for n = 1, 5 do t:event("Newstate", { N = n }) end
      t:advance(2)
      assert.same({ "1", "2", "3", "overflow", "overflow" }, t:said())
      assert.equal(0, t:rule().subscriptions)
    end)

    it("ends as lost when its only server's link falls", function()
      local t = support.run([[
        ami.on("Hangup", function() note("one", select(2, ami.wait("Newstate", { server = "pbx1" })).code) end)
        ami.on("Hangup", function() note("handle", select(2, ami.wait("Newstate", { server = ami.server "pbx1" })).code) end)
        ami.on("Hangup", function() note("list", select(2, ami.wait("Newstate", { server = { "pbx1", "pbx2" } }, 5)).code) end)
        ami.on("Hangup", function() note("other", select(2, ami.wait("Newstate", { server = "pbx2" }, 5)).code) end)
        ami.on("Hangup", function() note("all", select(2, ami.wait("Newstate", nil, 5)).code) end)]], { servers = { "pbx1", "pbx2" } })
      t:event "Hangup"
      t:lost("pbx1", "reset")
      t:advance()
      assert.same({ "one lost", "handle lost" }, t:said())
      t:advance(5)
      assert.same({ "list timeout", "other timeout", "all timeout" }, t:said())
    end)

    it("gives what it kept before it says lost", function()
      local t = support.run [[ami.on("Hangup", function()
        local sub = ami.subscribe("Newstate", { server = "pbx1" })
        timer.sleep(1)
        note(sub:next().N)
        note(select(2, sub:next()).code)
      end)]]
      t:event "Hangup"
      t:event("Newstate", { N = 1 })
      t:lost "pbx1"
      t:advance(1)
      assert.same({ "1", "lost" }, t:said())
    end)

    it("ends as cancelled, also for the one that waits", function()
      local t = support.run [[
        local sub
        ami.on("Hangup", function() sub = ami.subscribe "Newstate" note(select(2, sub:next()).code) end)
        ami.on("Newexten", function() sub:cancel() note(select(2, sub:next()).code) end)]]
      t:event "Hangup"
      t:event "Newexten"
      assert.same({ "cancelled" }, t:said())
      t:advance()
      assert.same({ "cancelled" }, t:said())
      t:event "Newstate"
      assert.equal(0, t:rule().subscriptions)
    end)

    it("ends with its block when it is a <close> variable, also by an error", function()
      local t = support.run [[ami.on("Hangup", function(ev)
        local sub <close> = ami.subscribe "Newstate"
        if ev.Cause == "1" then error "x" end
        if ev.Cause == "2" then sub:next(1) end
      end)]]
      for cause = 0, 2 do t:event("Hangup", { Cause = cause }) end
      assert.equal(1, t:rule().subscriptions)
      t:advance(1)
      assert.equal(0, t:rule().subscriptions)
    end)

    it("that nobody holds any more ends with the next collection", function()
      local t = support.run [[
        ami.on("Hangup", function() ami.subscribe "Newstate" end)
        timer.every(0.1, function() local t = {} for i = 1, 3000 do t[i] = { i } end end)]]
      for _ = 1, 50 do t:event "Hangup" end
      t:advance(60)
      assert.is_true(t:rule().subscriptions < 50)
    end)

    it("is waited for by one at a time", function()
      local t = support.run [[
        local sub
        ami.on("Hangup", function() sub = ami.subscribe "Newstate" sub:next() end)
        ami.on("Newexten", function() sub:next() end)]]
      t:event "Hangup"
      t:event "Newexten"
      assert.matches("waits for this subscription already", t:rule().last_error)
    end)

    it("may be made while loading, and hears from the moment the rules are live", function()
      local t = support.run [[
        local sub = ami.subscribe { "Newstate", "script.loaded" }
        timer.after(1, function() for _ = 1, 2 do note(sub:next().Event) end end)]]
      t:event "Newstate"
      t:advance(1)
      assert.same({ "script.loaded", "Newstate" }, t:said())
    end)

    it("is bounded in number", function()
      local t = support.run([[ami.on("Hangup", function() local t = {} for i = 1, 3 do t[i] = ami.subscribe "Newstate" end end)]],
        { limits = { subscriptions = 2 } })
      t:event "Hangup"
      assert.matches("limits.subscriptions", t:rule().last_error)
    end)

    it("can be described", function()
      local t = support.run [[
        local sub
        ami.on("Hangup", function() sub = ami.subscribe "Newstate" end)
        ami.on("Newexten", function() note(sub) end)]]
      t:event "Hangup"
      t:event "Newstate"
      t:event "Newexten"
      assert.same({ "subscription (1 events wait)" }, t:said())
    end)
  end)

  it("is not possible while loading", function()
    assert.matches("rule.lua:1:.*loading", support.faults "timer.sleep(1)")
    assert.matches("loading", support.faults "ami.wait('Hangup')")
    assert.matches("loading", support.faults "ami.server('pbx1'):call { Action = 'Ping' }")
  end)

  it("is refused inside what C calls, and the rule can go on", function()
    local t = support.run [[ami.on("Hangup", function()
      note((select(2, pcall(table.sort, { 2, 1 }, function(a, b) timer.sleep(1) return a < b end)):gsub("^.-: ", "")))
      local ok = pcall(string.gsub, "a", "a", function() ami.wait "X" end)
      local odd = setmetatable({}, { __index = function() timer.sleep(1) return "waited" end })
      note(ok, odd.x)
    end)]]
    t:event "Hangup"
    t:advance(2)
    assert.matches("cannot wait here", t:said()[1])
  end)

  it("is refused in a coroutine that runs inside what C calls, and nothing is left waiting", function()
    local t = support.run [[ami.on("Hangup", function()
      local outer = coroutine.wrap(function()
        table.sort({ 2, 1 }, function(a, b)
          note((coroutine.wrap(function() return select(2, pcall(timer.sleep, 1)) end)()))
          return a < b
        end)
        return "sorted"
      end)
      note(outer())
    end)]]
    t:event "Hangup"
    local said = t:said()
    assert.matches("cannot wait here", said[1])
    assert.equal("sorted", said[#said])
    assert.equal(0, t:rule().waiting)
    t:advance(10)
    assert.equal(0, t:rule().errors)
  end)

  it("says what it waits for, until it goes on", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server) server:call { Action = "Ping" } end)
      ami.on("Hangup", { label = "parking" }, function() ami.wait({ "ParkedCall", "UnParkedCall" }, nil, 5) end)
      ami.on("Newstate", function() timer.sleep(2.5) end)
      timer.after(0.1, function() ami.subscribe("Bye"):next() end)]]
    t:event "Hangup"
    t:event "Newstate"
    t:advance(0.1)
    local waits = t:rule().waits
    table.sort(waits)
    assert.same({
      "an event for the subscription scripts/rule.lua:2: ParkedCall (listener parking)",
      "an event for the subscription scripts/rule.lua:4: Bye (timer)",
      "the answer to Ping from pbx1 (listener scripts/rule.lua:1: Hangup)",
      "timer.sleep, for another 2.4 s (listener scripts/rule.lua:3: Newstate)",
    }, waits)
    t:advance(5)
    waits = t:rule().waits
    table.sort(waits)
    assert.same({
      "an event for the subscription scripts/rule.lua:4: Bye (timer)",
      "the answer to Ping from pbx1 (listener scripts/rule.lua:1: Hangup)",
    }, waits)
  end)

  it("passes outward from a rule's own coroutine", function()
    local t = support.run [[ami.on("Hangup", function()
      local co = coroutine.wrap(function(a)
        local ev = ami.wait "Newstate"
        local b = coroutine.yield(ev.N .. a)
        timer.sleep(1)
        return "end" .. b
      end)
      note(co "x")
      note(co "y")
    end)]]
    t:event "Hangup"
    t:event("Newstate", { N = 1 })
    t:advance()
    assert.same({ "1x" }, t:said())
    t:advance(1)
    assert.same({ "endy" }, t:said())
  end)

  it("works through pcall, a metamethod in Lua, an iterator and a <close> variable", function()
    local t = support.run [[ami.on("Hangup", function()
      note(pcall(function() timer.sleep(1) return "a" end))
      note(setmetatable({}, { __add = function() timer.sleep(1) return "b" end }) + 1)
      for x in function(_, last) if not last then timer.sleep(1) return "c" end end do note(x) end
      do local _ <close> = setmetatable({}, { __close = function() timer.sleep(1) note "d" end }) end
      note "e"
    end)]]
    t:event "Hangup"
    t:advance(10)
    assert.same({ "true a", "b", "c", "d", "e" }, t:said())
  end)
end)
