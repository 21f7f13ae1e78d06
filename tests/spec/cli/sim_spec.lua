local h = require "tests.spec.helper"

local LOGIN = [[
expect Asterisk Call Manager/
send Action: Login\r\nActionID: login\r\nUsername: operator\r\nSecret: wombat-4711\r\n\r\n
expect ActionID: login\r\nMessage: Authentication accepted\r\n\r\n
]]

-- The frames of what a server sent, each { name = value } of the first values, with `lines`.
local function frames(text)
  local all = {}
  for block in text:gsub("^Asterisk[^\r]*\r\n", ""):gmatch "(.-)\r\n\r\n" do
    local frame = { lines = {} }
    for line in (block .. "\r\n"):gmatch "(.-)\r\n" do
      local name, value = line:match "^([^:]+): ?(.*)$"
      frame.lines[#frame.lines + 1] = line
      if name and frame[name] == nil then frame[name] = value end
    end
    if #frame.lines > 0 then all[#all + 1] = frame end
  end
  return all
end

-- The frame that answers this ActionID.
local function answer(all, id)
  for _, frame in ipairs(all) do
    if frame.Response and not frame.Event and frame.ActionID == id then return frame end
  end
end

-- Names of the events with that header's value, in their order.
local function events(all, header, value)
  local names = {}
  for _, frame in ipairs(all) do
    if frame.Event and (not header or frame[header] == value) then names[#names + 1] = frame.Event end
  end
  return names
end

-- Plays a script after a login; all frames.
local function talk(sim, script)
  local text = h.client(sim, LOGIN .. script .. "\nsend Action: Logoff\\r\\n\\r\\n\nhold")
  return frames(text)
end

describe("the simulated Asterisk", function()
  after_each(h.cleanup)

  it("says where it listens, and ends with 0 when it is asked to", function()
    for _, signal in ipairs { "TERM", "INT" } do
      local sim = h.sim()
      assert.truthy(sim:stdout():find("listening on 127.0.0.1:" .. sim.port .. "\n", 1, true))
      sim:signal(signal)
      assert.equal(0, sim:ended())
    end
    assert.equal(0, (h.run("sim", "--listen", "127.0.0.1:0", "--duration", "0.05")))
  end)

  it("refuses what it cannot do in one line: a port in use, an address that is not here, values that mean nothing", function()
    local sim = h.sim()
    local code, _, err = h.run("sim", "--listen", "127.0.0.1:" .. sim.port)
    assert.equal(1, code)
    assert.truthy(err:find(tostring(sim.port), 1, true) and err:find("use", 1, true), err)
    assert.equal(1, (h.run("sim", "--listen", "127.0.0.1:0", "--play", h.folder() .. "/none", "--duration", "1")))
    for _, how in ipairs { { "--listen", "nowhere" }, { "--rate", "-1" }, { "--events", "x" }, { "--ami-version", "new" }, { "--speed", "0" } } do
      code, _, err = h.run("sim", how[1], how[2])
      assert.equal(2, code)
      assert.truthy(err:find(how[1], 1, true), err)
    end
  end)

  it("hides the secret in its own arguments", function()
    local sim = h.sim()
    assert.falsy(h.read("/proc/" .. sim.pid .. "/cmdline"):find(h.SECRET, 1, true))
  end)

  it("takes a plain login, boots fully and says goodbye", function()
    local all = talk(h.sim(), [[send Action: Ping\r\nActionID: p\r\n\r\n
expect Ping: Pong]])
    assert.equal("Success", answer(all, "login").Response)
    assert.equal("FullyBooted", events(all)[1])
    assert.equal("Pong", answer(all, "p").Ping)
    assert.equal("Goodbye", all[#all].Response)
  end)

  it("takes an MD5 login", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.sim(), { auth = "md5" }) } }
    daemon:ready "pbx1"
  end)

  it("lets a wrong secret wait, refuses it and closes", function()
    local began = h.now()
    local text, closed = h.client(h.sim(), [[
expect Asterisk Call Manager/
send Action: Login\r\nActionID: 1\r\nUsername: operator\r\nSecret: wrong\r\n\r\n
hold]])
    local refused = answer(frames(text), "1")
    assert.equal("Error", refused.Response)
    assert.equal("Authentication failed", refused.Message)
    assert.is_true(closed)
    assert.is_true(h.now() - began >= 0.9)
  end)

  it("answers as Asterisk does before a login, to unknown actions and to messages that it cannot read", function()
    local sim = h.sim()
    local text = h.client(sim, [[
expect Asterisk Call Manager/
send Action: Ping\r\nActionID: 1\r\n\r\n
expect ActionID: 1\r\n]])
    assert.truthy(text:find("Permission denied", 1, true))
    local all = talk(sim, [[
send Action: Nosuch\r\nActionID: 2\r\n\r\n
expect ActionID: 2\r\n
send Action: Ping\r\nLong: ]] .. ("x"):rep(1100) .. [[\r\n\r\n
expect line too long
send Action: Ping\r\n]] .. ("H: 1\\r\\n"):rep(130) .. [[\r\n
expect Too many lines
send Action: Login\r\nActionID: 3\r\nUsername: operator\r\nSecret: wombat-4711\r\n\r\n
expect Already authenticated]])
    assert.truthy(answer(all, "2").Message:find("Invalid/unknown command: Nosuch", 1, true))
    assert.equal("Success", answer(all, "3").Response)
  end)

  it("lives a call of Originate through its events, and answers it when it is decided", function()
    local all = talk(h.sim("--speed", "10"), [[
send Action: Originate\r\nActionID: 4\r\nChannel: Local/100@default\r\nContext: default\r\nExten: 100\r\nPriority: 1\r\nAsync: true\r\n\r\n
expect Event: Hangup
expect \r\n\r\n]])
    assert.equal("Success", answer(all, "4").Response)
    local decided
    for _, frame in ipairs(all) do if frame.Event == "OriginateResponse" then decided = frame end end
    assert.equal("4", decided.ActionID)
    assert.equal("Success", decided.Response)
    local names = table.concat(events(all, "Uniqueid", decided.Uniqueid), " ")
    assert.truthy(names:find "^Newchannel .*Newstate .*VarSet .*Hangup", names)
  end)

  it("fails calls as they are dialled: busy, congested, nobody there", function()
    local script = {}
    local wanted = { ["102"] = "5", ["103"] = "8", nosuch = "0" }
    for number in pairs(wanted) do
      script[#script + 1] = ([[send Action: Originate\r\nActionID: o%s\r\nChannel: PJSIP/%s\r\nContext: default\r\nExten: 100\r\nPriority: 1\r\nAsync: true\r\n\r\n]]):format(number, number)
    end
    for _ = 1, 3 do script[#script + 1] = "expect Event: OriginateResponse\nexpect \\r\\n\\r\\n" end
    local all = talk(h.sim("--speed", "10"), table.concat(script, "\n"))
    local found = 0
    for _, frame in ipairs(all) do
      if frame.Event == "OriginateResponse" then
        found = found + 1
        assert.equal("Failure", frame.Response)
        assert.equal(wanted[frame.ActionID:sub(2)], frame.Reason)
      end
    end
    assert.equal(3, found)
  end)

  it("Q45 holds up the session behind a synchronous Originate", function()
    local all = talk(h.sim(), [[
send Action: Originate\r\nActionID: o\r\nChannel: Local/100@default\r\nContext: default\r\nExten: 100\r\nPriority: 1\r\n\r\nAction: Ping\r\nActionID: p\r\n\r\n
expect Ping: Pong]])
    local order = {}
    for _, frame in ipairs(all) do
      if frame.Response and (frame.ActionID == "o" or frame.ActionID == "p") then order[#order + 1] = frame.ActionID end
    end
    assert.same({ "o", "p" }, order)
  end)

  it("keeps queues that actions change and lists show", function()
    local all = talk(h.sim(), [[
send Action: QueueAdd\r\nActionID: a\r\nQueue: support\r\nInterface: PJSIP/77\r\nMemberName: Seven\r\n\r\n
send Action: QueuePause\r\nActionID: b\r\nQueue: support\r\nInterface: PJSIP/77\r\nPaused: true\r\nReason: lunch\r\n\r\n
send Action: QueueStatus\r\nActionID: c\r\nQueue: support\r\n\r\n
expect Event: QueueStatusComplete
send Action: QueueRemove\r\nActionID: d\r\nQueue: support\r\nInterface: PJSIP/77\r\n\r\n
send Action: QueueRemove\r\nActionID: e\r\nQueue: support\r\nInterface: PJSIP/77\r\n\r\n
expect ActionID: e\r\n]])
    assert.equal("start", answer(all, "c").EventList)
    local member
    for _, frame in ipairs(all) do
      if frame.Event == "QueueMember" and (frame.Location or frame.Interface) == "PJSIP/77" then member = frame end
    end
    assert.equal("1", member.Paused)
    assert.equal("Success", answer(all, "d").Response)
    assert.equal("Error", answer(all, "e").Response)
    local named = table.concat(events(all), " ")
    for _, name in ipairs { "QueueMemberAdded", "QueueMemberPause", "QueueMemberRemoved" } do
      assert.truthy(named:find(name, 1, true), name)
    end
  end)

  it("answers Command in the old form for an old server, and in the new one for a new", function()
    local script = [[send Action: Command\r\nActionID: c\r\nCommand: core show version\r\n\r\nAction: Ping\r\nActionID: p\r\n\r\n
expect ActionID: p\r\n]]
    assert.equal("Follows", answer(talk(h.sim("--ami-version", "1.3"), script), "c").Response)
    local new = answer(talk(h.sim(), script), "c")
    assert.equal("Success", new.Response)
    assert.truthy(new.Output)
  end)

  it("sends only the events that a client asks for", function()
    local sim = h.sim("--calls-per-second", "50", "--speed", "50")
    local text = h.client(sim, [[
expect Asterisk Call Manager/
send Action: Login\r\nUsername: operator\r\nSecret: wombat-4711\r\nEvents: off\r\n\r\n
expect Authentication accepted
sleep 200
send Action: Ping\r\nActionID: p\r\n\r\n
expect Ping: Pong]])
    assert.equal(0, #events(frames(text)))
  end)

  it("makes calls that live through a real one's sequence, whole for every call", function()
    local sim = h.sim("--calls-per-second", "20", "--speed", "20", "--seed", "7")
    local script = {}
    for _ = 1, 16 do script[#script + 1] = "expect Event: Cdr\nexpect \\r\\n\\r\\n" end
    local all = talk(sim, table.concat(script, "\n"))
    -- Calls that had begun before the login are seen from their middle on.
    local whole = 0
    for _, frame in ipairs(all) do
      if frame.Event == "Newchannel" then
        local names = events(all, "Uniqueid", frame.Uniqueid)
        assert.equal("Newchannel", names[1])
        for i = 1, #names - 1 do assert.not_equal("Hangup", names[i]) end
        if names[#names] == "Hangup" then whole = whole + 1 end
      end
    end
    assert.is_true(whole >= 8)
    local seen = {}
    for _, name in ipairs(events(all)) do seen[name] = true end
    for _, name in ipairs { "Newchannel", "Newexten", "Newstate", "DialBegin", "DialEnd", "Hangup", "Cdr" } do
      assert.is_true(seen[name], name)
    end
  end)

  it("serves many clients, each with what is its own", function()
    local sim = h.sim()
    local clients = {}
    for i = 1, 20 do
      local folder = h.folder()
      h.write_file(folder .. "/script", LOGIN .. ([[
send Action: UserEvent\r\nActionID: u%d\r\nUserEvent: Hello\r\nFrom: %d\r\n\r\n
expect ActionID: u%d\r\n]]):format(i, i, i))
      clients[i] = h.start(h.peer_binary, { folder .. "/script", folder .. "/received", sim.port }, { folder = folder })
    end
    for _, client in ipairs(clients) do
      assert.equal(0, client:ended())
      assert.truthy(client:stdout():find "done")
    end
  end)

  it("plays a capture to each client after its login", function()
    local text = h.client(h.sim("--play", h.captures .. "dial.ami"), LOGIN .. [[
expect Event: HangupHandlerRun]])
    local expected = h.read(h.captures .. "dial.ami")
    local from = text:find("Event: FullyBooted", 1, true)
    local begin = expected:find("Event: FullyBooted", 1, true)
    assert.equal(expected:sub(begin, begin + 20000), text:sub(from, from + 20000))
  end)

  it("sends the flood that was ordered, and reports its end", function()
    local all = talk(h.sim("--events", "1000"), [[expect FloodDone]])
    local count = 0
    for _, frame in ipairs(all) do
      if frame.Event and frame.Event ~= "FullyBooted" and frame.Event ~= "SuccessfulAuth" and frame.UserEvent ~= "FloodDone" then
        count = count + 1
      end
    end
    assert.equal(1000, count)
  end)

  it("sends one piece of its stream for each Ping, right behind the answer, and nothing unasked", function()
    local function names(stream, ...)
      local list = {}
      for _, frame in ipairs(talk(h.sim(...), stream)) do
        if frame.ActionID and frame.ActionID:find "^piece" then list[#list + 1] = "Pong" end
        if #list > 0 and frame.Event then list[#list + 1] = frame.UserEvent or "event" end
      end
      return table.concat(list, " ")
    end
    local ping = "send Action: Ping\\r\\nActionID: piece%d\\r\\n\\r\\n\nexpect ActionID: piece%d\\r\\n\n"
    local pings = ""
    for i = 1, 4 do pings = pings .. ping:format(i, i) end
    assert.equal("Pong event event Pong event event Pong event FloodDone Pong",
      names(pings, "--events", "5", "--per-ping", "2"))
    -- The third frame of this capture is an answer.
    assert.equal("Pong event event Pong event event event Pong event event event Pong event event event",
      names(pings, "--play", h.captures .. "dial.ami", "--per-ping", "3"))
  end)

  -- Asks a simulator that runs with --truth; the answer, or nothing and what it complains about.
  local function ask(socket, ...)
    local code, out, err = h.run("sim", "--ask", socket, ...)
    if code ~= 0 then return nil, err end
    return h.json(out)
  end

  local function stepped(...)
    local socket = h.folder() .. "/truth"
    return h.sim("--truth", socket, "--step", ...), socket
  end

  -- What a session hears in `seconds`, without a network between.
  local function hear(seconds, options)
    local sim = require "hookswitch".sim.new(options)
    local client = sim:connect()
    client:send "Action: Login\r\nActionID: login\r\nUsername: ops\r\nSecret: secret\r\n\r\n"
    client:receive()
    sim:run(seconds)
    local text = client:receive()
    sim:close()
    return frames(text)
  end

  it("lives calls that hold, transfer, park, confer, go through Local channels, are forwarded and picked up", function()
    local all = hear(1800, { features = true, calls_per_second = 0.5 })
    local seen = {}
    for _, name in ipairs(events(all)) do seen[name] = (seen[name] or 0) + 1 end
    for _, name in ipairs { "Hold", "Unhold", "BlindTransfer", "AttendedTransfer", "ParkedCall", "UnParkedCall", "ParkedCallTimeOut",
                            "ParkedCallGiveUp", "Pickup", "ConfbridgeStart", "ConfbridgeJoin", "ConfbridgeLeave", "ConfbridgeEnd",
                            "ConfbridgeMute", "ConfbridgeTalking", "LocalBridge", "LocalOptimizationBegin", "LocalOptimizationEnd",
                            "ContactStatus", "PeerStatus", "DeviceStateChange", "QueueCallerAbandon", "AgentRingNoAnswer" } do
      assert.is_truthy(seen[name], name)
    end
    local forwarded, swapped, forked, lost = 0, 0, {}, 0
    for _, frame in ipairs(all) do
      if frame.Event == "DialEnd" and frame.Forward then forwarded = forwarded + 1 end
      if frame.Event == "BridgeEnter" and frame.SwapUniqueid then swapped = swapped + 1 end
      -- Two phones at once, of which one answers.
      if frame.Event == "Newexten" and frame.AppData:find "^PJSIP/%d+&PJSIP/%d+,20$" then forked[frame.Uniqueid] = {} end
      local ends = frame.Event == "DialEnd" and forked[frame.Uniqueid]
      if ends then ends[#ends + 1] = frame.DialStatus end
      if ends and table.concat(ends, " ") == "CANCEL ANSWER" then lost = lost + 1 end
    end
    assert.is_true(forwarded > 0 and swapped > 0 and lost > 0)
  end)

  it("sends the events of a transfer with the headers of a real one, in their order", function()
    local all = hear(900, { features = true, calls_per_second = 0.5 })
    local function names_of(event)
      for _, frame in ipairs(all) do
        if frame.Event == event and frame.DestType ~= "App" then
          local names = {}
          for i, line in ipairs(frame.lines) do names[i] = line:match "^[^:]+" end
          return names
        end
      end
    end
    local function captured(event)
      for block in io.popen("gzip -dc tests/fixtures/captures/live/s03.ami.gz", "r"):read("a"):gmatch "(.-)\r\n\r\n" do
        if block:find("^Event: " .. event .. "\r\n") then
          local names = {}
          for line in (block .. "\r\n"):gmatch "(.-)\r\n" do names[#names + 1] = line:match "^[^:]+" end
          return names
        end
      end
    end
    for _, event in ipairs { "BlindTransfer", "AttendedTransfer", "Hold", "Unhold", "BridgeEnter", "BridgeCreate", "Hangup", "DialBegin", "DialEnd",
                             "NewAccountCode", "LocalBridge", "LocalOptimizationBegin", "LocalOptimizationEnd", "ConfbridgeStart", "ConfbridgeJoin",
                             "ConfbridgeLeave", "ConfbridgeEnd", "MusicOnHoldStart", "AgentConnect", "AgentComplete" } do
      assert.same(captured(event), names_of(event), event)
    end
  end)

  it("answers its lists as it is at that moment", function()
    local sim, socket = stepped("--features", "--calls-per-second", "1")
    local truth
    repeat
      assert(ask(socket, "run", "5"))
      truth = ask(socket, "state")
    until #truth.conferences > 0 and #truth.parked > 0 and #truth.queues[1].waiting > 0
    local script = {}
    for i, action in ipairs { "CoreShowChannels", "BridgeList", "ParkedCalls", "ConfbridgeListRooms", "DeviceStateList", "PJSIPShowContacts", "QueueStatus" } do
      script[i] = ("send Action: %s\\r\\nActionID: %s\\r\\n\\r\\n\nexpect EventList: Complete"):format(action, action)
    end
    local room = truth.conferences[1]
    script[#script + 1] = ("send Action: ConfbridgeList\\r\\nActionID: ConfbridgeList\\r\\nConference: %s\\r\\n\\r\\n\nexpect ConfbridgeListComplete\nexpect \\r\\n\\r\\n"):format(room.name)
    local id = truth.bridges[1].id
    script[#script + 1] = ("send Action: BridgeInfo\\r\\nActionID: BridgeInfo\\r\\nBridgeUniqueid: %s\\r\\n\\r\\n\nexpect BridgeInfoComplete\nexpect \\r\\n\\r\\n"):format(id)
    local counts = {}
    for _, frame in ipairs(talk(sim, table.concat(script, "\n"))) do
      if frame.Event and frame.ActionID and not frame.EventList then counts[frame.Event] = (counts[frame.Event] or 0) + 1 end
    end
    local registered, waiting = 0, 0
    for _, endpoint in ipairs(truth.endpoints) do registered = registered + (endpoint.registered and 1 or 0) end
    for _, queue in ipairs(truth.queues) do waiting = waiting + #queue.waiting end
    local devices = 0
    for _ in pairs(truth.devices) do devices = devices + 1 end
    assert.same({
      CoreShowChannel = #truth.channels, BridgeListItem = #truth.bridges, ParkedCall = #truth.parked, ConfbridgeListRooms = #truth.conferences,
      ConfbridgeList = #room.members, DeviceStateChange = devices, ContactList = registered, QueueParams = 2, QueueEntry = waiting,
      QueueMember = #truth.queues[1].members + #truth.queues[2].members, BridgeInfoChannel = #truth.bridges[1].channels > 0 and #truth.bridges[1].channels or nil,
    }, counts)
  end)

  it("gives a session only what its user may hear and send", function()
    local all = hear(120, { features = true, calls_per_second = 0.5, read = "agent" })
    local classes = {}
    for _, frame in ipairs(all) do
      if frame.Privilege and frame.Event then classes[frame.Privilege] = true end
    end
    assert.same({ ["agent,all"] = true }, classes)
    all = talk(h.sim("--read", "system,call", "--write", "agent"), [[
send Action: CoreShowChannels\r\nActionID: a\r\n\r\n
send Action: ListCommands\r\nActionID: b\r\n\r\n
send Action: QueueStatus\r\nActionID: c\r\n\r\n
expect Event: QueueStatusComplete]])
    assert.equal("Permission denied", answer(all, "a").Message)
    assert.is_nil(answer(all, "b").CoreShowChannels)
    assert.is_truthy(answer(all, "b").QueuePause)
    assert.equal("Success", answer(all, "c").Response)
  end)

  it("gives the channel of an Originate the id that it asks for", function()
    local all = talk(h.sim("--speed", "10"), [[
send Action: Originate\r\nActionID: o\r\nChannel: PJSIP/101\r\nChannelId: click-7\r\nContext: default\r\nExten: 100\r\nPriority: 1\r\nAsync: true\r\n\r\n
send Action: Originate\r\nActionID: p\r\nChannel: PJSIP/101\r\nChannelId: click-7\r\nContext: default\r\nExten: 100\r\nPriority: 1\r\nAsync: true\r\n\r\n
expect Event: OriginateResponse
expect \r\n\r\n]])
    assert.equal("Error", answer(all, "p").Response) -- it is taken
    for _, frame in ipairs(all) do
      if frame.Event == "Newchannel" then
        assert.equal("click-7", frame.Uniqueid)
        assert.equal("click-7", frame.Linkedid)
      end
    end
  end)

  it("Q22 lets events arrive late and lists at once", function()
    local sim, socket = stepped("--features", "--calls-per-second", "5", "--lag", "2", "--seed", "4")
    assert(ask(socket, "run", "20"))
    local folder = h.folder()
    h.write_file(folder .. "/script", LOGIN .. [[
send Action: CoreShowChannels\r\nActionID: l\r\n\r\n
expect CoreShowChannelsComplete
expect Event: Newchannel
expect \r\n\r\n]])
    local client = h.start(h.peer_binary, { folder .. "/script", folder .. "/received", sim.port }, { folder = folder })
    h.wait_for(function() return h.exists(folder .. "/received") and h.read(folder .. "/received"):find("CoreShowChannelsComplete", 1, true) end)
    assert(ask(socket, "settle")) -- no time passes, yet events of what the list has told come behind it
    client:ended()
    local listed, behind = {}, 0
    for _, frame in ipairs(frames(h.read(folder .. "/received"))) do
      if frame.Event == "CoreShowChannel" then listed[frame.Uniqueid] = true end
      if frame.Event == "Newchannel" and listed[frame.Uniqueid] then behind = behind + 1 end
    end
    assert.is_true(behind > 0)
  end)

  it("is restarted with other calls: hung up with their events, or killed without a word", function()
    for _, how in ipairs { "clean", "kill" } do
      local sim, socket = stepped("--features", "--calls-per-second", "1")
      assert(ask(socket, "run", "30"))
      local before = ask(socket, "state")
      local folder = h.folder()
      h.write_file(folder .. "/script", LOGIN .. "hold")
      local client = h.start(h.peer_binary, { folder .. "/script", folder .. "/received", sim.port }, { folder = folder })
      h.wait_for(function() return h.exists(folder .. "/received") and h.read(folder .. "/received"):find("Authentication accepted", 1, true) end)
      assert(ask(socket, "restart", how, "4"))
      client:ended()
      local said = frames(h.read(folder .. "/received"))
      assert.equal(how == "clean" and "Shutdown" or nil, events(said, "Shutdown", "Cleanly")[1])
      assert.equal(how == "clean" and #before.channels or 0, #(function()
        local hangups = {}
        for _, name in ipairs(events(said)) do hangups[#hangups + 1] = name == "Hangup" and name or nil end
        return hangups
      end)())
      local _, closed = h.client(sim, "hold")
      assert.is_true(closed) -- it is away
      local state = ask(socket, "state")
      assert.is_true(state.down)
      assert.same({}, state.channels)
      assert.is_true(#state.ended >= #before.calls)
      assert(ask(socket, "run", "20"))
      local after = ask(socket, "state")
      assert.is_false(after.down)
      assert.equal(1, after.boots)
      assert.is_truthy(after.channels[1].name:find "%-0000000%x")
      for _, call in ipairs(after.calls) do
        for _, old in ipairs(before.calls) do assert.not_equal(old.id, call.id) end
      end
    end
  end)

  it("does the same again with the same seed, and something else with another", function()
    local function state(seed)
      local _, socket = stepped("--features", "--calls-per-second", "1", "--seed", seed)
      for _ = 1, 10 do assert(ask(socket, "run", "12.5")) end
      return (select(2, h.run("sim", "--ask", socket, "state")))
    end
    local first = state "5"
    assert.equal(first, state "5")
    assert.not_equal(first, state "6")
  end)

  it("tells what clients have sent, once, and no login", function()
    local socket = h.folder() .. "/truth"
    talk(h.sim("--truth", socket), [[send Action: Ping\r\nActionID: 1\r\n\r\nAction: Nosuch\r\nX: a\r\nX: b\r\n\r\n
expect Nosuch]])
    assert.same({ actions = { { "Action: Ping", "ActionID: 1" }, { "Action: Nosuch", "X: a", "X: b" }, { "Action: Logoff" } } }, ask(socket, "actions"))
    assert.same({ actions = {} }, ask(socket, "actions"))
  end)

  it("refuses questions that it does not understand, and tells where nobody answers", function()
    local socket = h.folder() .. "/truth"
    h.sim("--truth", socket)
    for _, how in ipairs { { "nonsense" }, { "run", "5" }, { "restart", "softly" }, { "restart", "kill", "soon" } } do
      local answered, err = ask(socket, table.unpack(how))
      assert.is_nil(answered)
      assert.is_truthy(err:find('"error"', 1, true), err)
    end
    local answered, err = ask(h.folder() .. "/none", "state")
    assert.is_nil(answered)
    assert.is_truthy(err:find("--truth", 1, true), err)
    assert.equal(2, (h.run("sim", "--ask", socket)))
    assert.equal(2, (h.run("sim", "--step")))
    assert.equal(1, (h.run("sim", "--listen", "127.0.0.1:0", "--truth", socket, "--duration", "1"))) -- it is there already
  end)
end)
