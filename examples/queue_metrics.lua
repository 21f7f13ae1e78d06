-- Queues as numbers for Prometheus, as a rule can choose them: free agents, how many are answered in time, how fast.
--
-- The live picture has all of it, no server is asked. (What most boards want is there without any rule: hookswitch_live_queue_waiting and
-- its like.) The numbers are shown under names that begin with hookswitch_rule_queue_.
local set = settings {
  every = 5, -- seconds
}

local labels = { "server", "queue" }
local gauges = {
  count = metric.gauge("queue_callers", "Callers who wait.", labels),
  longest_wait = metric.gauge("queue_longest_wait_seconds", "How long the first of them has waited.", labels),
  free = metric.gauge("queue_free", "Members who could take a call now.", labels),
  answered_today = metric.gauge("queue_answered", "Calls answered today.", labels),
  abandoned_today = metric.gauge("queue_abandoned", "Calls given up today.", labels),
  service_level = metric.gauge("queue_service_level", "Part of the last hour's calls that was answered in time, 0 to 1.", labels),
  speed_of_answer = metric.gauge("queue_speed_of_answer_seconds", "How long the last hour's callers waited for an answer.", labels),
}

local seen = {} -- "server queue" -> the labels' values

timer.every(set.every, function()
  local gone = seen
  seen = {}
  for queue in live.queues() do
    if live.state(queue.server) ~= "none" then -- without a session its numbers would stand still
      local at = { queue.server, queue.name }
      local key = table.concat(at, " ")
      seen[key], gone[key] = at, nil
      for field, gauge in pairs(gauges) do
        if queue[field] then gauge:set(queue[field], at) else gauge:del(at) end
      end
    end
  end
  for _, at in pairs(gone) do
    for _, gauge in pairs(gauges) do gauge:del(at) end
  end
end)
