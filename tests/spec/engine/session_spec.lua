local h = require "tests.spec.helper"

-- Says every event of the engine's own about servers.
local WATCH = [[
  ami.on({ "server.ready", "server.lost" }, function(ev, server)
    log.info(ev.Event, { name = server.name, reason = ev.reason, version = ev.version, state = server.state })
  end)]]

describe("a session", function()
  after_each(h.cleanup)

  it("brings events to rules, and a rule's actions to the server and their answers back", function()
    local sim = h.sim("--speed", "10")
    local daemon = h.daemon { servers = { pbx1 = h.server(sim) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(ev, server)
        local res, err = server:call { Action = "Originate", Channel = "Local/100@default", Context = "default", Exten = "100",
          Priority = 1, Variable = { CAMPAIGN = "spring, early" }, Async = true }
        log.info("originated", { message = res and res.message, reason = res and res.Reason, failed = err and err.code })
      end)
      ami.on("VarSet", { where = { Variable = "CAMPAIGN" } }, function(ev, server)
        log.info("variable", { value = ev.Value, server = server.name })
      end)
      ami.on("Hangup", function(ev) log.info("hangup", { cause = ev.Cause }) end)
      ]] } }
    local originated = daemon:await { msg = "originated" }
    assert.equal("4", originated.reason)
    assert.is_nil(originated.failed)
    assert.equal("spring, early", daemon:await({ msg = "variable" }).value)
    daemon:await { msg = "hangup" }
    assert.equal(0, daemon:stop())
  end)

  it("has nothing but a rule's timer to wake for: one that is set while a later one stands is in time", function()
    local peer = h.peer(h.LOGIN .. [[

send Event: UserEvent\r\nUserEvent: Go\r\n\r\n
hold]])
    local daemon = h.daemon { config = { live = { enabled = false } }, servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      timer.after(60, function() end)
      ami.on("UserEvent", function() timer.after(0.1, function() log.info("rang") end) end)]] } }
    daemon:await({ msg = "rang" }, { timeout = 5 })
  end)

  it("gives a list's items to the one who asked, and an error's text", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.sim()) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(ev, server)
        local res = server:call { Action = "QueueStatus", Queue = "support" }
        log.info("list", { items = #res.events, first = res.events[1].Event })
        local none, err = server:call { Action = "QueuePause", Interface = "PJSIP/none", Paused = true }
        log.info("error", { none = none == nil, code = err.code, text = err.message })
      end)]] } }
    local list = daemon:await { msg = "list" }
    assert.is_true(list.items >= 2)
    assert.equal("QueueParams", list.first)
    local failed = daemon:await { msg = "error" }
    assert.is_true(failed.none)
    assert.equal("error", failed.code)
    assert.is_true(#failed.text > 0)
  end)

  it("Q21 never takes an event with a foreign ActionID for its answer", function()
    local peer = h.peer(h.LOGIN .. [[

action Ping
send Event: UserEvent\r\nActionID: $idx\r\nUserEvent: Forged\r\nResponse: Success\r\n\r\n
send Event: UserEvent\r\nActionID: someone-else-1\r\nUserEvent: Foreign\r\n\r\n
send Response: Error\r\nActionID: $id\r\nMessage: Sorry\r\n\r\n
hold]])
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(ev, server)
        local res, err = server:call { Action = "Ping" }
        log.info("answer", { message = err and err.message })
      end)
      ami.on("UserEvent", function(ev) log.info("event", { name = ev.UserEvent }) end)]] } }
    assert.equal("Sorry", daemon:await({ msg = "answer" }).message)
    assert.equal(2, #daemon:find { msg = "event" })
  end)

  it("fails every pending action as lost when it ends, notifies the rules, and only then connects again", function()
    local peer = h.peer(h.LOGIN .. "\naction Ping\naction Ping\nrst", h.LOGIN .. "\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = WATCH .. [[

      ami.once("server.ready", function(ev, server)
        for i = 1, 2 do
          server:send({ Action = "Ping" }, function(res, err) log.info("ended", { n = i, code = err and err.code }) end)
        end
      end)]] } }
    daemon:await({ msg = "server.ready" }, { count = 2 })
    local order = {}
    for _, record in ipairs(daemon:log()) do
      if record.msg == "ended" then order[#order + 1] = ("%s %d"):format(record.code, record.n) end
      if record.msg == "server.lost" then order[#order + 1] = "lost:" .. record.reason end
      if record.msg == "session ready" then order[#order + 1] = "ready" end
    end
    assert.same({ "ready", "lost 1", "lost 2", "lost:reset", "ready" }, order)
    local _, pings = peer.received():gsub("Action: Ping", "")
    assert.equal(2, pings, "an action was sent again by itself")
  end)

  it("ends also when that is found out by a write, last in a turn: what the rules then begin is not forgotten", function()
    local go = h.folder() .. "/go"
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nwait " .. go .. "\nrst"), { reconnect = { first = 300, max = 300 } }) },
      config = { limits = { deadline = 10, stuck = 30 } }, rules = { ["probe.lua"] = [[
        ami.on("probe.go", function()
          log.info "busy"
          local began = os.clock()
          while os.clock() - began < 0.5 do end
          ami.server "pbx1":send { Action = "Ping" }
        end)
        ami.on("server.lost", function() timer.after(0.1, function() log.info "later" end) end)]] } }
    daemon:ready "pbx1"
    daemon:emit "probe.go"
    daemon:await { msg = "busy" }
    -- The reset comes while the rule is at work, so it is the write of its action that meets it.
    h.write_file(go, "")
    daemon:await { msg = "later" }
  end)

  it("fails an action that is not answered in time, and counts the late answer", function()
    local peer = h.peer(h.LOGIN .. [[

action Getvar
expect Action: Ping
send Response: Success\r\nActionID: $id\r\nValue: late\r\n\r\n
send Event: UserEvent\r\nUserEvent: After\r\n\r\n
hold]])
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(ev, server)
        local res, err = server:call({ Action = "Getvar", Variable = "X" }, { timeout = 0.1 })
        log.info("ended", { code = err and err.code })
        server:send { Action = "Ping" }
      end)
      ami.on("UserEvent", function() log.info "after" end)]] } }
    assert.equal("timeout", daemon:await({ msg = "ended" }).code)
    daemon:await { msg = "after" }
    assert.equal(1, #daemon:find { msg = "an answer came for an action that had ended or is not ours" })
  end)

  describe("whose answers wait for a slow rule beyond their deadline", function()
    -- It takes 0.15 s of each answer.
    local function slow()
      local servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nserve")), pbx2 = h.server(h.peer(h.LOGIN .. "\nserve")) }
      local daemon = h.daemon { servers = servers, config = { limits = { deadline = 1, stuck = 3, turn_rules = 0.01 } },
        rules = { ["probe.lua"] = [[
          ami.on("probe.go", function()
            for _ = 1, 12 do
              ami.server "pbx1":send({ Action = "Ping" }, { timeout = 0.3 }, function(res)
                local done = os.clock() + 0.15
                while os.clock() < done do end
                log.info("taken", { response = res and res.Response })
              end)
            end
          end)]] } }
      daemon:ready "pbx1"
      daemon:ready "pbx2"
      daemon:emit "probe.go"
      daemon:await({ msg = "taken" }, { count = 4 })
      return daemon, servers
    end

    it("counts their bytes for limits.kept_bytes until the rule takes them", function()
      local daemon = slow()
      local function held() return daemon:metric("hookswitch_server_backlog_bytes", { server = "pbx1" }) end
      assert.is_true(held() > 0)
      assert.is_true(#daemon:find { msg = "taken" } < 12)
      daemon:await({ msg = "taken" }, { count = 12 })
      assert.equal(0, held())
    end)

    it("gives them to the rule though a reload removes it", function()
      local daemon, servers = slow()
      servers.pbx1 = nil
      daemon.project.write { servers = servers }
      assert.is_true(daemon:reload())
      daemon:await({ msg = "taken", response = "Success" }, { count = 12 })
      assert.equal(0, daemon:stop())
    end)
  end)

  it("sends a Ping when nothing comes, and ends the session when that is not answered", function()
    local peer = h.peer(h.LOGIN .. [[

action Ping
send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n
action Ping
say second
hold]], h.LOGIN .. "\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { timeouts = { heartbeat_interval = 0.1, heartbeat = 0.2, drain = 1 } }) },
      rules = { ["probe.lua"] = WATCH } }
    assert.equal("heartbeat", daemon:await({ msg = "server.lost" }).reason)
    assert.truthy(peer:stdout():find "second")
  end)

  it("counts and drops a frame that the session's end has cut, and gives the whole ones before it to the rules", function()
    local peer = h.peer(h.LOGIN .. [[

send Event: UserEvent\r\nUserEvent: Whole\r\n\r\nEvent: UserEvent\r\nUserEvent: Cu
]], h.LOGIN .. "\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = WATCH .. [[

      ami.on("UserEvent", function(ev) log.info("event", { name = ev.UserEvent }) end)]] } }
    daemon:await({ msg = "server.ready" }, { count = 2 })
    local heard = daemon:find { msg = "event" }
    assert.equal(1, #heard)
    assert.equal("Whole", heard[1].name)
    daemon:await { msg = "the session's end cut a frame: dropped", server = "pbx1" }
    assert.equal("eof", daemon:await({ msg = "server.lost" }).reason)
  end)
