-- The call journal: one line for each finished call: who, where to, how long, and why it ended.
--
-- The line goes to the sink `journal` as JSON and to the log as a sentence. A call is all channels with one Linkedid; it is over when
-- the last of them has hung up. Calls that stand are kept in a store, so the journal goes on after a reload, a restart and a crash; what
-- ended meanwhile is found in the list of channels. Asterisk before 12 sends no Linkedid: there each channel is a call of its own.
local recent = require "recent"

local set = settings {
  sink = "journal",  -- sink of the configuration for the lines; "" for none
  log = true,        -- write each call to the log too
  channels = 20000,  -- channels watched at the same time; beyond, the oldest is forgotten
  ttl = 6 * 3600,    -- seconds after which a channel whose end nobody saw is forgotten
}

local journal
if set.sink ~= "" then
  local found, sink_or_why = pcall(sink.open, set.sink)
  if found then journal = sink_or_why else log.warn("finished calls go to the log only", { reason = sink_or_why }) end
end

local finished = metric.counter("calls_total", "Finished calls by how they ended.", { "server", "result" })
local lasted = metric.histogram("calls_seconds", "How long finished calls took.", { "server" }, { 5, 15, 30, 60, 120, 300, 600, 1800 })

-- Of a call that nobody took: DialStatus in words.
local not_taken = {
  BUSY = "busy", NOANSWER = "no answer", CANCEL = "cancelled", CONGESTION = "congestion", CHANUNAVAIL = "unreachable",
  DONTCALL = "refused", TORTURE = "refused", INVALIDARGS = "failed", ABORT = "cancelled",
}

-- A header's text, or nil for what Asterisk writes when it knows nothing.
local function known(text)
  if text and text ~= "" and text ~= "<unknown>" and text ~= "<null>" then return text end
end

-- "PJSIP/101-0000002a" without the number of this one call.
local function device(channel)
  return channel and (channel:gsub("%-%x+;?%d?$", "")) or nil
end

local function result_of(call)
  if call.unseen then return "end not seen" end
  if call.bridged then return "answered" end
  if call.abandoned then return "abandoned" end
  if call.answered then return "answered" end
  return not_taken[call.dial] or "not answered"
end

local function finish(call, at)
  local result, seconds = result_of(call), math.max(0, at - call.began)
  local line = {
    time = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(call.began)), server = call.server, call = call.id,
    from = call.from, to = call.to, with = call.with, queue = call.queue, result = result, cause = call.cause,
    seconds = math.floor(seconds + 0.5), talk = math.floor(call.bridged and at - call.bridged + 0.5 or 0),
  }
  finished:inc({ call.server, result })
  lasted:observe(seconds, { call.server })
  if journal then
    local written, err = journal:write(line)
    if not written then log.warn("the journal has lost a line", { call = call.id, reason = err.code }) end
  end
  if set.log then
    log.info(("call %s -> %s: %s%s, %d s%s"):format(call.from or "?", call.to or "?", result,
      call.with and " with " .. call.with or "", line.seconds, call.cause and ", " .. call.cause or ""), { server = call.server })
  end
end

-- ---- channels and their calls ----

local calls = {}

-- With a state file (persist.file) this survives a restart, without one a reload.
local kept, standing = pcall(store.open, "calls.standing", { persistent = true })
if not kept then standing = store.open "calls.standing" end

-- After each change of a call; one without channels is over.
local function save(call)
  local good, why = pcall(standing.set, standing, call.key, next(call.ids) and call or nil, set.ttl)
  if not good then log.warn("a call that stands is not kept", { reason = why }) end
end

local function leave(call, id, at)
  call.ids[id] = nil
  save(call)
  if next(call.ids) then return end
  calls[call.key] = nil
  finish(call, at)
end

local channels = recent.new { cap = set.channels, ttl = set.ttl, forgotten = function(_, channel)
  channel.call.unseen = true
  leave(channel.call, channel.id, os.time())
end }

-- Uniqueids of two servers can be equal.
local function key_of(server, id)
  return server.name .. " " .. id
end

local function call_of(server, id)
  local channel = id and channels:get(key_of(server, id))
  return channel and channel.call
end

