local h = require "tests.spec.helper"

local GOODBYE = "\naction Logoff\nsend Response: Goodbye\\r\\nActionID: $id\\r\\nMessage: Thanks for all the fish.\\r\\n\\r\\n"

local WATCH = [[
  ami.on("server.lost", function(ev, server) log.info("lost", { name = server.name, reason = ev.reason }) end)
]]

describe("the end", function()
  after_each(h.cleanup)

  for _, signal in ipairs { "TERM", "INT" } do
    it("comes in order with SIG" .. signal .. ": Logoff, the rules hear of it, exit 0", function()
      local peer = h.peer(h.LOGIN .. GOODBYE)
      local daemon = h.daemon { servers = { pbx1 = h.server(peer), pbx2 = h.server(h.sim()), dead = h.server(h.dead_port()) },
        rules = { ["probe.lua"] = WATCH } }
      daemon:ready "pbx1"
      daemon:ready "pbx2"
      daemon:signal(signal)
      assert.equal(0, daemon:ended())
      assert.truthy(peer.received():find("Action: Logoff", 1, true))
      assert.truthy(peer:stdout():find "done")
      for _, name in ipairs { "pbx1", "pbx2" } do assert.equal("shutdown", daemon:await({ msg = "lost", name = name }).reason) end
      assert.equal(2, #daemon:find { msg = "lost" })
      local records = daemon:log()
      assert.equal("stopped", records[#records].msg)
      assert.equal(0, #daemon:find { level = "error" })
    end)
  end

  it("lets an action that is answered in time end well, and cancels the others", function()
    local peer = h.peer(h.LOGIN .. [[

action Getvar
expect Action: Getvar
action Logoff
send Response: Goodbye\r\nActionID: $id\r\n\r\n]])
    local daemon = h.daemon { servers = { slow = h.server(peer), quick = h.server(h.sim()) }, rules = { ["probe.lua"] = WATCH .. [[
      local function report(name)
        return function(res, err) log.info("ended", { name = name, code = err and err.code or "good" }) end
      end
      ami.on("server.ready", { server = "slow" }, function(ev, server)
        server:send({ Action = "Getvar", Variable = "A" }, { timeout = 600 }, report "callback")
        local res, err = server:call({ Action = "Getvar", Variable = "B" }, { timeout = 600 })
        report "call" (res, err)
      end)
      -- Decided about 1 s later: inside of the drain, which holds up the Logoff behind it.
      ami.on("server.ready", { server = "quick" }, function(ev, server)
        log.info "originating"
        server:send({ Action = "Originate", Channel = "Local/101@default", Context = "default", Exten = "100",
          Priority = 1, Async = false }, report "quick")
      end)]] } }
    daemon:await { msg = "originating" }
    h.wait_for(function()
      local _, n = peer.received():gsub("Action: Getvar", "")
      return n == 2
    end)
    assert.equal(0, daemon:stop())
    local ended = {}
    for _, record in ipairs(daemon:find { msg = "ended" }) do
      assert.is_nil(ended[record.name], "ended twice")
      ended[record.name] = record.code
    end
    assert.same({ callback = "cancelled", call = "cancelled", quick = "good" }, ended)
  end)

  it("waits for a server that does not say goodbye only as long as timeouts.drain", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nhold"), { timeouts = { drain = 0.3 } }) },
      rules = { ["probe.lua"] = WATCH } }
    daemon:ready "pbx1"
    local began = h.now()
    assert.equal(0, daemon:stop())
    assert.is_true(h.now() - began >= 0.25)
    assert.equal("shutdown", daemon:await({ msg = "lost" }).reason)
  end)

  -- A daemon from whose configuration pbx1 was taken out, the session of which still ends: until the file `go` is there.
  local function leaving(others)
    local go = h.folder() .. "/go"
    local peer = h.peer(h.LOGIN .. "\naction Logoff\nwait " .. go .. GOODBYE:gsub("^\naction Logoff", ""))
    local project = h.project { servers = { pbx1 = h.server(peer, { timeouts = { drain = 30 } }), pbx2 = others.pbx2 } }
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    project.write { servers = others }
    assert.is_true(daemon:reload())
    h.wait_for(function() return peer.received():find("Action: Logoff", 1, true) end)
    daemon:signal "TERM"
    daemon:await { msg = "stopping" }
    return daemon, function() h.write_file(go, "") end
  end

  it("waits for the session of a server that was taken out before", function()
    local daemon, go = leaving { pbx2 = h.server(h.dead_port(), { timeouts = { drain = 30 }, reconnect = { first = 300, max = 300 } }) }
    daemon:await { msg = "session stopped", server = "pbx2" }
    go()
    assert.equal(0, daemon:ended())
    assert.equal(1, #daemon:find { msg = "session stopped", server = "pbx1" })
    assert.equal(0, #daemon:find { level = "warn", msg = h.has "stopping" })
  end)

  it("waits for such a session no longer than for those that are configured", function()
    local began = h.now()
    local daemon = leaving {}
    assert.equal(0, daemon:ended())
    assert.is_true(h.now() - began < 15)
    assert.equal(1, #daemon:find { level = "warn", msg = "sessions did not end in time, stopping all the same" })
  end)

  it("comes at once with a second signal", function()
    for _, signals in ipairs { { "TERM", "TERM" }, { "INT", "TERM" }, { "TERM", "INT" } } do
      local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nhold"), { timeouts = { drain = 300 } }) } }
      daemon:ready "pbx1"
      daemon:signal(signals[1])
      daemon:await { msg = "stopping" }
      daemon:signal(signals[2])
      assert.equal(0, daemon:ended())
      daemon:await { msg = "asked to stop again: stopping at once" }
    end
  end)

  it("comes at once when no session stands: waiting, connecting, before the banner, in the login", function()
    local servers = {
      waiting = h.server(h.dead_port(), { reconnect = { first = 300, max = 300 } }),
      banner = h.server(h.peer "hold", { timeouts = { banner = 300, drain = 300 } }),
      login = h.server(h.peer "line Asterisk Call Manager/9.0.0\nhold", { timeouts = { login = 300, drain = 300 } }),
    }
    local daemon = h.daemon { servers = servers }
    h.wait_for(function()
      local states = {}
      for _, server in ipairs(daemon:status().servers) do states[server.name] = server.state end
      return states.waiting == "waiting" and states.banner == "banner" and states.login == "login"
    end)
    assert.equal(0, daemon:stop())
    assert.equal(3, #daemon:find { msg = "session stopped" })
  end)

  it("is not kept by rules that wait, nor by endless timers and tasks", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.sim()) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function() timer.every(0.001, function() end) timer.sleep(3600) end)
      timer.after(0, function() log.info "looping" while true do timer.sleep(0) end end)
      timer.after(0, function() ami.wait("Never.comes", nil, 3600) end)]] } }
    daemon:await { msg = "looping" }
    daemon:ready "pbx1"
    assert.equal(0, daemon:stop())
  end)

  it("closes what is parked: <close> variables run", function()
    local daemon = h.daemon { rules = { ["probe.lua"] = [[
      timer.after(0, function()
        local guard <close> = setmetatable({}, { __close = function() log.info "closed" end })
        log.info "parked"
        timer.sleep(3600)
      end)]] } }
    daemon:await { msg = "parked" }
    assert.equal(0, daemon:stop())
    assert.equal(1, #daemon:find { msg = "closed" })
  end)

  it("comes also while rules are being loaded, which then change nothing", function()
    local project = h.project { rules = { ["probe.lua"] = "log.info 'one'" }, config = { limits = { load_deadline = 10, load_stuck = 30 } } }
    local daemon = h.daemon(project)
    project.rule("probe.lua", "local began = os.clock() while os.clock() - began < 0.3 do end ami.on('script.loaded', function() log.info 'two' end)")
    daemon:signal "HUP"
    daemon:await { msg = "reload asked for by signal" }
    assert.equal(0, daemon:stop())
    assert.equal(0, #daemon:find { msg = "two" })
    assert.equal(0, #daemon:find { msg = "reloaded" })
  end)

  -- 40 files that never finish loading, a reload, and then the signals.
  local function hopeless(servers)
    local project = h.project { servers = servers, rules = { ["probe.lua"] = "log.info 'one'" }, config = { limits = { load_deadline = 5, load_stuck = 30 } } }
    local daemon = h.daemon(project)
    for i = 1, 40 do project.rule(("endless%d.lua"):format(i), "while true do pcall(function() while true do end end) end") end
    if next(servers) then daemon:ready(next(servers)) end
    daemon:signal "HUP"
    daemon:await { msg = "reload asked for by signal" }
    return daemon, h.now()
  end

  it("does not wait for files that never finish loading", function()
    local daemon, began = hopeless {}
    assert.equal(0, daemon:stop())
    assert.is_true(h.now() - began < 3, ("%.1f s"):format(h.now() - began))
    assert.equal(0, #daemon:find { msg = "reloaded" })
  end)

  it("comes at once with a second signal also while files load that never finish", function()
    local daemon, began = hopeless { pbx1 = h.server(h.peer(h.LOGIN .. "\nhold"), { timeouts = { drain = 300 } }) }
    daemon:signal "TERM"
    daemon:await { msg = "stopping" }
    -- The load has ended by now, long before the session.
    daemon:await { msg = h.RELOAD_FAILED, reason = "the engine stops" }
    daemon:signal "TERM"
    assert.equal(0, daemon:ended())
    assert.is_true(h.now() - began < 3, ("%.1f s"):format(h.now() - began))
  end)

  it("comes also while files load that read a persistent store", function()
    local config = { persist = { file = "state.db" }, limits = { load_deadline = 30, load_stuck = 60, load_total = 60 } }
    local project = h.project { servers = { dead = h.server(h.dead_port()) }, config = config, rules = { ["probe.lua"] = WATCH } }
    local daemon = h.daemon(project)
    project.rule("probe.lua", [[
      local s = store.open("kept", { persistent = true })
      log.info "reading"
      while true do s:get "a" end]])
    daemon:signal "HUP"
    daemon:await { msg = "reading" }
    assert.equal(0, daemon:stop())
  end)

  it("comes at once also while a reload waits for a server to send other events", function()
    local peer = h.peer(h.LOGIN .. "\nhold")
    local project = h.project { servers = { pbx1 = h.server(peer, { events = "auto" }) }, config = { live = { enabled = false } },
      rules = { ["probe.lua"] = [[
        ami.on("server.ready", function(ev, server)
          server:send({ Action = "Getvar", Variable = "A" }, { timeout = 600 }, function(_, err)
            ami.subscribe("C" .. "dr") -- of a class that its text does not name
            log.info(err.code)
          end)
        end)]] } }
    local daemon = h.daemon(project)
    h.wait_for(function() return peer.received():find("Action: Getvar", 1, true) end)
    project.rule("other.lua", 'ami.on("AgentConnect", function() end)')
    daemon:signal "HUP"
    daemon:await { msg = "other events are asked for" }
    -- Both in one turn of the loop.
    for _, signal in ipairs { "STOP", "TERM", "INT", "CONT" } do daemon:signal(signal) end
    assert.equal(0, daemon:ended())
    assert.equal(1, #daemon:find { msg = "cancelled" })
    assert.equal("the engine stops", daemon:await({ msg = h.RELOAD_FAILED }).reason)
  end)

  it("waits for answers without work, also where a login for other events was to come", function()
    local peer = h.peer(h.LOGIN .. [[

action Events
send Response: Error\r\nActionID: $id\r\nMessage: Invalid event mask\r\n\r\n
hold]])
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { events = "auto", timeouts = { drain = 30 } }) }, config = { live = { enabled = false } },
      rules = { ["probe.lua"] = [[
        ami.on("server.ready", function(ev, server)
          ami.subscribe("DTM" .. "FEnd")
          server:send({ Action = "Getvar", Variable = "A" }, { timeout = 600 }, function() end)
        end)]] } }
    daemon:await { msg = "the server did not take another event mask: logging in again" }
    daemon:signal "TERM"
    daemon:await { msg = "stopping" }
    local function ticks() -- of CPU time
      local user, system = h.read("/proc/" .. daemon.pid .. "/stat"):match("%) %S" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
      return user + system
    end
    local before = ticks()
    os.execute "sleep 1"
    assert.is_true(ticks() - before < 10)
    daemon:signal "TERM"
    assert.equal(0, daemon:ended())
  end)

  it("begins no reload any more, and says so", function()
    local project = h.project { servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nhold"), { timeouts = { drain = 300 } }) },
      rules = { ["probe.lua"] = "log.info 'loading'" } }
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    daemon:signal "TERM"
    daemon:await { msg = "stopping" }
    daemon:signal "HUP"
    daemon:await { msg = h.RELOAD_FAILED, reason = "the engine stops" }
    local code, _, err = daemon:ctl "reload"
    assert.equal(1, code)
    assert.truthy(err:find("the engine stops", 1, true), err)
    assert.equal(0, #daemon:find { msg = "loading" }) -- the first time there was no log yet
    daemon:signal "TERM"
    assert.equal(0, daemon:ended())
  end)

  it("leaves nothing in a sink or the log unwritten, and no socket behind", function()
    local daemon = h.daemon { config = { sinks = { out = { file = "out" } } }, rules = { ["probe.lua"] = [[
      local out = sink.open "out"
      ami.on("probe.go", function() for i = 1, 500 do out:write("line " .. i) end log.info "last words" end)]] } }
    assert.is_true(h.exists(daemon.project.folder .. "/console"))
    daemon:emit "probe.go"
    assert.equal(0, daemon:stop())
    local lines = h.lines(h.read(daemon.project.folder .. "/out"))
    assert.equal(500, #lines)
    assert.equal("line 500", lines[500])
    assert.equal(1, #daemon:find { msg = "last words" })
    assert.is_false(h.exists(daemon.project.folder .. "/console"))
  end)
end)
