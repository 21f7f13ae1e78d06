-- What a server may do to the answers of actions. Each action ends exactly once, whatever comes.
local support = require "scenarios.support"
local session = support.session

return {
  {
    name = "1,000 actions pending, answered in random order, some never",
    must = "every one ends exactly once: 980 as success, 20 as timeout",
    play = function(t)
      local peer = support.peer(session([[shuffle 1000 20]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer) }, rules = { support.SEND } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "times=1000", "timeout=3")
      support.await_metric(daemon, "hookswitch_rule_ends_total", { code = "success" }, 980)
      support.await_metric(daemon, "hookswitch_rule_ends_total", { code = "timeout" }, 20)
      assert(daemon:metric("hookswitch_rule_ends_total", { code = "success" }) == 980)
      assert(daemon:metric("hookswitch_server_actions_total", { server = "pbx", outcome = "timeout" }) == 20)
      assert(support.server(daemon, "pbx").pending == 0)
    end,
  },
  {
    name = "duplicate and late answers",
    must = "the second answer and the one after the deadline are counted and change nothing",
    play = function(t)
      local late = support.signal_file()
      local peer = support.peer(session([[action Getvar]], [[times 2 Response: Success\r\nActionID: $id\r\nN: $n\r\n\r\n]],
        [[action Status]], "wait " .. late, [[send Response: Success\r\nActionID: $id\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "tag=twice")
      daemon:emit("please.send", "server=pbx", "action=Status", "tag=late", "timeout=0.2")
      assert(daemon:await { msg = "done", tag = "late" }.code == "timeout")
      support.touch(late)
      support.await_metric(daemon, "hookswitch_server_answers_late_total", { server = "pbx" }, 2)
      daemon:emit("please.send", "server=pbx", "action=Getvar", "tag=next")
      assert(daemon:await { msg = "done", tag = "next" }.code == "success")
      assert(#daemon:find { msg = "done", tag = "twice" } == 1 and #daemon:find { msg = "done", tag = "late" } == 1)
    end,
  },
  {
    name = "forged ActionIDs",
    must = "answers with ids that this session never made end no action; the true one does",
    play = function(t)
      local go = support.signal_file()
      local peer = support.peer(session([[action Getvar]],
        [[send Response: Error\r\nActionID: 1\r\nMessage: forged\r\n\r\nResponse: Error\r\nActionID: $id9\r\nMessage: forged\r\n\r\n]],
        [[send Response: Error\r\nActionID: x$id\r\nMessage: forged\r\n\r\nEvent: Forged\r\nActionID: $id0\r\nN: 1\r\n\r\n]],
        "wait " .. go, [[send Response: Success\r\nActionID: $id\r\nMessage: true\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar")
      daemon:await { msg = "heard", name = "Forged" }
      assert(daemon:metric("hookswitch_server_answers_unmatched_total", { server = "pbx" }) == 3)
      assert(#daemon:find { msg = "done" } == 0)
      support.touch(go)
      local done = daemon:await { msg = "done" }
      assert(done.code == "success" and done.message == "true")
    end,
  },
  {
    name = "an echoed UserEvent with our id",
    must = "it is an event for the rules and ends nothing; the response behind it does",
    play = function(t)
      local peer = support.peer(session([[action UserEvent]],
        [[send Event: UserEvent\r\nPrivilege: user,all\r\nUserEvent: x\r\nActionID: $id\r\nResponse: Error\r\nN: 1\r\n\r\n]],
        [[send Response: Success\r\nActionID: $id\r\nMessage: Event Sent\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=UserEvent")
      local done = daemon:await { msg = "done" }
      assert(done.code == "success" and done.message == "Event Sent", support.source(done))
      assert(#daemon:find { msg = "heard", name = "UserEvent" } == 1)
    end,
  },
  {
    name = "a list that never completes",
    must = "its action ends as timeout, the late items do no harm, and the next list is whole",
    play = function(t)
      local list = [[send Response: Success\r\nActionID: $id\r\nEventList: start\r\n\r\n]]
      local item = [[times 3 Event: QueueMember\r\nActionID: $id\r\nN: $n\r\n\r\n]]
      local peer = support.peer(session([[action QueueStatus]], list, item, [[action QueueStatus]], list, item,
        [[send Event: QueueStatusComplete\r\nActionID: $id\r\nEventList: Complete\r\nListItems: 3\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=QueueStatus", "tag=first", "timeout=0.3")
      assert(daemon:await { msg = "done", tag = "first" }.code == "timeout")
      daemon:emit("please.send", "server=pbx", "action=QueueStatus", "tag=second")
      local done = daemon:await { msg = "done", tag = "second" }
      assert(done.code == "success" and done.items == 3, support.source(done))
      assert(#daemon:find { msg = "heard", name = "QueueMember" } == 0)
    end,
  },
  {
    name = "a list over its limit",
    must = "the action ends as overflow, the rest of the list is dropped, the next action succeeds",
    play = function(t)
      local peer = support.peer(session([[action QueueStatus]], [[send Response: Success\r\nActionID: $id\r\nEventList: start\r\n\r\n]],
        [[times 5000 Event: QueueMember\r\nActionID: $id\r\nN: $n\r\n\r\n]],
        [[send Event: QueueStatusComplete\r\nActionID: $id\r\nEventList: Complete\r\nListItems: 5000\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer, { limits = { list_events = 1000 } }) } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=QueueStatus", "tag=list")
      assert(daemon:await { msg = "done", tag = "list" }.code == "overflow")
      daemon:emit("please.send", "server=pbx", "action=Getvar", "tag=next")
      assert(daemon:await { msg = "done", tag = "next" }.code == "success")
      assert(#daemon:find { msg = "heard", name = "QueueMember" } == 0)
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "answers that the rules do not take",
    must = "over limits.kept_bytes the session ends as overflow, each action ends once, and a new session begins",
    play = function(t)
      local peer = support.peer(session([[action Getvar]], [[times 2000 Event: Busy\r\nN: $n\r\n\r\n]], [[shuffle 99 0]], [[serve]]),
        session "serve")
      -- Hearing one event takes about a millisecond: the answers pile up behind.
      local slow = [[
ami.on("Busy", function() for _ = 1, 100000 do end end)
]]
      local daemon = t:daemon { servers = { pbx = support.at(peer, { limits = { kept_bytes = 8192 } }) },
        rules = { support.SEND, slow, [[ami.on("server.lost", function(ev) log.info("server.lost", { reason = ev.reason }) end)]] } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "times=100")
      assert(daemon:await { msg = "server.lost" }.reason == "overflow")
      daemon:ready("pbx", { count = 2 })
      local ends = 0
      for _, code in ipairs { "success", "lost" } do ends = ends + (daemon:metric("hookswitch_rule_ends_total", { code = code }) or 0) end
      assert(ends == 100, ends)
    end,
  },
  {
    name = "routing",
    must = "failover, round_robin and least_pending choose ready servers only; an explicit one that is not ready refuses",
    play = function(t)
      local silent = session([[action Getvar]], "hold")
      local a, b = support.peer(silent, session "serve"), support.peer(session "serve")
      local daemon = t:daemon {
        servers = { a = support.at(a), b = support.at(b), down = support.at(support.dead_port()) },
        rules = { support.LISTEN, [[
local routes = {}
for _, kind in ipairs { "failover", "round_robin", "least_pending" } do routes[kind] = ami.route(kind, { "down", "a", "b" }) end
ami.on("please.route", function(please)
  local chosen = {}
  for n = 1, 4 do chosen[n] = routes[please.kind]:pick().name end
  log.info("chosen", { kind = please.kind, servers = table.concat(chosen, " ") })
end)
ami.on("please.hold", function() ami.server("a"):send({ Action = "Getvar", Variable = "x" }, { timeout = 60 }) log.info "held" end)
ami.on("please.down", function()
  local _, err = ami.server("down"):send { Action = "Getvar", Variable = "x" }
  log.info("down", { code = err.code })
end)
]] },
      }
      daemon:ready "a"
      daemon:ready "b"
      local function chosen(kind)
        local from = daemon:mark()
        daemon:emit("please.route", "kind=" .. kind)
        return daemon:await({ msg = "chosen", kind = kind }, { from = from }).servers
      end
      assert(chosen "failover" == "a a a a")
      local turns = chosen "round_robin"
      assert(turns == "a b a b" or turns == "b a b a", turns)
      daemon:emit "please.hold"
      daemon:await { msg = "held" }
      assert(chosen "least_pending" == "b b b b")
      a:signal "KILL"
      -- The peer's process for the session outlives its parent's death by a moment.
      daemon:await { msg = "server.lost", server = "a" }
      for _, kind in ipairs { "failover", "round_robin", "least_pending" } do assert(chosen(kind) == "b b b b") end
      daemon:emit "please.down"
      assert(daemon:await { msg = "down" }.code == "not_ready")
    end,
  },
}
