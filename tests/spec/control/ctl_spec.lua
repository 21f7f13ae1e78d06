local helper = require "tests.spec.helper"

describe("ctl", function()
  after_each(helper.cleanup)

  local RULE = [[
    ami.on("crm.answered", function(ev) log.info("heard", { who = ev.who, text = ev.text }) end)
    ami.on("crm.fail", function(ev) error("the line of " .. ev.who .. " is gone") end)
  ]]

  local function daemon(options)
    options = options or {}
    options.rules = options.rules or { ["crm.lua"] = RULE }
    return helper.daemon(options)
  end

  describe("status", function()
    it("informs people about the daemon, its servers and its rules", function()
      local sim = helper.sim()
      local d = daemon { servers = { pbx1 = helper.server(sim), dead = helper.server(helper.dead_port()) } }
      d:ready "pbx1"
      d:await { msg = "no session", server = "dead" }
      local code, out, err = d:ctl "status"
      assert.are.equal(0, code)
      assert.are.equal("", err)
      assert.matches("^hookswitch [%d.]+, pid " .. d.pid .. ", up ", out)
      assert.matches("\npbx1 +ready ", out)
      assert.matches("\ndead +%l+ ", out)
      assert.matches("\ndead: refused: ", out)
      assert.matches("\ngeneration 1 since %d+%-%d+%-%d+ %d+:%d+:%d+ ", out)
      assert.matches("\ncrm +runs ", out)
      assert.matches("\ncrm +runs .* scripts/crm%.lua +%x+ +%S+ s  new\n", (select(2, d:ctl "scripts")))
    end)

    it("fits 80 characters, whatever the names and however long the faults", function()
      local name = ("x"):rep(64)
      local d = daemon {
        servers = { pbx1 = helper.server(helper.sim("--events", "0", "--rate", "5000")), [name] = helper.server(helper.dead_port()) },
        rules = { [name .. ".lua"] = "ami.on('crm.x', function() error(('many words '):rep(40)) end)", ["crm.lua"] = RULE },
      }
      d:ready "pbx1"
      d:await { msg = "no session", server = name }
      d:emit "crm.x"
      d:await { kind = "error" }
      d.project.rule("bad.lua", "error(('a reason '):rep(30))\n")
      d:ctl "reload"
      local _, out = d:ctl "status"
      for _, line in ipairs(helper.lines(out)) do
        assert.is_true(utf8.len(line) <= 80 or line:find "^log level %l+, configuration /" ~= nil, line)
      end
      for _, part in ipairs { "\nx+… +%l+ ", "\nx+: refused:\n  ", "\nx+… +runs ", "last error of x+:\n  ", "the last reload failed ", "\n    reason a reason" } do
        assert.matches(part, out)
      end
    end)

    it("gives programs the same as JSON", function()
      local sim = helper.sim()
      local d = daemon { servers = { pbx1 = helper.server(sim) } }
      d:ready "pbx1"
      local status = d:status()
      assert.are.equal(tonumber(d.pid), status.pid)
      assert.are.equal(1, status.generation)
      assert.are.equal("pbx1", status.servers[1].name)
      assert.are.equal("ready", status.servers[1].state)
      assert.are.equal(sim.port, status.servers[1].port)
      assert.are.equal("crm", status.rules[1].name)
      assert.are.equal(2, status.rules[1].listeners)
      assert.matches("^%x+$", status.rules[1].digest)
      assert.are.equal(64, #status.rules[1].digest)
      assert.are.equal(require("cjson").null, status.reload_failed)
    end)

    it("shows what a rule last failed with, unable to steer the terminal and without secrets", function()
      local sim = helper.sim()
      local d = daemon { servers = { pbx1 = helper.server(sim) } }
      d:emit("crm.fail", "who=\27[2J" .. helper.SECRET)
      d:await { kind = "error" }
      local _, out = d:ctl "status"
      assert.matches("last error of crm:\n  .*the line of \\x1b%[2J%[redacted%] is gone", out)
      assert.is_nil(out:find("\27", 1, true))
      assert.is_nil(out:find(helper.SECRET, 1, true))
      local _, json = d:ctl("status", "--json")
      assert.is_nil(json:find(helper.SECRET, 1, true))
      assert.are.equal(1, helper.json(json).rules[1].errors)
    end)

    it("shows what rules have missed and what the log's thread has lost", function()
      local d = daemon {
        rules = { ["busy.lua"] = [[
          local out = sink.open "full"
          ami.on("crm.ask", function() out:write "a line"; timer.sleep(600) end)
        ]] },
        config = { limits = { waiting = 1 }, sinks = { full = { file = "/dev/full" } } },
      }
      local _, out = d:ctl "status"
      assert.is_nil(out:find("lost", 1, true))
      for _ = 1, 3 do d:emit "crm.ask" end
      helper.wait_for(function() return d:status().sink_lines_lost == 1 and d:status().rules[1].skipped == 2 end)
      assert.are.equal(0, d:status().log_records_lost)
      _, out = d:ctl "status"
      assert.matches("\nlost so far: 0 log records, 1 line of sinks\n", out)
      local titles, row = out:match "\n(RULE [^\n]*)\n(busy [^\n]*)"
      local place = select(2, titles:find "MISSED")
      assert.are.equal("2", row:sub(place, place))
    end)

    it("does not say that a rule runs when one of its listeners is in quarantine", function()
      local d = daemon()
      for _ = 1, 20 do d:emit("crm.fail", "who=x") end
      d:await { msg = "listener quarantined" }
      local rule = d:status().rules[1]
      assert.are.same({ "runs in part", 1, false }, { rule.state, rule.quarantined_listeners, rule.quarantined })
      local _, out = d:ctl "scripts"
      assert.matches("\ncrm +runs in part ", out)
      assert.matches("\ncrm: 1 of its 2 listeners fail again and again", out)
    end)

    it("keeps the faults of the last failed reload until one is good", function()
      local d = daemon()
      d.project.rule("bad.lua", "local x = = 1\n")
      d:ctl "reload"
      local _, out = d:ctl "status"
      assert.matches("the last reload failed at .*\n  .*scripts/bad%.lua:1: ", out)
      assert.matches("scripts/bad%.lua:1: ", table.concat(d:status().reload_failed.faults, "\n"))
      d.project.rule "bad.lua"
      d:ctl "reload"
      _, out = d:ctl "status"
      assert.is_nil(out:find("failed", 1, true))
    end)
  end)

  it("servers and scripts are parts of the status", function()
    local d = daemon()
    local code, out = d:ctl "servers"
    assert.are.equal(0, code)
    assert.are.equal("no servers in the configuration\n", out)
    code, out = d:ctl("servers", "--json")
    assert.are.equal(0, code)
    assert.are.equal('{"servers":[]}\n', out)
    code, out = d:ctl "scripts"
    assert.are.equal(0, code)
    assert.matches("^generation 1 .*\ncrm +runs ", out)
    code, out = d:ctl("scripts", "--json")
    assert.are.equal(0, code)
    assert.are.equal("crm", helper.json(out).rules[1].name)
  end)

  it("metrics are Prometheus' text, or JSON", function()
    local d = daemon()
    local code, out = d:ctl "metrics"
    assert.are.equal(0, code)
    assert.matches("# TYPE hookswitch_console_requests_total counter\nhookswitch_console_requests_total %d+\n", out)
    assert.is_true(d:metric "hookswitch_console_requests_total" > 1)
  end)

  describe("reload", function()
    it("waits for the result and prints the new generation", function()
      local d = daemon()
      local code, out, err = d:ctl "reload"
      assert.are.same({ 0, "reloaded, generation 2\n  warning: servers: empty; there is nothing to connect to\n", "" }, { code, out, err })
      assert.are.equal(2, d:status().generation)
    end)

    it("prints the warnings that check prints", function()
      local d = daemon { servers = { dead = helper.server(helper.dead_port()) } }
      assert.are.equal("reloaded, generation 2\n", (select(2, d:ctl "reload")))
      d.project.rule("typo.lua", "ami.on('AgentConect', { server = 'pbx9' }, function() end)\nami.on('server.redy', function() end)\n")
      local _, _, err = helper.run("check", "-c", d.project.config)
      local warnings = {}
      for line in err:gmatch "[^\n]+" do
        if line:find "^warning: " then warnings[#warnings + 1] = line end
      end
      assert.are.equal(3, #warnings)
      local code, out = d:ctl "reload"
      assert.are.equal(0, code)
      assert.are.equal("reloaded, generation 3\n  " .. table.concat(warnings, "\n  ") .. "\n", out)
      local answer = helper.json((select(2, d:ctl("reload", "--json"))))
      assert.are.same({ true, "reloaded, generation 4", 0, 3 }, { answer.success, answer.message, #answer.faults, #answer.warnings })
      assert.are.equal(warnings[1], "warning: " .. answer.warnings[1])
      d.project.rule("bad.lua", "local x = = 1\n")
      answer = helper.json((select(2, d:ctl("reload", "--json"))))
      assert.are.same({ false, 1, 3 }, { answer.success, #answer.faults, #answer.warnings })
      assert.matches("^scripts/bad%.lua:1: ", answer.faults[1])
    end)

    it("prints every fault on stderr, exits 1 and changes nothing", function()
      local d = daemon()
      d.project.rule("bad.lua", "local x = = 1\n")
      d.project.rule("worse.lua", "error 'no'\n")
      local code, out, err = d:ctl "reload"
      assert.are.equal(1, code)
      assert.are.equal("", out)
      assert.matches("^not reloaded; what ran before goes on:\n", err)
      assert.matches("scripts/bad%.lua:1: ", err)
      assert.matches("scripts/worse%.lua:1: ", err)
      assert.are.equal(1, d:status().generation)
    end)
  end)

  describe("emit", function()
    it("lets rules hear an event, whatever stands in its values", function()
      local d = daemon()
      assert.are.equal(0, (d:ctl("emit", "crm.answered", "who=Zoë", "text=a=b  c\nd")))
      local record = d:await { msg = "heard" }
      assert.are.equal("Zoë", record.who)
      assert.are.equal("a=b  c\nd", record.text)
    end)

    it("says how many listeners an event is queued for", function()
      local d = daemon { rules = { ["a.lua"] = [[ami.on("crm.two", function() end)]],
        ["b.lua"] = [[ami.on({ "crm.two", "crm.one" }, function() end)
          ami.on("crm.wait", function() log.info "waits" ami.wait("crm.once") log.info "heard" end)]] } }
      local function ask(name)
        local _, out = d:ctl("emit", name)
        local _, json = d:ctl("emit", name, "--json")
        return out, helper.json(json).listeners
      end
      assert.are.same({ "queued for 2 listeners\n", 2 }, { ask "crm.two" })
      assert.are.same({ "queued for 1 listener\n", 1 }, { ask "CRM.one" })
      assert.are.same({ "queued, but no rule listens to it\n", 0 }, { ask "crm.none" })
      d:emit "crm.wait"
      d:await { msg = "waits" }
      assert.are.equal("queued for 1 listener\n", (select(2, d:ctl("emit", "crm.once"))))
      d:await { msg = "heard" }
      assert.are.equal(0, (d:ctl("disable", "b")))
      assert.are.same({ "queued for 1 listener\n", 1 }, { ask "crm.two" })
    end)

    it("refuses the engine's own names and fields that are none", function()
      local d = daemon()
      local code, _, err = d:ctl("emit", "server.ready")
      assert.are.equal(1, code)
      assert.matches("server.ready", err)
      code, _, err = d:ctl("emit", "crm.answered", "who")
      assert.are.equal(2, code)
      assert.matches("NAME=VALUE", err)
    end)
  end)

  it("orders give programs their result as JSON, a failure too", function()
    local d = daemon()
    local function ask(...)
      local code, out, err = d:ctl(...)
      assert.are.equal("", err)
      local answer = helper.json(out)
      assert.are.equal(code == 0, answer.success)
      return code, answer.message
    end
    assert.are.same({ 0, "reloaded, generation 2" }, { ask("reload", "--json") })
    assert.are.same({ 0, "queued for 1 listener" }, { ask("emit", "crm.answered", "who=x", "--json") })
    assert.are.same({ 0, "log level warn (was info)" }, { ask("--json", "log", "warn") })
    assert.are.equal(0, (ask("disable", "crm", "--json")))
    assert.are.equal(0, (ask("enable", "crm", "--json")))
    assert.are.equal(1, (ask("disable", "nosuch", "--json")))
    d.project.rule("bad.lua", "local x = = 1\n")
    local code, message = ask("--json", "reload")
    assert.are.equal(1, code)
    assert.matches("scripts/bad%.lua:1: ", message)
    local usage, out, err = d:ctl("log", "loud", "--json")
    assert.are.same({ 2, "" }, { usage, out })
    assert.matches("^log: the level", err)
  end)

  it("explains every command without a configuration and without a daemon", function()
    local d = daemon()
    local _, json = d:ctl("help", "--json")
    local commands = helper.json(json).commands
    assert.is_true(#commands >= 16)
    local empty = { cwd = helper.folder() }
    for _, command in ipairs(commands) do
      local usage = ("usage: hookswitch ctl %s %s"):format(command.name, command.arguments):gsub(" $", "") .. "\n"
      for _, words in ipairs { { command.name, "--help" }, { command.name, "-h" }, { command.name, command.name == "help" and "help" or "x", "--help" }, { "help", command.name } } do
        words[#words + 1] = empty
        local code, out, err = helper.run("ctl", "-c", "/nonexistent", table.unpack(words))
        assert.are.same({ 0, "" }, { code, err }, words[1] .. " " .. words[2])
        assert.are.equal(usage, out:sub(1, #usage))
        assert.is_truthy(out:find(command.help, 1, true))
      end
      -- A client without ctl gets the same from the daemon.
      local _, asked = d:ctl("help", command.name)
      assert.are.equal(usage, asked:sub(1, #usage))
    end
    local code, out, err = helper.run("ctl", "recrd", "--help", empty)
    assert.are.same({ 2, "" }, { code, out })
    assert.matches("no command 'recrd'; did you mean record%?", err)
  end)

  it("prints JSON for whatever prints data", function()
    local sim = helper.sim()
    local d = daemon { servers = { pbx1 = helper.server(sim) }, config = { persist = { file = "state.db" } } }
    d:ready "pbx1"
    local arguments = {
      persist = { "status" },
      call = { "pbx1", "Action=Ping" }, emit = { "crm.x" }, enable = { "crm" }, disable = { "crm" }, log = { "info" },
      tail = false, record = false, stop = false, top = { "--once" },
    }
    local _, json = d:ctl("help", "--json")
    for _, command in ipairs(helper.json(json).commands) do
      assert.is_truthy(command.arguments:find("[--json]", 1, true), command.name .. " takes no --json")
      local words = arguments[command.name]
      if words ~= false then
        local code, out = d:ctl(command.name, "--json", table.unpack(words or {}))
        assert.are.equal(0, code, command.name)
        for _, line in ipairs(helper.lines(out)) do assert.is_table(helper.json(line)) end
      end
    end
    local code, out = d:ctl("stop", "--json")
    assert.are.equal(0, code)
    assert.are.same({ success = true, message = "stopping" }, helper.json(out))
    assert.are.equal(0, d:ended())
  end)

  it("asks whether another command was meant", function()
    local code, _, err = daemon():ctl "statsu"
    assert.are.equal(2, code)
    assert.matches("^unknown command 'statsu' %(did you mean status%?%); commands:\n", err)
  end)

  it("takes --json before the command too", function()
    local _, out = daemon():ctl("--json", "scripts")
    assert.are.equal("crm", helper.json(out).rules[1].name)
  end)

  it("log sets the level", function()
    local d = daemon()
    local code, out = d:ctl("log", "error")
    assert.are.same({ 0, "log level error (was info)\n" }, { code, out })
    assert.are.equal("error", d:status().log_level)
    code = d:ctl("log", "loud")
    assert.are.equal(2, code)
  end)

  it("stop ends the daemon and returns when it has ended its sessions", function()
    local sim = helper.sim()
    local d = daemon { servers = { pbx1 = helper.server(sim) } }
    d:ready "pbx1"
    local code, out = d:ctl "stop"
    assert.are.same({ 0, "stopping\n" }, { code, out })
    assert.are.equal(0, d:ended())
    assert.is_true(#d:find { msg = "session stopped", server = "pbx1" } == 1)
    assert.is_false(helper.exists(d.project.folder .. "/console"))
  end)

  it("logs who gave an order", function()
    local d = daemon()
    d:ctl "reload"
    local record = d:await { msg = "console: reload" }
    assert.is_number(record.uid)
    assert.is_number(record.pid)
  end)

  describe("finds the daemon", function()
    it("by the configuration's control.socket", function()
      local d = daemon()
      assert.are.equal(0, (helper.run("ctl", "-c", d.project.config, "status")))
      assert.are.equal(0, (helper.run("ctl", "--config=" .. d.project.config, "servers", "--json")))
    end)

    it("in a configuration that has faults elsewhere by now", function()
      local d = daemon()
      helper.write_file(d.project.config, [[return {
        servers = { pbx1 = { host = "127.0.0.1", username = "x", secret = env "NO_SUCH_VARIABLE", conect = 1 } },
        control = { socket = "console" },
      }]])
      local code, out, err = helper.run("ctl", "-c", d.project.config, "status")
      assert.are.same({ 0, "" }, { code, err })
      assert.matches("^hookswitch ", out)
      code, _, err = helper.run("ctl", "-c", d.project.config, "reload")
      assert.are.equal(1, code)
      assert.matches("conect: unknown option", err)
    end)

    it("not in a configuration without one, or that cannot be read, and says so", function()
      local folder = helper.folder()
      local code, _, err = helper.run("ctl", "-c", helper.write_file(folder .. "/a.lua", "return { servers = {} }"), "status")
      assert.are.equal(1, code)
      assert.matches("has no control.socket", err)
      code, _, err = helper.run("ctl", "-c", helper.write_file(folder .. "/b.lua", "return { contrl = {} }"), "status")
      assert.are.equal(1, code)
      assert.matches("contrl: unknown option", err)
      assert.matches("%-%-socket", err)
      code, _, err = helper.run("ctl", "-c", helper.write_file(folder .. "/c.lua", "return {"), "status")
      assert.are.equal(1, code)
      assert.matches("c%.lua:1: ", err)
      code, _, err = helper.run("ctl", "-c", folder .. "/nosuch.lua", "status")
      assert.are.equal(1, code)
      assert.is_truthy(err:find(folder .. "/nosuch.lua", 1, true))
    end)
  end)

  describe("exits with 3 when no daemon answers, and names the socket and what to do:", function()
    it("no such socket", function()
      local path = helper.folder() .. "/console"
      local code, out, err = helper.run("ctl", "--socket", path, "status")
      assert.are.equal(3, code)
      assert.are.equal("", out)
      assert.is_truthy(err:find(path, 1, true))
      assert.matches("hookswitch run", err)
    end)

    it("a socket whose daemon was killed", function()
      local d = daemon()
      d:signal "KILL"
      d:ended()
      local code, _, err = d:ctl "status"
      assert.are.equal(3, code)
      assert.matches("it has ended", err)
      local successor = helper.daemon(d.project)
      assert.are.equal(1, successor:status().generation)
    end)

    it("a daemon that is stopped", function()
      local d = daemon()
      d:signal "STOP"
      local code, _, err = d:ctl("--timeout", "0.1", "status")
      d:signal "CONT"
      assert.are.equal(3, code)
      assert.matches("nothing in time", err)
      assert.are.equal(0, (d:ctl "status"))
    end)
  end)

  it("a second daemon on the same socket does not start, and the first goes on", function()
    local d = daemon()
    local code, out, err = helper.run("run", "--allow-root", "-c", d.project.config)
    assert.are.equal(1, code)
    assert.matches("another daemon answers there", out .. err)
    assert.are.equal(0, (d:ctl "status"))
  end)

  describe("its socket", function()
    local function output(command)
      local pipe = assert(io.popen(command, "r"))
      local text = pipe:read "l"
      pipe:close()
      return text
    end
    local root = output "id -u" == "0"

    it("is the daemon's alone unless the configuration says otherwise", function()
      assert.are.equal("600", output("stat -c %a " .. daemon().project.folder .. "/console"))
    end)

    it("is given to control.group, whose members may use it", function()
      local group = root and "daemon" or output "id -gn"
      local d = daemon { config = { control = { socket = "console", mode = "0660", group = group } } }
      local path = d.project.folder .. "/console"
      assert.are.equal("660 " .. group, output("stat -c '%a %G' " .. path))
      if not root then return end -- nobody else can be tried
      os.execute("chmod 711 " .. d.project.folder)
      local program = output "mktemp"
      os.execute(("cp %s %s && chmod 755 %s"):format(helper.binary, program, program))
      local function as(gid)
        return helper.run("--reuid=65534", "--regid=" .. gid, "--clear-groups", program, "ctl", "-s", path, "status", { program = "setpriv" })
      end
      local member, _, why = as(group)
      local other, _, err = as "65534"
      os.remove(program)
      assert.are.same({ 0, 3 }, { member, other }, why)
      assert.matches("control.group", err)
    end)

    it("is not made for a group that is not there, or that its mode keeps out", function()
      local function refused(control)
        local code, out, err = helper.run("run", "--allow-root", "-c", helper.project { config = { control = control } }.config)
        assert.are.equal(1, code)
        return out .. err
      end
      assert.matches("control.group: this machine has no group 'no%-such%-group'",
        refused { socket = "console", mode = "0660", group = "no-such-group" })
      assert.matches('control.group: the group cannot use a socket of control.mode \\?"0600', refused { socket = "console", group = "daemon" })
    end)
  end)

  it("wrong usage exits 2 and says what is wrong", function()
    local d = daemon()
    for _, case in ipairs {
      { { "ctl" }, "no command" },
      { { "ctl", "--socket", "x", "-c", "y", "status" }, "give one of them" },
      { { "ctl", "--nosuch" }, "nosuch" },
      { { "ctl", "--socket", d.project.folder .. "/console", "help", "now" }, "no command 'now'" },
      { { "ctl", "--timeout", "soon", "status" }, "timeout" },
      { { "ctl", "--socket", "x", "" }, "empty" },
      { { "ctl", "--socket", "x", "emit", "a.b", "x=" .. ("y"):rep(5000) }, "too long" },
      { { "ctl", "--socket", d.project.folder .. "/console", "nosuch" }, "unknown command 'nosuch'; commands:\n  status" },
      { { "ctl", "--socket", d.project.folder .. "/console", "status", "now" }, "usage: status" },
    } do
      local code, out, err = helper.run(table.unpack(case[1]))
      assert.are.equal(2, code, case[2])
      assert.are.equal("", out)
      assert.is_truthy(err:find(case[2], 1, true), err)
    end
  end)

  it("--help lists the commands and the exit codes", function()
    local code, out = helper.run("ctl", "--help")
    assert.are.equal(0, code)
    for _, word in ipairs { "status", "servers", "scripts", "metrics", "reload", "emit", "log", "stop", "exit codes" } do
      assert.is_truthy(out:find(word, 1, true), word)
    end
  end)
end)
