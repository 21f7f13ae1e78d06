-- Queues as numbers for Prometheus: callers and the longest wait, members by state, completed and abandoned calls.
--
-- They are read with QueueStatus, a list action, on every server each `every` seconds, and shown under names that begin with
-- hookswitch_rule_queue_.
local set = settings {
  every = 15, -- seconds
}

local labels = { "server", "queue" }
local callers = metric.gauge("queue_callers", "Callers who wait.", labels)
local longest = metric.gauge("queue_longest_wait_seconds", "How long the first of them has waited.", labels)
local members = metric.gauge("queue_members", "Members by what they can do now.", { "server", "queue", "state" })
local completed = metric.gauge("queue_completed", "Calls taken since Asterisk reset its count.", labels)
local given_up = metric.gauge("queue_abandoned", "Calls given up since Asterisk reset its count.", labels)

local states = { "free", "busy", "paused", "gone" }

-- Device states of Asterisk: 1 not in use, 2 in use, 3 busy, 6 ringing, 7 ringing while in use, 8 on hold; the others cannot be rung.
local function state_of(member)
  if member.Paused == "1" then return "paused" end
  local status = member.Status
  if status == "1" then return "free" end
  return (status == "2" or status == "3" or status == "6" or status == "7" or status == "8") and "busy" or "gone"
end

local seen = {} -- server -> queue -> true

local function forget(name, queue)
  for _, gauge in ipairs { callers, longest, completed, given_up } do gauge:del({ name, queue }) end
  for _, state in ipairs(states) do members:del({ name, queue, state }) end
end

local function read(server)
  local res, err = server:call { Action = "QueueStatus" }
  if not res then
    log.warn("queues not read", { server = server.name, reason = tostring(err) })
    return
  end
  local queues = {}
  for _, item in ipairs(res.events) do
    local queue = item.Queue
    queues[queue] = queues[queue] or { wait = 0, members = {} }
    if item.Event == "QueueParams" then
      queues[queue].params = item
    elseif item.Event == "QueueMember" then
      local state = state_of(item)
      queues[queue].members[state] = (queues[queue].members[state] or 0) + 1
    elseif item.Event == "QueueEntry" then
      queues[queue].wait = math.max(queues[queue].wait, tonumber(item.Wait) or 0)
    end
  end
  for queue, found in pairs(queues) do
    local at, params = { server.name, queue }, found.params
    if params then
      callers:set(tonumber(params.Calls) or 0, at)
      completed:set(tonumber(params.Completed) or 0, at)
      given_up:set(tonumber(params.Abandoned) or 0, at)
    end
    longest:set(found.wait, at)
    for _, state in ipairs(states) do members:set(found.members[state] or 0, { server.name, queue, state }) end
  end
  for queue in pairs(seen[server.name] or {}) do
    if not queues[queue] then forget(server.name, queue) end
  end
  seen[server.name] = queues
end

-- At once when a server becomes ready, then at each tick. All servers are asked at the same time: a slow one holds up only itself.
ami.on("server.ready", function(_, server) read(server) end)

ami.on("server.lost", function(_, server)
  for queue in pairs(seen[server.name] or {}) do forget(server.name, queue) end
  seen[server.name] = nil
end)

timer.every(set.every, function()
  for _, server in ipairs(ami.servers()) do
    if server.ready then timer.after(0, function() read(server) end) end
  end
end)
