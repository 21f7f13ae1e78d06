local h = require "tests.spec.helper"

-- Says what it is when it is asked, and what it hears from the engine.
local function probe(version)
  return ([[
    ami.on("probe.ask", function(ev) log.info("probe", { version = %q }) end)
    ami.on({ "script.loaded", "server.ready", "server.lost" }, function(ev, server)
      log.info(ev.Event, { version = %q, name = server and server.name, reason = ev.reason, generation = ev.generation })
    end)
  ]]):format(version, version)
end

-- Which versions of the probe hear an event now.
local function ask(daemon)
  local from = daemon:mark()
  daemon:emit "probe.ask"
  daemon:await({ msg = "probe" }, { from = from })
  daemon:emit "probe.ask"
  daemon:await({ msg = "probe" }, { from = from, count = 2 })
  local versions = {}
  for i, record in ipairs(daemon:find({ msg = "probe" }, from)) do versions[i] = record.version end
  return table.concat(versions, " ")
end

local function sessions(daemon, server)
  return #daemon:find { msg = "session ready", server = server }
end

describe("a reload", function()
  after_each(h.cleanup)

  it("brings the new rules to life, reports to them once what there is, and touches no session", function()
    local project = h.project { servers = { a = h.server(h.sim()), b = h.server(h.dead_port()) }, rules = { ["probe.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    daemon:await { msg = "server.ready", version = "one", name = "a", reason = "connected" }
    assert.equal("1", daemon:await({ msg = "script.loaded", version = "one" }).generation)
    assert.equal("one one", ask(daemon))
    project.rule("probe.lua", probe "two")
    assert.is_true(daemon:reload())
    daemon:await { msg = "server.ready", version = "two", name = "a", reason = "reloaded" }
    assert.equal("2", daemon:await({ msg = "script.loaded", version = "two" }).generation)
    assert.equal("two two", ask(daemon))
    assert.equal(1, #daemon:find { msg = "server.ready", version = "two" }, "only the server that is ready")
    assert.equal(1, #daemon:find { msg = "script.loaded", version = "two" })
    assert.equal(0, #daemon:find { msg = "server.lost" })
    assert.equal(1, sessions(daemon, "a"))
    assert.equal(2, daemon:status().generation)
  end)

  it("logs what looks wrong in it, and goes on", function()
    local daemon = h.daemon { rules = { ["probe.lua"] = "-- nothing" } }
    daemon.project.rule("probe.lua", 'ami.on("Newchanel", function() end)')
    assert.is_true(daemon:reload())
    assert.equal("warn", daemon:await({ msg = "looks wrong", reason = h.has "no event 'Newchanel' is known" }).level)
  end)

  it("takes in files that were added and forgets those that were removed", function()
    local project = h.project { rules = { ["one.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    project.rule("two.lua", probe "two")
    assert.is_true(daemon:reload())
    local both = ask(daemon)
    assert.truthy(both:find "one" and both:find "two")
    project.rule "one.lua"
    assert.is_true(daemon:reload())
    assert.equal("two two", ask(daemon))
  end)

  it("gives rules their new settings, and changes limits and the log's level", function()
    local rules = { ["probe.lua"] = [[
      local set = settings { word = "default" }
      ami.on("script.loaded", function() log.info("loaded", { word = set.word }) log.debug "chatter" end)]] }
    local project = h.project { rules = rules }
    local daemon = h.daemon(project)
    assert.equal("default", daemon:await({ msg = "loaded" }).word)
    project.write { rules = rules, config = { rules = { probe = { word = "given" } }, log = { level = "debug", throttle_burst = 1000000 } } }
    assert.is_true(daemon:reload())
    daemon:await { msg = "loaded", word = "given" }
    daemon:await { msg = "chatter" }
    assert.equal(1, #daemon:find { msg = "chatter" })
  end)

  local function with_servers(servers)
    return { servers = servers, rules = { ["probe.lua"] = probe "one" } }
  end

  it("connects a new server, ends one that is gone, and leaves the others alone", function()
    local peer = h.peer(h.LOGIN .. "\naction Logoff\nsend Response: Goodbye\\r\\nActionID: $id\\r\\n\\r\\n")
    local kept, added = h.server(h.sim()), h.server(h.sim())
    local project = h.project { servers = { kept = kept, gone = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.once("server.ready", { server = "gone" }, function(ev, gone)
        local sub = ami.subscribe "probe.late"
        log.info "holding"
        sub:next(60)
        local id, err = gone:send { Action = "Ping" }
        log.info("outlived", { name = gone.name, state = gone.state, ready = gone.ready, code = err and err.code })
      end)
      ami.on("server.lost", { server = "gone" }, function(ev, server) log.info("lost", { reason = ev.reason }) end)
      ami.on("probe.send", function()
        log.info("now", { gone = ami.server "gone" == nil, count = #ami.servers() })
      end)]] } }
    local daemon = h.daemon(project)
    daemon:ready "kept"
    daemon:await { msg = "holding" }
    project.write { servers = { kept = kept, added = added } }
    assert.is_true(daemon:reload())
    daemon:ready "added"
    daemon:await { msg = "session stopped", server = "gone", reason = "removed" }
    local _, metrics = daemon:ctl "metrics"
    assert.truthy(metrics:find('server="kept"', 1, true))
    assert.is_nil(metrics:match '[^\n]*server="gone"[^\n]*')
    assert.equal("removed", daemon:await({ msg = "lost" }).reason)
    assert.truthy(peer.received():find("Action: Logoff", 1, true))
    daemon:emit "probe.send"
    local now = daemon:await { msg = "now" }
    assert.is_true(now.gone)
    assert.equal(2, now.count)
    daemon:emit "probe.late"
    local outlived = daemon:await { msg = "outlived" }
    assert.equal("gone", outlived.name)
    assert.equal("removed", outlived.state)
    assert.is_false(outlived.ready)
    assert.equal("not_ready", outlived.code)
    assert.equal(1, sessions(daemon, "kept"))
    local names = {}
    for i, server in ipairs(daemon:status().servers) do names[i] = server.name end
    assert.same({ "added", "kept" }, names)
  end)

  it("reconnects only the server whose own settings have changed, and keeps its place", function()
    local one, two = h.sim(), h.sim()
    local kept = h.server(h.sim())
    local project = h.project(with_servers { changed = h.server(one), kept = kept })
    local daemon = h.daemon(project)
    daemon:ready "changed"
    daemon:ready "kept"
    project.write(with_servers { changed = h.server(two), kept = kept })
    assert.is_true(daemon:reload())
    local again = daemon:ready("changed", { count = 2 })
    assert.equal(two.port, math.tointeger(again.port))
    assert.equal("reconfigured", daemon:await({ msg = "server.lost", name = "changed" }).reason)
    assert.equal(1, sessions(daemon, "kept"))
    assert.equal(2, #daemon:status().servers)
  end)

  -- A server whose first session ends when the file `go` is there; the second connection is the only one that may follow.
  local function lingering()
    local go = h.folder() .. "/go"
    local peer = h.peer(h.LOGIN .. "\naction Logoff\nwait " .. go .. "\nsend Response: Goodbye\\r\\nActionID: $id\\r\\n\\r\\n",
      h.LOGIN .. "\nhold")
    local function at(drain) return with_servers { pbx1 = h.server(peer, { timeouts = { drain = drain } }) } end
    return peer, at, function() h.write_file(go, "") end
  end

  local function connections(peer)
    local _, n = peer:stdout():gsub("connected\n", "")
    return n
  end

  it("begins no session of a server that is gone before its predecessor has ended", function()
    local _, at, go = lingering()
    local project = h.project(at(30))
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    project.write(at(21))
    assert.is_true(daemon:reload())
    project.write(with_servers {})
    assert.is_true(daemon:reload())
    daemon:await { msg = "session stopped" }
    go()
    daemon:await({ msg = "session stopped" }, { count = 2 })
    assert.equal(0, #daemon:status().servers)
    assert.equal(1, #daemon:find { msg = "session ready" })
    assert.equal(0, daemon:stop())
  end)

  it("begins the session of a server that comes back when its old one has ended", function()
    local peer, at, go = lingering()
    local project = h.project(at(30))
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    project.write(with_servers {})
    assert.is_true(daemon:reload())
    project.write(at(30))
    assert.is_true(daemon:reload())
    h.wait_for(function() return peer.received():find("Action: Logoff", 1, true) end)
    assert.equal("stopped", daemon:status().servers[1].state)
    go()
    daemon:ready("pbx1", { count = 2 })
    assert.equal(2, connections(peer))
  end)

  it("begins the new session of a changed server only when the old one has ended", function()
    local folder = h.folder()
    local peer = h.peer(h.LOGIN .. "\naction Logoff\nwait " .. folder .. "/go\nsend Response: Goodbye\\r\\nActionID: $id\\r\\n\\r\\n",
      h.LOGIN .. "\nhold")
    local project = h.project(with_servers { pbx1 = h.server(peer, { timeouts = { drain = 30 } }) })
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    project.write(with_servers { pbx1 = h.server(peer, { timeouts = { drain = 29 } }) })
    assert.is_true(daemon:reload())
    h.wait_for(function() return peer.received():find("Logoff", 1, true) end)
    daemon:emit "probe.ask"
    daemon:await { msg = "probe" }
    local _, connects = peer:stdout():gsub("connected", "")
    assert.equal(1, connects)
    h.write_file(folder .. "/go", "")
    daemon:ready("pbx1", { count = 2 })
  end)

  it("replaces a server again and again while its first session still ends, and begins only the last of them", function()
    local folder = h.folder()
    local peer = h.peer(h.LOGIN .. "\naction Logoff\nwait " .. folder .. "/go\nsend Response: Goodbye\\r\\nActionID: $id\\r\\n\\r\\n",
      h.LOGIN .. "\nserve")
    local project = h.project(with_servers { pbx1 = h.server(peer, { timeouts = { drain = 30 } }) })
    local daemon = h.daemon(project)
    daemon:ready "pbx1"
    for n = 1, 3 do
      project.write(with_servers { pbx1 = h.server(peer, { timeouts = { drain = 30 - n } }) })
      assert.is_true(daemon:reload())
    end
    -- Two of them were replaced before they began.
    daemon:await({ msg = "session stopped", server = "pbx1" }, { count = 2 })
    local _, connects = peer:stdout():gsub("connected", "")
    assert.equal(1, connects)
    h.write_file(folder .. "/go", "")
    daemon:ready("pbx1", { count = 2 })
    assert.equal(0, daemon:stop())
    _, connects = peer:stdout():gsub("connected", "")
    assert.equal(2, connects)
  end)
end)

describe("a reload that fails", function()
  after_each(h.cleanup)

  -- what is broken, how (given the project and its servers), and what the fault says
  local cases = {
    { "a rule's syntax", function(project) project.rule("other.lua", "local x =\nfunction(") end, "scripts/other.lua:2: " },
    { "a rule that raises while it loads", function(project) project.rule("other.lua", "\nlocal x\nx.y = 1") end,
      "scripts/other.lua:3: attempt to index a nil value (local 'x')" },
    { "a rule that takes too long to load", function(project) project.rule("other.lua", "while true do end") end, "scripts/other.lua:1: " },
    { "a rule that takes too much memory to load", function(project)
      project.rule("other.lua", "local t = {} for i = 1, 1e9 do t[i] = { i } end") end, "scripts/other.lua:1: not enough memory" },
    { "a rule that acts while it loads", function(project) project.rule("other.lua", "ami.server 'pbx1':send { Action = 'Ping' }") end,
      "scripts/other.lua:1: " },
    { "a sink that no configuration has", function(project) project.rule("other.lua", "sink.open 'nowhere'") end,
      "scripts/other.lua:1: the configuration has no sink 'nowhere'" },
    { "an unknown option", function(project, servers) project.write { servers = servers, config = { limts = {} } } end,
      "limts: unknown option (did you mean limits?)" },
    { "a configuration's syntax", function(project) h.write_file(project.config, "return {\n{") end, "hookswitch.lua:2: " },
    { "a configuration that is gone", function(project) os.remove(project.config) end, "there is no such file" },
    { "a rules folder that is gone", function(project) os.rename(project.folder .. "/scripts", project.folder .. "/away") end,
      "the rules folder cannot be read" },
    { "a sink that cannot be opened", function(project, servers)
      project.write { servers = servers, config = { sinks = { out = { file = "nowhere/out" } } } } end, "sinks.out.file: " },
    { "an option that needs a restart", function(project, servers)
      project.write { servers = servers, config = { control = { socket = "elsewhere" } } } end,
      "control.socket cannot change while the daemon runs; restart it" },
    { "a server that cannot be made", function(project, servers)
      servers.pbx2 = h.server(1, { tls = { enabled = true, ca = "none.pem" } })
      project.write { servers = servers } end, "servers.pbx2.tls.ca: " },
    { "settings that the rule does not take", function(project, servers)
      project.write { servers = servers, config = { rules = { probe = { word = "x" } } } } end, "rules.probe: " },
  }

  for _, case in ipairs(cases) do
    it("changes nothing and says why: " .. case[1], function()
      local servers = { pbx1 = h.server(h.sim()) }
      local project = h.project { servers = servers, rules = { ["probe.lua"] = probe "one" } }
      local daemon = h.daemon(project)
      daemon:ready "pbx1"
      servers.pbx3 = h.server(1) -- would be added, were all good
      project.rule("probe.lua", probe "two")
      project.write { servers = servers }
      case[2](project, servers)
      local applied, reason = daemon:reload()
      assert.is_false(applied)
      assert.truthy(reason:find(case[3], 1, true), reason)
      assert.equal("one one", ask(daemon))
      local status = daemon:status()
      assert.equal(1, status.generation)
      assert.equal(1, #status.servers)
      assert.truthy(table.concat(status.reload_failed.faults, "\n"):find(case[3], 1, true))
      assert.equal(1, sessions(daemon, "pbx1"))
      assert.equal(0, #daemon:find { msg = "server.lost" })
      assert.equal(0, daemon:stop())
    end)
  end

  it("leaves no file of a sink behind, neither of a start that fails", function()
    local project = h.project { rules = { ["probe.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    local sinks = { first = { file = "first" }, second = { file = "second" } }
    project.rule("bad.lua", "x = = 1")
    project.write { config = { sinks = sinks } }
    assert.is_false(daemon:reload())
    project.rule("bad.lua")
    sinks.third = { file = "nowhere/third" }
    project.write { config = { sinks = sinks } }
    assert.is_false(daemon:reload())
    assert.is_false(h.exists(project.folder .. "/first") or h.exists(project.folder .. "/second"))
    sinks.third = nil
    project.write { config = { sinks = sinks } }
    assert.is_true(daemon:reload())
    assert.is_true(h.exists(project.folder .. "/first") and h.exists(project.folder .. "/second"))
    assert.equal(0, daemon:stop())
    -- The last thing that can fail is the server's link.
    local late = h.project { servers = { pbx1 = h.server(1, { tls = { enabled = true, ca = "none.pem" } }) }, config = { sinks = sinks } }
    assert.equal(1, (h.run("run", "--allow-root", "-c", late.config)))
    assert.is_false(h.exists(late.folder .. "/first") or h.exists(late.folder .. "/second"))
  end)

  it("leaves no file of a sink open", function()
    local project = h.project { rules = { ["probe.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    local function open_files()
      local count = 0
      for name in require "lfs".dir("/proc/" .. daemon.pid .. "/fd") do count = count + (name:match "^%d" and 1 or 0) end
      return count
    end
    h.write_file(project.folder .. "/there", "a line\n")
    project.write { config = { sinks = { there = { file = "there" }, wrong = { file = "nowhere/wrong" } } } }
    assert.is_false(daemon:reload())
    local before = open_files()
    for _ = 1, 5 do assert.is_false(daemon:reload()) end
    assert.equal(before, open_files())
    assert.equal("a line\n", h.read(project.folder .. "/there"))
  end)

  it("logs each of many faults", function()
    local options = {}
    for n = 1, 12 do options["option" .. n] = n end
    local project = h.project { rules = { ["probe.lua"] = probe "one" }, config = { log = { throttle_burst = 1 } } }
    local daemon = h.daemon(project)
    project.write { config = { log = { throttle_burst = 1 }, limits = options } }
    daemon:signal "HUP"
    daemon:await({ msg = h.RELOAD_FAILED }, { count = 12 })
    local named = {}
    for _, record in ipairs(daemon:find { msg = h.RELOAD_FAILED }) do named[record.reason:match "limits%.(option%d+): unknown option"] = true end
    for name in pairs(options) do assert.is_true(named[name], name) end
    -- So does a start that leaves files out.
    local rules = {}
    for n = 1, 12 do rules[("bad%d.lua"):format(n)] = "x = = 1" end
    daemon = h.daemon { rules = rules, config = { log = { throttle_burst = 1 } } }
    daemon:await({ msg = "left out, the rest runs" }, { count = 12 })
  end)

  it("is forgotten by the next good one", function()
    local project = h.project { rules = { ["probe.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    project.rule("probe.lua", "x = = 1")
    local code, _, err = daemon:ctl "reload"
    assert.equal(1, code)
    assert.truthy(err:find("scripts/probe.lua:1: ", 1, true), err)
    project.rule("probe.lua", probe "two")
    local out
    code, out = daemon:ctl "reload"
    assert.equal(0, code)
    assert.truthy(out:find("generation 2", 1, true), out)
    assert.equal(require "cjson".null, daemon:status().reload_failed)
    assert.equal("two two", ask(daemon))
  end)

  it("names every fault at once", function()
    local project = h.project { rules = { ["probe.lua"] = probe "one" } }
    local daemon = h.daemon(project)
    project.rule("a.lua", "x = = 1")
    project.rule("b.lua", "\nnothing()")
    local _, _, err = daemon:ctl "reload"
    assert.truthy(err:find("scripts/a.lua:1: ", 1, true), err)
    assert.truthy(err:find("scripts/b.lua:2: undefined global 'nothing'", 1, true), err)
  end)
end)

describe("what the old rules have begun", function()
  after_each(h.cleanup)

  -- A server that answers each Getvar only when the file is there.
  local function slow_peer(folder)
    return h.peer(h.LOGIN .. ([[

action Getvar
wait %s/go
send Response: Success\r\nActionID: $id\r\nValue: 7\r\n\r\n
action Ping
send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n
hold]]):format(folder))
  end

  it("ends where it began: the answer comes to the state that asked, and may be acted on", function()
    local folder = h.folder()
    local project = h.project { servers = { pbx1 = h.server(slow_peer(folder)) }, rules = { ["probe.lua"] = probe "one" .. [[
      ami.once("server.ready", { server = "pbx1" }, function(ev, server)
        log.info "asking"
        local res = server:call({ Action = "Getvar", Variable = "X" }, { timeout = 60 })
        log.info("answered", { by = "one", value = res.Value })
        local listens = pcall(ami.on, "Hangup", function() end)
        local times = pcall(timer.after, 1, function() end)
        local pong = server:call { Action = "Ping" }
        log.info("after", { listens = listens, times = times, pong = pong and pong.Ping })
      end)]] } }
    local daemon = h.daemon(project)
    daemon:await { msg = "asking" }
    project.rule("probe.lua", probe "two")
    assert.is_true(daemon:reload())
    assert.equal("two two", ask(daemon))
    assert.equal(1, #daemon:status().draining_rules)
    h.write_file(folder .. "/go", "")
    assert.equal("7", daemon:await({ msg = "answered" }).value)
    local after = daemon:await { msg = "after" }
    assert.is_false(after.listens)
    assert.is_true(after.times)
    assert.equal("Pong", after.pong)
    assert.equal(1, #daemon:find { msg = "answered" })
    h.wait_for(function() return #daemon:status().draining_rules == 0 end, nil, "the old rule's end")
  end)

  it("hears no more events and its timers stop, but sleeps and waits go on", function()
    local project = h.project { rules = { ["probe.lua"] = probe "one" .. [[
      timer.every(0.01, function() log.info("tick", { version = "one" }) end)
      timer.after(0.05, function() log.info "sleeping" timer.sleep(0.3) log.info "slept" end)
      timer.after(0, function()
        local sub = ami.subscribe "probe.late"
        log.info "waiting"
        local ev = sub:next(60)
        log.info("waited", { word = ev and ev.word })
      end)]] } }
    local daemon = h.daemon(project)
    daemon:await { msg = "sleeping" }
    daemon:await { msg = "waiting" }
    project.rule("probe.lua", probe "two")
    assert.is_true(daemon:reload())
    local from = daemon:mark()
    daemon:emit("probe.late", "word=fed")
    assert.equal("fed", daemon:await({ msg = "waited" }).word)
    daemon:await { msg = "slept" }
    assert.equal("two two", ask(daemon))
    assert.equal(0, #daemon:find({ msg = "tick" }, from))
  end)

  it("ends at the drain's end: callbacks get `cancelled`, parked calls are closed, and their <close> variables run", function()
    local folder = h.folder()
    local project = h.project { servers = { pbx1 = h.server(slow_peer(folder)) }, config = { scripts = { drain = 0.2 } },
      rules = { ["probe.lua"] = [[
        ami.once("server.ready", function(ev, server)
          server:send({ Action = "Getvar", Variable = "X" }, { timeout = 60 }, function(res, err)
            log.info("callback", { code = err and err.code })
          end)
          local guard <close> = setmetatable({}, { __close = function() log.info "closed" end })
          log.info "parked"
          timer.sleep(3600)
          log.info "came back"
        end)]] } }
    local daemon = h.daemon(project)
    daemon:await { msg = "parked" }
    project.rule("probe.lua", probe "two")
    assert.is_true(daemon:reload())
    assert.equal("cancelled", daemon:await({ msg = "callback" }).code)
    daemon:await { msg = "closed" }
    h.write_file(folder .. "/go", "")
    h.wait_for(function() return #daemon:status().draining_rules == 0 end)
    assert.equal("two two", ask(daemon))
    assert.equal(1, #daemon:find { msg = "callback" })
    assert.equal(0, #daemon:find { msg = "came back" })
    assert.equal(1, sessions(daemon, "pbx1"))
  end)

  it("is cut short when more than four replaced states of a rule would drain at once", function()
    local rule = [[ami.on("script.loaded", function(ev)
      local number = ev.generation
      local guard <close> = setmetatable({}, { __close = function() log.info("closed", { generation = number }) end })
      log.info("parked", { generation = number })
      timer.sleep(3600)
    end)]]
    local daemon = h.daemon { rules = { ["probe.lua"] = rule } }
    for number = 1, 6 do
      daemon:await { msg = "parked", generation = tostring(number) }
      if number < 6 then assert.is_true(daemon:reload_all()) end
    end
    daemon:await { msg = "closed", generation = "1" }
    assert.equal(1, #daemon:find { msg = "closed" })
    assert.equal(4, #daemon:status().draining_rules)
  end)
end)

describe("over reloads", function()
  after_each(h.cleanup)

  it("the memory of rules that were replaced is free again", function()
    -- A handful of them fits.
    local rule = [[
      local large = ("x"):rep(4 << 20)
      ami.on("probe.size", function() log.info("size", { n = #large }) end)]]
    local daemon = h.daemon { rules = { ["large.lua"] = rule }, config = { limits = { memory = 40 << 20, rule_memory = 20 << 20 } } }
    for n = 1, 12 do
      local good, reason = daemon:reload_all()
      assert.is_true(good, n .. ": " .. tostring(reason))
      h.wait_for(function() return #daemon:status().draining_rules == 0 end)
    end
    daemon:emit "probe.size"
    daemon:await { msg = "size", n = 4 << 20 }
  end)

  it("stores and metrics keep what they hold", function()
    local daemon = h.daemon { rules = { ["probe.lua"] = [[
      local s, m = store.open "kept", metric.counter("kept_total", "Kept.")
      ami.on("script.loaded", function() m:inc() log.info("now", { n = s:incr "n" }) end)]] } }
    for n = 1, 4 do
      daemon:await({ msg = "now", n = n })
      assert.equal(n, daemon:metric "hookswitch_rule_kept_total")
      if n < 4 then assert.is_true(daemon:reload_all()) end
    end
  end)

  it("sinks go on writing, to a new file when it was changed", function()
    local rules = { ["probe.lua"] = [[
      local out = sink.open "out"
      ami.on("probe.write", function(ev) out:write(ev.word) log.info("wrote", { word = ev.word }) end)]] }
    local project = h.project { rules = rules, config = { sinks = { out = { file = "first" } } } }
    local daemon = h.daemon(project)
    local function write(word)
      daemon:emit("probe.write", "word=" .. word)
      daemon:await { msg = "wrote", word = word }
    end
    write "a"
    assert.is_true(daemon:reload())
    write "b"
    project.write { rules = rules, config = { sinks = { out = { file = "second" } } } }
    assert.is_true(daemon:reload())
    write "c"
    assert.equal(0, daemon:stop())
    assert.equal("a\nb\n", h.read(project.folder .. "/first"))
    assert.equal("c\n", h.read(project.folder .. "/second"))
  end)

  it("a line for a sink that is gone is refused as invalid, and so are ttl and sync for a file", function()
    local rules = { ["probe.lua"] = [[
      local out = sink.open "out"
      local function write(options)
        local ok, err = out:write("x", options)
        log.info("wrote", { ok = ok, code = err and err.code, text = err and err.message })
      end
      ami.on("probe.ttl", function() write { ttl = 5 } end)
      ami.on("probe.sync", function() write { sync = true } end)
      ami.on("probe.go", function() while true do write() timer.sleep(0.05) end end)]] }
    local project = h.project { rules = rules, config = { sinks = { out = { file = "out" } } } }
    local daemon = h.daemon(project)
    for n, kind in ipairs { "ttl", "sync" } do
      daemon:emit("probe." .. kind)
      local record = daemon:await({ msg = "wrote", code = "invalid" }, { count = n })
      assert.equal("the sink 'out' is a file: ttl and sync are for sinks with a url", record.text)
    end
    daemon:emit "probe.go"
    daemon:await { msg = "wrote", ok = true }
    -- The task of the replaced rule goes on.
    project.write { rules = { ["probe.lua"] = "-- nothing" } }
    assert.is_true(daemon:reload())
    assert.equal("the configuration has no sink 'out' any more", daemon:await({ msg = "wrote", code = "invalid", text = h.has "has no sink" }).text)
  end)

  it("no event is lost and none is heard twice, and each action ends once", function()
    local count = 20000
    local project = h.project { servers = { pbx1 = h.server(h.sim("--events", tostring(count), "--rate", "20000")) }, rules = { ["probe.lua"] = [[
      local s = store.open "counts"
      ami.on("*", function(ev, server)
        if ev.Event == "UserEvent" and ev.UserEvent == "FloodDone" then return log.info("done", { heard = s:get "heard" }) end
        if ev.Event == "FullyBooted" or ev.Event == "SuccessfulAuth" then return end
        if s:incr "heard" % 100 == 0 then
          s:incr "sent"
          server:send({ Action = "Ping" }, function(res, err) s:incr(res and "answered" or "failed " .. err.code) end)
        end
      end)
      ami.on("probe.sum", function() log.info("sum", { sent = s:get "sent", answered = s:get "answered" }) end)]] } }
    local daemon = h.daemon(project)
    local reloads = 0
    while #daemon:find { msg = "done" } == 0 do
      assert.is_true(daemon:reload_all()) -- every rule is replaced, changed or not
      reloads = reloads + 1
    end
    assert.is_true(reloads >= 3, reloads .. " reloads")
    assert.equal(count, daemon:await({ msg = "done" }).heard)
    h.wait_for(function()
      local from = daemon:mark()
      daemon:emit "probe.sum"
      local sum = daemon:await({ msg = "sum" }, { from = from })
      return sum.sent == count / 100 and sum.answered == sum.sent
    end, nil, "an answer to each action")
    assert.equal(0, #daemon:find { level = "error" })
    assert.equal(0, daemon:stop())
  end)

  it("signals that come during a load are folded into one more", function()
    local busy = "local began = os.clock() while os.clock() - began < 0.3 do end\n"
    local project = h.project { rules = { ["probe.lua"] = probe "one" }, config = { limits = { load_deadline = 10, load_stuck = 30 } } }
    local daemon = h.daemon(project)
    project.rule("probe.lua", busy .. probe "two")
    for n = 1, 6 do
      daemon:signal "HUP"
      daemon:await({ msg = "reload asked for by signal" }, { count = n })
    end
    daemon:await({ msg = "reloaded" }, { count = 2 })
    assert.equal("two two", ask(daemon))
    -- Were there more to come, this one would be later than the fourth.
    local _, out = daemon:ctl "reload"
    assert.truthy(out:find("generation 4\n", 1, true), out)
    daemon:await({ msg = "reloaded" }, { count = 3 })
    assert.equal(3, #daemon:find { msg = "reloaded" })
  end)
end)
