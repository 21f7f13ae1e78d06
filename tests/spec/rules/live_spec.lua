-- The live picture for rules: iterators, objects, look-ups, counts, and its changes as events.
local support = require "tests.spec.rules.support"

local channel = dofile("tests/spec/live/support.lua").channels "100."

local function begin(t, n, more, options) t:event("Newchannel", channel(n, more), options) end

local function finish(t, n, more, options)
  more = more or {}
  more.Cause = more.Cause or 16
  t:event("Hangup", channel(n, more), options)
end

-- Runs a text in a listener of "Probe" and gives what it noted.
local function probing(text, options)
  local t = support.run("local kept, other = {}, nil ami.on('Probe', function(ev, server) " .. text .. " end)", options)
  function t.probe(n)
    t:event("Probe", { N = n or 1 })
    t:advance()
    return t:said()
  end
  return t
end

describe("live", function()
  after_each(support.cleanup)

  it("walks calls and channels in the order in which they came, with filters on any field", function()
    local t = probing [[
      local all = {}
      for call in live.calls() do all[#all + 1] = call.from end
      note(table.concat(all, " "))
      for call in live.calls { from = 1002, state = "new", server = server } do note(call.id, call.state, #call.channels, call.channels[1]) end
      for ch in live.channels { held = false, number = "1003" } do note(ch.name, ch.interface, ch.call) end
      for call in live.calls { server = "nowhere" } do note "never" end
      note(live.count "calls", live.count("calls", { state = "new" }), live.count("calls", { from = "1001", server = "pbx1" }), live.count "bridges")]]
    for n = 1, 3 do begin(t, n) end
    assert.same({ "1001 1002 1003", "100.2 new 1 PJSIP/1002-00000002", "PJSIP/1003-00000003 PJSIP/1003 100.3", "3 3 1 0" }, t.probe())
    finish(t, 2)
    assert.same({ "1001 1003", "PJSIP/1003-00000003 PJSIP/1003 100.3", "2 2 1 0" }, t.probe())
  end)

  it("finds by id, channel, uniqueid and name; what is not there is nil", function()
    local t = probing [[
      local a, b, c = live.call(server, "100.1"), live.call("pbx1", "PJSIP/1001-00000001"), live.channel(server, "100.1")
      note(a == b, a ~= nil, tostring(a), tostring(c), c.uniqueid, live.call(server, "no") == nil, live.call("no", "100.1") == nil)
      note(live.queue(server, "support").count, live.agent(server, "PJSIP/1001").state, live.agent(server, "Ann") == live.agent(server, "PJSIP/1001"),
        live.endpoint(server, "PJSIP/1001") ~= nil, live.bridge(server, "x") == nil, live.conference(server, "x") == nil)
      for queue in live.queues() do
        for _, member in ipairs(queue.members) do note(queue.name, member.name, member.interface, member.paused, math.type(member.penalty)) end
      end]]
    begin(t, 1)
    t:event("QueueMemberAdded", { Queue = "support", MemberName = "Ann", Interface = "PJSIP/1001", StateInterface = "PJSIP/1001",
      Membership = "dynamic", Penalty = 3, CallsTaken = 0, LastCall = 0, Status = 1, Paused = 0 })
    assert.same({ "true true call 100.1 channel PJSIP/1001-00000001 100.1 true true", "0 free true true true true",
      "support Ann PJSIP/1001 false integer" }, t.probe())
  end)

  it("shows the present, and after its end what was last", function()
    local t = probing [[
      if ev.N == "1" then kept = live.call(server, "100.1") note(kept.state, kept.cause)
      else note(kept.state, kept.cause, math.type(kept.ended), ami.table(kept).state, tostring(kept)) end]]
    begin(t, 1)
    assert.same({ "new nil" }, t.probe(1))
    finish(t, 1)
    assert.same({ "ended 16 float ended call 100.1" }, t.probe(2))
  end)

  it("gives read-only objects that ami.table copies and pairs walks", function()
    local t = probing [[
      local call = live.call(server, "100.1")
      note(pcall(function() call.from = 1 end))
      note(pcall(function() return call.quee end))
      local copy, n = ami.table(call), 0
      copy.from = "mine"
      for name, value in pairs(call) do n = n + 1 assert(name == "from" or type(value) == "table" or copy[name] == value) end
      note(copy.from, call.from, copy.server, type(copy.waits), n > 10, type(copy.channels), getmetatable(call))]]
    begin(t, 1)
    local said = t.probe()
    assert.matches("^false .*read%-only: use ami.table", said[1])
    assert.matches("^false .*a call has no field 'quee'; it has server, id, from, ", said[2])
    assert.equal("mine 1001 pbx1 table true table false", said[3])
  end)

  it("names what is right when a kind, a field or a filter is mistyped", function()
    local t = probing [[
      note(pcall(live.calls, { quee = "x" }))
      note(pcall(live.count, "call"))
      note(pcall(live.calls, { state = {} }))
      note(pcall(live.calls, { "x" }))
      note(pcall(live.call, nil, "x"))
      note(pcall(live.calls, 7))
      note(pcall(ami.on, { "call.ended", "queue.left" }, { where = { quee = "x" } }, print))
      note((pcall(ami.on, { "call.ended", "queue.left" }, { where = { position = 1, Queue = "x", resync = true } }, print)))
      note((pcall(ami.on, { "call.ended", "Hangup" }, { where = { Whatever = "x" } }, print)))]]
    local said = t.probe()
    assert.matches("a call has no field 'quee'; it has server, id, from, .*, queue, ", said[1])
    assert.matches("the live picture has no 'call'; it has calls, channels, queues, agents, endpoints, bridges, conferences and lots", said[2])
    assert.matches("state: a filter's value is a string, a number or a boolean, not a table", said[3])
    assert.matches("a filter is a table { field = value }", said[4])
    assert.matches("a server, or its name, is expected", said[5])
    assert.matches("table expected, got number", said[6])
    assert.matches("where: call.ended has no field 'quee'; it has server, id, from, ", said[7])
    assert.same({ "true", "true" }, { said[8], said[9] })
  end)

  it("refuses a filter's value that its field cannot have", function()
    local t = probing [[
      note(pcall(live.calls, { state = "talkng" }))
      note(pcall(live.count, "calls", { result = "anserd" }))
      note(pcall(live.calls, { incomplete = 1 }))
      note(pcall(live.calls, { channels = "PJSIP/1001" }))
      note((pcall(live.calls, { state = "up", queue = "suport", incomplete = false, direction = "in" })))
      local function on(names, where) return pcall(ami.on, names, { where = where }, print) end
      note(on("call.ended", { result = "busi" }))
      note(on("queue.left", { { reason = "answered" }, { Reason = { "timeout", "abandonned" } } }))
      note(on("queue.member", { change = "pause" }))
      note(on("queue.refused", { reason = "abandoned" }))
      note(on("call.started", { resync = false }))
      note(on("live.overflow", { kind = "channels" }))
      note(on({ "call.ended", "call.started" }, { state = ami.glob "rung*" }))
      note(select("#", on({ "queue.left", "queue.refused" }, { reason = { "full", "abandoned" } })))
      note(select("#", on({ "call.ended", "Hangup" }, { state = "Whatever" })))
      note(select("#", on("call.ended", { state = ami.prefix "end", result = ami.glob "*", queue = "any", resync = true })))
      note(select("#", on("endpoint.changed", { device = "ANY", reason = "device" })))]]
    local said = t.probe()
    for i, fault in ipairs {
      "state is never 'talkng'; it can be new, ringing, queued, up, held, parked, conference, ended",
      "result is never 'anserd' (did you mean answered?); it can be answered, busy, ", "incomplete is never '1'; it can be true, false",
      "channels is a list, and a filter compares single values", "true", "where: result is never 'busi' (did you mean busy?); it can be answered, ",
      "where: Reason is never 'abandonned' (did you mean abandoned?); it can be ",
      "where: change is never 'pause' (did you mean paused?); it can be added, removed, paused, unpaused, state",
      "where: reason is never 'abandoned'; it can be full, joinempty", "where: resync is never 'false'; it can be true",
      "where: kind is never 'channels' (did you mean channel?); it can be ", "where: state is never 'rung*'; it can be new, ", "2", "2", "2", "2",
    } do
      assert.truthy(said[i]:find(fault, 1, true), i .. ": " .. said[i])
    end
  end)

  it("tolerates changes while an iterator waits", function()
    local t = support.run [[
      ami.on("Probe", function()
        for call in live.calls() do note(call.from) timer.sleep(1) end
        note "done"
      end)]]
    for n = 1, 3 do begin(t, n) end
    t:event "Probe"
    finish(t, 1)
    finish(t, 2)
    begin(t, 4)
    t:advance(10)
    assert.same({ "1001", "1003", "1004", "done" }, t:said())
  end)

  it("goes on where it was when its server is removed, and ends", function()
    local t = support.run([[
      ami.on("Probe", function()
        for call in live.calls { server = "b" } do note(call.from) timer.sleep(1) end
        note(live.count("calls", { server = "b" }), (live.state "b"))
        for call in live.calls() do note(call.server, call.from) end
      end)]], { servers = { "a", "b" } })
    begin(t, 1, nil, { server = "a" })
    begin(t, 2, nil, { server = "b" })
    begin(t, 3, nil, { server = "b" })
    t:event("Probe", {}, { server = "a" })
    t:remove "b"
    t:advance(5)
    assert.same({ "1002", "0 none", "a 1001" }, t:said())
  end)

  it("takes no item of a list that somebody asked for as something that happens", function()
    local t = probing "note(live.count 'channels')"
    begin(t, 1, { ActionID = "somebody-1" })
    begin(t, 2)
    assert.same({ "1" }, t.probe())
  end)

  it("says of each server how much is known", function()
    local t = probing "local state, unknown = live.state(server) note(state, #unknown, (live.state 'nowhere'))"
    assert.same({ "full 0 none" }, t.probe())
    t:lost "pbx1"
    assert.same({ "none 0 none" }, t.probe())
    begin(t, 1) -- before the session: something is known when it begins
    t:ready "pbx1"
    assert.same({ "syncing 0 none" }, t.probe())
    t:snapshot {}
    assert.same({ "full 0 none" }, t.probe())
  end)

  it("begins the figures of today anew at midnight", function()
    local t = probing "local q = live.queue(server, 'support') note(q.offered_today, q.abandoned_today, q.offered)"
    begin(t, 1)
    t:event("QueueCallerJoin", channel(1, { Queue = "support", Position = 1, Count = 1 }))
    assert.same({ "1 0 1" }, t.probe())
    t:advance(24 * 3600)
    assert.same({ "0 0 0" }, t.probe())
  end)

  it("takes lists over as a snapshot brings them", function()
    local t = support.run [[
      ami.on({ "call.started", "queue.joined" }, function(ev) note(ev.Event, ev.resync, ev.position, ev.number) end)
      ami.on("live.synced", function(ev) note(ev.Event, ev.state, #ev.unknown, ev.count, ev.reason) end)]]
    t:said()
    t:snapshot {
      CoreShowChannels = { channel(1, { Event = "CoreShowChannel", ChannelState = 6, Application = "Queue", Duration = "00:00:10", BridgeId = "" }) },
      QueueStatus = {
        { Event = "QueueParams", Queue = "support", Strategy = "rrmemory", Max = 0 },
        { Event = "QueueEntry", Queue = "support", Position = 1, Channel = "PJSIP/1001-00000001", Uniqueid = "100.1", CallerIDNum = "1001", Wait = 8 },
      },
    }
    t:advance()
    assert.same({ "call.started true nil nil", "queue.joined true 1 1001", "live.synced full 0 3 asked" }, t:said())
  end)

  it("is the same while a rule loads", function()
    local t = support.run("ami.on('Hangup', function() end)")
    for n = 1, 3 do begin(t, n) end
    t:put("late.lua", [[
      local names = {}
      for call in live.calls { state = "new" } do names[#names + 1] = call.from .. ":" .. call.channels[1] end
      local call = live.call("pbx1", "100.2")
      local line = table.concat({ live.count "calls", names[3], call.from, ami.table(call).state, (live.state "pbx1") }, " ")
      ami.on("Probe", function() note(line, call.state) end)]])
    assert.is_true(t:reload())
    t:advance()
    finish(t, 2)
    t:event "Probe"
    assert.same({ "3 1003:PJSIP/1003-00000003 1002 new full ended" }, t:said())
  end)

  describe("holds of a rule", function()
    it("are bounded by limits.live_objects, and what is garbage does not count", function()
      local t = probing([[
        for i = 1, 100 do assert(live.call(server, "100.1")) end
        kept = {}
        note(pcall(function() for i = 1, 100 do kept[i] = live.call(server, "100.1") end end))
        note(#kept)
        kept = nil]], { limits = { live_objects = 20 } })
      begin(t, 1)
      for _ = 1, 2 do
        local said = t.probe()
        assert.matches("too many objects of the live picture are held %(20, limits.live_objects%)", said[1])
        assert.equal("20", said[2])
      end
    end)

    it("are charged to its memory until they are collected", function()
      local t = probing [[
        if ev.N == "1" then for i = 1, 1000 do kept[i] = live.call(server, "100.1") end
        else kept = nil for i = 1, 100000 do local garbage = {} end end]]
      begin(t, 1)
      local before = t:rule().memory
      t.probe(1)
      local peak = t:rule().memory - before
      assert.is_true(peak > 768000)
      t.probe(2)
      assert.is_true(t:rule().memory - before < peak / 2)
    end)

    it("are released when it is replaced, and when it did not load", function()
      local t = probing "kept[1] = live.call(server, '100.1')"
      begin(t, 1)
      t.probe()
      t:put("bad.lua", "kept = live.call('pbx1', '100.1') assert(kept) error 'no'")
      local good, faults = t:reload()
      assert.is_nil(good)
      assert.matches("bad.lua:1: no", table.concat(faults))
      t:remove_file "bad.lua"
      t:put("rule.lua", "ami.on('Probe', function(ev, server) note(live.call(server, '100.1').state) end)")
      assert.is_true(t:reload())
      t:advance(61)
      t:event "Probe"
      assert.same({ "new" }, t:said())
      finish(t, 1)
      t:advance(5)
    end)
  end)
end)

describe("changes of the live picture", function()
  after_each(support.cleanup)

  it("are heard before the event that caused them, with their values as numbers and tables", function()
    local t = support.run [[
      ami.on({ "Newchannel", "Newstate", "Hangup" }, function(ev) note(ev.Event) end)
      ami.on({ "call.started", "call.answered", "call.ended" }, function(call, server)
        note(call.Event, server.name, call.from, call.state, math.type(call.started), call.cause, type(call.channels), call.incomplete)
      end)]]
    begin(t, 1)
    t:event("Newstate", channel(1, { ChannelState = 6 }))
    finish(t, 1)
    t:advance(5)
    assert.same({
      "call.started pbx1 1001 new float nil table false", "Newchannel", "call.answered pbx1 1001 up float nil table false", "Newstate",
      "call.ended pbx1 1001 ended float 16 table false", "Hangup",
    }, t:said())
  end)

  it("pass filters on their fields, in C, and are waited for like any event", function()
    local t = support.run [[
      ami.on("call.ended", { where = { cause = 17, incomplete = false, from = { "1001", "1002" } } }, function(call) note("busy", call.from) end)
      ami.on("call.ended", { where = { from = ami.prefix "9" } }, function() note "never" end)
      ami.on("Probe", function(ev, server)
        local call, at = ami.wait("call.ended", { server = server, where = { id = "100.2" } }, 60)
        note("waited", call.result, at.name, math.type(call.talk))
      end)]]
    t:event "Probe"
    for n = 1, 3 do begin(t, n) end
    for n = 1, 3 do finish(t, n, { Cause = n == 1 and 16 or 17 }) end
    t:advance(5)
    assert.same({ "busy 1002", "waited busy pbx1 float" }, t:said())
  end)

  it("are heard from the moment on at which somebody listens, and no longer", function()
    local t = support.run [[
      local ended
      ami.on("call.started", function(call) note("started", call.from) end)
      ami.on("Probe", function(ev)
        if ended then ended:cancel() else ended = ami.on("call.ended", function(call) note("ended", call.from) end) end
      end)]]
    for n = 1, 3 do
      begin(t, n)
      finish(t, n)
      t:event "Probe"
      t:advance(5)
    end
    assert.same({ "started 1001", "started 1002", "ended 1002", "started 1003" }, t:said())
  end)

  it("are to a rule that lags what they were when they happened, in their place", function()
    local t = support.run([[
      ami.on("*", function(ev) note(ev.Event) end)
      ami.on({ "call.started", "call.answered", "call.ended" }, function(call) note(call.Event, call.state) end)]], { limits = { turn_events = 1 } })
    t:event "Probe"
    begin(t, 1)
    t:event("Newstate", channel(1, { ChannelState = 6 }))
    finish(t, 1)
    assert.same({ "Probe", "call.started new" }, t:said())
    t:advance(5)
    assert.same({ "Newchannel", "call.answered up", "Newstate", "call.ended ended", "Hangup" }, t:said())
  end)

  it("beyond limits.rule_events are not given to a rule that lags, which is counted and told to it", function()
    local t = support.run([[
      ami.on("Probe", function() end)
      ami.on("call.ended", function(call) note(call.from) end)
      ami.on("server.gap", function(ev, server) note("gap", ev.count, server) end)]], { limits = { turn_events = 1, rule_events = 3 } })
    for _ = 1, 2 do t:event "Probe" end
    for n = 1, 6 do begin(t, n) finish(t, n) end
    t:advance(5)
    local heard, gaps = {}, {}
    for _, line in ipairs(t:said()) do table.insert(line:find "^gap" and gaps or heard, line) end
    assert.same({ "1001", "1002", "1003" }, heard)
    assert.equal("gap 3 nil", gaps[#gaps])
    -- What was taken makes room again.
    for _ = 1, 2 do t:event "Probe" end
    for n = 11, 13 do begin(t, n) finish(t, n) end
    t:advance(5)
    heard = {}
    for _, line in ipairs(t:said()) do heard[#heard + 1] = line:match "^10%d%d$" end
    assert.same({ "1011", "1012", "1013" }, heard)
  end)

  it("beyond limits.rule_events at one instant are dropped, which is counted, logged and told to every rule", function()
    local t = support.run([[
      ami.on("call.ended", function(call) note(call.from, call.result) end)
      ami.on("server.gap", function(ev, server) note("gap", ev.count, ev.names, ev.reason, server.name) end)]], { limits = { rule_events = 3 } })
    for n = 1, 5 do begin(t, n) end
    local records = support.logged(function()
      t:lost "pbx1"
      t:advance(601) -- live.doubt: all of them end at once
    end)
    assert.same({ "1001 unseen", "1002 unseen", "1003 unseen", "gap 2 live live pbx1" }, t:said())
    assert.equal(2, t:metric "hookswitch_engine_events_dropped_total")
    assert.equal("call.ended", support.record(records, "^an engine event was dropped").event)
  end)

  it("cannot be forged by a rule", function()
    local t = support.run [[ami.on("Probe", function() note(ami.emit("call.ended", { a = 1 })) note(ami.emit("call.please", { a = 1 })) end)]]
    t:event "Probe"
    local said = t:said()
    assert.matches("^nil invalid: 'call.ended' cannot be emitted", said[1])
    assert.equal("true", said[2])
  end)
end)

describe("lib/README.md", function()
  after_each(support.cleanup)

  local file = assert(io.open "lib/README.md")
  local chapter = file:read("a"):match "\n## The live picture\n(.-)\n## Time\n"
  file:close()

  it("has examples of the live picture that run as they stand", function()
    local rules, n = {}, 0
    for block in chapter:gmatch "```lua\n(.-)\n```" do
      n = n + 1
      rules["raw:example" .. n .. ".lua"] = block
    end
    assert.equal(3, n)
    local t = support.run(rules)
    begin(t, 1)
    t:event("QueueCallerJoin", channel(1, { Queue = "support", Position = 1, Count = 1 }))
    t:emit "board.please"
    t:advance()
    t:event("QueueCallerAbandon", channel(1, { Queue = "support", Position = 1, OriginalPosition = 1, HoldTime = 5 }))
    t:event("HangupRequest", channel(1))
    t:event("QueueCallerLeave", channel(1, { Queue = "support", Position = 1, Count = 0 }))
    finish(t, 1)
    local member = { Queue = "support", MemberName = "Ann", Interface = "PJSIP/1001", StateInterface = "PJSIP/1001", Membership = "dynamic", Status = 1, Paused = 0 }
    t:event("QueueMemberAdded", member)
    member.Paused, member.PausedReason = 1, "lunch"
    t:event("QueueMemberPause", member)
    t:advance(901)
    for name, rule in pairs(t:rules()) do
      assert.equal("", rule.last_error, name)
      assert.is_true(rule.calls > 0, name)
    end
    local line = t:lines_of "journal" [1]
    assert.same({ "call.ended", "1001", "abandoned", "support" }, { line.Event, line.from, line.result, line.queue })
    assert.is_number(line.started)
  end)

  it("names every field of every object, and every event", function()
    for kind, plural in pairs { call = "calls", channel = "channels", queue = "queues", agent = "agents", endpoint = "endpoints", bridge = "bridges",
      conference = "conferences", lot = "lots" } do
      local t = support.run("ami.on('Probe', function() note(select(2, pcall(live." .. plural .. ", { zz = 1 }))) end)")
      t:event "Probe"
      local row = assert(chapter:match("\n| " .. kind .. " | ([^\n]*)"), kind)
      for field in t:said()[1]:match "it has (.*)":gmatch "[%w_]+" do
        assert.is_truthy(field == "server" or row:find("%f[%w_]" .. field .. "%f[^%w_]") or field:find "_today$", kind .. "." .. field)
      end
    end
    local hookswitch = require "hookswitch"
    for _, name in ipairs(hookswitch.live.changes()) do assert.is_truthy(chapter:find("`" .. name .. "`", 1, true), name) end
  end)
end)