end)

describe("a server that does not do its part", function()
  after_each(h.cleanup)

  local fast = { banner = 0.1, login = 0.1, tls = 0.1, drain = 1 }
  local banner = "line Asterisk Call Manager/9.0.0\n"
  -- what is there, its server's options, the reason, and what the line must say
  local cases = {
    { "nothing listens", function() return h.server(h.dead_port()) end, "refused", "nothing listens on 127.0.0.1 port" },
    { "another protocol answers", function() return h.server(h.peer "line SSH-2.0-OpenSSH_9.2\nhold") end, "not_ami", "is no Asterisk manager" },
    { "a web server answers", function() return h.server(h.peer "send HTTP/1.1 400 Bad Request\\r\\nServer: x\\r\\n\\r\\n\nhold") end,
      "not_ami", "is no Asterisk manager" },
    { "garbage without end comes", function() return h.server(h.peer("send " .. ("x"):rep(4000) .. "\nhold")) end, "not_ami",
      "is no Asterisk manager" },
    { "the banner never comes", function() return h.server(h.peer "hold", { timeouts = fast }) end, "banner_timeout",
      "no banner in 0.1 s" },
    { "it closes without a banner", function() return h.server(h.peer "") end, "eof", "" },
    { "the login is not answered", function() return h.server(h.peer(banner .. "hold"), { timeouts = fast }) end, "login_timeout",
      "no answer to the login in 0.1 s" },
    { "it resets in the middle of the login", function() return h.server(h.peer(banner .. "expect Challenge\nrst")) end, "reset",
      "ECONNRESET" },
    { "it speaks no TLS", function() return h.server(h.peer(banner .. "hold"), { timeouts = fast, tls = { enabled = true } }) end, "tls",
      "does not speak TLS here" },
    { "the secret is wrong", function() return h.server(h.sim(), { secret = "not-the-secret" }) end, "auth",
      "check username, secret and permit in manager.conf" },
  }

  for _, case in ipairs(cases) do
    it("gets one clear line and is tried again: " .. case[1], function()
      local daemon = h.daemon { servers = { bad = case[2]() }, rules = { ["probe.lua"] = WATCH } }
      local told = daemon:await { msg = "no session", server = "bad" }
      assert.equal("warn", told.level)
      assert.equal(case[3], told.reason)
      assert.truthy(told.error:find(case[4], 1, true), told.error)
      assert.equal("number", type(told.retry_in))
      if case[3] ~= "auth" then daemon:await({ msg = "no session", server = "bad" }, { count = 2 }) end
      assert.equal(0, #daemon:find { msg = "server.lost" }, "a session that never was cannot be lost")
      assert.equal(0, daemon:stop())
    end)
  end

  it("Q42 is tried slowly after a refused login", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.sim(), { secret = "not-the-secret" }) } }
    -- Half of auth_first's 30 s at least, though every other failure is retried within 0.2 s here.
    assert.is_true(daemon:await({ msg = "no session" }).retry_in >= 15)
  end)

  it("gives way as soon as it is there", function()
    local port = h.dead_port()
    local daemon = h.daemon { servers = { pbx1 = h.server(port) }, rules = { ["probe.lua"] = WATCH } }
    daemon:await({ msg = "no session" }, { count = 2 })
    local sim = h.start(h.binary, { "sim", "--listen", "127.0.0.1:" .. port, "--user", h.USER, "--secret", h.SECRET })
    daemon:await { msg = "server.ready", name = "pbx1" }
    sim:signal "KILL"
    sim:ended()
    local lost = daemon:await { msg = "server.lost", name = "pbx1" }
    assert.truthy(lost.reason == "eof" or lost.reason == "reset", lost.reason)
  end)
