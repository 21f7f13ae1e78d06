-- More events than the rules can take.
local support = require "scenarios.support"
local session = support.session

-- The first events are heard slowly by the clock, whatever the machine is: one turn reads many more than it delivers.
local SLOW = [[
local heard = metric.counter("heard_total", "Events heard.", { "server" })
local missed = metric.counter("missed_total", "Events that gaps reported.", { "server" })
local slow = {}
ami.on("*", function(_, server)
  heard:inc { server.name }
  slow[server.name] = (slow[server.name] or 0) + 1
  local ends = timer.now() + 0.002
  while slow[server.name] <= 1500 and timer.now() < ends do end
end)
ami.on("server.gap", function(ev, server)
  missed:inc(tonumber(ev.count), { server.name })
  log.info("server.gap", { server = server.name, count = ev.count, names = ev.names })
end)
ami.on({ "FullyBooted", "UserEvent" }, function(ev, server) log.info("heard", { server = server.name, name = ev.Event, user = ev.UserEvent }) end)
]]

-- Everything of that server has been delivered: what its link counted as events is dispatched, unmatched or shed.
local function await_sum(t, daemon, name, wanted)
  local fates
  support.wait_for(function()
    local server = support.server(daemon, name)
    if server.backlog_events > 0 or server.events < wanted then return false end
    fates = support.fates(daemon, name)
    return fates.dispatched + fates.unmatched + fates.shed == server.events
  end, 40, function() return "sums of " .. name .. ": " .. support.source(fates or {}) .. support.source(support.server(daemon, name)) end)
  t:report("%s: %d dispatched, %d unmatched, %d shed", name, fates.dispatched, fates.unmatched, fates.shed)
  return fates
end

