-- An agent who does not answer again and again is paused, for longer each time, and comes back by himself.
local set = settings {
  misses = 3,                -- rings without an answer …
  within = 900,              -- … in so many seconds pause the agent
  pauses = { 60, 300, 900 }, -- seconds of the first, second and every later pause
  forget = 8 * 3600,         -- seconds after which the first pause is short again
  reason = "not answering",
}

local misses = store.open "pause.misses" -- agent -> rings without an answer; its ttl is `within`
local levels = store.open "pause.levels" -- agent -> pauses so far
local paused = store.open "pause.paused" -- agent -> { server, queue, interface, till }

local function agent(ev, server)
  return ("%s %s %s"):format(server.name, ev.Queue, ev.Interface)
end

ami.on("AgentRingNoAnswer", function(ev, server)
  local key = agent(ev, server)
  local count = misses:incr(key, 1, set.within)
  if count < set.misses then return end
  misses:delete(key)

  local res, err = server:call { Action = "QueuePause", Queue = ev.Queue, Interface = ev.Interface, Paused = true, Reason = set.reason }
  if not res then
    log.warn("pause failed", { agent = ev.Interface, queue = ev.Queue, reason = tostring(err) })
    return
  end
  local level = math.min(levels:incr(key, 1, set.forget), #set.pauses)
  local seconds = set.pauses[level]
  paused:set(key, { server = server.name, queue = ev.Queue, interface = ev.Interface, till = os.time() + seconds })
  log.info("agent paused", { agent = ev.Interface, queue = ev.Queue, seconds = seconds })
end)

ami.on("AgentConnect", function(ev, server)
  misses:delete(agent(ev, server))
end)

-- Somebody has ended the pause by hand, or made it their own.
ami.on("QueueMemberPause", function(ev, server)
  if ev.Paused == "0" or ev.PausedReason ~= set.reason then paused:delete(agent(ev, server)) end
end)

timer.every(1, function()
  for key, pause in pairs(paused) do
    local server = ami.server(pause.server)
    if not server then
      paused:delete(key)
    elseif pause.till <= os.time() and server.ready then
      paused:delete(key)
      server:send({ Action = "QueuePause", Queue = pause.queue, Interface = pause.interface, Paused = false }, function(res, err)
        if res then
          log.info("agent back", { agent = pause.interface, queue = pause.queue })
        elseif err.code ~= "error" then -- Asterisk did not say no: try again
          paused:set(key, pause)
        end
      end)
    end
  end
end)
