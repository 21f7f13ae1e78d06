-- Queue watch: callers who gave up, how long the others waited, and agents who do not answer; these are paused, if you want that.
--
-- Counts are kept in a store, so they go on over a reload.
local set = settings {
  queues = {},        -- names of the queues to watch, as { "support", "sales" }; none: all of them
  pause_after = 0,    -- so many rings without an answer within `within` seconds pause the agent; 0: never
  within = 600,       -- seconds
  pause_reason = "ring no answer",
}

local where = #set.queues > 0 and { Queue = set.queues } or nil

local abandoned = metric.counter("queue_abandoned_total", "Callers who gave up waiting.", { "server", "queue" })
local unanswered = metric.counter("queue_unanswered_total", "Times that an agent's phone rang in vain.", { "server", "queue", "agent" })
local waited = metric.histogram("queue_wait_seconds", "How long callers waited until an agent took them.", { "server", "queue" },
  { 5, 10, 20, 30, 60, 120, 300, 600 })

local misses = store.open "queues.misses"

local function agent_key(ev, server)
  return table.concat({ server.name, ev.Queue, ev.Interface }, "\t")
end

ami.on("QueueCallerJoin", { where = where }, function(ev, server)
  log.info(("queue %s: %s waits, position %s"):format(ev.Queue, ev.CallerIDNum, ev.Position), { server = server.name })
end)

ami.on("QueueCallerAbandon", { where = where }, function(ev, server)
  abandoned:inc({ server.name, ev.Queue })
  log.warn(("queue %s: %s gave up after %s s"):format(ev.Queue, ev.CallerIDNum, ev.HoldTime), { server = server.name })
end)

ami.on("AgentConnect", { where = where }, function(ev, server)
  waited:observe(tonumber(ev.HoldTime) or 0, { server.name, ev.Queue })
  misses:delete(agent_key(ev, server))
  log.info(("queue %s: %s takes %s after %s s"):format(ev.Queue, ev.MemberName, ev.CallerIDNum, ev.HoldTime), { server = server.name })
end)

ami.on("AgentRingNoAnswer", { where = where }, function(ev, server)
  local key = agent_key(ev, server)
  local count = misses:incr(key, 1, set.within)
  unanswered:inc({ server.name, ev.Queue, ev.Interface })
  log.warn(("queue %s: %s does not answer (%d)"):format(ev.Queue, ev.MemberName, count), { server = server.name })
  if set.pause_after == 0 or count < set.pause_after then return end

  misses:delete(key)
  local res, err = server:call { Action = "QueuePause", Queue = ev.Queue, Interface = ev.Interface, Paused = true,
                                 Reason = set.pause_reason }
  if res then
    log.warn(("queue %s: %s is paused"):format(ev.Queue, ev.MemberName), { server = server.name, misses = count })
  else
    log.error("agent not paused", { server = server.name, agent = ev.Interface, reason = tostring(err) })
  end
end)
