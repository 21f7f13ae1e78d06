-- The live picture in the daemon: fed by every server, asked for by lists, kept over reloads and lost sessions.
local helper = require "tests.spec.helper"

describe("the live picture of the engine", function()
  after_each(helper.cleanup)

  local function sum(daemon, name, labels)
    local total = 0
    local code, out, err = daemon:ctl("metrics", "--json")
    assert(code == 0, err)
    for _, series in ipairs((helper.json(out)[name] or { series = {} }).series) do
      local fits = true
      for label, value in pairs(labels or {}) do fits = fits and series.labels[label] == value end
      if fits then total = total + series.value end
    end
    return total
  end

  it("is full after the lists of a session, which are the engine's own actions", function()
    local daemon = helper.daemon { servers = { pbx1 = helper.server(helper.sim "--calls-per-second=20") },
      config = { log = { level = "debug", throttle_burst = 1000000 } } }
    daemon:ready "pbx1"
    for _, action in ipairs { "ListCommands", "CoreShowChannels", "QueueStatus" } do
      daemon:await { msg = "action sent", sent_by = "live", action = action }
    end
    helper.wait_for(function() return sum(daemon, "hookswitch_live_snapshots_total") >= 1 end)
    helper.wait_for(function() return daemon:metric "hookswitch_live_full" == 1 end)
    assert.is_true(daemon:metric "hookswitch_live_snapshot_seconds" > 0)
    assert.is_true(sum(daemon, "hookswitch_live_queue_members", { queue = "support" }) > 0)
    helper.wait_for(function() return sum(daemon, "hookswitch_live_calls") > 0 end)
    helper.wait_for(function() return sum(daemon, "hookswitch_live_events_total") > 100 end)
    -- No rule's figures.
    assert.is_nil(daemon:metric("hookswitch_rules_actions_refused_total"))
  end)

  it("follows a reload: servers come, go and are hidden without a new session", function()
    local sim = helper.sim "--calls-per-second=20"
    local servers = { pbx1 = helper.server(sim) }
    local daemon = helper.daemon { servers = servers }
    daemon:ready "pbx1"
    helper.wait_for(function() return sum(daemon, "hookswitch_live_calls", { server = "pbx1" }) > 0 end)

    servers.pbx1.live = false
    servers.pbx2 = helper.server(helper.sim())
    daemon.project.write { servers = servers }
    assert.is_true(daemon:reload())
    daemon:ready "pbx2"
    assert.is_nil(daemon:metric("hookswitch_live_calls", { server = "pbx1" }))
    helper.wait_for(function() return daemon:metric("hookswitch_live_snapshots_total", { server = "pbx2" }) == 1 end)

    servers.pbx1.live = true
    servers.pbx2 = nil
    daemon.project.write { servers = servers }
    assert.is_true(daemon:reload())
    helper.wait_for(function() return sum(daemon, "hookswitch_live_calls", { server = "pbx1" }) > 0 end)
    assert.is_nil(daemon:metric("hookswitch_live_calls", { server = "pbx2" }))
    assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))

    daemon.project.write { servers = servers, config = { live = { enabled = false } } }
    assert.is_true(daemon:reload())
    assert.equal(0, sum(daemon, "hookswitch_live_calls"))
    daemon.project.write { servers = servers, config = { live = { enabled = true } } }
    assert.is_true(daemon:reload())
    helper.wait_for(function() return sum(daemon, "hookswitch_live_calls", { server = "pbx1" }) > 0 end)
  end)

  it("counts and logs what does not fit", function()
    local daemon = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--calls-per-second=200", "--speed=1")) },
      config = { limits = { live_channels = 16 } } }
    local record = daemon:await { msg = "the live picture is partial: a limit of it is reached (limits.live_*)" }
    assert.equal("pbx1", record.server)
    assert.is_true(record.kind == "channel" or record.kind == "call")
    assert.is_true(record.count > 0)
    assert.is_true(sum(daemon, "hookswitch_live_overflows_total", { kind = "channel" }) > 0)
    assert.equal(0, daemon:metric("hookswitch_live_full", { server = "pbx1" }))
  end)

  it("hears what a server refuses, and asks again for what got no answer", function()
    local script = helper.LOGIN .. "\n" .. table.concat({
      "action ListCommands",
      [[send Response: Success\r\nActionID: $id\r\nCoreShowChannels: x\r\nQueueStatus: x\r\n\r\n]],
      "action CoreShowChannels",
      [[send Response: Error\r\nActionID: $id\r\nMessage: Permission denied\r\n\r\n]],
      "action QueueStatus", -- no answer
      "action CoreShowChannels",
    }, "\n")
    local peer = helper.peer(script .. "\nstall")
    local daemon = helper.daemon { servers = { pbx1 = helper.server(peer, { live = true }) }, config = { live = { resync_every = 1 } } }
    local record = daemon:await { msg = "the live picture is partial: the server does not give all lists" }
    assert.equal("channels,bridges,queues,devices,endpoints,parking,conferences", record.unknown)
    helper.wait_for(function()
      local _, count = peer.received():gsub("Action: QueueStatus", "")
      return count == 2
    end)
    local _, refused = peer.received():gsub("Action: CoreShowChannels", "")
    assert.equal(1, refused)
  end)

  it("asks anew when events were lost on the way in", function()
    local lists = table.concat({
      "action ListCommands",
      [[send Response: Success\r\nActionID: $id\r\nCoreShowChannels: x\r\n\r\n]],
      "action CoreShowChannels",
      [[send Response: Success\r\nActionID: $id\r\nEventList: start\r\n\r\nEvent: CoreShowChannelsComplete\r\nActionID: $id\r\nEventList: Complete\r\n\r\n]],
      [[send Event: Newstate\nUniqueid: 1\n\n\r\n\r\n]], -- malformed
      "action CoreShowChannels",
    }, "\n")
    local peer = helper.peer(helper.LOGIN .. "\n" .. lists .. "\nserve")
    local daemon = helper.daemon { servers = { pbx1 = helper.server(peer, { live = true }) }, config = { live = { resync_every = 1 } } }
    helper.wait_for(function() return select(2, peer.received():gsub("Action: CoreShowChannels", "")) == 2 end, 20, function() return daemon:tail() end)
    assert.equal(1, daemon:metric("hookswitch_server_malformed_total", { server = "pbx1" }))
  end)

  it("knows trunks and variables that the configuration names", function()
    local folder = helper.folder()
    local function frame(name, n, number, more)
      return ("Event: %s\r\nPrivilege: call,all\r\nChannel: PJSIP/%s-0000000%d\r\nUniqueid: 1.%d\r\nLinkedid: 1.1\r\nChannelState: 4\r\nCallerIDNum: 5550199\r\nContext: x\r\nExten: 100\r\n%s\r\n")
        :format(name, number, n, n, more or "")
    end
    helper.write_file(folder .. "/capture", "Asterisk Call Manager/9.0.0\r\n" .. frame("Newchannel", 1, "carrier1") ..
      frame("VarSet", 1, "carrier1", "Variable: CRM_ID\r\nValue: 4711\r\n") .. frame("VarSet", 1, "carrier1", "Variable: OTHER\r\nValue: 1\r\n") ..
      frame("Hangup", 1, "carrier1", "Cause: 16\r\n"))
    local function replay(live)
      helper.write_file(folder .. "/hookswitch.lua", "return { servers = { pbx = { host = '127.0.0.1', username = 'u', secret = 'secret' } }, live = " .. live .. " }")
      helper.write_file(folder .. "/scripts/a.lua", [[
        ami.on("VarSet", { where = { Variable = "OTHER" } }, function(ev, server)
          local channel = live.channel(server, ev.Uniqueid)
          log.info("seen", { variables = json.encode(channel.variables or {}), direction = tostring(live.call(server, ev.Uniqueid).direction) })
        end)]])
      local code, _, err = helper.run("replay", "-c", folder .. "/hookswitch.lua", "--json", folder .. "/capture")
      assert.equal(0, code, err)
      local record = helper.json(err:match '[^\n]*"msg":"seen"[^\n]*')
      return record.direction, record.variables
    end
    assert.same({ "in", '{"CRM_ID":"4711"}' }, { replay "{ trunks = { 'PJSIP/carrier*' }, variables = { 'CRM_ID' } }" })
    local direction, variables = replay "{}"
    assert.are_not.equal("in", direction)
    assert.equal("{}", variables)
  end)

  it("takes the lists of a recording in a replay", function()
    local folder = helper.folder()
    local function item(name, id, fields) return ("Event: %s\r\nActionID: %s\r\n%s\r\n"):format(name, id, fields) end
    local function channel(n) return ("Channel: PJSIP/100%d-0000000%d\r\nUniqueid: 1.%d\r\nLinkedid: 1.%d\r\nChannelState: 6\r\nCallerIDNum: 100%d\r\nContext: x\r\nExten: 500\r\nApplication: Wait\r\nDuration: 00:01:00\r\n"):format(n, n, n, n, n) end
    local function list(id, at, ...)
      local parts = { ("Response: Success\r\nActionID: %s\r\nEventList: start\r\n\r\n"):format(id) }
      for _, n in ipairs { ... } do parts[#parts + 1] = item("CoreShowChannel", id, channel(n)) end
      return table.concat(parts) .. item("CoreShowChannelsComplete", id, "EventList: Complete\r\n") ..
        ("Event: UserEvent\r\nPrivilege: user,all\r\nTimestamp: %d.5\r\nUserEvent: Check\r\n\r\n"):format(1800000000 + at)
    end
    helper.write_file(folder .. "/capture", "Asterisk Call Manager/9.0.0\r\n" ..
      ("Event: UserEvent\r\nPrivilege: user,all\r\nTimestamp: 1800000000.5\r\nUserEvent: Begin\r\n\r\n") ..
      item("QueueParams", "q-1", "Queue: support\r\nMax: 0\r\nStrategy: ringall\r\n") ..
      item("QueueMember", "q-1", "Queue: support\r\nName: Anna\r\nLocation: PJSIP/1001\r\nStateInterface: PJSIP/1001\r\nStatus: 1\r\nPaused: 0\r\n") ..
      item("QueueStatusComplete", "q-1", "EventList: Complete\r\n") ..
      list("a-1", 10, 1, 2) .. list("a-2", 20, 2, 3) .. item("QueueStatusComplete", "q-2", "EventList: Complete\r\n") .. list("a-3", 30, 2) .. list("a-4", 40))
    helper.write_file(folder .. "/hookswitch.lua", "return { servers = { pbx = { host = '127.0.0.1', username = 'u', secret = 'secret' } } }")
    helper.write_file(folder .. "/scripts/a.lua", [[
      ami.on("UserEvent", { where = { UserEvent = "Check" } }, function(ev, server)
        local queue = live.queue(server, "support")
        log.info("seen", { channels = live.count "channels", members = queue and #queue.members or 0 })
      end)
      ami.on("call.ended", function(call) log.info("ended", { id = call.id, result = call.result }) end)]])
    local code, _, err = helper.run("replay", "-c", folder .. "/hookswitch.lua", "--json", folder .. "/capture")
    assert.equal(0, code, err)
    local seen = {}
    for line in err:gmatch '[^\n]*"msg":"seen"[^\n]*' do
      local record = helper.json(line)
      seen[#seen + 1] = ("%d %d"):format(record.channels, record.members)
    end
    -- What one list lacks is suspected only; a second one decides. A list of queues may have been asked about another one.
    assert.same({ "2 1", "3 1", "2 1", "1 1" }, seen, err)
    assert.truthy(err:find('"id":"1.1","result":"unseen"', 1, true))
  end)

  it("begins the figures of today anew at live.day_starts, local time, also when the clocks change", function()
    local folder = helper.folder()
    local frames, n = {}, 0
    local function event(at, name, fields)
      n = n + 1
      frames[#frames + 1] = ("Event: %s\r\nPrivilege: call,all\r\nTimestamp: %d.5\r\n%s\r\n"):format(name, at, fields)
    end
    local function caller(at)
      event(at, "Newchannel", ("Channel: PJSIP/a-%08d\r\nUniqueid: 1.%d\r\nLinkedid: 1.%d\r\nChannelState: 4\r\nContext: x\r\nExten: 100\r\n"):format(n, n, n))
      event(at, "QueueCallerJoin", ("Channel: PJSIP/a-%08d\r\nUniqueid: 1.%d\r\nLinkedid: 1.%d\r\nQueue: support\r\nPosition: 1\r\nCount: 1\r\n")
        :format(n - 1, n - 1, n - 1))
    end
    local expected = {}
    local function offered(at, count)
      expected[#expected + 1] = count
      event(at, "UserEvent", "UserEvent: Check\r\n")
    end
    local function utc(day, hour, min, sec) return 1729900800 + (day - 26) * 86400 + hour * 3600 + min * 60 + (sec or 0) end
    caller(utc(26, 22, 30, 45)) -- 00:30:45, an hour and a half before the clocks go back
    offered(utc(27, 4, 45), 1)  -- 05:45
    offered(utc(27, 5, 29, 58), 1)
    offered(utc(27, 5, 30, 3), 0)
    caller(utc(27, 6, 0))
    offered(utc(28, 5, 29, 58), 1)
    offered(utc(28, 5, 30, 3), 0)
    helper.write_file(folder .. "/capture", "Asterisk Call Manager/9.0.0\r\n" .. table.concat(frames))
    helper.write_file(folder .. "/hookswitch.lua", [[return { servers = { pbx = { host = "127.0.0.1", username = "u", secret = "secret" } }, live = { day_starts = "06:30" } }]])
    helper.write_file(folder .. "/scripts/a.lua", [[
      ami.on("UserEvent", function(ev, server) log.info("today", { offered = live.queue(server, "support").offered_today }) end)]])
    local code, _, err = helper.run("replay", "-c", folder .. "/hookswitch.lua", "--json", folder .. "/capture",
      { env = { TZ = "CET-1CEST,M3.5.0,M10.5.0/3" } })
    assert.equal(0, code, err)
    local seen = {}
    for line in err:gmatch '[^\n]*"msg":"today"[^\n]*' do seen[#seen + 1] = helper.json(line).offered end
    assert.same(expected, seen)
  end)

  it("shows in its metrics only what is: a state or a queue that is no more leaves no figure", function()
    local member = [[Queue: support\r\nMemberName: Anna\r\nInterface: PJSIP/2001\r\nStateInterface: PJSIP/2001\r\nMembership: dynamic\r\nStatus: 1\r\n]]
    local function peer_is(status) return [[send Event: PeerStatus\r\nPrivilege: system,all\r\nPeer: PJSIP/2001\r\nPeerStatus: ]] .. status .. [[\r\n\r\n]] end
    local peer = helper.peer(helper.LOGIN .. "\n" .. table.concat({
      "action ListCommands",
      [[send Response: Success\r\nActionID: $id\r\nGetvar: x\r\n\r\n]],
      "send Event: QueueMemberAdded\\r\\nPrivilege: agent,all\\r\\n" .. member .. [[Paused: 0\r\n\r\n]],
      [[send Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/9-00000001\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nChannelState: 4\r\nContext: x\r\nExten: 100\r\n\r\n]],
      [[send Event: QueueCallerJoin\r\nPrivilege: agent,all\r\nChannel: PJSIP/9-00000001\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nQueue: support\r\nPosition: 1\r\nCount: 1\r\n\r\n]],
      peer_is "Registered",
      "action Getvar",
      [[send Response: Success\r\nActionID: $id\r\nValue: 1\r\n\r\n]],
      "send Event: QueueMemberPause\\r\\nPrivilege: agent,all\\r\\n" .. member .. [[Paused: 1\r\n\r\n]],
      peer_is "Unregistered",
      "serve",
    }, "\n"))
    local daemon = helper.daemon { servers = { pbx1 = helper.server(peer, { live = true }) } }
    local function states(name, more)
      local found = {}
      local code, out, err = daemon:ctl("metrics", "--json")
      assert(code == 0, err)
      for _, series in ipairs((helper.json(out)[name] or { series = {} }).series) do
        if series.value > 0 then found[#found + 1] = series.labels.state .. (more and " " .. series.labels[more] or "") end
      end
      table.sort(found)
      return table.concat(found, ",")
    end
    helper.wait_for(function() return states "hookswitch_live_endpoints" == "registered,unknown" end)
    assert.equal("NOT_INUSE support", states("hookswitch_live_queue_members", "queue"))
    assert.equal("free", states "hookswitch_live_agents")
    assert.equal("queued", states "hookswitch_live_calls")
    assert.equal(1, daemon:metric("hookswitch_live_queue_waiting", { queue = "support" }))
    assert.is_true(daemon:metric("hookswitch_live_queue_longest_wait_seconds", { queue = "support" }) > 0)
    assert.equal(0, (daemon:ctl("call", "pbx1", "Action=Getvar", "Variable=A")))
    helper.wait_for(function() return states "hookswitch_live_endpoints" == "unknown,unregistered" end)
    assert.equal("paused support", states("hookswitch_live_queue_members", "queue"))
    assert.equal("paused", states "hookswitch_live_agents")
  end)
end)