return {
  {
    name = "20,000 events into a backlog of 10,000",
    must = "what is not shed is heard; sent = dispatched + unmatched + shed; gaps report the same number as the counter; the lowest classes go "
      .. "first; FullyBooted and what came last are heard",
    play = function(t)
      local sim = support.sim("--events", "20000")
      local daemon = t:daemon { servers = { pbx = support.at(sim) }, rules = { SLOW } }
      local sent = 20000 + 3 -- FullyBooted, SuccessfulAuth, and UserEvent FloodDone
      local fates = await_sum(t, daemon, "pbx", sent)
      assert(fates.dispatched + fates.unmatched + fates.shed == sent, support.source(fates))
      assert(fates.shed > 0, "nothing was shed: the flood was too slow")
      assert(daemon:metric("hookswitch_rule_heard_total", { server = "pbx" }) == fates.dispatched)
      assert(support.await_metric(daemon, "hookswitch_rule_missed_total", { server = "pbx" }, fates.shed) == fates.shed)
      daemon:await { msg = "heard", name = "FullyBooted" }
      daemon:await { msg = "heard", name = "UserEvent", user = "FloodDone" }
      daemon:await { msg = "events skipped: a rule is slower than the server (limits.rule_events, limits.rule_bytes, limits.backlog_events)" }
      local by_name = 0
      for _, name in ipairs { "VarSet", "Newexten", "CEL" } do
        by_name = by_name + (daemon:metric("hookswitch_server_shed_total", { server = "pbx", event = name }) or 0)
      end
      t:report("%d of %d shed were VarSet, Newexten or CEL", by_name, fates.shed)
      assert(by_name > 0)
    end,
  },
  {
    name = "shedding by class",
    must = "VarSet before Newexten, and plain events not at all while those suffice",
    play = function(t)
      local peer = support.peer(session([[action Getvar]],
        [[times 250 Event: Newchannel\r\nN: $n\r\n\r\n]] .. ([[Event: VarSet\r\n\r\n]]):rep(5) .. [[Event: Newexten\r\n\r\n]],
        [[send Event: UserEvent\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = { pbx = support.at(peer, { limits = { backlog_events = 1000 } }) }, rules = { support.SEND, [[
local heard = metric.counter("heard_total", "Events heard.", { "name" })
ami.on("*", function(ev)
  heard:inc { ev.Event }
  if ev.Event == "Newchannel" then for _ = 1, 200000 do end end
end)
ami.on("UserEvent", function() log.info "last" end)
]] } }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "timeout=60")
      daemon:await { msg = "last" }
      local function shed(name) return daemon:metric("hookswitch_server_shed_total", { server = "pbx", event = name }) or 0 end
      t:report("shed: %d VarSet, %d Newexten, %d Newchannel", shed "VarSet", shed "Newexten", shed "Newchannel")
      assert(shed "VarSet" > 0 and shed "Newexten" == 0 and shed "Newchannel" == 0)
      assert(daemon:metric("hookswitch_rule_heard_total", { name = "Newchannel" }) == 250)
      assert(daemon:metric("hookswitch_rule_heard_total", { name = "Newexten" }) == 250)
    end,
  },
  {
    name = "three servers, one flooding",
    must = "each server's sums agree, the quiet ones lose nothing, and the flooding one's own actions still succeed",
    play = function(t)
      local flood, quiet = support.sim("--events", "30000"), { support.sim("--events", "300", "--rate", "150"), support.sim("--events", "300", "--rate", "150") }
      local daemon = t:daemon { servers = { flood = support.at(flood, { limits = { backlog_events = 2000 } }), a = support.at(quiet[1]),
        b = support.at(quiet[2]) }, rules = { SLOW, support.SEND } }
      daemon:ready "flood"
      daemon:emit("please.send", "server=flood", "action=Ping", "timeout=20")
      assert(daemon:await { msg = "done" }.code == "success")
      for _, name in ipairs { "a", "b" } do
        local fates = await_sum(t, daemon, name, 303)
        assert(fates.dispatched == 303 and fates.shed == 0)
      end
      local fates = await_sum(t, daemon, "flood", 30003)
      assert(fates.dispatched + fates.unmatched + fates.shed == 30003)
      assert(fates.shed > 0, "nothing was shed")
      assert(#daemon:find { msg = "session lost" } == 0)
    end,
  },
  {
    name = "fairness",
    must = "one server floods at full speed; another's p99 delay from the wire to the rule stays below 5 ms",
    play = function(t)
      local flood, quiet = support.sim("--events", "0"), support.sim("--events", "0", "--rate", "250")
      local daemon = t:daemon { servers = { flood = support.at(flood), quiet = support.at(quiet) }, rules = { [[
local heard = 0
ami.on("*", { server = "flood" }, function(ev)
  local channel, context, exten = ev.Channel, ev.Context, ev.Exten
  heard = heard + 1
  if heard % 97 == 0 then log.debug("heard", { channel = channel, context = context, exten = exten }) end
end)
]], [[
-- Sent at Timestamp by the wall clock, heard by the monotonic one: the quickest event shows how far they are apart.
local delays = {}
ami.on("*", { server = "quiet" }, function(ev)
  if ev.Timestamp then delays[#delays + 1] = timer.now() - tonumber(ev.Timestamp) end
  if #delays < 400 then return end
  table.sort(delays)
  local function at(part) return (delays[math.ceil(part * #delays)] - delays[1]) * 1000 end
  log.info("delays", { p50 = at(0.5), p99 = at(0.99), max = at(1) })
  delays = {}
end)
]] } }
      -- What the daemon does is the same in each window of 400 events; what others do with this machine is not.
      local first = daemon:await({ msg = "delays" }, { timeout = 60 })
      local best = daemon:await({ msg = "delays", p99 = function(p99) return p99 and p99 < 5 end }, { timeout = 60 })
      local flooded, calm = support.server(daemon, "flood"), support.server(daemon, "quiet")
      t:report("beside %d events of the flood: p50 %.3f ms, p99 %.3f ms, max %.3f ms over 400 events; at first p99 %.3f ms", flooded.events,
        best.p50, best.p99, best.max, first.p99)
      assert(flooded.events > calm.events, "there was no flood")
      assert(flooded.sessions == 1 and calm.sessions == 1)
    end,
  },
}
