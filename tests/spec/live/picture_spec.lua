-- What can be read of the picture, and what is reported, event by event.
local support = dofile "tests/spec/live/support.lua"

local channel = support.channels("5.", { CallerIDName = function(n) return "Person " .. n end, ConnectedLineNum = "<unknown>", AccountCode = "ops" })

local function dest(n, more)
  local h = {}
  for name, value in pairs(channel(n, more)) do h["Dest" .. name] = value end
  return h
end

local function both(a, b)
  local h = {}
  for name, value in pairs(a) do h[name] = value end
  for name, value in pairs(b) do h[name] = value end
  return h
end

local function names(changes)
  local list = {}
  for _, change in ipairs(changes) do list[#list + 1] = change.kind .. (change.reason and " " .. change.reason or "") end
  return list
end

local function only(changes, pattern)
  local list = {}
  for _, change in ipairs(changes) do
    if change.kind:find(pattern) then list[#list + 1] = change end
  end
  return list
end

describe("the live picture", function()
  local l
  before_each(function()
    l = support.new()
    l:session("pbx", "13.0.0", 1000)
  end)
  after_each(function() l:close() end)

  -- 1001 calls 1002, who answers.
  local function dial(now)
    l:event("pbx", "Newchannel", channel(1, { Exten = "1002" }), now)
    l:event("pbx", "Newchannel", channel(2, { Linkedid = "5.1", ChannelState = 0, Exten = "s" }), now)
    l:event("pbx", "DialBegin", both(channel(1), dest(2, { Linkedid = "5.1", ChannelState = 0 })), now)
    l:event("pbx", "Newstate", channel(2, { Linkedid = "5.1", ChannelState = 5 }), now + 1)
    l:event("pbx", "Newstate", channel(2, { Linkedid = "5.1", ChannelState = 6 }), now + 4)
    l:event("pbx", "DialEnd", both(channel(1), both(dest(2, { Linkedid = "5.1", ChannelState = 6 }), { DialStatus = "ANSWER" })), now + 4)
    l:event("pbx", "Newstate", channel(1, { ChannelState = 6 }), now + 4)
    l:event("pbx", "BridgeCreate", { BridgeUniqueid = "b1", BridgeType = "basic", BridgeTechnology = "simple_bridge" }, now + 4)
    l:event("pbx", "BridgeEnter", channel(2, { Linkedid = "5.1", ChannelState = 6, BridgeUniqueid = "b1", BridgeType = "basic" }), now + 4)
    l:event("pbx", "BridgeEnter", channel(1, { ChannelState = 6, BridgeUniqueid = "b1", BridgeType = "basic" }), now + 4)
  end

  it("takes the number of an Originate that no OriginateResponse reports (the console's) from where it goes on", function()
    l:event("pbx", "Newchannel", channel(1, { ChannelState = 0, Exten = "s" }), 1000)
    l:event("pbx", "DialBegin", both(dest(1, { ChannelState = 0, Exten = "s" }), { DialString = "1001" }), 1000)
    l:event("pbx", "Newexten", channel(1, { ChannelState = 0, Exten = "", Extension = "", Application = "AppDial2" }), 1000)
    l:event("pbx", "Newstate", channel(1, { ChannelState = 5, Exten = "" }), 1001)
    l:event("pbx", "Newexten", channel(1, { ChannelState = 5, Extension = "wrong", Application = "NoOp" }), 1001)
    assert.is_nil(l:find("pbx", "call", "5.1").to)
    l:event("pbx", "DialEnd", both(dest(1, { ChannelState = 6 }), { DialStatus = "ANSWER" }), 1003)
    l:event("pbx", "Newstate", channel(1, { ChannelState = 6, Exten = "" }), 1003)
    l:event("pbx", "Newexten", channel(1, { ChannelState = 6, Exten = "600", Extension = "600", Application = "Dial" }), 1003)
    local call = l:find("pbx", "call", "5.1")
    assert.same({ "1001", "600" }, { call.from, call.to })
    l:event("pbx", "Newexten", channel(1, { ChannelState = 6, Exten = "700", Extension = "700", Application = "Goto" }), 1004)
    assert.equal("600", l:find("pbx", "call", "5.1").to)
  end)

  it("reports the steps of a call in their order, and shows it by any of its ids", function()
    dial(1000)
    local steps = {}
    for _, name in ipairs(names(l:changes())) do
      if name:find "^call" and name ~= "call.changed" then steps[#steps + 1] = name end
    end
    assert.same({ "call.started", "call.ringing", "call.answered", "call.connected" }, steps)
    local call = l:find("pbx", "call", "5.2", 1010)
    assert.same("5.1", call.id)
    assert.same(call, l:find("pbx", "call", "PJSIP/1002-00000002", 1010))
    assert.equal("PJSIP/1001-00000001", call.caller)
    assert.equal("PJSIP/1002-00000002", call.peer)
    assert.equal("PJSIP/1002", call.answered_by)
    assert.same({ "PJSIP/1001-00000001", "PJSIP/1002-00000002" }, call.channels)
    assert.equal("internal", call.direction)
    assert.equal(1000, call.started)
    assert.equal(1004, call.answered)
    assert.equal(1004, call.connected)
    assert.equal(3, call.ring)
    assert.equal(6, call.talk)
    assert.equal("pbx", call.server)
  end)

  it("counts hold and talk apart, and the state follows", function()
    dial(1000)
    l:event("pbx", "Hold", channel(2, { Linkedid = "5.1" }), 1010)
    assert.equal("held", l:find("pbx", "call", "5.1", 1010).state)
    assert.is_true(l:find("pbx", "channel", "5.2").held)
    local call = l:find("pbx", "call", "5.1", 1015)
    assert.equal(6, call.talk)
    assert.equal(5, call.hold)
    l:event("pbx", "Unhold", channel(2, { Linkedid = "5.1" }), 1020)
    l:event("pbx", "Unhold", channel(2, { Linkedid = "5.1" }), 1021) -- one without a Hold (Q66)
    call = l:find("pbx", "call", "5.1", 1025)
    assert.equal("up", call.state)
    assert.equal(11, call.talk)
    assert.equal(10, call.hold)
    local changes = only(l:changes(), "held$")
    assert.same({ "call.held", "call.unheld" }, names(changes))
    assert.equal("held", changes[1].object.state)
  end)

  -- Headers of a channel behind another prefix.
  local function as(prefix, n, more)
    local h = {}
    for name, value in pairs(channel(n, more)) do h[prefix .. name] = value end
    return h
  end

  it("keeps what an earlier transfer said when the call is parked by a REFER", function()
    dial(1000)
    local bridge = { BridgeUniqueid = "b1", BridgeType = "basic", Result = "Success" }
    local function refer(exten, now)
      l:event("pbx", "BlindTransfer", both(both(as("Transferer", 2, { Linkedid = "5.1", ChannelState = 6 }), as("Transferee", 1, { ChannelState = 6 })),
        both(bridge, { Extension = exten, Context = "phones" })), now)
    end
    refer("1003", 1010)
    assert.equal("1003", l:find("pbx", "call", "5.1").transferred_to)
    refer("700", 1020)
    l:event("pbx", "ParkedCall", both(as("Parkee", 1, { ChannelState = 6 }), { ParkerDialString = "PJSIP/1002", Parkinglot = "default", ParkingSpace = "701" }), 1020.1)
    local call = l:find("pbx", "call", "5.1")
    assert.equal("parked", call.state)
    assert.equal("PJSIP/1002", call.transferred_from)
    assert.equal("1003", call.transferred_to)
  end)

  it("knows the agent of a call whose queue it has not been told the members of", function()
    l:event("pbx", "Newchannel", channel(1, { ChannelState = 6 }), 1000)
    l:event("pbx", "QueueCallerJoin", channel(1, { ChannelState = 6, Queue = "support", Position = 1 }), 1000)
    l:event("pbx", "Newchannel", channel(2, { Linkedid = "5.1", ChannelState = 0 }), 1001)
    l:event("pbx", "QueueCallerLeave", channel(1, { ChannelState = 6, Queue = "support", Position = 1 }), 1005)
    l:event("pbx", "AgentConnect", both(both(channel(1, { ChannelState = 6 }), dest(2, { Linkedid = "5.1", ChannelState = 6 })),
      { Queue = "support", Interface = "PJSIP/1002", MemberName = "Anna", HoldTime = 5 }), 1005)
    local call = l:find("pbx", "call", "5.1")
    assert.equal("PJSIP/1002", call.agent)
    assert.equal("Anna", call.agent_name)
    assert.equal("PJSIP/1002", call.waits[1].agent)
  end)

  it("frees an agent at the end of a call whose queue he was taken out of meanwhile", function()
    local function member(queue, status) return { Queue = queue, Interface = "PJSIP/1002", StateInterface = "PJSIP/1002", MemberName = "Anna", Status = status, Paused = 0 } end
    for _, queue in ipairs { "support", "sales" } do l:event("pbx", "QueueMemberAdded", member(queue, 1), 1000) end
    local on = both(both(channel(1, { ChannelState = 6 }), dest(2, { Linkedid = "5.1", ChannelState = 6 })),
      { Queue = "support", Interface = "PJSIP/1002", MemberName = "Anna", TalkTime = 7 })
    l:event("pbx", "Newchannel", channel(1), 1001)
    l:event("pbx", "QueueCallerJoin", channel(1, { ChannelState = 6, Queue = "support", Position = 1 }), 1001)
    l:event("pbx", "AgentConnect", on, 1002)
    l:event("pbx", "QueueMemberRemoved", member("support", 1), 1005)
    assert.equal("busy", l:find("pbx", "agent", "PJSIP/1002").state)
    l:event("pbx", "AgentComplete", on, 1009)
    local agent = l:find("pbx", "agent", "PJSIP/1002")
    assert.equal("free", agent.state)
    assert.equal(7, agent.talk)
  end)

  it("calls a conference answered that somebody was in, for however short", function()
    local bridge = { BridgeUniqueid = "c1", BridgeType = "base", BridgeTechnology = "softmix", BridgeCreator = "ConfBridge", BridgeName = "8600" }
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx", "Newexten", channel(1, { ChannelState = 6, Application = "ConfBridge", AppData = "8600" }), 1000)
    l:event("pbx", "ConfbridgeJoin", both(channel(1, { ChannelState = 6 }), both(bridge, { Conference = "8600" })), 1000)
    l:event("pbx", "ConfbridgeLeave", both(channel(1, { ChannelState = 6 }), both(bridge, { Conference = "8600" })), 1000)
    l:event("pbx", "Hangup", channel(1, { ChannelState = 6, Cause = 16 }), 1000)
    assert.equal("answered", only(l:changes(), "^call%.ended$")[1].object.result)
  end)

  it("knows of a leg alone that its call began before", function()
    l:event("pbx", "Newchannel", channel(2, { Linkedid = "5.1", ChannelState = 0, Exten = "1002" }), 1000)
    local call = l:find("pbx", "call", "5.1")
    assert.is_true(call.incomplete)
    assert.is_nil(call.to)
    l:event("pbx", "Newexten", channel(1, { ChannelState = 6, Application = "Dial", Extension = "1003" }), 1001) -- it was transferred there
    call = l:find("pbx", "call", "5.1")
    assert.equal("1001", call.from)
    assert.is_nil(call.to)
    assert.is_nil(call.talk)
  end)

  it("tells trunks from phones by how they are dialled", function()
    l:event("pbx", "Newchannel", channel(1, { Exten = "95550199" }), 1000)
    local trunk = { Channel = "PJSIP/carrier-00000009", Uniqueid = "5.9", Linkedid = "5.1", ChannelState = 0 }
    l:event("pbx", "Newchannel", trunk, 1000)
    local prefixed = { DialString = "5550199@carrier" }
    for name, value in pairs(trunk) do prefixed["Dest" .. name] = value end
    l:event("pbx", "DialBegin", both(channel(1), prefixed), 1000)
    local call = l:find("pbx", "call", "5.1")
    assert.equal("out", call.direction)
    assert.equal("PJSIP/carrier", call.trunk)
    l:event("pbx", "Newchannel", { Channel = "PJSIP/carrier-0000000a", Uniqueid = "5.10", Linkedid = "5.10", ChannelState = 4, CallerIDNum = "5550147", Exten = "5551003" }, 1001)
    call = l:find("pbx", "call", "5.10")
    assert.equal("in", call.direction)
    assert.equal("PJSIP/carrier", call.trunk)
    assert.equal(2, l:count("call", { trunk = "PJSIP/carrier" }))
    l:event("pbx", "Newchannel", { Channel = "PJSIP/alice-0000000b", Uniqueid = "5.11", Linkedid = "5.11", ChannelState = 4, CallerIDNum = "77", Exten = "500" }, 1001)
    assert.is_nil(l:find("pbx", "call", "5.11").direction) -- nothing says what alice is
  end)

  it("knows the trunks that it is told of", function()
    l:close()
    l = support.new { trunks = { "PJSIP/sbc*" }, variables = { "CRM_ID" } }
    l:session("pbx", "13.0.0", 1000)
    l:event("pbx", "Newchannel", { Channel = "PJSIP/sbc1-00000001", Uniqueid = "1", Linkedid = "1", ChannelState = 4, CallerIDNum = "5550147", Exten = "100" })
    assert.equal("in", l:find("pbx", "call", "1").direction)
    l:event("pbx", "VarSet", { Channel = "PJSIP/sbc1-00000001", Uniqueid = "1", Linkedid = "1", Variable = "CRM_ID", Value = "42" })
    l:event("pbx", "VarSet", { Channel = "PJSIP/sbc1-00000001", Uniqueid = "1", Linkedid = "1", Variable = "OTHER", Value = "x" })
    assert.same({ CRM_ID = "42" }, l:find("pbx", "channel", "1").variables)
  end)

  it("keeps callers in the queue's order, by position, and says why each left", function()
    for n = 1, 4 do
      l:event("pbx", "Newchannel", channel(n), 1000 + n)
      l:event("pbx", "QueueCallerJoin", channel(n, { Queue = "support", Position = n, Count = n }), 1000 + n)
    end
    l:event("pbx", "Newchannel", channel(5), 1005)
    l:event("pbx", "QueueCallerJoin", channel(5, { Queue = "support", Position = 1, Count = 5 }), 1005) -- a priority
    local queue = l:find("pbx", "queue", "support", 1010)
    local order = {}
    for i, caller in ipairs(queue.waiting) do order[i] = caller.uniqueid .. "@" .. caller.position end
    assert.same({ "5.5@1", "5.1@2", "5.2@3", "5.3@4", "5.4@5" }, order)
    assert.equal(9, queue.longest_wait)
    assert.equal(5, queue.offered)
    l:changes()

    l:event("pbx", "HangupRequest", channel(2), 1011) -- gives up
    l:event("pbx", "QueueCallerAbandon", channel(2, { Queue = "support", Position = 3 }), 1011)
    l:event("pbx", "QueueCallerLeave", channel(2, { Queue = "support", Position = 3 }), 1011)
    l:event("pbx", "Hangup", channel(2, { Cause = 16 }), 1011)
    l:event("pbx", "QueueCallerAbandon", channel(1, { Queue = "support", Position = 2 }), 1012) -- times out (Q67)
    l:event("pbx", "QueueCallerLeave", channel(1, { Queue = "support", Position = 2 }), 1012)
    l:event("pbx", "VarSet", channel(1, { Variable = "QUEUESTATUS", Value = "TIMEOUT" }), 1012)
    l:event("pbx", "QueueCallerLeave", channel(3, { Queue = "support", Position = 2 }), 1013) -- Redirect
    l:event("pbx", "Newexten", channel(3, { Application = "Playback", Extension = "900" }), 1013)
    l:event("pbx", "QueueCallerLeave", channel(4, { Queue = "support", Position = 2 }), 1014)
    l:event("pbx", "VarSet", channel(4, { Variable = "QUEUESTATUS", Value = "LEAVEEMPTY" }), 1014)
    l:event("pbx", "Hangup", channel(5, { Cause = 0 }), 1015) -- its Leave is missing
    l:tick(1020)
    local got = {}
    for _, change in ipairs(only(l:changes(), "^queue.left")) do got[change.object.uniqueid] = change.reason .. " " .. change.object.wait end
    assert.same({ ["5.1"] = "timeout 11.0", ["5.2"] = "abandoned 9.0", ["5.3"] = "redirected 10.0", ["5.4"] = "leaveempty 10.0", ["5.5"] = "unseen 10.0" }, got)
    queue = l:find("pbx", "queue", "support", 1020)
    assert.equal(0, queue.count)
    assert.equal(1, queue.abandoned)
  end)

  it("keeps who has left a queue, and why is not known yet, through the end of its call in another", function()
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx", "Newchannel", channel(2), 1001)
    l:event("pbx", "QueueCallerJoin", channel(2, { Queue = "support", Position = 1 }), 1002)
    l:event("pbx", "QueueCallerLeave", channel(2, { Queue = "support", Position = 1 }), 1005)
    l:event("pbx", "NewConnectedLine", channel(2, { Linkedid = "5.1" }), 1005) -- call 5.2 turns out to be part of 5.1
    local merged = { Linkedid = "5.1", ChannelState = 6 }
    l:event("pbx", "BlindTransfer", both(both(as("Transferer", 1, merged), as("Transferee", 2, merged)), { Result = "Success", Extension = "600" }), 1006)
    l:tick(1010)
    local left = only(l:changes(), "^queue.left")
    assert.equal(1, #left)
    assert.equal("transferred", left[1].reason)
    assert.equal(3, left[1].object.wait)
  end)

  it("reports who is refused by a queue, and which", function()
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx", "Newexten", channel(1, { Application = "Queue", AppData = "night,tT,,,20", Extension = "504" }), 1000)
    l:event("pbx", "VarSet", channel(1, { Variable = "QUEUESTATUS", Value = "FULL" }), 1000)
    local refused = only(l:changes(), "refused")[1]
    assert.equal("full", refused.reason)
    assert.equal("night", refused.queue)
    assert.equal("1001", refused.number)
    assert.equal(1, l:find("pbx", "queue", "night").offered)
  end)

  local function member(status, more)
    local h = {
      Queue = "support", Interface = "Local/2001@agents", StateInterface = "PJSIP/2001", MemberName = "Anna", Membership = "dynamic", Status = status, Paused = 0,
      CallsTaken = 0, Penalty = 1, Wrapuptime = 10, LoginTime = 900,
    }
    for name, value in pairs(more or {}) do h[name] = value end
    return h
  end

  -- A call of 1001 to the queue, answered by the agent after 5 s, for 20 s.
  local function serve(now)
    l:event("pbx", "Newchannel", channel(1), now)
    l:event("pbx", "QueueCallerJoin", channel(1, { Queue = "support", Position = 1 }), now)
    l:event("pbx", "Newchannel", channel(2, { Linkedid = "5.1", ChannelState = 0 }), now)
    l:event("pbx", "QueueMemberStatus", member(6), now)
    l:event("pbx", "QueueCallerLeave", channel(1, { Queue = "support", Position = 1 }), now + 5)
    l:event("pbx", "AgentConnect", both(channel(1), both(dest(2, { Linkedid = "5.1" }), member(2, { HoldTime = 5 }))), now + 5)
  end

  it("knows what agents do: free, ringing, busy, wrapup, paused, away", function()
    local states = {}
    local function state(now) states[#states + 1] = (l:find("pbx", "agent", "PJSIP/2001", now) or {}).state or "none" end
    l:event("pbx", "QueueMemberAdded", member(1), 1000)
    state(1000)
    l:event("pbx", "QueueMemberStatus", member(6), 1001)
    state(1001)
    serve(1002)
    state(1008)
    local agent = l:find("pbx", "agent", "Anna", 1010) -- by its label
    assert.equal("5.1", agent.call)
    assert.equal(900, agent.logged_in)
    assert.same({ "support" }, agent.queues)
    assert.is_true(l:find("pbx", "queue", "support").members[1].in_call)
    l:event("pbx", "AgentComplete", both(channel(1), both(dest(2, { Linkedid = "5.1" }), member(1, { TalkTime = 20 }))), 1027)
    l:event("pbx", "QueueMemberStatus", member(1, { CallsTaken = 1 }), 1027)
    state(1027)
    assert.is_true(l:deadline() <= 1037)
    l:tick(1037)
    state(1037)
    l:event("pbx", "QueueMemberPause", member(1, { Paused = 1, PausedReason = "Lunch" }), 1040)
    state(1040)
    l:event("pbx", "QueueMemberPause", member(1), 1100)
    l:event("pbx", "QueueMemberStatus", member(5), 1110)
    state(1110)
    assert.same({ "free", "ringing", "busy", "wrapup", "free", "paused", "away" }, states)
    agent = l:find("pbx", "agent", "PJSIP/2001", 1110)
    assert.equal(1, agent.calls)
    assert.equal(20, agent.talk)
    assert.equal(60, agent.paused_time)
    assert.same({ Lunch = 60 }, agent.pauses)
    l:event("pbx", "AgentRingNoAnswer", both(channel(1), member(5)), 1110)
    assert.equal(1, l:find("pbx", "agent", "PJSIP/2001").missed)
    l:new_day(1200)
    agent = l:find("pbx", "agent", "PJSIP/2001")
    assert.same({ 0, 0, 0 }, { agent.calls, agent.talk, agent.missed })
    l:event("pbx", "QueueMemberRemoved", member(5), 1210)
    assert.equal(0, l:count "agent")
    local told = {}
    for _, change in ipairs(only(l:changes(), "^queue.member")) do told[#told + 1] = change.reason end
    assert.equal("added", told[1])
    assert.equal("removed", told[#told])
  end)

  -- "Local/9@x" of two halves: the first is called, the second dials channel `phone`.
  local function halves(first, id, now)
    local one = { Channel = "Local/9@x-00000001;1", Uniqueid = "5." .. first, Linkedid = id, ChannelState = 0, Exten = "9" }
    local two = { Channel = "Local/9@x-00000001;2", Uniqueid = "5." .. first + 1, Linkedid = id, ChannelState = 4, Exten = "9" }
    l:event("pbx", "Newchannel", one, now)
    l:event("pbx", "Newchannel", two, now)
    return one, two
  end

  it("calls an Originate unanswered that was, whatever ends behind its Local channel then", function()
    local one, two = halves(1, "5.1", 1000)
    l:event("pbx", "Newexten", both(one, { Extension = "9", Application = "AppDial2" }), 1000)
    l:event("pbx", "Newchannel", channel(3, { Linkedid = "5.1", ChannelState = 0 }), 1000)
    l:event("pbx", "DialBegin", both(two, dest(3, { Linkedid = "5.1", ChannelState = 0 })), 1000)
    l:event("pbx", "Newstate", channel(3, { Linkedid = "5.1", ChannelState = 5 }), 1001)
    local first = {}
    for name, value in pairs(one) do first["Dest" .. name] = value end
    l:event("pbx", "DialEnd", both(first, { DialStatus = "NOANSWER" }), 1010)
    l:event("pbx", "Hangup", both(one, { Cause = 19 }), 1010)
    l:event("pbx", "DialEnd", both(two, both(dest(3, { Linkedid = "5.1", ChannelState = 5 }), { DialStatus = "CANCEL" })), 1010)
    l:event("pbx", "VarSet", both(two, { Variable = "DIALSTATUS", Value = "CANCEL" }), 1010)
    l:event("pbx", "Hangup", channel(3, { Linkedid = "5.1", Cause = 0 }), 1010)
    l:event("pbx", "Hangup", both(two, { Cause = 16 }), 1010)
    l:tick(1013)
    assert.equal("no_answer", only(l:changes(), "^call.ended")[1].object.result)
  end)

  it("takes nothing for the call's end that a queue's member behind a Local channel does not answer", function()
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx", "QueueCallerJoin", channel(1, { ChannelState = 6, Queue = "support", Position = 1, Count = 1 }), 1000)
    local _, two = halves(2, "5.1", 1001)
    l:event("pbx", "HangupRequest", channel(1, { ChannelState = 6, Cause = 16 }), 1005)
    l:event("pbx", "QueueCallerAbandon", channel(1, { ChannelState = 6, Queue = "support", Position = 1 }), 1005)
    l:event("pbx", "QueueCallerLeave", channel(1, { ChannelState = 6, Queue = "support", Position = 1, Count = 0 }), 1005)
    l:event("pbx", "VarSet", both(two, { Variable = "DIALSTATUS", Value = "CANCEL" }), 1005)
    for n = 2, 3 do l:event("pbx", "Hangup", { Channel = "Local/9@x-00000001;" .. n - 1, Uniqueid = "5." .. n, Cause = 0 }, 1005) end
    l:event("pbx", "Hangup", channel(1, { Cause = 16 }), 1005)
    assert.equal("abandoned", only(l:changes(), "^call.ended")[1].object.result)
  end)

  it("knows that an agent is busy by the call that his queue counts, while his device is free, and not beyond that call", function()
    local function state() return l:find("pbx", "agent", "PJSIP/2001", 1020).state end
    l:event("pbx", "QueueMemberStatus", member(1, { InCall = 1 }), 1001)
    assert.equal("busy", state())
    l:event("pbx", "AgentComplete", both(channel(1), both(dest(2, { Linkedid = "5.1" }), member(1, { TalkTime = 20, Wrapuptime = 0 }))), 1002)
    l:event("pbx", "Hangup", channel(1, { Cause = 16 }), 1002)
    l:event("pbx", "Hangup", channel(2, { Linkedid = "5.1", Cause = 16 }), 1002)
    serve(1010)
    l:event("pbx", "QueueMemberStatus", member(1, { InCall = 1 }), 1017)
    assert.equal("busy", state())
    l:event("pbx", "Hangup", channel(2, { Linkedid = "5.1", Cause = 16 }), 1018)
    l:event("pbx", "Hangup", channel(1, { Cause = 16 }), 1018)
    l:tick(1025)
    assert.equal("free", state()) -- its AgentComplete was missed
  end)

  it("is one agent in several queues, paused when it is in all", function()
    l:event("pbx", "QueueMemberAdded", member(1), 1000)
    l:event("pbx", "QueueMemberAdded", member(1, { Queue = "sales" }), 1000)
    assert.equal(1, l:count "agent")
    l:event("pbx", "QueueMemberPause", member(1, { Paused = 1 }), 1001)
    assert.equal("free", l:find("pbx", "agent", "Anna").state)
    l:event("pbx", "QueueMemberPause", member(1, { Queue = "sales", Paused = 1 }), 1001)
    assert.equal("paused", l:find("pbx", "agent", "Anna").state)
  end)

  it("sums up what a queue did, in the last hour and today, and reports it once a second", function()
    l:event("pbx", "QueueMemberAdded", member(1), 1000)
    serve(3600 * 500)
    l:event("pbx", "AgentComplete", both(channel(1), both(dest(2, { Linkedid = "5.1" }), member(1, { TalkTime = 20 }))), 3600 * 500 + 25)
    l:tick(3600 * 500 + 30)
    local queue = l:find("pbx", "queue", "support", 3600 * 500 + 30)
    assert.same({ 1, 1, 0, 1, 1, 5, 20 }, {
      queue.offered, queue.answered, queue.abandoned, queue.in_time, queue.service_level, queue.speed_of_answer, queue.talk_time,
    })
    queue = l:find("pbx", "queue", "support", 3600 * 501 + 60)
    assert.equal(0, queue.offered)
    assert.equal(1, queue.offered_today)
    l:new_day(3600 * 502)
    assert.equal(0, l:find("pbx", "queue", "support").offered_today)
    l:changes()
    for n = 10, 20 do
      l:event("pbx", "Newchannel", channel(n), 3600 * 503)
      l:event("pbx", "QueueCallerJoin", channel(n, { Queue = "support", Position = n - 9 }), 3600 * 503)
    end
    l:tick(3600 * 503 + 1)
    assert.equal(2, #only(l:changes(), "queue.changed"))
  end)

  it("marks a call of who holds another one as a consultation", function()
    dial(1000)
    l:event("pbx", "Hold", channel(2, { Linkedid = "5.1" }), 1010)
    l:event("pbx", "Newchannel", { Channel = "PJSIP/1002-00000003", Uniqueid = "5.3", Linkedid = "5.3", ChannelState = 4, CallerIDNum = "1002", Exten = "1003" }, 1012)
    assert.equal("5.1", l:find("pbx", "call", "5.3").consults)
    assert.is_nil(l:find("pbx", "call", "5.1").consults)
  end)

  it("knows endpoints: registered or not, where, how far, their state and messages", function()
    l:event("pbx", "ContactStatus", { URI = "sip:1001@10.0.0.5:5060", ContactStatus = "Reachable", AOR = "1001", EndpointName = "1001", RoundtripUsec = 2500 }, 1000)
    l:event("pbx", "DeviceStateChange", { Device = "PJSIP/1001", State = "INUSE" }, 1000)
    l:event("pbx", "MessageWaiting", { Mailbox = "1001@default", Waiting = 1, New = 3, Old = 2 }, 1000)
    l:event("pbx", "PeerStatus", { ChannelType = "SIP", Peer = "SIP/7", PeerStatus = "Reachable", Time = 12 }, 1000)
    l:event("pbx", "DeviceStateChange", { Device = "Custom:door", State = "BUSY" }, 1000)
    local e = l:find("pbx", "endpoint", "PJSIP/1001")
    assert.same({ true, "sip:1001@10.0.0.5:5060", 0.0025, "INUSE", 3, 2, true },
      { e.registered, e.contact, e.round_trip, e.device, e.messages, e.old_messages, e.endpoint })
    assert.equal(0.012, l:find("pbx", "endpoint", "SIP/7").round_trip)
    assert.is_false(l:find("pbx", "endpoint", "Custom:door").endpoint)
    l:event("pbx", "ContactStatus", { URI = "sip:1001@10.0.0.5:5060", ContactStatus = "Removed", AOR = "1001", EndpointName = "1001" }, 1001)
    e = l:find("pbx", "endpoint", "PJSIP/1001")
    assert.is_false(e.registered)
    assert.is_nil(e.contact)
    l:changes()
    l:event("pbx", "DeviceStateChange", { Device = "PJSIP/1001", State = "INUSE" }, 1002)
    assert.same({}, l:changes()) -- nothing new
  end)

  it("counts and walks by account, queue, agent, trunk and state without looking at the others", function()
    for n = 1, 20 do
      l:event("pbx", "Newchannel", channel(n, { AccountCode = n % 4 == 0 and "vip" or "ops" }), 1000)
      if n % 5 == 0 then l:event("pbx", "QueueCallerJoin", channel(n, { Queue = "support" }), 1000) end
    end
    assert.equal(5, l:count("call", { account = "vip" }))
    assert.equal(4, l:count("call", { queue = "support" }))
    assert.equal(4, l:count("call", { state = "queued" }))
    assert.equal(1, l:count("call", { state = "queued", account = "vip" }))
    assert.equal(0, l:count("call", { queue = "none" }))
    assert.equal(20, l:count("channel", { state = "ring" }))
    assert.equal(20, l:count("call", { server = "pbx" }))
    local ids = {}
    for i, call in ipairs(l:walk("call", { queue = "support" })) do ids[i] = call.id end
    assert.same({ "5.5", "5.10", "5.15", "5.20" }, ids)
    l:event("pbx", "Hangup", channel(5), 1001)
    assert.equal(3, l:count("call", { queue = "support" }))
  end)

  it("lets a walk go on over whatever changes meanwhile", function()
    for n = 1, 10 do
      l:event("pbx", "Newchannel", channel(n), 1000)
      l:event("pbx", "QueueCallerJoin", channel(n, { Queue = "support" }), 1000)
    end
    for _, filter in ipairs { {}, { queue = "support" }, { state = "queued" } } do
      local seen, next_call = {}, l:iterate("call", filter)
      seen[1] = next_call().id
      seen[2] = next_call().id
      l:event("pbx", "Hangup", channel(2), 1001) -- the one that was shown last
      l:event("pbx", "Hangup", channel(3), 1001) -- and the next
      l:event("pbx", "Newchannel", channel(11), 1001)
      l:event("pbx", "QueueCallerJoin", channel(11, { Queue = "support" }), 1001)
      for call in next_call do seen[#seen + 1] = call.id end
      assert.same({ "5.1", "5.2", "5.4", "5.5", "5.6", "5.7", "5.8", "5.9", "5.10", "5.11" }, seen)
      l:event("pbx", "Hangup", channel(11), 1002)
      for n = 4, 10 do l:event("pbx", "Hangup", channel(n), 1002) end
      l:event("pbx", "Hangup", channel(1), 1002)
      for n = 1, 10 do
        l:event("pbx", "Newchannel", channel(n), 1003)
        l:event("pbx", "QueueCallerJoin", channel(n, { Queue = "support" }), 1003)
      end
    end
    -- An index that empties and fills again under a walk.
    local next_call = l:iterate("call", { queue = "support" })
    for _ = 1, 9 do next_call() end
    for n = 1, 10 do l:event("pbx", "Hangup", channel(n), 1004) end
    l:event("pbx", "Newchannel", channel(12), 1005)
    l:event("pbx", "QueueCallerJoin", channel(12, { Queue = "support" }), 1005)
    assert.equal("5.12", next_call().id)
    assert.is_nil(next_call())
  end)

  it("keeps the last values of what is held, also beyond its server's life", function()
    dial(1000)
    local call, phone = l:hold("pbx", "call", "5.1"), l:hold("pbx", "channel", "5.2")
    l:event("pbx", "Hangup", channel(2, { Linkedid = "5.1", Cause = 16 }), 1010)
    l:event("pbx", "Hangup", channel(1, { Cause = 16 }), 1011)
    local fields, gone = call:get(2000)
    assert.is_true(gone)
    assert.equal("ended", fields.state)
    assert.equal("answered", fields.result)
    assert.equal(6, fields.talk)
    assert.equal(1011, fields.ended)
    assert.is_nil(l:find("pbx", "call", "5.1"))
    l:remove("pbx", 1020)
    assert.equal("PJSIP/1002-00000002", (phone:get()).name)
    assert.equal("pbx", (call:get()).server)
    call:release()
    phone:release()
  end)

  it("makes two calls one when a Linkedid changes, and no older copy brings the younger id back (Q63)", function()
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx", "Newchannel", channel(2), 1001)
    l:event("pbx", "NewConnectedLine", channel(2, { Linkedid = "5.1" }), 1002)
    l:event("pbx", "NewConnectedLine", channel(2), 1003)
    l:event("pbx", "NewConnectedLine", channel(1, { Linkedid = "5.2" }), 1003)
    assert.equal("5.1", l:find("pbx", "channel", "5.2").linkedid)
    assert.equal("5.1", l:find("pbx", "channel", "5.1").linkedid)
    assert.equal("5.1", l:find("pbx", "call", "5.2").id)
    local changes = only(l:changes(), "^call%.[me]")
    assert.same({ "call.merged", "call.ended" }, names(changes))
    assert.equal("5.2", changes[2].object.id)
    assert.equal("5.1", changes[2].object.into)
    assert.equal("merged", changes[2].object.result)
  end)

  it("names whom a call was transferred to as the event does, also one that it does not know", function()
    dial(1000)
    l:event("pbx", "Newchannel", channel(3, { Exten = "1004" }), 1005)
    l:event("pbx", "AttendedTransfer", {
      Result = "Success", OrigTransfererChannel = channel(1).Channel, OrigTransfererUniqueid = "5.1", OrigTransfererLinkedid = "5.1",
      SecondTransfererChannel = channel(3).Channel, SecondTransfererUniqueid = "5.3", TransfereeChannel = channel(2).Channel, TransfereeUniqueid = "5.2",
      TransferTargetChannel = "PJSIP/1004-00000009", TransferTargetUniqueid = "5.9",
    }, 1006)
    local call = l:find("pbx", "call", "5.1")
    assert.same({ "PJSIP/1001", "PJSIP/1004" }, { call.transferred_from, call.transferred_to })
  end)

  it("keeps a member's name when an event comes without one", function()
    local member = { Queue = "support", Interface = "PJSIP/1001", Paused = 0, Status = 1 }
    l:event("pbx", "QueueMemberAdded", both(member, { MemberName = "Ann" }), 1000)
    l:event("pbx", "QueueMemberPause", both(member, { Paused = 1 }), 1001)
    local of = l:find("pbx", "queue", "support").members[1]
    assert.same({ "Ann", true, "Ann" }, { of.name, of.paused, l:find("pbx", "agent", "PJSIP/1001").name })
  end)

  it("keeps servers apart", function()
    l:server "pbx2"
    l:session("pbx2", "13.0.0", 1000)
    l:event("pbx", "Newchannel", channel(1), 1000)
    l:event("pbx2", "Newchannel", channel(1, { CallerIDNum = "77" }), 1000)
    assert.equal(2, l:count "call")
    assert.equal(1, l:count("call", { server = "pbx2" }))
    l:event("pbx", "Hangup", channel(1), 1001)
    assert.equal("77", l:find("pbx2", "call", "5.1").from)
    l:remove("pbx2", 1002)
    local changes = l:changes()
    assert.equal("unseen", changes[#changes].object.result)
    assert.equal(0, l:count "call")
  end)
end)
