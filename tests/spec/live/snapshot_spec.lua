-- When the picture asks for which list, and what the lists mean.
local support = dofile "tests/spec/live/support.lua"

local channel = support.channels("100.", { ChannelState = 6 })

-- Answers whatever is asked with `lists[action]`: a list of { event, headers }, "refused", "failed", or none: an empty list.
-- Returns the names of what was asked.
local function serve(l, lists, now)
  local asked = {}
  for request in function() return l:request(now) end do
    asked[#asked + 1] = request.action
    local answer = (lists or {})[request.action]
    if type(answer) == "function" then answer = answer(request) end
    if answer == "refused" then
      l:answer("pbx", "refused", { Message = "Permission denied" })
    elseif answer == "failed" then
      l:answer("pbx", "failed")
    elseif request.action == "ListCommands" then
      l:answer("pbx", "answered", answer or {
        CoreShowChannels = "x", BridgeList = "x", BridgeInfo = "x", QueueStatus = "x", DeviceStateList = "x", PJSIPShowContacts = "x",
        ParkedCalls = "x", ConfbridgeListRooms = "x", ConfbridgeList = "x", Status = "x",
      })
    elseif type(answer) == "table" and answer.Message then
      l:answer("pbx", "refused", answer)
    else
      for _, item in ipairs(answer or {}) do l:item("pbx", item[1], item[2]) end
      l:answer("pbx", "answered", { EventList = "start" })
    end
  end
  return asked
end

local function kinds(changes, wanted)
  local list = {}
  for _, change in ipairs(changes) do
    if not wanted or change.kind:find(wanted) then list[#list + 1] = change.kind end
  end
  return list
end

local function of(changes, kind)
  for _, change in ipairs(changes) do
    if change.kind == kind then return change end
  end
end

local ONE = { { "CoreShowChannel", channel(1, { Application = "Queue", Duration = "00:01:40", BridgeId = "" }) } }

describe("snapshots of the live picture", function()
  local l
  before_each(function() l = support.new() end)
  after_each(function() l:close() end)

  it("ask, one at a time, for what ListCommands permits, and are reported once", function()
    assert.equal("none", (l:state "pbx"))
    assert.is_nil(l:request(1000))
    l:session("pbx", "13.0.0", 1000)
    assert.equal("syncing", (l:state "pbx"))
    assert.equal(1000, l:deadline())
    local first = l:request(1000)
    assert.same({ server = "pbx", action = "ListCommands" }, first)
    assert.is_nil(l:request(1000)) -- it is open
    l:answer("pbx", "answered", { CoreShowChannels = "(Priv: system)", QueueStatus = "x", ParkedCalls = "x" })
    assert.same({ "CoreShowChannels", "QueueStatus", "ParkedCalls" }, serve(l, { CoreShowChannels = ONE }))
    local state, unknown = l:state "pbx"
    assert.equal("partial", state)
    assert.same({ "bridges", "devices", "endpoints", "conferences" }, unknown)
    local changes = l:changes()
    local synced = of(changes, "live.synced")
    assert.equal("session", synced.reason)
    assert.equal(1, synced.count)
    assert.is_true(of(changes, "call.started").resync)
    assert.equal(1, #kinds(changes, "synced"))
    l:want("pbx", 1001)
    assert.is_nil(l:request(1030)) -- at most one in resync_every
    assert.equal(1060, l:deadline())
    assert.same({ "CoreShowChannels", "QueueStatus", "ParkedCalls" }, serve(l, { CoreShowChannels = ONE }, 1060)) -- commands once a session
  end)

  it("say since when a call is parked, and until when", function()
    l:session("pbx", "13.0.0", 1000)
    local parkee = {}
    for name, value in pairs(channel(1)) do parkee["Parkee" .. name] = value end
    parkee.Parkinglot, parkee.ParkingSpace, parkee.ParkingDuration, parkee.ParkingTimeout = "default", 701, 30, 15
    serve(l, { CoreShowChannels = ONE, ParkedCalls = { { "ParkedCall", parkee } } })
    local parked = l:find("pbx", "lot", "default").parked[1]
    assert.same({ "701", 970, 1015 }, { parked.space, parked.since, parked.timeout })
  end)

  it("are full when all lists are answered, empty ones that come as errors included (Q75)", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, {
      PJSIPShowContacts = { Message = "No Contacts found" }, ConfbridgeListRooms = { Message = "No active conferences." },
    })
    assert.same({ "full", {} }, { l:state "pbx" })
    assert.equal(0, l:stats("pbx").refused)
  end)

  it("count what is refused once a session, and that part is unknown, not empty", function()
    l:session("pbx", "13.0.0", 1000)
    local refused = {}
    for _, action in ipairs { "ListCommands", "CoreShowChannels", "BridgeList", "QueueStatus", "DeviceStateList", "PJSIPShowContacts", "SIPpeers",
                              "ParkedCalls", "ConfbridgeListRooms" } do
      refused[action] = "refused"
    end
    serve(l, refused)
    assert.same({ "partial", { "channels", "bridges", "queues", "devices", "endpoints", "parking", "conferences" } }, { l:state "pbx" })
    assert.equal(9, l:stats("pbx").refused)
    l:want("pbx", 1100)
    assert.same({}, serve(l, {}, 1100)) -- nothing is possible
    assert.equal(9, l:stats("pbx").refused)
    l:event("pbx", "Newchannel", channel(1), 1101) -- events are still told
    assert.equal(1, l:count "channel")
  end)

  it("give a call whose past is unknown nil for it, and never a guess", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = ONE })
    local call = l:find("pbx", "call", "100.1", 1010)
    assert.equal(900, call.started) -- Duration says so
    assert.is_true(call.incomplete)
    assert.is_nil(call.answered)
    assert.is_nil(call.talk)
    assert.is_nil(call.hold)
    assert.equal("1001", call.from)
  end)

  it("tell where to only of a call that is not up yet: the Exten of others may be a transfer's", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = {
      { "CoreShowChannel", channel(1, { Exten = "1009", BridgeId = "" }) }, { "CoreShowChannel", channel(2, { ChannelState = 4, BridgeId = "" }) },
      { "CoreShowChannel", channel(3, { BridgeId = "" }) },
    } })
    assert.is_nil(l:find("pbx", "call", "100.1").to)
    assert.equal("500", l:find("pbx", "call", "100.2").to)
    l:event("pbx", "Newexten", channel(1, { Exten = "1010", Extension = "1010", Application = "Dial" }), 1001)
    assert.is_nil(l:find("pbx", "call", "100.1").to)
    -- Its Newchannel was on its way: that says it.
    l:event("pbx", "Newchannel", channel(3, { ChannelState = 4, Exten = "300" }), 1001)
    assert.equal("300", l:find("pbx", "call", "100.3").to)
  end)

  -- The two calls become one; which survives?
  local function survivor(a, b)
    l:event("pbx", "BridgeEnter", channel(a, { BridgeUniqueid = "b9", BridgeType = "basic" }), 1200)
    l:event("pbx", "BridgeEnter", channel(b, { BridgeUniqueid = "b9", BridgeType = "basic", SwapUniqueid = "100." .. a }), 1200)
    return l:find("pbx", "call", "100." .. a).id
  end

  it("find calls that are older than those that began since, by whatever they are found", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(2), 1010)
    l:event("pbx", "Newstate", channel(1), 1020) -- nothing told of it before
    assert.equal("100.1", survivor(2, 1))
  end)

  it("find calls that are younger than those that were known before a gap", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(2), 1010)
    l:gap("pbx", 1100)
    l:event("pbx", "Newstate", channel(1), 1100)
    assert.equal("100.2", survivor(2, 1))
  end)

  it("know that a call goes on whose caller had gone before anybody looked", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = { { "CoreShowChannel", channel(2, { Linkedid = "100.1", BridgeId = "" }) } } })
    assert.equal("up", l:find("pbx", "call", "100.1").state)
  end)

  it("are awaited before a call ends that may have channels which began out of sight", function()
    local function after_gap(found)
      l:session("pbx", "13.0.0", 1000)
      serve(l, { CoreShowChannels = ONE })
      l:gap("pbx", 1100)
      l:event("pbx", "Hangup", channel(1, { Cause = 16 }), 1100.5)
      assert.equal(1, l:count "call")
      serve(l, { CoreShowChannels = found }, 1101)
    end
    after_gap { { "CoreShowChannel", channel(2, { Linkedid = "100.1", BridgeId = "" }) } }
    l:tick(1110)
    assert.equal("100.1", l:find("pbx", "call", "100.2").id)
    l:event("pbx", "Hangup", channel(2, { Linkedid = "100.1", Cause = 16 }), 1120)
    local ends = kinds(l:changes(), "^call%.ended$")
    assert.same({ "call.ended" }, ends)
    assert.equal(0, l:count "call")
    -- Nothing goes on: it ended when it did, reported a moment later.
    l:close()
    l = support.new()
    after_gap {}
    l:tick(1103)
    local ended = of(l:changes(), "call.ended")
    assert.equal(1100.5, ended.object.ended)
    assert.equal(0, l:count "call")
  end)

  it("free an agent whose AgentComplete was missed", function()
    local function member(in_call, status)
      return { { "QueueParams", { Queue = "support" } }, { "QueueMember", { Queue = "support", Name = "Anna", Location = "PJSIP/1002",
        StateInterface = "PJSIP/1002", Status = status, InCall = in_call, Paused = 0 } } }
    end
    l:session("pbx", "13.0.0", 1000)
    serve(l, { QueueStatus = member(0, 1) })
    l:event("pbx", "Newchannel", channel(1), 1001)
    l:event("pbx", "QueueCallerJoin", channel(1, { Queue = "support", Position = 1 }), 1001)
    local connect = channel(1, { Queue = "support", Interface = "PJSIP/1002", MemberName = "Anna" })
    for name, value in pairs(channel(2, { Linkedid = "100.1" })) do connect["Dest" .. name] = value end
    l:event("pbx", "AgentConnect", connect, 1002)
    assert.equal("busy", l:find("pbx", "agent", "PJSIP/1002").state)
    l:want("pbx", 1100)
    serve(l, { QueueStatus = member(1, 2), CoreShowChannels = ONE }, 1100)
    assert.equal("busy", l:find("pbx", "agent", "PJSIP/1002").state)
    assert.equal("100.1", l:find("pbx", "agent", "PJSIP/1002").call)
    l:gap("pbx", 1200)
    serve(l, { QueueStatus = member(0, 1), CoreShowChannels = ONE }, 1200)
    assert.equal("free", l:find("pbx", "agent", "PJSIP/1002").state)
    assert.is_nil(l:find("pbx", "agent", "PJSIP/1002").call)
  end)

  it("know that a call goes on without its caller, who was answered and hung up out of sight", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(1, { ChannelState = 4 }), 1010)
    l:event("pbx", "Newchannel", channel(2, { ChannelState = 0, Linkedid = "100.1" }), 1010)
    l:event("pbx", "DialBegin", { DestChannel = "PJSIP/1002-00000002", DestUniqueid = "100.2", DestLinkedid = "100.1", DestChannelState = 0,
      Channel = "PJSIP/1001-00000001", Uniqueid = "100.1", Linkedid = "100.1", ChannelState = 4, DialString = "1002" }, 1010)
    l:gap("pbx", 1100)
    local list = { { "CoreShowChannel", channel(2, { Linkedid = "100.1", BridgeId = "" }) } }
    serve(l, { CoreShowChannels = list }, 1100)
    serve(l, { CoreShowChannels = list }, 1102)
    assert.equal(1, l:count "channel")
    assert.equal("up", l:find("pbx", "call", "100.1").state)
    -- One of its channels was not seen to end, but it was.
    l:event("pbx", "Hangup", channel(2, { Linkedid = "100.1", Cause = 16 }), 1110)
    assert.not_equal("unseen", of(l:changes(), "call.ended").object.result)
  end)

  it("take a channel's own id for the youngest that it can have", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newstate", channel(2), 1000)
    l:event("pbx", "Newstate", channel(1), 1000)
    l:event("pbx", "BridgeEnter", channel(2, { Linkedid = "100.1", BridgeUniqueid = "b9", BridgeType = "basic" }), 1000)
    assert.equal("100.1", l:find("pbx", "call", "100.2").id)
    assert.equal("100.1", l:find("pbx", "channel", "100.2").linkedid)
  end)

  it("take the second in a bridge for the older one where nothing else says it (Q96)", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "BridgeEnter", channel(2, { BridgeUniqueid = "b9", BridgeType = "basic" }), 1000)
    l:event("pbx", "BridgeEnter", channel(1, { BridgeUniqueid = "b9", BridgeType = "basic" }), 1000)
    assert.equal("100.1", l:find("pbx", "call", "100.2").id)
  end)

  it("say which of two that are found is the older one", function()
    l:session("pbx", "13.0.0", 1000)
    l:event("pbx", "Newstate", channel(2), 1000)
    serve(l, { CoreShowChannels = {
      { "CoreShowChannel", channel(2, { Duration = "00:00:10", BridgeId = "" }) }, { "CoreShowChannel", channel(1, { Duration = "00:00:20", BridgeId = "" }) },
    } })
    assert.equal("100.1", survivor(2, 1))
  end)

  it("may be quicker than the Newchannel of a call: it is no older for that", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(2), 1010)
    l:want("pbx", 1100)
    serve(l, { CoreShowChannels = { { "CoreShowChannel", channel(2, { BridgeId = "" }) }, { "CoreShowChannel", channel(1, { BridgeId = "" }) } } }, 1100)
    l:event("pbx", "Newchannel", channel(1, { ChannelState = 4 }), 1100.1)
    assert.equal("100.2", survivor(2, 1))
  end)

  it("end the registration of a phone that is not among the contacts, whatever its device state said meanwhile", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { PJSIPShowContacts = { { "ContactList", { Endpoint = "1001", Status = "NonQualified", Uri = "sip:1001@192.0.2.1" } } } })
    assert.is_true(l:find("pbx", "endpoint", "PJSIP/1001").registered)
    l:want("pbx", 1100)
    serve(l, { PJSIPShowContacts = function()
      l:event("pbx", "DeviceStateChange", { Device = "PJSIP/1001", State = "UNAVAILABLE" }, 1100.5)
      return {}
    end }, 1100)
    assert.is_false(l:find("pbx", "endpoint", "PJSIP/1001").registered)
  end)

  it("keep what a list lacks until a second one lacks it too", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = ONE })
    l:changes()
    l:gap("pbx", 1100)
    assert.is_true(l:find("pbx", "call", "100.1").incomplete)
    serve(l, {}, 1100)
    assert.equal(1, l:count "channel") -- suspected
    assert.equal(1102, l:deadline())
    assert.is_nil(l:request(1101.9))
    assert.is_true(l:begin("pbx", "CoreShowChannels", 1101.9)) -- a list of somebody else, too early to be the second
    l:answer("pbx", "answered", {})
    assert.equal(1, l:count "channel")
    assert.same({ "CoreShowChannels" }, serve(l, {}, 1103.9))
    assert.equal(0, l:count "channel")
    local ended = of(l:changes(), "call.ended")
    assert.equal("unseen", ended.object.result)
    assert.is_true(ended.resync)
    assert.equal(1, l:stats("pbx").unseen)
  end)

  it("do not end what an event names meanwhile, nor what began after the list", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = ONE })
    l:gap("pbx", 1100)
    serve(l, {}, 1100)
    l:event("pbx", "NewConnectedLine", channel(1), 1101)
    l:event("pbx", "Newchannel", channel(2), 1101)
    serve(l, {}, 1102)
    assert.equal(2, l:count "channel")
    serve(l, {}, 1104) -- the second list behind the last event lacks them too
    assert.equal(0, l:count "channel")
  end)

  it("take events behind a list as replays of it: idempotent, counted once, no new snapshot", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, {
      CoreShowChannels = { { "CoreShowChannel", channel(1, { Application = "Queue", Duration = "00:00:01", BridgeId = "" }) } },
      QueueStatus = {
        { "QueueParams", { Queue = "support", Strategy = "ringall", Max = 5 } },
        { "QueueMember", { Queue = "support", Name = "Anna", Location = "PJSIP/2001", Status = 1, Paused = 0, CallsTaken = 3, Penalty = 0 } },
        { "QueueEntry", { Queue = "support", Position = 1, Channel = "PJSIP/1001-00000001", Uniqueid = "100.1", Wait = 7 } },
      },
    })
    assert.equal(993, l:find("pbx", "queue", "support").waiting[1].since)
    l:changes()
    l:event("pbx", "Newchannel", channel(1, { ChannelState = 4 }), 1000.1)
    l:event("pbx", "QueueCallerJoin", channel(1, { Queue = "support", Position = 1, Count = 1 }), 1000.2)
    l:event("pbx", "BridgeLeave", channel(3, { BridgeUniqueid = "b1", BridgeType = "basic" }), 1000.3)
    assert.same({}, kinds(l:changes(), "^queue%.joined"))
    local queue = l:find("pbx", "queue", "support")
    assert.equal(1, queue.count)
    assert.equal(0, queue.offered) -- it was offered before we looked
    assert.equal(0, l:stats("pbx").contradictions)
  end)

  it("are asked for when an event contradicts the picture, at most once in resync_every", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "BridgeLeave", channel(7, { BridgeUniqueid = "b1", BridgeType = "basic" }), 1010)
    assert.equal(1, l:count "channel") -- it is there, what went before is unknown
    assert.is_true(l:find("pbx", "call", "100.7").incomplete)
    assert.is_true(l:stats("pbx").contradictions > 0)
    assert.is_nil(l:request(1010))
    assert.equal("CoreShowChannels", l:request(1060).action)
  end)

  it("put right what was missed: bridges, order, members, states", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    for i = 1, 3 do
      l:event("pbx", "Newchannel", channel(i, { ChannelState = 4 }), 1010)
      l:event("pbx", "QueueCallerJoin", channel(i, { Queue = "support", Position = i }), 1010)
    end
    l:gap("pbx", 1100)
    local function entry(n, position)
      return { "QueueEntry", { Queue = "support", Position = position, Channel = ("PJSIP/%d-%08x"):format(1000 + n, n), Uniqueid = "100." .. n, Wait = 90 } }
    end
    serve(l, {
      CoreShowChannels = {
        { "CoreShowChannel", channel(1, { BridgeId = "b1" }) }, { "CoreShowChannel", channel(2, { BridgeId = "" }) },
        { "CoreShowChannel", channel(3, { BridgeId = "" }) },
      },
      BridgeList = { { "BridgeListItem", { BridgeUniqueid = "b1", BridgeType = "basic", BridgeTechnology = "simple_bridge", BridgeNumChannels = 1 } } },
      QueueStatus = { { "QueueParams", { Queue = "support" } }, entry(3, 1), entry(2, 2) },
    }, 1100)
    serve(l, {}, 1100.5)
    local waiting = l:find("pbx", "queue", "support").waiting
    assert.equal("100.3 100.2", waiting[1].uniqueid .. " " .. waiting[2].uniqueid)
    assert.equal("b1", l:find("pbx", "channel", "100.1").bridge)
    assert.equal("up", l:find("pbx", "channel", "100.1").state)
    l:event("pbx", "NewConnectedLine", channel(1), 1101) -- all are alive
    l:event("pbx", "NewConnectedLine", channel(2), 1101)
    l:event("pbx", "NewConnectedLine", channel(3), 1101)
    serve(l, { QueueStatus = { { "QueueParams", { Queue = "support" } }, entry(3, 1), entry(2, 2) } }, 1102)
    assert.equal(2, l:find("pbx", "queue", "support").count)
    local left = of(l:changes(), "queue.left")
    assert.equal("unseen", left.reason)
    assert.equal("100.1", left.object.uniqueid)
  end)

  it("ask for the channels of a bridge whose number disagrees", function()
    l:session("pbx", "13.0.0", 1000)
    local asked
    serve(l, {
      CoreShowChannels = { { "CoreShowChannel", channel(1) } },
      BridgeList = { { "BridgeListItem", { BridgeUniqueid = "b1", BridgeType = "basic", BridgeTechnology = "simple_bridge", BridgeNumChannels = 1 } } },
      BridgeInfo = function(request)
        asked = request.BridgeUniqueid
        return { { "BridgeInfoChannel", channel(1) } }
      end,
    })
    assert.equal("b1", asked)
    assert.equal("b1", l:find("pbx", "channel", "100.1").bridge)
  end)

  it("ask for the members of each room, also where the room's name is odd", function()
    l:session("pbx", "13.0.0", 1000)
    local asked = {}
    serve(l, {
      CoreShowChannels = { { "CoreShowChannel", channel(1) } },
      ConfbridgeListRooms = {
        { "ConfbridgeListRooms", { Conference = "8600", Parties = 1, Marked = 2, Locked = "Yes", Muted = "No" } },
        { "ConfbridgeListRooms", { Conference = "team: a", Parties = 1, Marked = 0, Locked = "No", Muted = "No" } },
      },
      ConfbridgeList = function(request)
        asked[#asked + 1] = request.Conference
        return { { "ConfbridgeList", { Conference = request.Conference, Channel = "PJSIP/1001-00000001", Uniqueid = "100.1", Admin = "Yes", MarkedUser = "Yes", Muted = "No" } } }
      end,
    })
    assert.same({ "8600", "team: a" }, asked)
    local room = l:find("pbx", "conference", "8600")
    assert.is_true(room.locked)
    assert.equal(2, room.marked)
  end)

  it("query a channel that nothing has named for `doubt` seconds by itself", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(1), 1010)
    l:event("pbx", "Newchannel", channel(2), 1010)
    l:event("pbx", "NewConnectedLine", channel(2), 1500)
    assert.equal(1610, l:deadline())
    local asked = {}
    local names = serve(l, {
      Status = function(request)
        asked[#asked + 1] = request.Channel
        return { Message = "No such channel" }
      end,
    }, 1610)
    assert.same({ "Status" }, names)
    assert.same({ "PJSIP/1001-00000001" }, asked)
    assert.equal(1, l:count "channel")
    assert.equal("unseen", of(l:changes(), "call.ended").object.result)
    -- One that is there is believed for as long again.
    serve(l, { Status = { { "Status", channel(2) } } }, 2100)
    assert.equal(1, l:count "channel")
    assert.equal(2700, l:deadline())
    assert.equal(2, l:stats("pbx").doubts)
  end)

  it("end all calls at once when FullyBooted tells of a restart", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(1), 1010)
    l:lost("pbx", 1020)
    assert.equal("none", (l:state "pbx"))
    assert.equal(1, l:count "call") -- still shown
    l:session("pbx", "13.0.0", 1030)
    l:changes()
    l:event("pbx", "FullyBooted", { Uptime = 5, LastReload = 5, Status = "Fully Booted" }, 1031)
    local ended = of(l:changes(), "call.ended")
    assert.equal("unseen", ended.object.result)
    assert.equal(1020, ended.object.ended) -- when it was last heard of
    assert.equal(0, l:count "channel")
  end)

  it("keep calls over a cut of the network alone", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(1), 1010)
    l:lost("pbx", 1020)
    l:session("pbx", "13.0.0", 1030)
    l:event("pbx", "FullyBooted", { Uptime = 5000, LastReload = 5 }, 1031)
    serve(l, { CoreShowChannels = ONE })
    assert.equal(1, l:count "call")
    assert.equal("1001", l:find("pbx", "call", "100.1").from)
  end)

  it("end everything when a server stays away for `doubt` seconds", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    l:event("pbx", "Newchannel", channel(1), 1010)
    l:event("pbx", "QueueMemberAdded", { Queue = "support", Interface = "PJSIP/2001", MemberName = "Anna", Status = 1, Paused = 0 }, 1010)
    l:event("pbx", "DeviceStateChange", { Device = "PJSIP/2001", State = "INUSE" }, 1010)
    l:lost("pbx", 1020)
    assert.equal(1620, l:deadline())
    l:tick(1620)
    for _, kind in ipairs { "channel", "call", "queue", "agent", "endpoint" } do assert.equal(0, l:count(kind)) end
  end)

  it("end many of them in several steps, so that no step takes long", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    for n = 1, 2500 do l:event("pbx", "Newchannel", channel(n), 1010) end
    l:lost("pbx", 1020)
    local left = {}
    repeat
      assert.is_true(l:deadline() <= 1620)
      l:tick(1620)
      left[#left + 1] = l:count "channel"
    until not l:deadline()
    assert.same({ 1500, 500, 0 }, { table.unpack(left, 1, 3) })
    assert.is_true(#left < 8)
    assert.equal(0, l:count "call")
  end)

  it("end in several steps what a server had that is removed, while another one of its name may begin", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l)
    for n = 1, 1500 do
      l:event("pbx", "Newchannel", channel(n), 1010)
      l:event("pbx", "DeviceStateChange", { Device = "PJSIP/" .. n, State = "INUSE" }, 1010)
    end
    l:event("pbx", "QueueMemberAdded", { Queue = "support", Interface = "PJSIP/2001", MemberName = "Anna", Status = 1, Paused = 0 }, 1010)
    l:changes()
    l:leave("pbx", 1020)
    l:server "pbx"
    assert.is_nil(l:find("pbx", "channel", "100.1"))
    local left, ended = {}, 0
    repeat
      assert.equal(1020, l:deadline())
      local before = l:count "channel" + l:count "endpoint" + l:count "queue"
      l:tick(1020)
      left[#left + 1] = l:count "channel" + l:count "endpoint" + l:count "queue"
      assert.is_true(before - left[#left] <= 1001) -- and a queue
      for _, change in ipairs(l:changes()) do ended = ended + (change.kind == "call.ended" and 1 or 0) end
    until left[#left] == 0
    assert.is_true(#left >= 4)
    assert.equal(1500, ended)
    assert.equal(0, l:count "call" + l:count "agent")
  end)

  it("of a list that fails leave that part unknown, and the rest is asked for", function()
    l:session("pbx", "13.0.0", 1000)
    serve(l, { CoreShowChannels = "failed" })
    assert.same({ "partial", { "channels" } }, { l:state "pbx" })
    l:want("pbx", 1060)
    serve(l, {}, 1060)
    assert.same({ "full", {} }, { l:state "pbx" })
  end)

  it("are asked of so many servers at once, in turn", function()
    l:close()
    l = support.new { snapshots_in_flight = 2 }
    for i = 1, 5 do
      l:server("p" .. i)
      l:session("p" .. i, "13.0.0", 1000)
    end
    local first, second = l:request(1000), l:request(1000)
    assert.not_equal(first.server, second.server)
    assert.is_nil(l:request(1000))
    l:answer(first.server, "answered", { CoreShowChannels = "x" })
    local third = l:request(1000)
    assert.equal(first.server, third.server) -- it goes on
    l:answer(first.server, "answered", {})
    local other = l:request(1000)
    assert.is_true(other.server ~= first.server and other.server ~= second.server)
    l:lost(other.server, 1001) -- a lost session gives its place back
    assert.is_truthy(l:request(1001))
  end)

  it("of the traffic of real phones equal the truth from the first list on", function()
    local truth = support.truth "s08-13"
    local actions = {
      CoreShowChannel = "CoreShowChannels", BridgeListItem = "BridgeList", BridgeInfoChannel = "BridgeInfo", QueueParams = "QueueStatus",
      PeerEntry = "SIPpeers", DeviceStateChange = "DeviceStateList", ParkedCallsComplete = "ParkedCalls",
    }
    local faults, marks, ready, open = {}, 0, false, nil
    l:session("pbx", "2.10.6", 1795268500)
    support.play(l, "s08-13-late", truth, nil, function(_, mark, number)
      if not ready then return end
      marks = marks + 1
      support.compare(l, mark, number, faults)
    end, {
      prime = false,
      decide = function(fields)
        local id = fields.action_id
        if not id:find "^tape" then return nil end
        if fields.kind == "response" then
          return "skip"
        end
        local list = actions[fields.name]
        if list and list ~= open then
          if list == "BridgeInfo" then return "skip" end -- their channels are known
          open = list
          assert.is_true(l:begin("pbx", list))
        end
        if support.header(fields, "EventList") == "Complete" then
          if fields.name == "BridgeInfoComplete" then return "skip" end
          open = nil
          ready = ready or fields.name == "PeerlistComplete"
          return "answered"
        end
        return "item"
      end,
    })
    assert.same({}, faults)
    assert.is_true(marks >= 10)
    assert.equal(0, l:count "channel")
    assert.equal(0, l:count "call")
  end)
end)
