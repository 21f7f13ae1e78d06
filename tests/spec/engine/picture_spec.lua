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
end)
