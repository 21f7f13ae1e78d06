-- The call journal: one line for each finished call: who, where to, how long, and why it ended.
--
-- The line goes to the sink `journal` as JSON and to the log as a sentence. What the live picture cannot find out after a restart (who
-- called, in which queue, with whom), and which calls ended meanwhile, is kept in a store.
local set = settings {
  sink = "journal",  -- sink of the configuration for the lines; "" for none
  log = true,        -- write each call to the log too
}

local journal
if set.sink ~= "" then
  local found, sink_or_why = pcall(sink.open, set.sink)
  if found then journal = sink_or_why else log.warn("finished calls go to the log only", { reason = sink_or_why }) end
end

local finished = metric.counter("calls_total", "Finished calls by how they ended.", { "server", "result" })
local lasted = metric.histogram("calls_seconds", "How long finished calls took.", { "server" }, { 5, 15, 30, 60, 120, 300, 600, 1800 })
local kept, standing = pcall(store.open, "calls.standing", { persistent = true })
if not kept then standing = store.open "calls.standing" end

local function whole(seconds) return seconds and math.floor(seconds + 0.5) end

-- The event's call, with what was known of it before a restart.
local function call_of(ev)
  local call, before = ami.table(ev), ev.incomplete and standing:get(ev.server .. " " .. ev.id) or {}
  call.with = call.agent_name or before.with or call.answered_by
  call.started = math.min(call.started, before.started or call.started)
  for _, field in ipairs { "from", "to", "queue" } do call[field] = before[field] or call[field] end
  return call
end

local function finish(call, ended, result)
  local line = {
    time = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(call.started)), server = call.server, call = call.id, direction = call.direction,
    from = call.from, to = call.to, with = call.with, queue = call.queue, result = result, cause = call.cause_text, ended_by = call.ended_by,
    seconds = whole(ended - call.started), talk = whole(call.talk), wait = whole(call.wait), hold = whole(call.hold),
    transferred_to = call.transferred_to, into = call.into, incomplete = call.incomplete or nil,
  }
  standing:delete(call.server .. " " .. call.id)
  finished:inc({ call.server, result })
  lasted:observe(math.max(0, ended - call.started), { call.server })
  local written, err = not journal or journal:write(line)
  if not written then log.warn("the journal has lost a line", { call = call.id, reason = err.code }) end
  if not set.log then return end
  log.info(("call %s -> %s: %s%s, %d s%s"):format(call.from or "?", call.to or "?", result:gsub("_", " "), call.with and " with " .. call.with or "",
    line.seconds, line.cause and ", " .. line.cause or ""), { server = call.server })
end

ami.on("call.ended", function(ev) finish(call_of(ev), ev.ended, ev.result) end)

ami.on({ "call.started", "call.queued", "call.connected", "call.transferred", "call.changed" }, function(ev)
  local c = call_of(ev)
  standing:set(c.server .. " " .. c.id, { server = c.server, id = c.id, started = c.started, from = c.from, to = c.to, with = c.with, queue = c.queue })
end)

ami.on("live.synced", function(ev, server)
  for key, call in pairs(ev.reason == "session" and standing or {}) do
    if not ami.server(call.server) then
      standing:delete(key) -- no server of the configuration any more: nobody will see its end
    elseif call.server == ev.server and not live.call(server, call.id) then
      finish(call, os.time(), "unseen")
    end
  end
end)
