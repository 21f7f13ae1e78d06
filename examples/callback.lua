-- Callback: whoever gave up waiting in a queue is called back and put into it again.
--
-- Who waits for a callback stands in a store, so a reload forgets nobody; the same number is not called twice within `again` seconds.
local set = settings {
  queues = { support = "300" },          -- queue -> extension that leads into it
  context = "default",                   -- of these extensions
  channel = "Local/%s@outbound/n",       -- how a number is called
  caller_id = "Support <5550100>",       -- what the called person sees
  least_wait = 10,                       -- seconds; who gave up sooner is not called
  after = 30,                            -- seconds from giving up to the call
  ring = 25,                             -- seconds
  again = 3600,                          -- seconds
}

local waiting = store.open "callback.waiting" -- number -> { server, queue, due }
local called = store.open "callback.called"   -- number -> true, for `again` seconds

ami.on("QueueCallerAbandon", function(ev, server)
  local number, exten = ev.CallerIDNum, set.queues[ev.Queue]
  if not exten or tonumber(ev.HoldTime) < set.least_wait or not number:match "^%+?%d+$" then return end
  if called:get(number) then return end
  waiting:set(number, { server = server.name, queue = ev.Queue, due = os.time() + set.after })
  log.info("will call back", { number = number, queue = ev.Queue, seconds = set.after })
end)

-- Who comes back by himself needs no call.
ami.on("QueueCallerJoin", function(ev)
  waiting:delete(ev.CallerIDNum)
end)

local function call_back(number, due)
  local server = ami.server(due.server)
  if not server then return end
  called:set(number, true, set.again)

  -- Subscribe first, then act: what happens to the call may come before the answer to Originate.
  local taken <close> = ami.subscribe("AgentConnect", { server = server, where = { Queue = due.queue } })
  local res, err = server:call {
    Action = "Originate", Channel = set.channel:format(number), Context = set.context, Exten = set.queues[due.queue], Priority = 1,
    CallerID = set.caller_id, Timeout = set.ring * 1000, Variable = { CALLBACK = number },
  }
  if not res then
    -- `lost` means that nobody knows whether it rings: never twice by itself.
    if err.code == "not_ready" or err.code == "backpressure" then
      called:delete(number)
      waiting:set(number, { server = due.server, queue = due.queue, due = os.time() + set.after })
    end
    log.warn("callback failed", { number = number, queue = due.queue, reason = tostring(err) })
    return
  end

  local ev, why
  repeat ev, why = taken:next(300) until not ev or ev.Uniqueid == res.Uniqueid
  if ev then
    log.info("callback taken", { number = number, queue = due.queue, agent = ev.MemberName })
  else
    log.warn("callback answered, but no agent took it", { number = number, queue = due.queue, reason = why.code })
  end
end

timer.every(1, function()
  for number, due in pairs(waiting) do
    if due.due <= os.time() then
      waiting:delete(number)
      timer.after(0, function() call_back(number, due) end) -- each in a task of its own: none waits for another
    end
  end
end)
