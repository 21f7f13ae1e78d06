local h = require "tests.spec.helper"
local lfs = require "lfs"

local GOOD = [[ami.on("script.loaded", function() log.info "good runs" end)]]

describe("the start", function()
  after_each(h.cleanup)

  it("leaves out a rule file that fails, loudly, and runs the rest", function()
    local daemon = h.daemon { rules = { ["good.lua"] = GOOD, ["syntax.lua"] = "local x =\nfunction(", ["fails.lua"] = [[
      ami.on("script.loaded", function() log.info "half a rule runs" end)
      timer.after(0, function() log.info "half a rule runs" end)
      local x
      x.y = 1]] } }
    for _, at in ipairs { "scripts/syntax.lua:2: ", "scripts/fails.lua:4: attempt to index a nil value (local 'x')" } do
      local told = daemon:await { msg = "left out, the rest runs", reason = h.has(at) }
      assert.equal("error", told.level)
    end
    daemon:await { msg = "good runs" }
    local states = {}
    for _, rule in ipairs(daemon:status().rules) do states[rule.name] = rule.state end
    assert.same({ good = "runs", syntax = "failed", fails = "failed" }, states)
    assert.equal(0, #daemon:find { msg = "half a rule runs" })
    assert.equal(0, daemon:stop())
  end)

  it("is refused instead with --strict, and every fault is named", function()
    local project = h.project { rules = { ["good.lua"] = GOOD, ["a.lua"] = "x = = 1", ["b.lua"] = "\nnothing()" } }
    local code, out, err = h.run("run", "--allow-root", "--strict", "-c", project.config)
    assert.equal(1, code)
    assert.equal("", out)
    assert.truthy(err:find("scripts/a.lua:1: ", 1, true), err)
    assert.truthy(err:find("scripts/b.lua:2: undefined global 'nothing'", 1, true), err)
    assert.truthy(err:find("hookswitch check -c " .. project.config, 1, true), err)
    assert.falsy(err:find("good runs", 1, true))
  end)

  it("leaves signals to the loop: every other thread blocks them", function()
    local peer = h.peer(h.LOGIN .. "\nserve")
    local daemon = h.daemon { servers = { pbx = h.server(peer, { host = "localhost" }) }, rules = { ["good.lua"] = GOOD } }
    daemon:ready "pbx"
    local others = 0
    for tid in lfs.dir("/proc/" .. daemon.pid .. "/task") do
      if tid:match "^%d+$" and tonumber(tid) ~= tonumber(daemon.pid) then
        others = others + 1
        local blocked = tonumber(h.read("/proc/" .. daemon.pid .. "/task/" .. tid .. "/status"):match "SigBlk:%s*(%x+)", 16)
        for _, signal in ipairs { 1, 2, 10, 12, 15 } do
          assert.equal(1, blocked >> (signal - 1) & 1, h.read("/proc/" .. daemon.pid .. "/task/" .. tid .. "/comm") .. " takes signal " .. signal)
        end
      end
    end
    -- Those of the log, of the loader and of names.
    assert.is_true(others >= 3, others .. " threads")
    assert.equal(0, daemon:stop())
  end)

  it("goes well with --strict when all is good", function()
    local daemon = h.daemon({ rules = { ["good.lua"] = GOOD } }, { arguments = { "--strict" } })
    daemon:await { msg = "good runs" }
    assert.equal(0, daemon:stop())
  end)

  it("warns of names that nothing knows, and goes on", function()
    local daemon = h.daemon { rules = { ["good.lua"] = GOOD .. "\nami.on('Newchanel', function() end)" } }
    local told = daemon:await { reason = h.has "scripts/good.lua:2: no event 'Newchanel' is known (did you mean Newchannel?)" }
    assert.equal("warn", told.level)
    daemon:await { msg = "good runs" }
  end)

  it("needs no server and no rule", function()
    local daemon = h.daemon {}
    assert.equal(0, daemon:stop())
  end)

  -- what is wrong, the options of the project, and what stderr says
  local folder_gone = { config = { scripts = { rules = "nowhere" } } }
  local cases = {
    { "an unknown option", { config = { limts = {} } }, "limts: unknown option (did you mean limits?)" },
    { "a rules folder that is not there", folder_gone, "nowhere: the rules folder cannot be read" },
    { "a log file that cannot be opened", { config = { log = { file = "nowhere/log" } } }, "nowhere/log" },
    { "a sink that cannot be opened", { config = { sinks = { out = { file = "nowhere/out" } } } }, "sinks.out.file: " },
  }
  for _, case in ipairs(cases) do
    it("is refused with one clear line: " .. case[1], function()
      local project = h.project(case[2])
      local code, out, err = h.run("run", "--allow-root", "-c", project.config)
      assert.equal(1, code)
      assert.equal("", out)
      assert.truthy(err:find(case[3], 1, true), err)
    end)
  end

  it("is refused while another daemon has the console, which goes on", function()
    local project = h.project { rules = { ["good.lua"] = GOOD } }
    local first = h.daemon(project)
    local code, _, err = h.run("run", "--allow-root", "-c", project.config)
    assert.equal(1, code)
    assert.truthy(err:find("console", 1, true), err)
    assert.equal(1, first:status().generation)
    assert.equal(0, first:stop())
  end)

  it("finds its files beside the configuration, wherever it is called from", function()
    local folder = h.folder()
    h.write_file(folder .. "/conf/hookswitch.lua", 'return { servers = {}, sinks = { out = { file = "out" } } }')
    h.write_file(folder .. "/scripts/probe.lua", 'local m = require "m"\nami.on("script.loaded", function() log.info("loaded", { m = m.word }) end)')
    h.write_file(folder .. "/lib/m.lua", 'return { word = "found" }')
    local process = h.start(h.binary, { "run", "--allow-root" }, { cwd = folder })
    h.wait_for(function() return process:stderr():find('"m":"found"', 1, true) end, nil, function() return process:tail() end)
    assert.is_true(h.exists(folder .. "/out"))
    process:signal "TERM"
    assert.equal(0, process:ended())
  end)
end)

describe("the log", function()
  after_each(h.cleanup)

  it("goes to the file that the configuration names, and to a new one after a rotation and SIGUSR1", function()
    local project = h.project { rules = { ["probe.lua"] = [[
      local out = sink.open "out"
      ami.on("probe.say", function(ev) log.info(ev.word) out:write(ev.word) end)]] },
      config = { log = { file = "engine.log" }, sinks = { out = { file = "out" } } } }
    local path, sink = project.folder .. "/engine.log", project.folder .. "/out"
    local daemon = h.daemon(project, { log_file = path })
    daemon:emit("probe.say", "word=before")
    daemon:await { msg = "before" }
    os.rename(path, path .. ".1")
    os.rename(sink, sink .. ".1")
    daemon:signal "USR1"
    h.wait_for(function() return h.exists(path) and h.exists(sink) end, nil, "new files")
    daemon:emit("probe.say", "word=after")
    h.wait_for(function() return h.read(path):find("after", 1, true) and h.read(sink):find("after", 1, true) end)
    assert.equal(0, daemon:stop())
    assert.falsy(h.read(path .. ".1"):find('"after"', 1, true))
    assert.falsy(h.read(path):find('"before"', 1, true))
    assert.equal("before\n", h.read(sink .. ".1"))
    assert.equal("after\n", h.read(sink))
    assert.equal("", daemon:stderr())
  end)

  it("is text or JSON as asked for", function()
    local daemon = h.daemon({ config = { log = { format = "text" } } }, { waits = false })
    h.wait_for(function() return daemon:stderr():find " info  started version=" end, nil, function() return daemon:tail() end)
    assert.equal(0, daemon:stop())
    daemon = h.daemon { config = { log = { format = "json" } } }
    assert.equal(0, daemon:stop())
    for _, record in ipairs(daemon:log()) do assert.is_nil(record.text) end
  end)

  it("logs a rule's error in one record, with place, listener, event, server and traceback, and the next listener runs", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.sim()) }, rules = { ["bad.lua"] = [[
      local function deep(x) return x.y.z end
      ami.on("FullyBooted", { label = "first" }, function(ev) local r = deep({}) end)
      ami.on("FullyBooted", function() log.info "next" end)]] } }
    daemon:await { msg = "next" }
    local records = daemon:find { level = "error" }
    assert.equal(1, #records)
    assert.truthy(records[1].msg:find("scripts/bad.lua:1: attempt to index a nil value (field 'y')", 1, true))
    assert.equal("bad", records[1].rule)
    assert.equal("first", records[1].listener)
    assert.equal("FullyBooted", records[1].event)
    assert.equal("pbx1", records[1].server)
    assert.truthy(records[1].traceback:find("scripts/bad.lua:2", 1, true))
    assert.equal(1, daemon:metric("hookswitch_rules_errors_total", { rule = "bad", kind = "error" }))
  end)

  it("P8 never has a secret: not of a login, a setting, an error, a console, at any level", function()
    local secret, key = "kangaroo-0815", "platypus-2342"
    local project = h.project { rules = { ["probe.lua"] = [[
      local set = settings { token = "" }
      ami.on("server.ready", function(ev, server)
        log.info("token " .. set.token, { token = set.token, text = "it is " .. set.token })
        server:send { Action = "UserEvent", UserEvent = "Leak", Token = set.token }
        print(set.token)
        metric.counter("leak_total", "A leak.", { "what" }):inc { set.token }
        error("no luck with " .. set.token)
      end)
      ami.on("UserEvent", function(ev) log.info "told" error(ev.Token) end)]] } }
    local wrong = "echidna-9999"
    h.write_file(project.folder .. "/token", key .. "\n")
    local sim = h.start(h.binary, { "sim", "--listen", "127.0.0.1:0", "--user", h.USER, "--secret", secret })
    local port = h.wait_for(function() return sim:stdout():match ":(%d+)\n" end)
    h.write_file(project.config, ([[return {
      servers = {
        plain = { host = "127.0.0.1", port = %s, username = "operator", secret = env "SPEC_SECRET", auth = "plain" },
        md5 = { host = "127.0.0.1", port = %s, username = "operator", secret = env "SPEC_SECRET" },
        wrong = { host = "127.0.0.1", port = %s, username = "operator", secret = "%s", auth = "plain" },
      },
      rules = { probe = { token = file "token" } },
      log = { level = "debug", throttle_burst = 100000 },
      control = { socket = "console" },
    }]]):format(port, port, port, wrong))
    local daemon = h.daemon(project, { env = { SPEC_SECRET = secret } })
    daemon:ready "plain"
    daemon:ready "md5"
    daemon:await { msg = "no session", server = "wrong", reason = "auth" }
    daemon:await({ msg = "told" }, { count = 2 })
    local seen = { h.read("/proc/" .. daemon.pid .. "/cmdline") }
    for _, command in ipairs { "status", "servers", "scripts", "metrics" } do
      for _, form in ipairs { { command }, { command, "--json" } } do
        local code, out = daemon:ctl(table.unpack(form))
        assert.equal(0, code)
        seen[#seen + 1] = out
      end
    end
    assert.is_true(daemon:reload())
    assert.equal(0, daemon:stop())
    seen[#seen + 1] = daemon:stdout() .. daemon:stderr()
    local all = table.concat(seen, "\n")
    assert.truthy(all:find("[redacted]", 1, true))
    for _, text in ipairs { secret, key, wrong } do
      local at = all:find(text, 1, true)
      assert.is_nil(at, at and all:sub(math.max(1, at - 100), at + 100))
    end
  end)
end)
