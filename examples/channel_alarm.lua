-- An alarm when a server has too many channels, or gets too many new ones at once, and its end.
--
-- It is raised only after the count has stood at `high` for `hold` seconds and cleared only after it has stood under `low` as long, so a
-- count that swings around one number does not ring all day. Other rules can hear `alarm.raised` and `alarm.cleared`.
local set = settings {
  high = 200,   -- channels
  low = 160,
  hold = 5,     -- seconds
  spike = 50,   -- new channels in `window` seconds raise it at once
  window = 10,  -- seconds
}

local gauge = metric.gauge("channels", "Channels that a server has now.", { "server" })
local watched = {} -- server -> { new = { times }, raised, since }

local function of(name)
  watched[name] = watched[name] or { new = {} }
  return watched[name]
end

ami.on("Newchannel", function(ev, server)
  local new = of(server.name).new
  new[#new + 1] = ami.time(ev)
end)

local function change(name, w, count, raised, why)
  w.raised, w.since = raised, nil
  local event = raised and "alarm.raised" or "alarm.cleared"
  ami.emit(event, { server = name, channels = count, reason = why })
  log[raised and "error" or "info"](event, { server = name, channels = count, reason = why })
end

-- What has come in the last `window` seconds.
local function recent(w, now)
  local kept = {}
  for _, at in ipairs(w.new) do
    if at > now - set.window then kept[#kept + 1] = at end
  end
  w.new = kept
  return #kept
end

-- The live picture counts; after a connect and a gap it asks the server by itself.
timer.every(1, function()
  local now = timer.now()
  for _, server in ipairs(ami.servers()) do
    local name, w, count = server.name, of(server.name), live.count("channels", { server = server })
    gauge:set(count, { name })
    local new = recent(w, os.time())
    local beyond = w.raised and count < set.low and new < set.spike or not w.raised and count >= set.high
    w.since = beyond and (w.since or now) or nil
    if not w.raised and new >= set.spike then
      change(name, w, count, true, ("%d new channels in %d s"):format(new, set.window))
    elseif w.since and now - w.since >= set.hold then
      change(name, w, count, not w.raised, w.raised and ("fewer than %d channels"):format(set.low) or ("%d channels or more"):format(set.high))
    end
  end
end)
