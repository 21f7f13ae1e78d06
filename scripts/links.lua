-- Link watch: servers that come and go, events that were lost, and rules that were put away.
--
-- The engine logs these too, in its own words and throttled. This rule adds what an operator asks next: which Asterisk is it, how many
-- calls does it have, how long was it away; and it says so again while a server stays away.
local set = settings {
  remind = 300,  -- seconds between two reminders of a server that is away; 0: none
}

local away = store.open "links.away" -- server -> epoch seconds when it was lost

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
    log.warn(server.name .. ": ready, but CoreSettings has no answer", { reason = tostring(err) })
    return
  end
  local status = server:call { Action = "CoreStatus" }
  log.info(("%s: ready%s; CoreSettings and CoreStatus say: Asterisk %s, AMI %s, %s calls now, %s before"):format(server.name,
    gone and (" again after %d s"):format(gone) or ev.reason == "reloaded" and " for the new rules" or "",
    settings_of.AsteriskVersion or "?", settings_of.AMIversion or server.version,
    status and status.CoreCurrentCalls or "?", status and status.CoreProcessedCalls or "?"))
end)

ami.on("server.lost", function(ev, server)
  if ev.reason == "shutdown" then return end
  if not since(server.name) then away:set(server.name, os.time()) end
  log.error(("%s: lost (%s)"):format(server.name, ev.reason or "?"))
end)

ami.on("server.gap", function(ev, server)
  local text = server and ("%s: %s events were shed (%s)"):format(server.name, ev.count, ev.names or "?")
    or ("%s events did not reach this rule (%s)"):format(ev.count, ev.reason or "?")
  log.warn(text)
end)

ami.on("script.quarantined", function(ev)
  local part = ev.listener and ev.listener ~= "" and "a listener (" .. ev.listener .. ")" or "the whole rule"
  log.error(("rule %s: %s is put away for now"):format(ev.rule, part), { reason = ev.reason })
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
