-- Callback: whoever gave up waiting in a queue is called back and put into it again; once, whatever happens to the daemon meanwhile.
--
-- Each callback is a job: it is on disk, and is run after a reload, a restart and a crash as well. A call cannot be taken back, so what
-- allows it is taken away on disk before it is made. Nobody is called twice, and everybody is called once, but for one case: a crash
-- came after that and before the call was made.
local set = settings {
  queues = { support = "300" },          -- queue -> extension that leads into it
  context = "default",                   -- of these extensions
  channel = "Local/%s@outbound/n",       -- how a number is called
  caller_id = "Support <5550100>",       -- what the called person sees
  least_wait = 10,                       -- seconds; who gave up sooner is not called
  after = 30,                            -- seconds from giving up to the call
  ring = 25,                             -- seconds
  at_once = 5,                           -- calls that ring at the same time, on each server
  again = 3600,                          -- seconds in which a number is called once
  expires = 12 * 3600,                   -- seconds after which nobody is called any more
}

local wanted = store.open("callback.wanted", { persistent = true }) -- number -> true: he may be called
local called = store.open("callback.called", { persistent = true }) -- number -> true, for `again` seconds
local ringing = store.open("callback.ringing", { persistent = true }) -- number -> server: his call rings, as long as the entry lives

local function queue_of(server)
  return "callback." .. server.name
end

ami.on("QueueCallerAbandon", function(ev, server)
  local number, exten = ev.CallerIDNum, set.queues[ev.Queue]
  if not exten or tonumber(ev.HoldTime) < set.least_wait or not number:match "^%+?%d+$" then return end
  if called:get(number) then return end
  wanted:set(number, true, set.expires)
  local job, err = work.push(queue_of(server), { number = number, queue = ev.Queue, server = server.name }, { id = number, delay = set.after })
  if job then
    log.info("will call back", { number = number, queue = ev.Queue, seconds = set.after })
  else
    log.error("no callback", { number = number, queue = ev.Queue, reason = tostring(err) })
  end
end)

-- Who comes back by himself needs no call.
ami.on("QueueCallerJoin", function(ev)
  wanted:delete(ev.CallerIDNum)
end)

-- The server once it is ready; nil when the configuration has it no more.
local function await(name)
  local server = ami.server(name)
  while server and not server.ready do
    ami.wait("server.ready", { server = name })
    server = ami.server(name)
  end
  return server
end

-- Calls that were made before a crash or a stop may still ring: they count too.
local function await_place(server)
  while true do
    local count = 0
    for _, name in pairs(ringing) do
      if name == server.name then count = count + 1 end
    end
    if count < set.at_once then return end
    timer.sleep(0.5)
  end
end

-- He may be called no more, because he will be now. -> true once that is on disk, or nil and why not.
local function take(job)
  wanted:delete(job.number)
  called:set(job.number, true, set.again)
  ringing:set(job.number, job.server, set.ring + 2)
  return wanted:sync()
end

-- Nothing was sent: he may be called again.
local function give_back(job)
  wanted:set(job.number, true, set.expires)
  called:delete(job.number)
  ringing:delete(job.number)
end

-- In a coroutine of its own: the job has ended when the call was answered.
local function watch(taken, res, job)
  local ev, why
  repeat ev, why = taken:next(300) until not ev or ev.Uniqueid == res.Uniqueid
  taken:cancel()
  if ev then
    log.info("callback taken", { number = job.number, queue = job.queue, agent = ev.MemberName })
  else
    log.warn("callback answered, but no agent took it", { number = job.number, queue = job.queue, reason = why.code })
  end
end

local function call_back(job)
  local server = await(job.server)
  if not server then return end
  await_place(server)
  -- He came back by himself, or this job had called him before a crash or a stop.
  if not wanted:get(job.number) then return end
  -- However this ends before the call was made (the disk is full, a reload or a stop closes it): the job is tried again later.
  local sent = false
  local undo <close> = setmetatable({}, { __close = function() if not sent then give_back(job) end end })
  local kept, why = take(job)
  if not kept then error(tostring(why)) end

  -- Subscribe first, then act: what happens to the call may come before the answer to Originate.
  local taken = ami.subscribe("AgentConnect", { server = server, where = { Queue = job.queue } })
  sent = true
  local res, err = server:call {
    Action = "Originate", Channel = set.channel:format(job.number), Context = set.context, Exten = set.queues[job.queue], Priority = 1,
    CallerID = set.caller_id, Timeout = set.ring * 1000, Variable = { CALLBACK = job.number },
  }
  if res then
    ringing:delete(job.number)
    log.info("callback answered", { number = job.number, queue = job.queue })
    timer.after(0, function() watch(taken, res, job) end)
    return
  end
  taken:cancel()
  if err.code == "not_ready" or err.code == "backpressure" then
    sent = false
    error(tostring(err))
  end
  -- After `lost` and `timeout` nobody knows whether it rings: never twice.
  if err.code == "error" then ringing:delete(job.number) end
  log.warn("callback failed", { number = job.number, queue = job.queue, reason = tostring(err) })
end

-- A queue for each server: one that is away holds up its own calls and no others.
for _, server in ipairs(ami.servers()) do
  work.on(queue_of(server), { at_once = set.at_once, tries = 10, backoff = 10 }, call_back)
end
