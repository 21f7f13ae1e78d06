-- An agent who does not answer again and again is paused, for longer each time, and comes back by himself: also when the daemon was
-- killed or restarted meanwhile, for what must be ended is on disk before it is begun.
local set = settings {
  misses = 3,                -- rings without an answer …
  within = 900,              -- … in so many seconds pause the agent
  pauses = { 60, 300, 900 }, -- seconds of the first, second and every later pause
  forget = 8 * 3600,         -- seconds after which the first pause is short again
  reason = "not answering",
}

local misses = store.open("pause.misses", { persistent = true }) -- agent -> rings without an answer; its ttl is `within`
local levels = store.open("pause.levels", { persistent = true }) -- agent -> pauses so far
local paused = store.open("pause.paused", { persistent = true }) -- agent -> { server, queue, interface, level }
local resting = store.open("pause.resting", { persistent = true }) -- agent -> true, while his pause lasts

local function agent(ev, server)
  return ("%s %s %s"):format(server.name, ev.Queue, ev.Interface)
end

-- After these nobody knows whether the agent is paused.
local unknown = { timeout = true, lost = true, cancelled = true }

ami.on("AgentRingNoAnswer", function(ev, server)
  local key = agent(ev, server)
  local count = misses:incr(key, 1, set.within)
  if count < set.misses then return end
  misses:delete(key)

  local level = levels:incr(key, 1, set.forget)
  local seconds = set.pauses[math.min(level, #set.pauses)]
  paused:set(key, { server = server.name, queue = ev.Queue, interface = ev.Interface, level = level })
  resting:set(key, true, seconds)
  local res, err = paused:sync()
  if res then
    res, err = server:call { Action = "QueuePause", Queue = ev.Queue, Interface = ev.Interface, Paused = true, Reason = set.reason }
  end
  if res then
    log.info("agent paused", { agent = ev.Interface, queue = ev.Queue, seconds = seconds })
    return
  end
  log.warn("pause failed", { agent = ev.Interface, queue = ev.Queue, reason = tostring(err) })
  if not unknown[err.code] then
    paused:delete(key)
    levels:incr(key, -1)
  end
end)

ami.on("AgentConnect", function(ev, server)
  misses:delete(agent(ev, server))
end)

-- Somebody has ended the pause by hand, or made it their own.
ami.on("QueueMemberPause", function(ev, server)
  local reason = ev.PausedReason or ev.Reason -- before Asterisk 13
  if ev.Paused == "0" or reason and reason ~= set.reason then paused:delete(agent(ev, server)) end
end)

local ending = {} -- agent -> true while the end of his pause is on its way

-- What stands in `paused` is ended again and again until Asterisk has answered: twice does no harm.
local function end_pause(key, pause, server)
  ending[key] = true
  local sent = server:send({ Action = "QueuePause", Queue = pause.queue, Interface = pause.interface, Paused = false }, function(res, err)
    ending[key] = nil
    if not res and err.code ~= "error" then return end -- an error says that he is no member any more
    local now = paused:get(key)
    if now and now.level == pause.level then paused:delete(key) end
    if res then log.info("agent back", { agent = pause.interface, queue = pause.queue }) end
  end)
  if not sent then ending[key] = nil end
end

-- A server that is away, or out of the configuration for a while, has its turn when it is back.
timer.every(1, function()
  for key, pause in pairs(paused) do
    local server = ami.server(pause.server)
    if server and server.ready and not resting:get(key) and not ending[key] then end_pause(key, pause, server) end
  end
end)
