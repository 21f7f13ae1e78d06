-- `events = "auto"`: what each server is asked for follows from the live picture, the rules and who watches, and nothing of it is lost
-- when that grows.
local helper = require "tests.spec.helper"

local null = require "cjson".null

local PICTURE = "system,call,agent,dialplan"

describe("a server with events = \"auto\"", function()
  after_each(helper.cleanup)

  local function server(sim, more)
    local options = { events = "auto" }
    for key, value in pairs(more or {}) do options[key] = value end
    return helper.server(sim, options)
  end

  local function requested(daemon, name)
    local code, out, err = daemon:ctl("servers", "--json")
    assert(code == 0, err)
    for _, view in ipairs(helper.json(out).servers) do
      if view.name == name then return view.requested end
    end
  end

  -- A mask becomes narrower some seconds after it could.
  local function await_requested(daemon, name, events)
    helper.wait_for(function() return requested(daemon, name).events == events end, 30, function()
      return ("the mask %s; it is %s"):format(events, requested(daemon, name).events)
    end)
  end

  local function start(options)
    options.config = options.config or {}
    options.config.log = { level = "debug", throttle_burst = 1000000 }
    return helper.daemon(options)
  end

  it("is asked for what the live picture reads, and for no other VarSet where it can filter", function()
    local daemon = start { servers = { pbx1 = server(helper.sim()), old = server(helper.sim "--ami-version=1.3.0"), all = helper.server(helper.sim()) } }
    for _, name in ipairs { "pbx1", "old", "all" } do daemon:ready(name) end
    helper.wait_for(function() return requested(daemon, "pbx1").filter ~= null end)
    assert.same({ PICTURE, true }, { requested(daemon, "pbx1").events, requested(daemon, "pbx1").automatic })
    assert.truthy(requested(daemon, "pbx1").filter:find("BRIDGEPEER|DIALSTATUS|MIXMONITOR_FILENAME|QUEUESTATUS", 1, true))
    -- Up to Asterisk 11 a filter is a basic regular expression: there it would let nothing pass.
    daemon:await { msg = "action ended", action = "CoreSettings", server = "old" }
    assert.same({ PICTURE, null }, { requested(daemon, "old").events, requested(daemon, "old").filter })
    assert.same({}, daemon:find { msg = "action sent", action = "Filter", server = "old" })
    assert.same({ events = "on", automatic = false, filter = null }, requested(daemon, "all"))
    local _, table = daemon:ctl "servers"
    assert.truthy(table:find("REQUESTED", 1, true))
    assert.truthy(table:find(PICTURE .. ", few VarSet, no CEL", 1, true))
  end)

  it("is asked for what rules listen to, of the servers that they name, and for all where a rule hears \"*\" or an event that nobody knows", function()
    local sim = helper.sim()
    local servers = { pbx1 = server(sim, { live = false }), pbx2 = server(sim, { live = false }) }
    local rules = { ["one.lua"] = [[ami.on({ "DTMFEnd", "call.ended" }, function() end) ami.on("UserEvent", { server = "pbx2" }, function() end)]] }
    local daemon = start { servers = servers, rules = rules }
    daemon:ready "pbx1"
    daemon:ready "pbx2"
    assert.equal("system,call,dtmf", requested(daemon, "pbx1").events)
    assert.equal("system,call,user,dtmf", requested(daemon, "pbx2").events)
    for _, name in ipairs { "*", "VendorEvent" } do
      daemon.project.rule("one.lua", ([[ami.on("%s", { server = "pbx1" }, function() end)]]):format(name))
      assert.is_true(daemon:reload())
      await_requested(daemon, "pbx1", "on")
      daemon.project.rule("one.lua", "-- " .. name)
      assert.is_true(daemon:reload())
    end
    assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))
  end)

  it("is asked at once for what a rule subscribes to late, and for what its text names from the start", function()
    local daemon = start { servers = { pbx1 = server(helper.sim(), { live = false }) }, rules = { ["late.lua"] = [[
      ami.on("probe.go", function(ev)
        local pbx = ami.server "pbx1"
        local sub <close> = ami.subscribe(ev.first .. ev.second)
        pbx:call { Action = "UserEvent", UserEvent = "Probe", Number = ev.number }
        local heard = sub:next(5)
        log.info("heard", { number = heard and heard.Number })
      end)]] } }
    daemon:ready "pbx1"
    assert.equal("system,call", requested(daemon, "pbx1").events)
    daemon:ctl("emit", "probe.go", "first=User", "second=Event", "number=1")
    daemon:await { msg = "heard", number = "1" }
    assert.equal("system,call,user", requested(daemon, "pbx1").events)
    daemon:ctl("emit", "probe.go", "first=User", "second=Event", "number=2")
    daemon:await { msg = "heard", number = "2" }
    assert.equal(1, #daemon:find { msg = "action sent", action = "Events" })

    daemon.project.rule("late.lua", [[ami.on("probe.go", function() ami.wait("DTMFEnd", { server = "pbx1" }) end)]])
    assert.is_true(daemon:reload())
    await_requested(daemon, "pbx1", "system,call,user,dtmf")
    assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))
  end)

  it("is asked for what ctl tail --event names", function()
    local daemon = start { servers = { pbx1 = server(helper.sim(), { live = false }), pbx2 = server(helper.sim(), { live = false }) } }
    daemon:ready "pbx1"
    daemon:ready "pbx2"
    local tail = helper.start(helper.binary, { "ctl", "-s", daemon.project.folder .. "/console", "tail", "--server", "pbx1", "--event", "dtmf*" })
    await_requested(daemon, "pbx1", "system,call,dtmf")
    assert.equal("system,call", requested(daemon, "pbx2").events)
    helper.start(helper.binary, { "ctl", "-s", daemon.project.folder .. "/console", "tail" })
    helper.start(helper.binary, { "ctl", "-s", daemon.project.folder .. "/console", "tail", "--event", "cdr", "--event", "call.ended" })
    await_requested(daemon, "pbx2", "system,call,dtmf,cdr")
    -- And no more for those that have gone, some seconds later.
    tail:signal "TERM"
    await_requested(daemon, "pbx1", "system,call,cdr")
  end)

  it("lets every VarSet pass again for a rule that comes later, in the same session", function()
    local daemon = start { servers = { pbx1 = server(helper.sim "--calls-per-second=20") } }
    daemon:ready "pbx1"
    helper.wait_for(function() return requested(daemon, "pbx1").filter ~= null end)
    daemon:await { msg = "action ended", action = "Filter" }
    daemon.project.rule("vars.lua", [[
      ami.on("VarSet", { where = { Variable = "DIALEDPEERNAME" } }, function(ev) log.info("set", { channel = ev.Channel }) end)
      ami.on("script.loaded", function() log.info "here" end)]])
    assert.is_true(daemon:reload())
    daemon:await { msg = "set" }
    assert.equal(null, requested(daemon, "pbx1").filter)
    assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))
  end)

  it("logs in again at a quiet moment when it does not take another mask", function()
    local peer = helper.peer(helper.LOGIN .. [[

action Events
send Response: Error\r\nActionID: $id\r\nMessage: Invalid event mask\r\n\r\n
serve]], helper.LOGIN .. "\nserve")
    local daemon = start { servers = { pbx1 = server(peer) }, rules = { ["late.lua"] = [[
      ami.on("probe.go", function() ami.subscribe("DTM" .. "FEnd") end)
      ami.on("server.lost", function(ev) log.info("lost", { reason = ev.reason }) end)]] } }
    daemon:ready "pbx1"
    daemon:ctl("emit", "probe.go")
    local record = daemon:await { msg = "the server did not take another event mask: logging in again" }
    assert.same({ "pbx1", "Events", "Invalid event mask" }, { record.server, record.action, record.error })
    daemon:await { msg = "lost", reason = "events" }
    daemon:await({ msg = "session ready" }, { count = 2 })
    local masks = {}
    for mask in peer.received():gmatch "Event[sMask]+: ([^\r]+)\r" do masks[#masks + 1] = mask end
    assert.same({ "system,call", "system,call,dtmf", "system,call,dtmf" }, masks)
    assert.equal("system,call,dtmf", requested(daemon, "pbx1").events)
  end)

  -- What a server never answers proves nothing: it gets no filter, is heard as before, and keeps its session.
  for _, silent in ipairs { "ListCommands", "CoreSettings" } do
    it("holds back nothing where " .. silent .. " is never answered, and goes on", function()
      local commands = silent == "CoreSettings" and [[
action ListCommands
send Response: Success\r\nActionID: $id\r\nFilter: Dynamically add filters  (Priv: system,all)\r\nCoreSettings: Show settings  (Priv: system,reporting,all)\r\n\r\n
]] or ""
      local go = helper.folder() .. "/go"
      local peer = helper.peer(helper.LOGIN .. "\n" .. commands .. "action " .. silent .. "\nwait " .. go .. [[

send Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/1001-00000001\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\n\r\n
serve]])
      local daemon = start {
        servers = { pbx1 = server(peer, { live = true, timeouts = { action = 0.2 } }) }, config = { live = { resync_every = 1 } },
        rules = { ["new.lua"] = [[ami.on("Newchannel", function() log.info "heard" end)]] },
      }
      daemon:ready "pbx1"
      assert.equal("timeout", daemon:await({ msg = "action ended", action = silent }).reason)
      assert(io.open(go, "w")):close()
      daemon:await { msg = "heard" }
      local now = requested(daemon, "pbx1")
      assert.same({ PICTURE, null }, { now.events, now.filter })
      assert.same({}, daemon:find { msg = "action sent", action = "Filter" })
      assert.equal(silent == "CoreSettings" and 1 or 0, #daemon:find { msg = "action sent", action = "CoreSettings" })
      assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))
    end)
  end

  it("blames no server that is lost before it answers", function()
    local peer = helper.peer(helper.LOGIN .. "\naction Events", helper.LOGIN .. "\nserve")
    local daemon = start { servers = { pbx1 = server(peer, { reconnect = { first = 0.05, max = 0.1 } }) }, rules = { ["late.lua"] = [[
      ami.on("probe.go", function() ami.subscribe("DTM" .. "FEnd") end)]] } }
    daemon:ready "pbx1"
    daemon:ctl("emit", "probe.go")
    assert.equal("lost", daemon:await({ msg = "action ended", action = "Events" }).reason)
    daemon:await({ msg = "session ready" }, { count = 2 })
    assert.same({}, daemon:find { msg = "the server did not take another event mask: logging in again" })
    assert.equal("system,call,dtmf", requested(daemon, "pbx1").events)
  end)

  it("logs in again when it does not open its filter for a rule that comes later", function()
    local peer = helper.peer(helper.LOGIN .. [[

action ListCommands
send Response: Success\r\nActionID: $id\r\nFilter: Dynamically add filters  (Priv: system,all)\r\nCoreSettings: Show settings  (Priv: system,reporting,all)\r\n\r\n
action CoreSettings
send Response: Success\r\nActionID: $id\r\nAsteriskVersion: 20.11.1\r\n\r\n
action Filter
send Response: Success\r\nActionID: $id\r\nMessage: Added\r\n\r\n
action Filter
send Response: Error\r\nActionID: $id\r\nMessage: Not now\r\n\r\n
serve]], helper.LOGIN .. "\nserve")
    local daemon = start { servers = { pbx1 = server(peer, { live = true }) } }
    daemon:ready "pbx1"
    helper.wait_for(function() return requested(daemon, "pbx1").filter ~= null end)
    daemon.project.rule("vars.lua", [[ami.on("VarSet", function() end)]])
    assert.is_true(daemon:reload())
    local record = daemon:await { msg = "the server did not take another event mask: logging in again" }
    assert.same({ "pbx1", "Filter", "error", "Not now" }, { record.server, record.action, record.reason, record.error })
    daemon:await({ msg = "session ready" }, { count = 2 })
  end)

  it("logs in again when another mask is never answered", function()
    local peer = helper.peer(helper.LOGIN .. "\naction Events\nserve", helper.LOGIN .. "\nserve")
    local daemon = start { servers = { pbx1 = server(peer, { live = false, timeouts = { action = 0.2 } }) }, rules = { ["late.lua"] = [[
      ami.on("probe.go", function() ami.subscribe("DTM" .. "FEnd") end)]] } }
    daemon:ready "pbx1"
    daemon:ctl("emit", "probe.go")
    local record = daemon:await { msg = "the server did not take another event mask: logging in again" }
    assert.same({ "pbx1", "Events", "timeout" }, { record.server, record.action, record.reason })
    daemon:await({ msg = "session ready" }, { count = 2 })
    assert.equal("system,call,dtmf", requested(daemon, "pbx1").events)
  end)

  it("logs in no more when the daemon stops before the quiet moment", function()
    local peer = helper.peer(helper.LOGIN .. "\naction Events\n" .. [[send Response: Error\r\nActionID: $id\r\nMessage: Invalid event mask\r\n\r\n]] .. [[

serve]], helper.LOGIN .. "\nserve")
    local daemon = start { servers = { pbx1 = server(peer, { timeouts = { drain = 30 } }) }, rules = { ["late.lua"] = [[
      ami.on("probe.go", function() ami.subscribe("DTM" .. "FEnd") end)]] } }
    daemon:ready "pbx1"
    daemon:ctl("emit", "probe.go")
    daemon:await { msg = "the server did not take another event mask: logging in again" }
    assert.equal(0, daemon:stop())
    assert.equal(1, #daemon:find { msg = "session stopped" })
    local _, connects = peer:stdout():gsub("connected", "")
    assert.equal(1, connects)
  end)

  -- Two sessions of one exchange: what the one with `events = "on"` brings is what there is to hear.
  it("loses nothing of what rules subscribe to, whenever they come, go or subscribe", function()
    local sim = helper.sim("--calls-per-second=40", "--features", "--speed=4")
    local folder = helper.folder()
    local daemon = start {
      servers = { auto = server(sim), all = helper.server(sim, { live = false }) },
      config = { sinks = { all = { file = folder .. "/all" }, probe = { file = folder .. "/probe" } } },
      rules = { ["all.lua"] = [[
        local sink, key = sink.open "all", require "_key"
        ami.on("*", { server = "all" }, function(ev) sink:write(key(ev)) end)]], ["_key.lua"] = [[
        return function(ev)
          return table.concat({ ev.Event, ev.Timestamp, ev.Uniqueid or "", ev.Variable or "", ev.Value or "", ev.Application or "", ev.Device or "", ev.DestUniqueid or "" }, "|")
        end]] } }
    daemon:ready "auto"
    daemon:ready "all"

    -- What stands behind `before` in the file's lines.
    local function heard(name, event, before)
      local keys = {}
      for _, line in ipairs(helper.exists(folder .. "/" .. name) and helper.lines(helper.read(folder .. "/" .. name)) or {}) do
        local key = line:sub(1, #before) == before and line:sub(#before + 1)
        if key and key:match "^[^|]*" == event then keys[#keys + 1] = key end
      end
      return keys
    end

    local names = { "VarSet", "Cdr", "Newexten", "Hangup", "DeviceStateChange", "NewCallerid" }
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 8 do
      local name, way, delay = names[math.random(#names)], math.random(4), math.random() / 5
      -- A name that the text does not spell out, of a class that the server sends a part of, is heard in part at first.
      local late, computed = way > 2, way % 2 == 0 and (way == 2 or name ~= "VarSet")
      local spelled = computed and ("%q .. %q"):format(name:sub(1, 2), name:sub(3)) or ("%q"):format(name)
      os.remove(folder .. "/probe")
      os.execute("kill -USR1 " .. daemon.pid) -- the sink is opened anew
      daemon.project.rule("probe.lua", ([[
        local sink, key = sink.open "probe", require "_key"
        -- The rule of the round before may still hear the same.
        local function hear(ev) sink:write("%d " .. key(ev)) end
        local function begin() log.info("begins", { round = %d }) ami.on(%s, { server = "auto" }, hear) end
        if %s then timer.after(%f, begin) else begin() end]]):format(round, round, spelled, late, delay))
      local what = ("%s, way %d, %f s, seed %d"):format(name, way, delay, seed)
      assert.is_true(daemon:reload())
      daemon:await { msg = "begins", round = round }
      local mark = round .. " "
      helper.wait_for(function() return #heard("probe", name, mark) >= 10 end, nil, "ten of " .. what)
      local probe, all = heard("probe", name, mark), heard("all", name, "")
      helper.wait_for(function()
        all = heard("all", name, "")
        for _, key in ipairs(all) do if key == probe[#probe] then return true end end
      end, nil, "the same in the other session: " .. what)
      -- Two events may be the same, and the subscription may begin between them.
      local there
      for i, key in ipairs(all) do
        if key == probe[1] then
          local slice = table.move(all, i, i + #probe - 1, 1, {})
          there = (not there or table.concat(slice) == table.concat(probe)) and slice or there
        end
      end
      assert.same(there, probe, what)
      if round % 2 == 0 then
        daemon.project.rule "probe.lua"
        assert.is_true(daemon:reload())
      end
    end
    assert.equal(1, daemon:metric("hookswitch_server_sessions_total", { server = "auto" }))
  end)
end)
