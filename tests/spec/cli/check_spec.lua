local h = require "tests.spec.helper"

-- Runs `check` on a project of this configuration (Lua text) and these rules; exit code, stdout, stderr.
local function check(config, rules, env)
  local project = h.project { rules = rules or { ["quiet.lua"] = "local nothing" } }
  h.write_file(project.config, config)
  return h.run("check", "-c", project.config, { env = env })
end

local GOOD = [[return { servers = { pbx1 = { host = "127.0.0.1", username = "u", secret = "wombat-4711" } } }]]

-- Every one of these is a line of the text that begins so.
local function has_lines(text, wanted)
  local lines = h.lines(text)
  for _, start in ipairs(wanted) do
    local found = false
    for _, line in ipairs(lines) do found = found or line:sub(1, #start) == start end
    assert.is_true(found, ("no line begins with %q in:\n%s"):format(start, text))
  end
end

describe("check", function()
  after_each(h.cleanup)

  it("finds nothing wrong with a good configuration and its rules, and says what there is", function()
    local code, out, err = check(GOOD, { ["a.lua"] = "ami.on('Hangup', function() end)", ["b.lua"] = "local nothing" })
    assert.equal(0, code, err)
    assert.equal("", err)
    assert.truthy(out:find("good (servers: 1, rule files and modules: 2)", 1, true), out)
  end)

  it("names every fault of a configuration by its path, with the option that was meant", function()
    local code, out, err = check([[return {
      servers = {
        pbx1 = { host = "127.0.0.1", username = "u", secret = "wombat-4711", conect_timeout = 3, port = 70000,
                 timeouts = { conect = 3, read = "soon" } },
        pbx2 = { host = "10.0.0.9" },
      },
      limit = { deadline = 1 },
      log = { level = "loud" },
    }]])
    assert.equal(1, code)
    assert.equal("", out)
    has_lines(err, {
      "servers.pbx1.conect_timeout: unknown option (did you mean timeouts.connect?)",
      "servers.pbx1.port: must be 1 to 65535, is 70000",
      "servers.pbx1.timeouts.conect: unknown option (did you mean connect?)",
      "servers.pbx1.timeouts.read: must be a number",
      "servers.pbx2.username: missing",
      "servers.pbx2.secret: missing",
      "limit: unknown option (did you mean limits?)",
      "log.level: must be one of",
    })
    assert.truthy(err:find(": 8 faults\n$"), err)
  end)

  it("names every fault of the rules by file and line", function()
    local code, _, err = check(GOOD, {
      ["syntax.lua"] = "local x =\nfunction(",
      ["fails.lua"] = "local x = 1\nlocal y = x.z",
      ["undefined.lua"] = "\n\nfoo()",
      ["sinks.lua"] = "sink.open 'journal'",
      ["good.lua"] = "local nothing",
    })
    assert.equal(1, code)
    has_lines(err, {
      "scripts/syntax.lua:2: ",
      "scripts/fails.lua:2: attempt to index a number value (local 'x')",
      "scripts/undefined.lua:3: undefined global 'foo'",
      "scripts/sinks.lua:1: the configuration has no sink 'journal'",
    })
    assert.truthy(err:find(": 4 faults\n$"), err)
  end)

  it("warns of folders that are not there, which run would need", function()
    local config = [[return {
      servers = { pbx1 = { host = "127.0.0.1", username = "u", secret = "wombat-4711" } },
      sinks = { journal = { file = "out/journal.log" }, here = { file = "here.log" } }, log = { file = "out/log" }, control = { socket = "run/ctl" },
    }]]
    local code, _, err = check(config)
    assert.equal(0, code, err)
    local folder = err:match "sinks.journal.file: its folder (%S+)/out is not there"
    has_lines(err, { ("warning: sinks.journal.file: its folder %s/out is not there; make it before the daemon starts"):format(folder),
      ("warning: log.file: its folder %s/out is not there"):format(folder),
      ("warning: control.socket: its folder %s/run is not there"):format(folder) })
    assert.equal(3, #h.lines(err), err)
  end)

  it("names the faults of configuration and rules together", function()
    local code, _, err = check([[return { servers = { pbx1 = { host = "127.0.0.1", username = "u" } } }]],
      { ["syntax.lua"] = "x = = 1" })
    assert.equal(1, code)
    has_lines(err, { "servers.pbx1.secret: missing", "scripts/syntax.lua:1: " })
  end)

  it("checks the settings of rules against what the rules take", function()
    local code, _, err = check([[return { servers = {}, rules = { good = { queu = "x" }, nobody = { a = 1 }, silent = { a = 1 }, typed = { after = "x" } } }]], {
      ["good.lua"] = "local set = settings { queue = 'support' }",
      ["typed.lua"] = "local set = settings { after = 3 }",
      ["silent.lua"] = "local nothing",
    })
    assert.equal(1, code)
    has_lines(err, {
      "scripts/good.lua:1: rules.good.queu: unknown option",
      "scripts/typed.lua:1: rules.typed.after: a number is expected, not a string",
      "rules.nobody: there is no scripts/nobody.lua",
      "rules.silent: scripts/silent.lua does not call settings()",
    })
  end)

  it("only warns of events and servers that it does not know, with their line", function()
    local code, out, err = check(GOOD, {
      ["a.lua"] = "\nami.on('Newchanel', function() end)\nami.on('Hangup', { server = 'pbx9' }, function() end)\n" ..
        "ami.on('server.redy', function() end)\nlocal s = ami.server('pbx8')\nlocal r = ami.route('failover', { 'pbx7' })",
    })
    assert.equal(0, code, err)
    assert.truthy(out:find("good", 1, true))
    has_lines(err, {
      "warning: scripts/a.lua:2: no event 'Newchanel' is known (did you mean Newchannel?)",
      "warning: scripts/a.lua:3: the configuration has no server 'pbx9'",
      "warning: scripts/a.lua:4: the engine has no event 'server.redy'",
      "warning: scripts/a.lua:5: the configuration has no server 'pbx8'",
      "warning: scripts/a.lua:6: the configuration has no server 'pbx7'",
    })
    assert.equal(5, #h.lines(err))
  end)

  it("warns of endpoints for a token that nobody has, with their line and what to do", function()
    local rule = "-- Dials.\n\nweb.on('POST', '/hooks/dial', { token = 'crm' }, function() end)\n" ..
      "web.on('POST', '/hooks/any', function() end)\n"
    local function warnings(tokens)
      local config = GOOD:gsub("}%s*$", ", web = { tokens = { " .. tokens .. " } } }")
      local code, _, err = check(config, { ["dial.lua"] = rule })
      assert.equal(0, code, err)
      return h.lines(err)
    end
    local wanted = "warning: scripts/dial.lua:3: web.on asks for the token 'crm', but web.tokens has none of that name with the scope hooks, " ..
      'so every request will be refused; add it there with scopes = { "hooks" }, or name one that is there'
    assert.same({ wanted }, warnings "")
    assert.same({ wanted }, warnings "other = { secret = 'other-secret-0123456789', scopes = { 'hooks' } }")
    assert.same({ wanted }, warnings "crm = { secret = 'crm-secret-0123456789', scopes = { 'read' } }")
    assert.same({}, warnings "crm = { secret = 'crm-secret-0123456789', scopes = { 'hooks' } }")
  end)

  it("says where a configuration's syntax breaks", function()
    local code, _, err = check "return {\n  servers = {\n"
    assert.equal(1, code)
    assert.truthy(err:find("hookswitch%.lua:3: "), err)
  end)

  it("names environment variables and files that are missing, with their line", function()
    local code, _, err = check [[return { servers = { pbx1 = { host = "127.0.0.1",
      username = env "HOOKSWITCH_SPEC_UNSET",
      secret = file "pbx1.secret" } } }]]
    assert.equal(1, code)
    assert.truthy(err:find("hookswitch%.lua:2: the environment has no HOOKSWITCH_SPEC_UNSET; set it"), err)
    assert.truthy(err:find("hookswitch%.lua:3: [^\n]*pbx1%.secret cannot be read: there is no such file"), err)
  end)

  it("says where Lua itself gives no line: what is nested too deeply", function()
    local deep = ("{"):rep(300) .. ("}"):rep(300)
    local code, _, err = check("return {\n  rules = {\n" .. deep .. "\n} }")
    assert.equal(1, code)
    assert.truthy(err:find("hookswitch%.lua:3: nested too deeply"), err)
    code, _, err = check(GOOD, { ["deep.lua"] = "local a\nlocal b = " .. deep })
    assert.equal(1, code)
    has_lines(err, { "scripts/deep.lua:2: nested too deeply; Lua takes less than 200 levels" })
    -- Just as deep as Lua takes it.
    local least = ("{"):rep(190) .. ("}"):rep(190)
    code, _, err = check(GOOD, { ["deep.lua"] = "local b = " .. least })
    assert.equal(0, code, err)
  end)

  it("masks none of its own hints", function()
    local _, _, err = check "return {}"
    assert.truthy(err:find("servers: missing; name at least one (servers = { pbx1 = { … } }), with its host, username and secret", 1, true), err)
    local project = h.project { rules = { ["quiet.lua"] = "local nothing" } }
    h.write_file(project.config, [[return { servers = { pbx1 = { host = "::1", username = "u", secret = file "pbx1.secret" } },
      redact = { names = { "x" }, values = { "a", "password=(" } } }]])
    -- From its own folder paths are short, and pbx1.secret: looks like a pair.
    for _, config in ipairs { project.config, "hookswitch.lua" } do
      _, _, err = h.run("check", "-c", config, { cwd = project.folder })
      assert.truthy(err:find("hookswitch%.lua:1: [^\n]*pbx1%.secret cannot be read: there is no such file; check the path\n"), err)
    end
    assert.truthy(err:find("redact.values[2]: the pattern", 1, true), err)
    assert.truthy(err:find("is wrong at byte 10: missing closing parenthesis", 1, true), err)
    for _, config in ipairs { [[return { servers = { pbx1 = { host = "a", username = "u" } } }]], [[return { servers = { pbx1 = { host = "a", username = "u", secret = 3 } } }]],
                              [[return { servers = { pbx1 = { host = "a", username = "u", pasword = "x", secret = "" } }, defaults = { token = 1 } }]],
                              [[return { servers = {}, rules = { quiet = { token = 1, password = {} } } }]] } do
      local code
      code, _, err = check(config)
      assert.equal(1, code)
      assert.falsy(err:find("redacted", 1, true), err)
    end
  end)

  it("takes no text for one that is missing, whatever bytes stand in it", function()
    local code, _, err = check [[return { servers = { pbx1 = { host = "127.0.0.1", username = "ops",
      secret = "x" .. env("HOOKSWITCH_SPEC_UNSET", "\1missing\1") } } }]]
    assert.equal(1, code)
    assert.truthy(err:find("servers%.pbx1%.secret: "), err)
  end)

  it("repeats no secret, whatever is wrong with it", function()
    local code, out, err = check([[return { servers = {
      pbx1 = { host = env "SPEC_SECRET", username = env "SPEC_SECRET", secret = env "SPEC_SECRET", [env "SPEC_SECRET"] = 1 } } }]], nil,
      { SPEC_SECRET = "very-secret-4711" })
    assert.equal(1, code)
    assert.falsy((out .. err):find("very-secret", 1, true))
  end)

  it("says what is wrong with a configuration that is no file", function()
    local folder = h.folder()
    h.write_file(folder .. "/empty.lua", "")
    h.write_file(folder .. "/number.lua", "return 7")
    local wanted = { [folder] = "is a folder", [folder .. "/none.lua"] = "no such file", [folder .. "/empty.lua"] = "is empty",
                     [folder .. "/number.lua"] = "must return a table" }
    for path, text in pairs(wanted) do
      for _, words in ipairs { { "check" }, { "run", "--allow-root" } } do
        local code, _, err = h.run(words[1], "-c", path, words[2])
        assert.equal(1, code)
        assert.truthy(err:find(path, 1, true) and err:find(text, 1, true), err)
      end
    end
  end)

  it("names a rules folder that is not there, and warns of one without rules", function()
    local code, _, err = check [[return { servers = {}, scripts = { rules = "nowhere" } }]]
    assert.equal(1, code)
    assert.truthy(err:find("nowhere: the rules folder cannot be read: No such file or directory; scripts.rules", 1, true), err)
    local project = h.project {}
    code, _, err = h.run("check", "-c", project.config)
    assert.equal(0, code)
    assert.truthy(err:find("warning: [^\n]*scripts: there is no rule in this folder"), err)
  end)

  it("opens no sink, no log and no socket", function()
    local folder = h.folder()
    local code = check(([[return { servers = {}, sinks = { journal = { file = %q } }, log = { file = %q }, control = { socket = %q } }]])
      :format(folder .. "/journal", folder .. "/log", folder .. "/socket"))
    assert.equal(0, code)
    for _, name in ipairs { "/journal", "/log", "/socket" } do assert.is_false(h.exists(folder .. name)) end
  end)

  it("finds what only a connection would need: files of TLS, a login that may not be sent", function()
    local code, _, err = check [[return { servers = {
      pbx1 = { host = "10.0.0.9", username = "u", secret = "wombat-4711", auth = "plain" },
      pbx2 = { host = "10.0.0.9", username = "u", secret = "wombat-4711", tls = { enabled = true, ca = "no.pem" } },
    } }]]
    assert.equal(1, code)
    has_lines(err, { "servers.pbx1.auth: \"plain\" without TLS", "servers.pbx2.tls.ca: " })
  end)

  it("prints the same table of options that conf/README.md shows", function()
    local code, out, err = h.run("check", "--options")
    assert.equal(0, code)
    assert.equal("", err)
    local shown = h.read "conf/README.md":match "<!%-%- options: begin %-%->\n(.-)<!%-%- options: end %-%->"
    local told, printed = h.lines(shown), h.lines(out)
    for i, line in ipairs(printed) do assert.equal(line, told[i]) end
    assert.equal(out, shown)
  end)

  it("finds the shipped configuration and rules good", function()
    local code, _, err = h.run("check", "-c", "conf/hookswitch.lua")
    assert.equal(0, code, err)
    assert.equal("", err)
    local again = h.run("check")
    assert.equal(0, again)
  end)
end)