-- A channel that is new to us, from Newchannel or from a list of channels.
local function watch(ev, server, began)
  local id = ev.Uniqueid
  if not id or channels:get(key_of(server, id)) then return end
  local call_id = ev.Linkedid or id
  local key = key_of(server, call_id)
  local call = calls[key]
  if not call then
    call = { key = key, id = call_id, server = server.name, began = began, ids = {} }
    calls[key] = call
  end
  if began <= call.began or id == call_id then
    call.began = math.min(call.began, began)
    call.from, call.to = known(ev.CallerIDNum) or call.from, known(ev.Exten) or call.to
  end
  call.ids[id] = true
  channels:put(key_of(server, id), { call = call, server = server.name, id = id, since = timer.now() })
  save(call)
end

ami.on("Newchannel", function(ev, server)
  watch(ev, server, ami.time(ev))
end)

ami.on("NewCallerid", function(ev, server)
  local call = call_of(server, ev.Uniqueid)
  if not call or call.id ~= ev.Uniqueid then return end
  call.from = known(ev.CallerIDNum) or call.from
  save(call)
end)

ami.on("Newstate", { where = { ChannelState = "6" } }, function(ev, server)
  local call = call_of(server, ev.Uniqueid)
  if not call or call.id ~= ev.Uniqueid then return end
  call.answered = true
  save(call)
end)

ami.on("DialEnd", function(ev, server)
  local call = call_of(server, ev.DestUniqueid)
  if not call then return end
  call.dial = ev.DialStatus
  if ev.DialStatus == "ANSWER" and known(ev.Uniqueid) then call.with = device(ev.DestChannel) end
  save(call)
end)

ami.on("BridgeEnter", function(ev, server)
  local call = call_of(server, ev.Uniqueid)
  if not call or call.bridged then return end
  call.bridged = ami.time(ev)
  save(call)
end)

ami.on({ "QueueCallerJoin", "QueueCallerAbandon", "AgentConnect" }, function(ev, server)
  local call = call_of(server, ev.Uniqueid)
  if not call then return end
  call.queue = ev.Queue
  if ev.Event == "QueueCallerJoin" then call.to = known(ev.Exten) or call.to end
  call.abandoned = ev.Event == "QueueCallerAbandon"
  if ev.Event == "AgentConnect" then call.with = known(ev.MemberName) or device(ev.DestChannel) end
  save(call)
end)

ami.on("Hangup", function(ev, server)
  local channel = channels:remove(key_of(server, ev.Uniqueid or ""))
  if not channel then return end
  local call = channel.call
  if not call.cause or channel.id == call.id then call.cause = known(ev["Cause-txt"]) end
  leave(call, channel.id, ami.time(ev))
end)

-- ---- what was missed ----

local newest = store.open "calls.newest"
local generation

-- First of all, when an older state of this rule hears nothing any more: the calls that it knew.
ami.on("script.loaded", function(ev)
  generation = ev.generation
  newest:set("generation", generation)
  for key, call in pairs(standing) do
    calls[key] = call
    for id in pairs(call.ids) do channels:put(call.server .. " " .. id, { call = call, server = call.server, id = id, since = 0 }) end
  end
end)

local function duration(text)
  local h, m, s = (text or ""):match "^(%d+):(%d+):(%d+)$"
  return h and (h * 60 + m) * 60 + s or 0
end

-- Calls that began before this rule was loaded, or ended while the link was down, are found in the list of channels.
ami.on("server.ready", function(_, server)
  local asked = timer.now()
  local res, err = server:call({ Action = "CoreShowChannels" }, { timeout = 30 })
  if not res then
    log.debug("channels not listed", { server = server.name, reason = tostring(err) })
    return
  end
  local there = {}
  for i, item in ipairs(res.events) do
    if item.Uniqueid then
      there[item.Uniqueid] = true
      watch(item, server, os.time() - duration(item.Duration))
      local call = call_of(server, item.Uniqueid)
      if known(item.BridgeId) and call and not call.bridged then call.bridged = os.time() end
      call.answered = call.answered or item.ChannelState == "6"
      save(call)
    end
    if i % 500 == 0 then timer.sleep(0) end -- a long list takes several turns
  end
  timer.sleep(2) -- a Hangup that is under way comes first
  if newest:get "generation" ~= generation then return end -- newer rules have taken the calls over
  for key, channel in channels:each() do
    if channel.server == server.name and not there[channel.id] and channel.since < asked then
      channel.call.unseen = true
      channels:remove(key)
      leave(channel.call, channel.id, os.time())
    end
  end
end)

timer.every(60, function() channels:sweep() end)
