-- Actions that must not leave: refused with a reason, before a byte is written.
-- says: held
local denied = { "Command", "ModuleLoad", "Reload", "UpdateConfig", "GetConfig", "GetConfigJSON", "CreateConfig", "ListCategories",
  "DialplanExtensionAdd", "DialplanExtensionRemove", "AGI", "DBDelTree", "Login", "Logoff", "Challenge", "Events", "Filter", "NoSuchAction",
  "cOmMaNd" }
timer.after(0.3, function()
  local server = ami.servers()[1]
  local function refused(code, action)
    local id, err = server:send(action, function() error "an answer came" end)
    assert(id == nil and err.code == code, ("%s, not %s: %s"):format(err and err.code, code, tostring(err)))
  end
  for _, name in ipairs(denied) do refused("denied", { Action = name }) end
  refused("denied", { Action = "Originate", Channel = "Local/100@default", Application = "System", Data = "rm" })
  refused("denied", { Action = "Originate", Channel = "Local/100@default", aPPlication = "System", Data = "rm" })
  refused("denied", { Action = "Getvar", Variable = "SHELL(id)" })
  refused("denied", { Action = "Setvar", Variable = "FILE(/etc/passwd)", Value = "x" })
  refused("denied", { Action = "MixMonitor", Channel = "x", Command = "rm" })
  -- Asterisk joins these by commas and takes them apart again.
  refused("denied", { Action = "MixMonitor", Channel = "x", File = "a.wav,b,rm" })
  refused("denied", { Action = "MixMonitor", Channel = "x", File = "a.wav", options = "b,rm" })
  refused("denied", { Action = "MixMonitor", Channel = "x", File = { "a.wav", "b,b,rm" } })
  refused("denied", { Action = "Originate", Channel = "Local/1@x", Exten = "1", Application = { "", "System" } })
  -- A function behind a bracket that is escaped, a quote, or in another name's clothes.
  for _, variable in ipairs { { A = "x(", ["SHELL(id)"] = "" }, { ["MONITOR_EXEC"] = "rm" }, "A=\\(,SHELL(id)=", "A=\\\\\\(,SHELL(id)=,B=)", 'A="(",SHELL(id)=',
    "A=[,SHELL(id)=", 'A=1,"SHELL"(id)=', "A=1,S\\HELL(id)=", "A=1,\tSHELL(id)=", { "A=1", "SHELL(id)=" }, "SET(MONITOR_EXEC=rm)", "__MONITOR_EXEC_ARGS=rm",
    "MON\\ITOR_EXEC=rm", "CALLERID(num)=1,EVAL(x)=", "CALLERID(num,SHELL(id))=" } do
    refused("denied", { Action = "Originate", Channel = "Local/1@x", Exten = "1", Variable = variable })
  end
  refused("denied", { Action = "Status", Variables = "A\\(,SHELL(id)" })
  refused("denied", { Action = "Setvar", Variable = "SET(x=SHELL(id))", Value = "x" })
  refused("denied", { Action = "Setvar", Channel = "x", Variable = "MONITOR_OPTIONS", Value = ",rm" })
  for _, name in ipairs { " Command", "\tCommand", "\1Logoff", "Command ", " Originate" } do refused("invalid", { Action = name, Application = "System" }) end
  refused("invalid", { Action = "Ping", action = "Command" })
  refused("invalid", { Action = { "Ping", "Command" } })
  for _, bad in ipairs { "a\r\nAction: Command", "a\nb", "a\rb", "a\0b", "\r\n\r\n" } do
    refused("invalid", { Action = "Ping", Key = bad })
    refused("invalid", { Action = "Ping", [bad] = "x" })
    refused("invalid", { Action = bad })
    refused("invalid", { Action = "Ping", Key = { "x", bad } })
    refused("invalid", { Action = "Setvar", Channel = "x", Variable = { [bad] = "x" } })
    refused("invalid", { Action = "Setvar", Channel = "x", Variable = { A = bad } })
  end
  refused("invalid", { Action = "Ping", ["Key: x"] = "x" })
  refused("invalid", { Action = "Ping", ActionID = "mine" })
  refused("invalid", { Action = "Ping", Key = ("x"):rep(5000) })
  refused("invalid", { Action = "Ping", Key = 0 / 0 })
  refused("invalid", { Action = "Ping", Key = print })
  refused("invalid", {})
  local many = {}
  for i = 1, 300 do many["Key" .. i] = "x" end
  many.Action = "Ping"
  refused("invalid", many)
  local list = {}
  for i = 1, 300 do list[i] = "x" end
  refused("invalid", { Action = "Ping", Key = list })
  -- More a second than are allowed.
  local last
  for _ = 1, 2000 do
    local _, err = server:send { Action = "Ping" }
    last = err or last
  end
  assert(last.code == "backpressure")
  log.info "held"
end)
