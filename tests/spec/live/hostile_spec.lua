-- What no well-behaved server sends: the picture stays bounded, says what it does not know, and nothing stays for ever.
local support = dofile "tests/spec/live/support.lua"
local hookswitch = require "hookswitch"

local function headers(n, more)
  local h = {
    Channel = ("PJSIP/%d-%08x"):format(1000 + n % 500, n), Uniqueid = "9." .. n, Linkedid = "9." .. n, ChannelState = 4, CallerIDNum = 1000 + n % 500,
    Exten = "500", Context = "phones", AccountCode = "a" .. n % 7,
  }
  for name, value in pairs(more or {}) do h[name] = value end
  return h
end

-- The frames of a capture, in wire order.
local function frames_of(name)
  local frames = {}
  for frame in support.read(name .. ".ami"):gmatch "(.-\r\n)\r\n" do
    if frame:find "^Event: " then frames[#frames + 1] = frame .. "\r\n" end
  end
  return frames
end

local function nothing_remains(l, now)
  for _ = 1, 3 do
    for _, c in ipairs(l:walk "channel") do l:event("pbx", "Hangup", { Channel = c.name, Uniqueid = c.uniqueid, Cause = 16 }, now) end
  end
  now = now + 11
  l:tick(now)
  assert.equal(0, l:count "channel")
  assert.equal(0, l:count "call")
  for _, b in ipairs(l:walk "bridge") do assert.equal(0, b.count) end
  for _, q in ipairs(l:walk "queue") do assert.equal(0, q.count) end
  for _, c in ipairs(l:walk "conference") do assert.equal(0, c.count) end
  for _, lot in ipairs(l:walk "lot") do assert.equal(0, lot.count) end
end

-- Every call that is reported begins once and ends once.
local function balanced(changes)
  local open, count = {}, 0
  for _, change in ipairs(changes) do
    if change.kind == "call.started" then
      assert.is_nil(open[change.object.id])
      open[change.object.id] = true
    elseif change.kind == "call.ended" then
      assert.is_true(open[change.object.id])
      open[change.object.id] = nil
      count = count + 1
    end
  end
  assert.is_nil(next(open))
  return count
end

describe("the live picture under bad input", function()
  for _, name in ipairs { "s02", "s03", "s04", "s05", "s06" } do
    it("survives the events of " .. name .. " in any order, twice, and with holes", function()
      math.randomseed(7)
      for round = 1, 4 do
        local frames, l = frames_of(name), support.new()
        local reach = ({ 3, 40, #frames, #frames })[round] -- how far an event may move
        for i = #frames, 2, -1 do
          local j = math.max(1, i - math.random(0, reach))
          frames[i], frames[j] = frames[j], frames[i]
        end
        l:session("pbx", "13.0.0", 1795268000)
        for i, frame in ipairs(frames) do
          if round < 3 or i % 7 ~= 0 then l:feed("pbx", frame) end
          if round == 4 and i % 3 == 0 then l:feed("pbx", frames[math.random(1, i)]) end
        end
        nothing_remains(l, 1795270000)
        assert.is_true(balanced(l:changes()) > 0)
        l:close()
      end
    end)
  end

  it("keeps few of the texts that nobody bears any more, and finds them again", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    for n = 1, 3000 do
      l:event("pbx", "Newchannel", headers(n, { AccountCode = "account-" .. n, CallerIDName = "name " .. n }), 100 + n)
      assert.same({ "account-" .. n, "9." .. n }, { l:walk "channel"[1].account, l:walk "call"[1].id })
      l:event("pbx", "Hangup", headers(n, { Cause = 16 }), 100 + n)
      l:tick(100 + n)
    end
    l:tick(3200)
    local stats = l:stats "pbx"
    assert.equal(64, stats.idle_texts)
    assert.is_true(stats.texts <= 500 + 10, stats.texts) -- the endpoints' names
    l:close()
  end)

  it("ignores events without ids, and with ids of no channel", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    for _, event in ipairs {
      "Newchannel", "Newstate", "Hangup", "BridgeEnter", "BridgeLeave", "BridgeCreate", "BridgeDestroy", "DialBegin", "DialEnd", "QueueCallerJoin",
      "QueueCallerLeave", "QueueCallerAbandon", "QueueMemberStatus", "AgentConnect", "AgentComplete", "ParkedCall", "UnParkedCall", "Pickup", "BlindTransfer",
      "AttendedTransfer", "LocalBridge", "ConfbridgeJoin", "ConfbridgeLeave", "DeviceStateChange", "ContactStatus", "PeerStatus", "VarSet", "Hold",
      "OriginateResponse", "Masquerade", "Rename", "Dial", "Bridge", "MessageWaiting", "HangupRequest",
    } do
      l:event("pbx", event, {})
      l:event("pbx", event, { Uniqueid = "", Channel = "", Queue = "", BridgeUniqueid = "", Device = "", Conference = "", Interface = "" })
    end
    for _, kind in ipairs { "channel", "call", "bridge", "queue", "agent", "endpoint", "conference" } do assert.equal(0, l:count(kind)) end
    l:close()
  end)

  it("takes hostile names as they are, and refuses ids that are too long", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    local odd = "PJSIP/\1\255%s%n-'\";<>|&$()-00000001"
    l:event("pbx", "Newchannel", headers(1, { Channel = odd, Uniqueid = "a\0b", Linkedid = "a\0b", CallerIDName = ("x"):rep(5000) }))
    local channel = l:find("pbx", "channel", odd)
    assert.equal("a\0b", channel.uniqueid)
    assert.equal(255, #channel.caller_name)
    assert.equal("a\0b", l:find("pbx", "call", odd).id)
    local long = ("y"):rep(256)
    l:event("pbx", "Newchannel", headers(2, { Uniqueid = long, Linkedid = long }))
    l:event("pbx", "Newchannel", headers(3, { Channel = "PJSIP/" .. long }))
    l:event("pbx", "Newchannel", headers(4, { Linkedid = long }))
    l:event("pbx", "QueueMemberAdded", { Queue = long, Interface = "PJSIP/1" })
    l:event("pbx", "DeviceStateChange", { Device = long, State = "INUSE" })
    assert.equal(2, l:count "channel") -- the fourth has no call that fits, or its own
    assert.is_true(l:stats("pbx").overflow.channel >= 2)
    assert.equal(1, l:stats("pbx").overflow.queue)
    nothing_remains(l, 101)
    l:close()
  end)

  it("ends what bore a name or id that returns", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    l:event("pbx", "Newchannel", headers(1))
    l:event("pbx", "Newchannel", headers(1, { Uniqueid = "9.77", Linkedid = "9.77" })) -- the name again: a restart that nobody told
    assert.equal(1, l:count "channel")
    assert.equal("9.77", l:walk("channel")[1].uniqueid)
    l:event("pbx", "Newchannel", headers(1, { Uniqueid = "9.77", Linkedid = "9.77" })) -- twice born
    assert.equal(1, l:count "channel")
    local results = {}
    for _, change in ipairs(l:changes()) do
      if change.kind == "call.ended" then results[#results + 1] = change.object.result end
    end
    assert.same({ "unseen", "unseen" }, results)
    -- An id that hung up a moment ago returns with a Newchannel, and with nothing else.
    l:event("pbx", "Hangup", headers(1, { Uniqueid = "9.77", Cause = 16 }))
    l:event("pbx", "NewCallerid", headers(1, { Uniqueid = "9.77" }))
    l:event("pbx", "BridgeEnter", headers(1, { Uniqueid = "9.77", BridgeUniqueid = "b", BridgeType = "basic" }))
    assert.equal(0, l:count "channel")
    l:event("pbx", "Newchannel", headers(1, { Uniqueid = "9.77", Linkedid = "9.77" }))
    assert.equal(1, l:count "channel")
    l:close()
  end)

  it("keeps to its limits, reports what does not fit, and is partial until a snapshot fits", function()
    local l = support.new { channels = 10, queues = 1, members = 2, agents = 1, endpoints = 3, bridges = 1, conferences = 1, parked = 1 }
    l:session("pbx", "13.0.0", 100)
    local function serve(now)
      for request in function() return l:request(now) end do l:answer("pbx", "answered", { [request.action] = "x" }) end
    end
    local request = l:request(100)
    assert.equal("ListCommands", request.action)
    l:answer("pbx", "answered", {
      CoreShowChannels = "x", BridgeList = "x", QueueStatus = "x", DeviceStateList = "x", SIPpeers = "x", ParkedCalls = "x", ConfbridgeListRooms = "x", Status = "x",
    })
    serve(100)
    assert.equal("full", (l:state "pbx"))
    for n = 1, 50 do
      l:event("pbx", "Newchannel", headers(n), 110)
      l:event("pbx", "BridgeCreate", { BridgeUniqueid = "b" .. n, BridgeType = "basic" })
      l:event("pbx", "QueueMemberAdded", { Queue = "q" .. n % 5, Interface = "PJSIP/" .. n, Status = 1 })
      l:event("pbx", "ConfbridgeStart", { Conference = "r" .. n })
      l:event("pbx", "ParkedCall", { ParkeeChannel = "PJSIP/1001-00000001", ParkeeUniqueid = "9.1", Parkinglot = "lot" .. n, ParkingSpace = n })
    end
    assert.equal(10, l:count "channel")
    for kind, limit in pairs { bridge = 1, queue = 1, agent = 1, endpoint = 3, conference = 1, lot = 1 } do assert.equal(limit, l:count(kind)) end
    assert.equal("partial", (l:state "pbx"))
    l:tick(111)
    local told, total = 0, 0
    for _, change in ipairs(l:changes()) do
      if change.kind == "live.overflow" then
        told = told + 1
        total = total + change.count
      end
    end
    assert.equal(1, told)
    assert.equal(0, l:stats("pbx").overflow.call)
    local sum = 0
    for _, n in pairs(l:stats("pbx").overflow) do sum = sum + n end
    assert.equal(sum, total)
    nothing_remains(l, 120)
    l:want("pbx", 200)
    serve(200)
    assert.equal("full", (l:state "pbx"))
    l:close()
  end)

  it("gives a list that never ends back to its server's session, and goes on with the others", function()
    local l = support.new()
    l:server "other"
    l:session("pbx", "13.0.0", 100)
    l:session("other", "13.0.0", 100)
    local first = l:request(100)
    for n = 1, 1000 do l:item(first.server, "CoreShowChannel", headers(n)) end
    local second = l:request(100)
    assert.not_equal(first.server, second.server)
    assert.is_nil(l:request(5000)) -- both are open; it is the engine's deadline that ends them
    l:answer(first.server, "failed")
    assert.equal(first.server, l:request(5000).server)
    l:close()
  end)

  it("believes the newer of two lists that contradict each other", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    l:begin("pbx", "CoreShowChannels")
    l:item("pbx", "CoreShowChannel", headers(1, { BridgeId = "b1", ChannelState = 6 }))
    l:item("pbx", "CoreShowChannel", headers(1, { BridgeId = "b2", ChannelState = 6 }))
    l:item("pbx", "CoreShowChannel", headers(1, { Channel = "PJSIP/9-00000001", BridgeId = "", ChannelState = 5 }))
    l:answer("pbx", "answered", {})
    assert.equal(1, l:count "channel")
    local channel = l:find("pbx", "channel", "9.1")
    assert.is_nil(channel.bridge)
    assert.equal("ringing", channel.state)
    assert.equal("PJSIP/9-00000001", channel.name)
    assert.is_nil(l:find("pbx", "channel", "PJSIP/1001-00000001"))
    l:close()
  end)

  it("merges three hundred calls into one, by ids that say so in a circle", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    for n = 1, 300 do l:event("pbx", "Newchannel", headers(n)) end
    assert.equal(300, l:count "call")
    for n = 1, 300 do l:event("pbx", "NewConnectedLine", headers(n, { Linkedid = "9." .. n % 300 + 1 })) end
    assert.equal(1, l:count "call")
    assert.equal("9.1", l:walk("call")[1].id)
    assert.equal(300, #l:walk("call")[1].channels)
    assert.equal("9.1", l:find("pbx", "call", "9.277").id) -- all ids are kept
    nothing_remains(l, 101)
    assert.is_nil(l:find("pbx", "call", "9.277"))
    assert.equal(300, balanced(l:changes()))
    l:close()
  end)

  it("holds 100,000 channels, and an event costs what it costs with 1,000", function()
    local function cost(count)
      local l = support.new()
      l:session("pbx", "13.0.0", 100)
      l:deaf(true)
      for n = 1, count do l:event("pbx", "Newchannel", headers(n)) end
      local prepared = {}
      for i = 1, 4000 do prepared[i] = headers(i * 7919 % count + 1, { ConnectedLineNum = i }) end
      local best = math.huge
      for _ = 1, 5 do
        local from = os.clock()
        for i = 1, 4000 do l:event("pbx", "NewConnectedLine", prepared[i]) end
        best = math.min(best, os.clock() - from)
      end
      l:close()
      return best
    end
    local small, large = cost(1000), cost(100000)
    assert.is_true(large < small * 3, ("4,000 events take %.4f s, not %.4f"):format(large, small))
  end)

  it("looks at no object but those that an index holds, among 30,000", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    l:deaf(true)
    for n = 1, 30000 do l:event("pbx", "Newchannel", headers(n)) end
    for n = 10000, 10004 do l:event("pbx", "Newexten", headers(n, { Application = "Queue", AppData = "support,t" })) end
    local function looked(fn, ...)
      local before = l:stats("pbx").walked
      local got = fn(l, ...)
      return l:stats("pbx").walked - before, got
    end
    assert.same({ 0, 30000 }, { looked(l.count, "call", { state = "new" }) })
    assert.same({ 0, 5 }, { looked(l.count, "call", { queue = "support" }) })
    assert.same({ 0, 0 }, { looked(l.count, "call", { agent = "PJSIP/1" }) })
    assert.same({ 0, 30000 }, { looked(l.count, "channel") })
    assert.equal(0, (looked(l.find, "pbx", "call", "9.20000")))
    assert.equal(0, (looked(l.find, "pbx", "call", headers(20000).Channel)))
    assert.equal(0, (looked(l.find, "pbx", "channel", "9.20000")))
    local steps, calls = looked(l.walk, "call", { queue = "support" })
    assert.same({ 5, 5 }, { steps, #calls })
    steps, calls = looked(l.walk, "call", { state = "new", account = "a5", queue = "support" })
    assert.equal(5, steps)
    assert.is_true(#calls > 0 and #calls < 5)
    assert.equal(30000, (looked(l.walk, "call", { from = "nobody" }))) -- no index helps
    l:close()
  end)

  it("keeps a call with three channels in 2 KiB", function()
    local l = support.new()
    l:session("pbx", "13.0.0", 100)
    l:deaf(true)
    local function call(n)
      for leg = 0, 2 do
        l:event("pbx", "Newchannel", headers(n * 3 + leg, { Linkedid = "9." .. n * 3, ChannelState = leg == 0 and 4 or 0, CallerIDName = "Person " .. n % 100 }))
      end
    end
    for n = 1, 1000 do call(n) end
    local before = hookswitch.live.memory()
    for n = 1001, 11000 do call(n) end
    local each = (hookswitch.live.memory() - before) / 10000
    assert.is_true(each <= 2048, ("%.0f bytes"):format(each))
    l:close()
  end)

  it("gives all memory back", function()
    local function life()
      local l = support.new()
      l:session("pbx", "13.0.0", 100)
      for n = 1, 3000 do l:event("pbx", "Newchannel", headers(n, { Linkedid = "9." .. n // 3 })) end
      l:changes()
      nothing_remains(l, 200)
      l:changes()
      local left = hookswitch.live.memory()
      l:close()
      return left
    end
    life()
    local before = hookswitch.live.memory()
    life()
    assert.is_true(hookswitch.live.memory() - before < 200000)
  end)
end)