end)

describe("several servers", function()
  after_each(h.cleanup)

  it("are islands: the good one works on while the others are dead, hostile or silent", function()
    local fast = { banner = 0.1, login = 0.1, drain = 0.1 }
    local servers = {
      good = h.server(h.sim()),
      dead = h.server(h.dead_port()),
      refused = h.server(h.sim(), { secret = "not-the-secret" }),
      other = h.server(h.peer "line 220 mail ESMTP\nhold"),
      silent = h.server(h.peer "hold", { timeouts = fast }),
      mute = h.server(h.peer "line Asterisk Call Manager/9.0.0\nhold", { timeouts = fast }),
      -- Takes the login, then answers nothing and sends garbage.
      hostile = h.server(h.peer(h.LOGIN .. "\nsend " .. ("garbage\\r\\n"):rep(200) .. "\\r\\n\nhold"), { timeouts = fast }),
    }
    local daemon = h.daemon { servers = servers, rules = { ["probe.lua"] = WATCH .. [[

      local answered = 0
      timer.every(0.01, function()
        local good = ami.server "good"
        if not good.ready then return end
        local before = timer.now()
        local res, err = good:call { Action = "Ping" }
        if not res then return log.error("the good one failed", { code = err.code }) end
        answered = answered + 1
        if answered == 100 then log.info "answered" end
      end)]] } }
    for name, reason in pairs { dead = "refused", refused = "auth", other = "not_ami", silent = "banner_timeout", mute = "login_timeout" } do
      assert.equal(reason, daemon:await({ msg = "no session", server = name }).reason)
    end
    daemon:ready "hostile"
    daemon:await { msg = "answered" }
    assert.equal(0, #daemon:find { msg = "the good one failed" })
    assert.equal(0, #daemon:find { msg = "server.lost", name = "good" })
    assert.equal(1, #daemon:find { msg = "session ready", server = "good" })
    assert.equal(0, daemon:stop())
  end)

  it("keep their events, handles and answers apart", function()
    local function server(name)
      return h.server(h.peer(h.LOGIN .. ([[

send Event: UserEvent\r\nUserEvent: Hello\r\nFrom: %s\r\n\r\n
action Getvar
send Response: Success\r\nActionID: $id\r\nValue: %s\r\n\r\n
hold]]):format(name, name)))
    end
    local daemon = h.daemon { servers = { pbx1 = server "pbx1", pbx2 = server "pbx2", pbx3 = server "pbx3" }, rules = { ["probe.lua"] = [[
      ami.on("UserEvent", { server = { "pbx1", "pbx3" } }, function(ev, server)
        local res = server:call { Action = "Getvar", Variable = "X" }
        log.info("heard", { from = ev.From, server = server.name, value = res.Value, same = ami.server(ev.From) == server })
      end)]] } }
    for _, name in ipairs { "pbx1", "pbx3" } do
      local heard = daemon:await { msg = "heard", server = name }
      assert.equal(name, heard.from)
      assert.equal(name, heard.value)
      assert.is_true(heard.same)
    end
    daemon:ready "pbx2"
    assert.equal(2, #daemon:find { msg = "heard" })
  end)

  it("Q21 never share an ActionID: two of them may be logged in to one Asterisk, and a changed one is no new beginning", function()
    local function peer() return h.peer(h.LOGIN .. "\nserve") end
    local first, second, again = peer(), peer(), peer()
    local options = { servers = { pbx1 = h.server(first), pbx2 = h.server(second) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(ev, server)
        server:call { Action = "Getvar", Variable = "X" }
        log.info("answered", { server = server.name })
      end)]] } }
    local project = h.project(options)
    local daemon = h.daemon(project)
    daemon:await({ msg = "answered" }, { count = 2 })
    options.servers.pbx1 = h.server(again)
    project.write(options)
    assert.is_true(daemon:reload())
    daemon:await({ msg = "session ready", server = "pbx1" }, { count = 2 })
    h.wait_for(function() return again.received():find("Action: Getvar\r\n.-\r\n\r\n") end)
    local seen = {}
    for _, process in ipairs { first, second, again } do
      local count = 0
      for id in process.received():gmatch "ActionID: (%S+)" do
        assert.is_nil(seen[id], id .. " was used twice")
        seen[id], count = true, count + 1
      end
      assert.is_true(count >= 3) -- Challenge, Login, Getvar
    end
  end)

  it("are chosen by a route that skips those without a session", function()
    local daemon = h.daemon { servers = { a = h.server(h.dead_port()), b = h.server(h.sim()), c = h.server(h.sim()) },
      rules = { ["probe.lua"] = [[
        local failover, robin = ami.route("failover", { "a", "b", "c" }), ami.route "round_robin"
        timer.every(0.01, function()
          if not (ami.server "b".ready and ami.server "c".ready) then return end
          local picked = {}
          for i = 1, 4 do picked[i] = robin:pick().name end
          table.sort(picked)
          log.info("picked", { failover = failover:pick().name, robin = table.concat(picked, " ") })
          timer.sleep(3600)
        end)]] } }
    local picked = daemon:await { msg = "picked" }
    assert.equal("b", picked.failover)
    assert.equal("b b c c", picked.robin)
  end)
end)
