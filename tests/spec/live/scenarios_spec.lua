-- Calls that no capture has: their events stand in the order in which Asterisk's source sends them (src/README.md, Q101 and on).
local support = dofile "tests/spec/live/support.lua"

local channel = support.channels("5.", { Exten = "s" })

describe("the live picture of a call", function()
  local l, now
  before_each(function()
    l = support.new()
    l:session("pbx", "13.0.0", 1000)
    now = 1000
  end)
  after_each(function() l:close() end)

  -- An event about channels, by prefix ("" and "Dest" of a DialBegin), as headers() made them.
  local function event(name, channels, more)
    local fields = {}
    for prefix, headers in pairs(channels) do
      for key, value in pairs(headers) do fields[prefix .. key] = value end
    end
    for key, value in pairs(more or {}) do fields[key] = value end
    l:event("pbx", name, fields, now)
  end
  local function of(c, name, more) event(name, { [""] = c }, more) end

  local function new(n, exten, more)
    local c = channel(n, { Exten = exten })
    for key, value in pairs(more or {}) do c[key] = value end
    of(c, "Newchannel")
    return c
  end
  local function state(c, value)
    c.ChannelState = value
    of(c, "Newstate")
  end
  local function up(c) state(c, 6) end
  local function runs(c, application, exten, data) of(c, "Newexten", { Application = application, Extension = exten, AppData = data }) end
  local function sets(c, name, value) of(c, "VarSet", { Variable = name, Value = value }) end
  local function hangup(c, request)
    if request then of(c, "HangupRequest", { Cause = request }) end
    of(c, "Hangup", { Cause = 16 })
  end

  -- `caller` dials channel n, which rings for some seconds.
  local function rings(caller, n, seconds)
    local leg = new(n, "s", { Linkedid = caller.Linkedid, ChannelState = 0 })
    event("DialBegin", { [""] = caller, Dest = leg }, { DialString = tostring(1000 + n) })
    state(leg, 5)
    now = now + seconds
    return leg
  end
  local function dialled(caller, leg, status) event("DialEnd", { [""] = caller, Dest = leg }, { DialStatus = status }) end
  local function bridge(id, ...)
    l:event("pbx", "BridgeCreate", { BridgeUniqueid = id, BridgeType = "basic", BridgeTechnology = "simple_bridge" }, now)
    for _, c in ipairs { ... } do of(c, "BridgeEnter", { BridgeUniqueid = id, BridgeType = "basic" }) end
  end
  local function leaves(id, c) of(c, "BridgeLeave", { BridgeUniqueid = id, BridgeType = "basic" }) end

  -- 1001 and 1002 talk in bridge b1.
  local function talk()
    local a = new(1, "1002")
    local b = rings(a, 2, 2)
    up(b)
    dialled(a, b, "ANSWER")
    up(a)
    bridge("b1", b, a)
    return a, b
  end
  local function joins(c, queue) of(c, "QueueCallerJoin", { Queue = queue, Position = 1, Count = 1 }) end
  local function gives_up(c, queue)
    of(c, "QueueCallerAbandon", { Queue = queue, Position = 1 })
    of(c, "QueueCallerLeave", { Queue = queue, Position = 1 })
  end

  -- 1002 has called an application with another channel and sends the REFER with Replaces.
  local function transfer(a, b, second, app)
    event("AttendedTransfer", { OrigTransferer = b, SecondTransferer = second, Transferee = a }, { Result = "Success", DestType = "App", DestApp = app, OrigBridgeUniqueid = "b1" })
    leaves("b1", b)
    hangup(b)
    leaves("b1", a)
    l:event("pbx", "BridgeDestroy", { BridgeUniqueid = "b1" }, now)
    hangup(second)
  end

  local function changes(kind)
    local list = {}
    for _, change in ipairs(l:changes()) do
      if change.kind == kind then list[#list + 1] = change end
    end
    return list
  end
  -- The one call that ended and was not merged.
  local function ended()
    l:tick(now + 5)
    local found
    for _, change in ipairs(changes "call.ended") do
      if change.object.result ~= "merged" then
        assert.is_nil(found)
        found = change.object
      end
    end
    return found
  end

  -- 1002 picks up and is asked whether he takes the call.
  local function asks(status)
    local a = new(1, "1002")
    local b = rings(a, 2, 4)
    up(b)
    sets(a, "DIALSTATUS", "ANSWER")
    now = now + 3
    dialled(a, b, status)
    hangup(b)
    sets(a, "DIALSTATUS", "ANSWER")
    return a
  end

  it("that an attended transfer brings into a queue waits there on, as the party that it is now (Q101)", function()
    local a, b = talk()
    local second = new(3, "500", { Channel = "PJSIP/1002-00000003", CallerIDNum = "1002" })
    up(second)
    runs(second, "Queue", "500", "support")
    joins(second, "support")
    now = now + 3
    transfer(a, b, second, "Queue")
    local waiting = l:find("pbx", "queue", "support", now).waiting
    assert.same({ 1, "5.1", a.Channel, "1001", 3 }, { #waiting, waiting[1].uniqueid, waiting[1].channel, waiting[1].number, waiting[1].wait })
    assert.equal("queued", l:find("pbx", "call", "5.1").state)
    now = now + 4
    local agent = rings(a, 4, 2)
    up(agent)
    dialled(a, agent, "ANSWER")
    of(a, "QueueCallerLeave", { Queue = "support", Position = 1 })
    event("AgentConnect", { [""] = a, Dest = agent }, { Queue = "support", Interface = "PJSIP/1004", MemberName = "Anna" })
    bridge("b2", agent, a)
    now = now + 10
    hangup(a, 16)
    hangup(agent)
    local left = changes "queue.left"
    assert.same({ 1, "answered", "5.1" }, { #left, left[1].reason, left[1].object.uniqueid })
  end)

  it("that an attended transfer brings into a queue can be abandoned there (Q101)", function()
    local a, b = talk()
    local second = new(3, "500")
    up(second)
    joins(second, "support")
    transfer(a, b, second, "Queue")
    now = now + 4
    of(a, "HangupRequest", { Cause = 16 })
    gives_up(a, "support")
    hangup(a)
    local left = changes "queue.left"
    assert.same({ 1, "abandoned", 4 }, { #left, left[1].reason, left[1].object.wait })
  end)

  it("that an attended transfer brings into a conference is in it (Q101)", function()
    local room = { BridgeUniqueid = "c1", BridgeType = "base", BridgeTechnology = "softmix", BridgeCreator = "ConfBridge", Conference = "8600" }
    local a, b = talk()
    now = now + 5
    local second = new(3, "600")
    up(second)
    of(second, "BridgeEnter", room)
    of(second, "ConfbridgeJoin", room)
    now = now + 3
    transfer(a, b, second, "ConfBridge")
    local members = l:find("pbx", "conference", "8600").members
    assert.same({ 1, "5.1" }, { #members, members[1].uniqueid })
    assert.equal("c1", l:find("pbx", "channel", "5.1").bridge)
    now = now + 10
    of(a, "ConfbridgeLeave", room)
    of(a, "BridgeLeave", room)
    hangup(a, 16)
    local call = ended()
    assert.equal(10, call.conference_time)
    assert.equal(8, call.talk)
    assert.equal(0, #l:find("pbx", "conference", "8600").members)
  end)

  it("that an attended transfer parks is parked, which is no transfer (Q105)", function()
    local lot = { BridgeUniqueid = "p", BridgeType = "parking", BridgeTechnology = "holding_bridge" }
    local parked = { ParkerDialString = "PJSIP/1002", Parkinglot = "default", ParkingSpace = "701", ParkingTimeout = 45 }
    local a, b = talk()
    local second = new(3, "700")
    up(second)
    event("ParkedCall", { Parkee = second }, parked)
    of(second, "BridgeEnter", lot)
    now = now + 3
    leaves("b1", a)
    event("ParkedCallSwap", { Parkee = a }, parked)
    lot.SwapUniqueid = "5.3"
    of(a, "BridgeEnter", lot)
    lot.SwapUniqueid = nil
    of(second, "BridgeLeave", lot)
    event("AttendedTransfer", { OrigTransferer = b, SecondTransferer = second, Transferee = a }, { Result = "Success", DestType = "Bridge", DestBridgeUniqueid = "p" })
    leaves("b1", b)
    hangup(b)
    hangup(second)
    local call, spaces = l:find("pbx", "call", "5.1"), l:find("pbx", "lot", "default").parked
    assert.equal("parked", call.state)
    assert.is_nil(call.transferred_to)
    assert.same({ 1, "5.1", "701" }, { #spaces, spaces[1].uniqueid, spaces[1].space })
  end)

  it("whose caller transferred the callee into a queue, and hung up, can time out there", function()
    local a, b = talk()
    of(a, "HangupRequest", { Cause = 16 }) -- of a transfer by a feature code this is how it is completed
    event("BlindTransfer", { Transferer = a, Transferee = b }, { Result = "Success", Extension = "500", BridgeUniqueid = "b1", BridgeType = "basic" })
    leaves("b1", a)
    leaves("b1", b)
    hangup(a)
    joins(b, "support")
    now = now + 5
    gives_up(b, "support")
    sets(b, "QUEUESTATUS", "TIMEOUT")
    hangup(b)
    assert.equal("timeout", changes("queue.left")[1].reason)
  end)

  it("that gives up in a queue without a HangupRequest has abandoned it (Q102)", function()
    local a = new(1, "500", { Channel = "DAHDI/1-1" })
    up(a)
    joins(a, "support")
    now = now + 5
    gives_up(a, "support")
    runs(a, "Macro", "h", "hangupcall")
    runs(a, "GotoIf", "s")
    hangup(a)
    assert.equal("abandoned", changes("queue.left")[1].reason)
  end)

  it("that the exchange's end takes out of a queue has abandoned nothing", function()
    local a = new(1, "500")
    up(a)
    joins(a, "support")
    of(a, "SoftHangupRequest", { Cause = 4 })
    gives_up(a, "support")
    hangup(a)
    assert.equal("unseen", changes("queue.left")[1].reason)
  end)

  it("that the action Bridge or Park pulls out of a queue has left it (Q104)", function()
    local a = new(1, "500")
    up(a)
    joins(a, "support")
    now = now + 3
    bridge("b1", a)
    local left = changes "queue.left"
    assert.same({ 1, "redirected", "5.1", 3 }, { #left, left[1].reason, left[1].object.uniqueid, left[1].object.wait })
    assert.equal(0, #l:find("pbx", "queue", "support").waiting)
    hangup(a, 16)
    assert.same({}, changes "queue.left")
  end)

  it("rings no longer when a voicemail answers", function()
    local a = new(1, "1002")
    local b = rings(a, 2, 4)
    dialled(a, b, "NOANSWER")
    hangup(b)
    sets(a, "DIALSTATUS", "NOANSWER")
    now = now + 1
    up(a)
    runs(a, "VoiceMail", "1002")
    assert.equal(4, l:find("pbx", "call", "5.1", now + 20).ring)
    now = now + 20
    hangup(a, 16)
    local call = ended()
    assert.same({ 4, "no_answer" }, { call.ring, call.result })
  end)

  it("rings no longer when it waits in a queue, and rings on from one phone to the next", function()
    local a = new(1, "1002")
    up(a)
    local b = rings(a, 2, 4)
    dialled(a, b, "NOANSWER")
    hangup(b)
    now = now + 1
    local c = rings(a, 3, 5)
    dialled(a, c, "NOANSWER")
    hangup(c)
    joins(a, "support")
    now = now + 10
    assert.equal(10, l:find("pbx", "call", "5.1", now).ring)
    local agent = rings(a, 4, 3)
    up(agent)
    of(a, "QueueCallerLeave", { Queue = "support", Position = 1 })
    event("AgentConnect", { [""] = a, Dest = agent }, { Queue = "support", Interface = "PJSIP/1004" })
    bridge("b1", agent, a)
    now = now + 7
    hangup(agent, 16)
    hangup(a)
    assert.equal(10, ended().ring)
  end)

  it("to a phone of chan_sip that does not want to be disturbed is rejected, and busy to one that is busy (Q106)", function()
    for cause, result in pairs { [17] = "busy", [19] = "rejected", [21] = "rejected" } do
      local a = new(1, "1002")
      local b = rings(a, 2, 1)
      dialled(a, b, "BUSY")
      of(b, "Hangup", { Cause = cause })
      sets(a, "DIALSTATUS", "BUSY")
      hangup(a)
      assert.equal(result, ended().result)
    end
  end)

  it("through a trunk of chan_sip that is temporarily unavailable is busy, as DialEnd says (Q106)", function()
    local a = new(1, "5550199")
    local b = new(2, "s", { Linkedid = a.Linkedid, ChannelState = 0 })
    event("DialBegin", { [""] = a, Dest = b }, { DialString = "5550199@1002" })
    dialled(a, b, "BUSY")
    of(b, "Hangup", { Cause = 19 })
    hangup(a)
    assert.equal("busy", ended().result)
  end)

  it("was answered also where its caller is on hold until the callee has gone", function()
    local a = new(1, "1002")
    up(a)
    of(a, "Hold")
    local b = rings(a, 2, 2)
    up(b)
    dialled(a, b, "ANSWER")
    bridge("b1", b, a)
    now = now + 5
    leaves("b1", b)
    hangup(b, 16)
    leaves("b1", a)
    hangup(a)
    local call = ended()
    assert.same({ "answered", "PJSIP/1002" }, { call.result, call.answered_by })
  end)

  it("that one of both ends while the callee hears an announcement is not answered", function()
    for request, result in pairs { callee = "no_answer", caller = "cancelled" } do
      local a = new(1, "1002")
      local b = rings(a, 2, 2)
      up(b)
      sets(a, "DIALSTATUS", "ANSWER")
      of(request == "caller" and a or b, "HangupRequest", { Cause = 16 })
      hangup(b)
      hangup(a)
      assert.equal(result, ended().result)
    end
  end)

  it("that nobody confirms is not answered (Q103)", function()
    for _, status in ipairs { "CONTINUE", "ABORT", "GOTO:other^s^1", "ANSWER" } do
      local a = asks(status)
      up(a)
      runs(a, "Playback", "1002")
      hangup(a)
      local call = ended()
      assert.equal("no_answer", call.result)
      assert.is_nil(call.answered_by)
    end
  end)

  it("was answered by who takes it, not by who picked up before him (Q103)", function()
    local a = asks "ANSWER"
    local c = rings(a, 3, 2)
    up(c)
    dialled(a, c, "ANSWER")
    up(a)
    bridge("b1", c, a)
    hangup(a, 16)
    hangup(c)
    local call = ended()
    assert.same({ "answered", "PJSIP/1003" }, { call.result, call.answered_by })
  end)

  it("is none where text messages go through the dialplan (Q107)", function()
    local queue = new(1, "", { Channel = "Message/ast_msg_queue", ChannelState = 6, CallerIDNum = "<unknown>" })
    for _ = 1, 2 do
      runs(queue, "MessageSend", "1002")
      sets(queue, "DIALSTATUS", "")
      of(queue, "SoftHangupRequest", { Cause = 16 })
    end
    l:tick(now + 1)
    assert.same({ 0, 1 }, { l:count "call", l:count "channel" })
    assert.same({}, changes "call.started")
  end)

  it("leaves no endpoint for each number behind where channels are named after them", function()
    for n, name in ipairs { "DAHDI/i1/5550199-1", "DAHDI/i1/5550147-2", "WebSocket/line/0x55aa", "WebSocket/line/0x66bb", "MGCP/aaln/1@gateway-0" } do hangup(new(n, "500", { Channel = name })) end
    local names = {}
    for i, endpoint in ipairs(l:walk "endpoint") do names[i] = endpoint.name end
    assert.same({ "DAHDI/i1", "WebSocket/line", "MGCP/aaln/1@gateway" }, names)
    local a = new(6, "5550199")
    local b = new(7, "", { Channel = "DAHDI/i1/5550199-3", Linkedid = a.Linkedid, ChannelState = 0 })
    event("DialBegin", { [""] = a, Dest = b }, { DialString = "i1/5550199" })
    local call = l:find("pbx", "call", "5.6")
    assert.same({ "out", "DAHDI/i1" }, { call.direction, call.trunk })
  end)
end)
