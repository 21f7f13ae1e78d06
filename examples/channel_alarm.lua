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
local watched = {} -- server -> { channels = { [Uniqueid] = true }, count, new = { times }, raised, since }

local function of(server)
  local w = watched[server.name]
  if not w then
    w = { channels = {}, count = 0, new = {} }
    watched[server.name] = w
  end
  return w
end

local function add(w, id)
  if id and not w.channels[id] then
    w.channels[id] = true
    w.count = w.count + 1
  end
end

ami.on("Newchannel", function(ev, server)
  local w = of(server)
  add(w, ev.Uniqueid)
  w.new[#w.new + 1] = ami.time(ev)
end)

ami.on("Hangup", function(ev, server)
  local w = of(server)
  if w.channels[ev.Uniqueid or ""] then
    w.channels[ev.Uniqueid] = nil
    w.count = w.count - 1
  end
end)

-- The truth from the server itself: after a connect, a reload, and whenever events may be missing.
ami.on({ "server.ready", "server.gap" }, function(_, server)
  for _, one in ipairs(server and { server } or ami.servers()) do
    local res = one:call { Action = "CoreShowChannels" }
    if res then
      local w = of(one)
      w.channels, w.count = {}, 0
      for _, item in ipairs(res.events) do add(w, item.Uniqueid) end
    end
  end
end)

ami.on("server.lost", function(_, server)
  watched[server.name] = nil
  gauge:del { server.name }
end)

local function change(name, w, raised, why)
  w.raised, w.since = raised, nil
  local event = raised and "alarm.raised" or "alarm.cleared"
  ami.emit(event, { server = name, channels = w.count, reason = why })
  log[raised and "error" or "info"](event, { server = name, channels = w.count, reason = why })
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

timer.every(1, function()
  local now = timer.now()
  for name, w in pairs(watched) do
    gauge:set(w.count, { name })
    local new = recent(w, os.time())
    local beyond = w.raised and w.count < set.low and new < set.spike or not w.raised and w.count >= set.high
    w.since = beyond and (w.since or now) or nil
    if not w.raised and new >= set.spike then
      change(name, w, true, ("%d new channels in %d s"):format(new, set.window))
    elseif w.since and now - w.since >= set.hold then
      change(name, w, not w.raised, w.raised and ("fewer than %d channels"):format(set.low) or ("%d channels or more"):format(set.high))
    end
  end
end)
