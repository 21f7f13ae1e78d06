-- Queue watch: callers who gave up, how long the others waited, and agents who do not answer; these are paused, if you want that.
--
-- Counts are kept in a store, so they go on over a reload.
local set = settings {
  queues = {},        -- names of the queues to watch, as { "support", "sales" }; none: all of them
  pause_after = 0,    -- so many rings without an answer within `within` seconds pause the agent; 0: never
  within = 600,       -- seconds
  pause_reason = "ring no answer",
}

local where = #set.queues > 0 and { queue = set.queues } or nil

local abandoned = metric.counter("queue_abandoned_total", "Callers who gave up waiting.", { "server", "queue" })
local unanswered = metric.counter("queue_unanswered_total", "Times that an agent's phone rang in vain.", { "server", "queue", "agent" })
local waited = metric.histogram("queue_wait_seconds", "How long callers waited until an agent took them.", { "server", "queue" },
  { 5, 10, 20, 30, 60, 120, 300, 600 })
local misses = store.open "queues.misses"

ami.on("queue.joined", { where = where }, function(caller)
  log.info(("queue %s: %s waits, position %d"):format(caller.queue, caller.number or "?", caller.position))
end)

ami.on("queue.left", { where = where }, function(caller, server)
  local call = live.call(server, caller.call or caller.uniqueid)
  if caller.reason == "abandoned" then
    abandoned:inc { caller.server, caller.queue }
    log.warn(("queue %s: %s gave up after %.0f s"):format(caller.queue, caller.number or "?", caller.wait))
  elseif caller.reason == "answered" then
    waited:observe(caller.wait, { caller.server, caller.queue })
    if call and call.agent then misses:delete(caller.server .. " " .. call.agent) end
    log.info(("queue %s: %s takes %s after %.0f s"):format(caller.queue, call and call.agent_name or "?", caller.number or "?", caller.wait))
  end
end)

-- Asterisk before 12 calls the interface Member.
ami.on("AgentRingNoAnswer", { where = where }, function(ev, server)
  local agent = ev.Interface or ev.Member
  local key = server.name .. " " .. agent
  local count = misses:incr(key, 1, set.within)
  unanswered:inc { server.name, ev.Queue, agent }
  log.warn(("queue %s: %s does not answer (%d)"):format(ev.Queue, ev.MemberName, count))
  if set.pause_after == 0 or count < set.pause_after then return end

  misses:delete(key)
  local res, err = server:call { Action = "QueuePause", Queue = ev.Queue, Interface = agent, Paused = true, Reason = set.pause_reason }
  if res then
    log.warn(("queue %s: %s is paused"):format(ev.Queue, ev.MemberName), { misses = count })
  else
    log.error("agent not paused", { agent = agent, reason = tostring(err) })
  end
end)
