-- P8: secrets of every kind are planted, then every output of the product is searched for them. Each of them holds the word
-- "planted", and beside each stands a "visible", so that an output that shows nothing at all is no success.
local helper = require "tests.spec.helper"

describe("a planted secret", function()
  after_each(helper.cleanup)

  local RULE = [[
    local conf = settings { env = "", file = "" }
    local cards = metric.counter("cards_total", "visible Secret: planted-help", { "card" })
    log.info("visible while it loads, Secret: planted-load")
    ami.on({ "Plant", "crm.plant" }, function(ev, server)
      log.info("visible " .. ev.Note, { password = "planted-field", nested = { password = "planted-nested" }, note = ev.Note, pairs = ev.AppData, event = tostring(ev),
        json = json.encode { password = "planted-json", list = { api_token = "planted-deep" }, x = "y" }, data = ev.Data,
        quoted = json.encode { text = "visible " .. conf.env .. " " .. conf.file } })
      log.info("visible settings " .. conf.env .. " and " .. conf.file .. " end")
      log.info("Secret: planted-line two words")
      log.warn("visible Variable: PASSWORD=planted-variable")
      cards:inc { "visible " .. ev.Note }
      ami.server("pbx1"):send({ Action = "Setvar", Channel = "visible", Variable = "DB_PASSWORD", Value = "planted-setvar" }, function(_, err)
        log.warn("visible failure", { reason = err and err.message })
      end)
      ami.server("pbx1"):send { Action = "UserEvent", UserEvent = "visible", Secret = "planted-action", AppData = "a,pin=planted-pin,b" }
      ami.server("pbx1"):send { Action = "DBPut", Family = "visible", Key = "cidname", Val = "shown" }
      ami.server("pbx1"):send { Action = "DBPut", Family = "visible", Key = "password", Val = "planted-val" }
      ami.server("pbx1"):send { Action = "UserEvent", UserEvent = "visible", Variable = { PASSWORD = "planted,comma" } }
      local function deep() error("visible error: password=planted-error, " .. conf.env .. " " .. ev.Note) end
      deep()
    end)
  ]]

  -- What a server says. AMI has no secret in an event's first lines, so all stand behind one visible header.
  local EVENT = table.concat({ "Event: Plant", "Visible: visible", "Secret: planted-header", "ChallengeHash: planted-challenge", "X-Card: planted-name",
    "Note: visible planted-pattern-77 and planted-config", "ChanVariable: auth_token=planted-chan",
    "AppData: a,password=planted-appdata,c", [[Data: {"password": "planted-data", "x": {"secret": ["planted-list"]}}]],
    "" }, "\r\n") .. "\r\n" ..
    "Event: VarSet\r\nVisible: visible\r\nVariable: DB_PASSWORD\r\nValue: planted-varset\r\n\r\n" ..
    "Event: DBGetResponse\r\nFamily: visible\r\nKey: voice/password\r\nVal: planted-db\r\n\r\n" ..
    "Event: Text\r\nVisible: visible\r\na line without a colon but password=planted-colonless\r\nBroken\xff: Secret: planted-bytes\r\n\r\n"

  local function escaped(text)
    return (text:gsub("[^%w ]", function(c) return ("\\x%02x"):format(c:byte()) end))
  end

  local ENV = { PLANT_ENV = 'planted "env"/1', PBX2_SECRET = "planted-env-2" }

  local function write_config(folder, port, format)
    helper.write_file(folder .. "/plant.secret", "planted-file/3\n")
    helper.write_file(folder .. "/hookswitch.lua", ([[return {
      servers = {
        pbx1 = { host = "127.0.0.1", port = %d, username = "operator", secret = "planted-config" },
        pbx2 = { host = "127.0.0.1", port = %d, username = "operator", secret = env "PBX2_SECRET", reconnect = { first = 60, max = 60 } },
      },
      rules = { plant = { env = env "PLANT_ENV", file = file "plant.secret" } },
      redact = { names = { "X-*" }, values = { "planted-pattern-\\d+" } },
      control = { socket = "console" }, http = { listen = "127.0.0.1:0" },
      log = { level = "debug", format = "%s", throttle_burst = 1000000 },
    }]]):format(port, port, format))
  end

  local ANSWERS = {
    [[send Response: Success\r\nActionID: $id\r\nMessage: Command output follows\r\nOutput: visible\r\nOutput:   Secret : planted out\r\n]] ..
      [[Output: password=planted-out2 visible\r\n\r\n]],
    [[send Response: Error\r\nActionID: $id\r\nMessage: visible Token: planted-message\r\n\r\n]],
    [[send Response: Success\r\nActionID: $id\r\nEventList: start\r\nMessage: visible\r\n\r\nEvent: Item\r\nActionID: $id\r\n]] ..
      [[MD5Secret: planted-item\r\nLine-000001-000002: secret=planted-line\r\nVisible: visible\r\n\r\n]] ..
      [[Event: StatusComplete\r\nActionID: $id\r\nEventList: Complete\r\nListItems: 1\r\n\r\n]],
  }

  -- A server that says EVENT when `go` is there, then, with `calls`, answers the rule's Setvar with an error and so many rounds
  -- of `ctl call`.
  local function server(go, calls)
    local script = { helper.LOGIN, "wait " .. go, "send " .. escaped(EVENT) }
    if calls then script[4], script[5] = "action Setvar", ANSWERS[2] end
    for _ = 1, calls or 0 do
      for i, action in ipairs { "Command", "Hangup", "Status" } do
        script[#script + 1] = "action " .. action
        script[#script + 1] = ANSWERS[i]
      end
    end
    script[#script + 1] = "serve"
    return helper.peer(script, helper.LOGIN .. "\nserve")
  end

  local function daemon(format, calls)
    local project = helper.project { rules = { ["plant.lua"] = RULE } }
    local go = project.folder .. "/go"
    local peer = server(go, calls)
    write_config(project.folder, peer.port, format)
    local d = helper.daemon(project, { env = ENV, waits = false })
    d.go = function() helper.write_file(go, "") end
    helper.wait_for(function() return d:stderr():find("session ready", 1, true) end, nil, function() return "a session:\n" .. d:tail() end)
    return d
  end

  -- Shows what it should and nothing that it should not; `word`: what it shows instead of "visible".
  local function clean(what, text, word)
    assert.is_truthy(text:find(word or "visible", 1, true), what .. " shows nothing:\n" .. text)
    local from = text:find("planted", 1, true)
    assert.is_nil(from, from and ("%s shows …%s…"):format(what, text:sub(math.max(1, from - 80), from + 40)))
    return text
  end

  local function started(d, ...)
    return helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", ... })
  end

  local function get(d, path)
    local port = math.tointeger(d:await({ msg = "metrics are served" }).port)
    return (helper.client(port, ("send GET %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\nhold"):format(path)))
  end

  it("is in none of the daemon's logs, answers, streams and recordings", function()
    local d = daemon("json", 2)
    local folder = d.project.folder
    local before = d:metric "hookswitch_console_requests_total"
    local watchers = {
      { "tail", started(d, "tail") }, { "tail --json", started(d, "tail", "--json") },
      { "tail --actions", started(d, "tail", "--actions") }, { "tail --actions --json", started(d, "tail", "--actions", "--json") },
      { "record", started(d, "record", "pbx1", folder .. "/taken.ami") },
    }
    helper.wait_for(function() return d:metric "hookswitch_console_requests_total" >= before + #watchers + 1 or nil end)
    d.go()
    d:await { msg = "visible failure" }
    for round = 1, 2 do
      local json = round == 2 and "--json" or nil
      local code, out = d:ctl("call", "pbx1", "Action=Command", "Command=x", json)
      assert.are.equal(0, code)
      clean("call", out)
      local _, failed, err = d:ctl("call", "pbx1", "Action=Hangup", "Channel=x", json)
      clean("a failed call", failed .. err)
      _, out = d:ctl("call", "pbx1", "Action=Status", json)
      clean("a list", out)
      assert.matches("Visible", out)
    end
    d:emit("crm.plant", "Note=visible planted-pattern-5", "AppData=password=planted-emit")
    d:await { msg = helper.has "visible error" }
    for _, words in ipairs { { "status" }, { "status", "--json" }, { "scripts" }, { "scripts", "--json" }, { "metrics" }, { "metrics", "--json" } } do
      local code, out, err = d:ctl(table.unpack(words))
      assert.are.equal(0, code)
      clean(table.concat(words, " "), out .. err)
    end
    -- Names of rules and servers are no secrets.
    for _, words in ipairs { { "servers" }, { "servers", "--json" }, { "pending" }, { "pending", "--json" }, { "top" } } do
      local code, out, err = d:ctl(table.unpack(words))
      assert.are.equal(0, code)
      clean(table.concat(words, " "), out .. err, "pbx1")
    end
    for _, words in ipairs { { "call", "pbx1", "Secret: planted-typed" }, { "enable", "x,password=planted" }, { "planted=1 secret=planted" } } do
      words[#words + 1] = "Action=Ping"
      local code, out, err = d:ctl(table.unpack(words))
      assert.is_true(code ~= 0 and out == "" and err ~= "")
      assert.is_nil(err:gsub("planted=1", ""):find("planted", 1, true), err)
    end
    clean("/metrics", get(d, "/metrics"))
    clean("/healthz", get(d, "/healthz"), "200")
    clean("/ready", get(d, "/ready"), "200")
    clean("an unknown page", get(d, "/planted?password=planted"), "404")
    for _, watcher in ipairs(watchers) do
      local name, process = table.unpack(watcher)
      local text = function() return name == "record" and helper.exists(folder .. "/taken.ami") and helper.read(folder .. "/taken.ami") or process:stdout() end
      local last = name:find "actions" and "StatusComplete" or "Text"
      helper.wait_for(function() return text():find(name:find "actions" and "Status" or last, 1, true) end, 10,
        function() return name .. " to show " .. last .. ":\n" .. process:tail() end)
      process:signal "TERM"
      process:ended()
      clean(name, text())
    end
    -- A reload that fails quotes the rule's error.
    d.project.rule("bad.lua", [[error("visible password=planted-reload planted-config " .. settings({ }).x)]])
    local _, out, err = d:ctl "reload"
    clean("reload", out .. err, "bad.lua:1: ")
    d.project.rule("bad.lua", [[error("visible password=planted-reload planted-config")]])
    _, out, err = d:ctl "reload"
    clean("reload", out .. err)
    clean("status", select(2, d:ctl "status"))
    -- The process itself.
    assert.is_nil(helper.read("/proc/" .. d.pid .. "/cmdline"):find("planted", 1, true))
    assert.matches("Max core file size%s+0%s", helper.read("/proc/" .. d.pid .. "/limits"))
    d:stop()
    clean("the log", d:stderr())
    -- What was not to be hidden is not: the name of an entry in Asterisk's database.
    assert.matches("DBPut .-Key=cidname Val=shown", watchers[3][2]:stdout())
    assert.matches("DBPut .-Key=password Val=%[redacted%]", watchers[3][2]:stdout())
  end)

  it("is not in a log for people", function()
    local d = daemon("text", 0)
    d.go()
    helper.wait_for(function() return d:stderr():find("visible failure", 1, true) end)
    d:stop()
    clean("the log", d:stderr())
  end)

  it("is not in what check, a refused start, replay and record say", function()
    local project = helper.project { rules = { ["plant.lua"] = RULE } }
    local folder = project.folder
    local go = helper.write_file(folder .. "/go", "")
    write_config(folder, server(go).port, "json")
    local process = helper.start(helper.binary, { "record", "pbx1", "-c", project.config, "-o", folder .. "/own.ami" }, { env = ENV })
    helper.wait_for(function() return helper.exists(folder .. "/own.ami") and helper.read(folder .. "/own.ami"):find("Text", 1, true) end)
    process:signal "TERM"
    process:ended()
    clean("record", helper.read(folder .. "/own.ami"))
    clean("record", process:stdout() .. process:stderr(), "bytes in")

    helper.write_file(folder .. "/plain.ami", "Asterisk Call Manager/9.0.0\r\n" .. EVENT)
    for _, flags in ipairs { { "--json" }, {} } do
      local words = { "replay", "--server", "pbx1", "-c", project.config, table.unpack(flags) }
      words[#words + 1] = folder .. "/plain.ami"
      words[#words + 1] = { env = ENV }
      local code, out, err = helper.run(table.unpack(words))
      assert.are.equal(0, code, err)
      assert.matches("Setvar", clean("replay", out))
      assert.matches("cidname", out)
      clean("replay's log", err)
    end
    project.rule("bad.lua", [[error("visible password=planted-fault and planted-env-2")]])
    for _, words in ipairs { { "check", "-c", project.config }, { "run", "--allow-root", "--strict", "-c", project.config }, { "replay", "-c", project.config, folder .. "/plain.ami" } } do
      words[#words + 1] = { env = ENV }
      local code, out, err = helper.run(table.unpack(words))
      assert.are.equal(1, code)
      clean(words[1], out .. err)
    end
  end)
end)
