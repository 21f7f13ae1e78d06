-- Link watch: servers that come and go, events that were lost, and rules in quarantine.
--
-- The engine logs these too, in its own words and throttled. This rule adds what an operator asks next: which Asterisk is it, how many
-- calls does it have, how long was it away; and it says so again while a server stays away, over restarts of the daemon too.
local set = settings {
  remind = 300,  -- seconds between two reminders of a server that is away; 0: none
  gaps = 60,     -- seconds in which lost events of a server are summed up in one line, after the first; 0: each report is a line
}

-- server -> epoch seconds when it was lost. With a state file (persist.file) this survives a restart, without one a reload.
local kept, away = pcall(store.open, "links.away", { persistent = true })
if not kept then away = store.open "links.away" end

local function since(name)
  local lost = away:get(name)
  return lost and os.time() - lost
end

ami.on("server.ready", function(ev, server)
  local gone = since(server.name)
  away:delete(server.name)
  local settings_of, err = server:call { Action = "CoreSettings" }
  if not settings_of then
    if err.code == "cancelled" then return end
    if err.code == "error" then
      log.warn(server.name .. ": ready, but CoreSettings was refused; it needs system, reporting or all in `write` of manager.conf",
        { reason = err.message })
    else
      log.warn(server.name .. ": ready, but CoreSettings has no answer", { reason = tostring(err) })
    end
    return
  end
  local status = server:call { Action = "CoreStatus" }
  log.info(("%s: ready%s; CoreSettings and CoreStatus say: Asterisk %s, AMI %s, %s calls now, %s before"):format(server.name,
    gone and (" again after %d s"):format(gone) or ev.reason == "reloaded" and " for the new rules" or "",
    settings_of.AsteriskVersion or "?", settings_of.AMIversion or server.version,
    status and status.CoreCurrentCalls or "?", status and status.CoreProcessedCalls or "?"))
end)

-- Ends of sessions that the operator has asked for, and what is said of them.
local planned = { reconfigured = "its configuration changed, it connects again", removed = "the configuration has it no more" }

ami.on("server.lost", function(ev, server)
  if ev.reason == "shutdown" then return end
  local plan = planned[ev.reason]
  if plan then
    log.info(("%s: session ended, %s"):format(server.name, plan))
    return
  end
  if not since(server.name) then away:set(server.name, os.time()) end
  log.error(("%s: lost (%s)"):format(server.name, ev.reason or "?"))
end)

-- A slow rule loses events many times a second: the first loss is said at once, then the sum of each `gaps` seconds.
local gaps = {} -- server, or "" for events of no single one -> { count =, names = { list }, known = { set } }

local function say_gap(name, gap, seconds)
  local within = seconds and (" in %g s"):format(seconds) or ""
  log.warn(name ~= "" and ("%s: %d events were missed%s (%s)"):format(name, gap.count, within, table.concat(gap.names, ","))
    or ("%d events did not reach this rule%s (%s)"):format(gap.count, within, table.concat(gap.names, ",")))
end

local function add_gap(gap, ev)
  gap.count = gap.count + (tonumber(ev.count) or 0)
  for word in (ev.names ~= "" and ev.names or ev.reason or "?"):gmatch "[^,]+" do
    if not gap.known[word] and #gap.names < 16 then
      gap.known[word] = true
      gap.names[#gap.names + 1] = word
    end
  end
  return gap
end

local function new_gap() return { count = 0, names = {}, known = {} } end

local function sum_up(name)
  local gap = gaps[name]
  if gap.count == 0 then
    gaps[name] = nil
    return
  end
  say_gap(name, gap, set.gaps)
  gaps[name] = new_gap()
  timer.after(set.gaps, function() sum_up(name) end)
end

ami.on("server.gap", function(ev, server)
  local name = server and server.name or ""
  if gaps[name] then
    add_gap(gaps[name], ev)
    return
  end
  say_gap(name, add_gap(new_gap(), ev))
  if set.gaps > 0 then
    gaps[name] = new_gap()
    timer.after(set.gaps, function() sum_up(name) end)
  end
end)

ami.on("script.quarantined", function(ev)
  local part = ev.listener and ev.listener ~= "" and "a listener (" .. ev.listener .. ")" or "the whole rule"
  log.error(("rule %s: %s is in quarantine for now"):format(ev.rule, part), { reason = ev.reason })
end)

if set.remind > 0 then
  timer.every(set.remind, function()
    for name in pairs(away) do
      if not ami.server(name) then
        away:delete(name) -- it is no longer in the configuration
      else
        log.error(("%s: away for %d s"):format(name, since(name)), { state = ami.server(name).state })
      end
    end
  end)
end
