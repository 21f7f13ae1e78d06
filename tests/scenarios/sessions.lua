-- What a server may do to a session: how each bad one ends, and what the engine does between sessions.
local support = require "scenarios.support"
local session = support.session

local LATE = 1.5 -- s: how much later than due is still a busy machine and not a fault

local function failed(daemon, server, reason, options)
  return daemon:await({ server = server, reason = reason, msg = function(msg) return msg == "no session" or msg == "session lost" end },
    options)
end

return {
  {
    name = "every kind of failure has its deadline and its name",
    must = "connect, TLS, banner, login, read and heartbeat end when they are due and not before; each, and also a refused connect, a reset, "
      .. "an early end and a stranger, feeds the circuit breaker; a refused login does not",
    play = function(t)
      local certificates = support.certificates()
      local function quick(timeouts, more)
        local all = { connect = 20, tls = 20, banner = 20, login = 20, read = 40, heartbeat = 20, heartbeat_interval = 30 }
        for key, value in pairs(timeouts) do all[key] = value end
        local options = { timeouts = all, reconnect = { first = 60, max = 60, breaker_failures = 1, breaker_open = 60 } }
        for key, value in pairs(more or {}) do options[key] = value end
        return options
      end
      local mute = support.peer "hold"
      local cases = {
        connect_timeout = { support.peer_with({ "--deaf" }, ""), 0.3, quick { connect = 0.3 } },
        tls = { mute, 0.4, quick({ tls = 0.4 }, { tls = { enabled = true, ca = certificates .. "/ca.pem" } }) },
        banner_timeout = { support.peer { "pieces 1 20 " .. ("x"):rep(2000) }, 0.5, quick { banner = 0.5 } },
        login_timeout = { support.peer { "line Asterisk Call Manager/9.0.0", "hold" }, 0.6, quick { login = 0.6 } },
        read_timeout = { support.peer(session "hold"), 0.7, quick { read = 0.7, heartbeat_interval = 0 } },
        heartbeat = { support.peer(session "stall"), 0.8, quick { heartbeat_interval = 0.4, heartbeat = 0.4 } },
        refused = { support.dead_port(), 0, quick {} },
        reset = { support.peer { "line Asterisk Call Manager/9.0.0", "action Challenge", "rst" }, 0, quick {} },
        eof = { support.peer "", 0, quick {} },
        not_ami = { support.peer { "line HTTP/1.1 400 Bad Request", "hold" }, 0, quick {} },
        auth = { support.sim(), 0, quick({}, { secret = "not-the-secret" }) },
      }
      local servers = {}
      for name, case in pairs(cases) do servers[name] = support.at(case[1], case[3]) end
      local daemon = t:daemon { servers = servers, rules = {} }
      local started = daemon:find({ msg = "started" })[1]
      for reason, case in pairs(cases) do
        local took = support.between(started, failed(daemon, reason, reason))
        t:report("%s: due after %.1f s, ended after %.3f s", reason, case[2], took)
        assert(took >= case[2] - 0.002 and (reason == "auth" or took <= case[2] + LATE), reason .. " took " .. took)
      end
      for _, server in ipairs(daemon:status().servers) do
        assert(server.breaker == (server.name == "auth" and "closed" or "open"), server.name .. " " .. server.breaker)
        assert(server.last_reason == server.name and server.last_text and server.next_try, server.name)
        assert(daemon:metric("hookswitch_server_failures_total", { server = server.name, reason = server.name }) == 1)
      end
      assert(failed(daemon, "refused", "refused").error:find "ECONNREFUSED")
      assert(failed(daemon, "reset", "reset").error:find "ECONNRESET")
    end,
  },
  {
    name = "a slow-loris banner",
    must = "a server that sends its banner a byte at a time is given up, and does not hold up its neighbour",
    play = function(t)
      local slow = support.peer { "pieces 1 100 " .. ("Asterisk Call Manager/9.0.0"):rep(10) }
      local daemon = t:daemon { servers = { slow = support.at(slow, { timeouts = { banner = 0.5 } }), pbx = support.at(support.sim()) } }
      daemon:ready "pbx"
      local record = failed(daemon, "slow", "banner_timeout", { count = 2 })
      assert(record.error:find("banner", 1, true))
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "a reset in mid-login",
    must = "the try ends as reset, is made again, and succeeds when the server lets it",
    play = function(t)
      local peer = support.peer({ "line Asterisk Call Manager/9.0.0", "action Challenge", [[send Response: Succ]], "rst" }, session "serve")
      local daemon = t:daemon { servers = { pbx = support.at(peer) } }
      failed(daemon, "pbx", "reset")
      daemon:ready "pbx"
      assert(#daemon:find { msg = "server.lost" } == 0, "a session that was never ready was reported as lost")
    end,
  },
  {
    name = "a half-open peer",
    must = "without FIN or answer the heartbeat ends the session, and its actions are lost, not timed out",
    play = function(t)
      local peer = support.peer(session "stall", session "serve")
      local daemon = t:daemon { servers = { pbx = support.at(peer, { timeouts = { heartbeat_interval = 0.3, heartbeat = 0.3 } }) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "timeout=60")
      assert(daemon:await { msg = "done" }.code == "lost")
      assert(daemon:await { msg = "server.lost" }.reason == "heartbeat")
      daemon:ready("pbx", { count = 2 })
      assert(not peer.received or not select(2, peer.received():gsub("Action: Getvar", "")) or
        select(2, peer.received():gsub("Action: Getvar", "")) <= 1, "an action was sent twice")
    end,
  },
  {
    name = "writes that stall",
    must = "with a closed window the write buffer stays in its bound (backpressure), the loop goes on, the heartbeat ends the session, "
      .. "and every action ends once",
    play = function(t)
      local peer = support.peer_with({ "--receive", "4096" }, session "stall", session "serve")
      local daemon = t:daemon { servers = { pbx = support.at(peer, { limits = { write_buffer = 65536, pending = 100000 },
        timeouts = { heartbeat_interval = 1, heartbeat = 0.5 } }), other = support.at(support.sim()) }, rules = { support.SEND } }
      daemon:ready "pbx"
      daemon:ready "other"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "times=5000", "timeout=60", "variable=" .. ("v"):rep(900))
      support.await_metric(daemon, "hookswitch_rule_ends_total", { code = "backpressure" }, 1)
      daemon:emit("please.send", "server=other", "action=Ping", "tag=alive")
      assert(daemon:await { msg = "done", tag = "alive" }.code == "success")
      failed(daemon, "pbx", "heartbeat")
      daemon:ready("pbx", { count = 2 })
      local refused = daemon:metric("hookswitch_rule_ends_total", { code = "backpressure" })
      local lost = daemon:metric("hookswitch_rule_ends_total", { code = "lost" }) or 0
      local unsent = daemon:metric("hookswitch_rule_ends_total", { code = "not_ready" }) or 0
      t:report("%d refused, %d lost, %d never sent", refused, lost, unsent)
      assert(refused + lost + unsent == 5000, refused + lost + unsent)
    end,
  },
  {
    name = "the heartbeat rests",
    must = "while an Originate without Async holds the line no Ping is missed: the session stays and the action succeeds",
    play = function(t)
      local peer = support.peer(session([[action Originate]], [[action Ping]], [[sleep 1500]],
        [[send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n]], [[serve]]))
      local daemon = t:daemon {
        servers = { pbx = support.at(peer, { timeouts = { heartbeat_interval = 0.2, heartbeat = 0.2, read = 0.8 } }) },
        rules = { support.LISTEN, [[
ami.on("server.ready", function(_, server)
  server:send({ Action = "Originate", Channel = "SIP/1", Exten = "1", Context = "c", Priority = 1, Async = false }, { timeout = 2 })
end)
]] },
      }
      daemon:ready "pbx"
      daemon:await({ msg = "session ready" }, { count = 1 })
      support.await_server(daemon, "pbx", "a Pong", function(server) return tonumber(server.heartbeat_rtt) and server.heartbeat_rtt >= 1 end)
      assert(#daemon:find { msg = "session lost" } == 0)
      -- Waiting costs no turns: those that were are of who asked.
      assert(daemon:metric "hookswitch_loop_turns_total" < 20000)
    end,
  },
  {
    name = "a circuit breaker",
    must = "it opens after so many failures, nothing is tried while it is open, one good probe closes it",
    play = function(t)
      local port = support.dead_port()
      local daemon = t:daemon { servers = { pbx = support.at(port, { reconnect = { first = 0.01, max = 0.02, breaker_failures = 3,
        breaker_open = 1, success_after = 0 } }) } }
      local opened = daemon:await { msg = "circuit breaker open: too many failures in a row" }
      assert(opened.failures == 3)
      assert(support.server(daemon, "pbx").breaker == "open")
      assert(daemon:metric("hookswitch_server_connects_total", { server = "pbx" }) == 3)
      local sim = support.start(support.binary, { "sim", "--listen", "127.0.0.1:" .. port, "--user", support.USER, "--secret", support.SECRET })
      local ready = daemon:ready "pbx"
      assert(sim:running(), sim:tail())
      assert(support.between(opened, ready) >= 0.99, "tried too early")
      assert(support.server(daemon, "pbx").breaker == "closed")
    end,
  },
  {
    name = "refused logins",
    must = "they are tried again on their own slow scale, never at once",
    play = function(t)
      local daemon = t:daemon { servers = { pbx = support.at(support.sim(), { secret = "not-the-secret", reconnect = { first = 0.01,
        max = 0.02 } }), quick = support.at(support.sim(), { secret = "not-the-secret", reconnect = { auth_first = 0.4, auth_max = 0.4 } }) } }
      local record = failed(daemon, "pbx", "auth")
      assert(record.retry_in >= 15 and record.retry_in <= 30, record.retry_in)
      assert(not record.error:find("not-the-secret", 1, true) and record.error:find("manager.conf", 1, true), record.error)
      local first, second = failed(daemon, "quick", "auth"), failed(daemon, "quick", "auth", { count = 2 })
      assert(support.between(first, second) >= 0.2, "tried again too early")
      assert(daemon:metric("hookswitch_server_connects_total", { server = "pbx" }) == 1)
    end,
  },
  {
    name = "dead servers and a healthy one",
    must = "with 1,000 servers that do not answer, connects stay within their budget, and a healthy server that lost its session gets a new "
      .. "one at once",
    play = function(t)
      local again = support.signal_file()
      local healthy = support.peer(session("wait " .. again), session "serve")
      local deaf = support.peer_with({ "--deaf" }, "")
      local servers = { zz = support.at(healthy, { reconnect = { first = 0.05, max = 0.05 } }) }
      for n = 1, 1000 do
        servers[("dead%04d"):format(n)] = support.at(deaf, { timeouts = { connect = 1 }, reconnect = { first = 0.05, max = 0.2,
          breaker_failures = 3, breaker_open = 0.5 } })
      end
      local config = { limits = { connects_in_flight = 256, connects_per_turn = 64 } }
      for key, value in pairs(support.GENEROUS) do config.limits[key] = value end
      local daemon = t:daemon { servers = servers, config = config, rules = { support.LISTEN } }
      local started = daemon:find({ msg = "started" })[1]
      local first = daemon:ready "zz"
      t:report("first session after %.2f s, among 1,000 dead ones", support.between(started, first))
      for _ = 1, 5 do
        local connecting = 0
        for _, server in ipairs(daemon:status().servers) do
          if server.state == "resolving" or server.state == "connecting" then connecting = connecting + 1 end
        end
        assert(connecting <= 256, connecting)
      end
      daemon:await({ msg = "no session", server = "dead1000" }, { count = 2 })
      support.touch(again)
      local lost = daemon:await { msg = "session lost", server = "zz" }
      local second = daemon:ready("zz", { count = 2 })
      local gap = support.between(lost, second)
      t:report("second session %.3f s after the first was lost", gap)
      assert(gap <= 0.05 + LATE / 2, gap)
    end,
  },
  {
    name = "a reconnect storm of 50 servers",
    must = "all 50 sessions end at once, each action on them ends once, and all 50 are ready again, spread out by jitter",
    play = function(t)
      local cut = support.signal_file()
      local scripts = {}
      for n = 1, 50 do scripts[n] = session([[action Getvar]], "wait " .. cut) end
      scripts[51] = session "serve"
      local peer = support.peer(table.unpack(scripts))
      local servers, names = {}, {}
      for n = 1, 50 do
        names[n] = ("pbx%02d"):format(n)
        servers[names[n]] = support.at(peer, { reconnect = { first = 0.5, max = 1 } })
      end
      local daemon = t:daemon { servers = servers, rules = { support.LISTEN, support.SEND, [[
ami.on("please.all", function() for _, server in ipairs(ami.servers()) do ami.emit("please.send", { server = server.name, action = "Getvar" }) end end)
]] } }
      for _, name in ipairs(names) do daemon:ready(name) end
      daemon:emit "please.all"
      support.wait_for(function() return daemon:metric("hookswitch_server_pending", { server = "pbx50" }) == 1 end, 5, "the actions")
      support.touch(cut)
      local earliest, latest
      for _, name in ipairs(names) do
        local lost = daemon:await { msg = "server.lost", server = name }
        local ready = daemon:ready(name, { count = 2 })
        earliest = earliest and support.between(earliest, ready) > 40000 and ready or earliest or ready
        latest = latest and support.between(latest, ready) < 40000 and ready or latest or ready
        assert(support.between(lost, ready) < 40000, "ready before lost")
      end
      t:report("the 50 new sessions came within %.3f s", support.between(earliest, latest))
      assert(support.between(earliest, latest) >= 0.2, "all at once: no jitter")
      assert(daemon:metric("hookswitch_rule_ends_total", { code = "lost" }) == 50)
      assert(#daemon:find { msg = "server.lost" } == 50)
    end,
  },
  {
    name = "an end in order",
    must = "SIGTERM sends a Logoff, actions are answered or cancelled, and a server that ignores it holds up the end by timeouts.drain at most",
    play = function(t)
      local deaf_to_logoff = support.peer(session "hold")
      local daemon = t:daemon { servers = { pbx = support.at(deaf_to_logoff, { timeouts = { drain = 0.5 } }), sim = support.at(support.sim()) } }
      daemon:ready "pbx"
      daemon:ready "sim"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "timeout=60")
      support.wait_for(function() return deaf_to_logoff.received():find("Action: Getvar", 1, true) end, nil, "the action")
      local before = support.now()
      daemon:signal "TERM"
      assert(daemon:await { msg = "done" }.code == "cancelled")
      daemon:await { msg = "stopped" }
      assert(daemon:ended() == 0)
      assert(support.now() - before <= 0.5 + LATE)
      assert(deaf_to_logoff.received():find("Action: Logoff", 1, true))
      assert(#daemon:find { msg = "server.lost", reason = "shutdown" } == 2)
      t.daemons = {}
    end,
  },
}
