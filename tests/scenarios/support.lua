-- What scenarios share: a peer with options, rules that log what they hear and do, and what must hold after each of them.
local helper = require "helper"

local support = setmetatable({}, { __index = helper })

support.tools = helper.peer_binary:gsub("[^/]*$", "")
support.sanitized = helper.binary:find("sanitize", 1, true) ~= nil

-- ---- rules ----

-- Logs every event as `heard` (name, n: its header N) and the engine's own by their names.
support.LISTEN = [[
ami.on("*", function(ev, server) log.info("heard", { name = ev.Event, n = ev.N, server = server.name }) end)
ami.on({ "server.ready", "server.lost", "server.gap" }, function(ev, server)
  log.info(ev.Event, { server = server.name, reason = ev.reason, count = ev.count, names = ev.names })
end)
]]

-- Counts events in hookswitch_rule_heard_total by server, and what gaps report in hookswitch_rule_missed_total.
support.COUNT = [[
local heard = metric.counter("heard_total", "Events heard.", { "server" })
local missed = metric.counter("missed_total", "Events that gaps reported.", { "server" })
ami.on("*", function(_, server) heard:inc { server.name } end)
ami.on("server.gap", function(ev, server) if server then missed:inc(tonumber(ev.count), { server.name }) end end)
]]

-- `please.send` (server, action, times, timeout, variable) sends; each end is logged as `done` (tag, n, code, message) and counted
-- in hookswitch_rule_ends_total by code; a second end of one action is an error. What send() refuses counts, too.
support.SEND = [[
local ends = metric.counter("ends_total", "Ends of actions.", { "code" })
ami.on("please.send", function(please)
  local server = ami.server(please.server)
  local ended, counts = {}, {}
  for n = 1, tonumber(please.times or 1) do
    local function over(res, err)
      if ended[n] then log.error("an action ended twice", { n = n }) end
      ended[n] = true
      ends:inc { err and err.code or "success" }
      if not please.times then
        log.info("done", { tag = please.tag, code = err and err.code or "success", message = err and err.message or res.message,
          items = res and res.events and #res.events })
      end
    end
    local id, err = server:send({ Action = please.action, Variable = please.variable, Queue = please.queue },
      { timeout = tonumber(please.timeout) }, over)
    if not id then over(nil, err) end
  end
end)
]]

-- Limits that let the rules above do a lot at once.
support.GENEROUS = { actions_per_second = 0, log_lines_per_second = 0, pending = 100000, waiting = 100000, deadline = 5, load_deadline = 5,
  stuck = 60, load_stuck = 60 }

-- ---- peers ----

-- Options of a server at that peer, as helper.server makes them.
support.at = helper.server

-- A script: a session up to its login, then these commands.
function support.session(...)
  return table.concat({ helper.LOGIN, ... }, "\n")
end

-- A path that does not exist yet, for a peer's `wait`; touch() makes it.
function support.signal_file()
  return helper.folder() .. "/now"
end

function support.touch(path)
  helper.write_file(path, "")
end

-- ---- looking ----

-- Seconds of the day of a log record.
local function seconds(record)
  local h, m, s = record.time:match "T(%d+):(%d+):([%d.]+)"
  return tonumber(h) * 3600 + tonumber(m) * 60 + tonumber(s)
end

-- From one record to another.
function support.between(first, second)
  return (seconds(second) - seconds(first)) % 86400
end

-- One server as `ctl status` shows it.
function support.server(daemon, name)
  for _, server in ipairs(daemon:status().servers) do
    if server.name == name then return server end
  end
end

-- Waits until a server's view passes `test`.
function support.await_server(daemon, name, what, test, timeout)
  local last
  return helper.wait_for(function()
    last = support.server(daemon, name)
    return test(last) and last
  end, timeout, function() return what .. "; the server: " .. helper.source(last) end)
end

-- Waits until that series has at least this value.
function support.await_metric(daemon, name, labels, value, timeout)
  local last
  return helper.wait_for(function()
    last = daemon:metric(name, labels) or 0
    return last >= value and last
  end, timeout, function() return ("%s of %s; it is %s\n%s"):format(value, name, last, daemon:tail()) end)
end

-- Events of a server by fate.
function support.fates(daemon, name)
  local fates = { dispatched = 0, unmatched = 0, shed = 0 }
  for fate in pairs(fates) do
    fates[fate] = daemon:metric("hookswitch_server_events_total", { server = name, fate = fate }) or 0
  end
  return fates
end

-- CPU seconds and voluntary switches of a process, all its threads.
function support.usage(pid)
  local stat = helper.read("/proc/" .. pid .. "/stat"):match "%) (.*)"
  local fields = {}
  for field in stat:gmatch "%S+" do fields[#fields + 1] = tonumber(field) or 0 end
  local switches = 0
  for task in require "lfs".dir("/proc/" .. pid .. "/task") do
    if task:match "^%d" then
      local status = io.open(("/proc/%s/task/%s/status"):format(pid, task))
      if status then
        switches = switches + tonumber(status:read "a":match "\nvoluntary_ctxt_switches:%s*(%d+)")
        status:close()
      end
    end
  end
  return { cpu = (fields[12] + fields[13]) / 100, switches = switches }
end

-- Resident bytes.
function support.memory(pid)
  return tonumber(helper.read("/proc/" .. pid .. "/status"):match "VmRSS:%s*(%d+)") * 1024
end

-- Does this shell command succeed?
function support.can(command)
  return (os.execute("(" .. command .. ") >/dev/null 2>&1")) == true
end

-- ---- a scenario ----

local play = {}
play.__index = play

-- Starts a daemon that is looked after: rules is a list of the texts above or { ["name.lua"] = text }.
function play:daemon(options, more)
  local rules = {}
  for key, text in pairs(options.rules or { support.LISTEN, support.SEND }) do
    rules[type(key) == "number" and "rule" .. key .. ".lua" or key] = text
  end
  local config = { limits = support.GENEROUS }
  for key, value in pairs(options.config or {}) do config[key] = value end
  local daemon = helper.daemon({ servers = options.servers, rules = rules, config = config }, more)
  self.daemons[#self.daemons + 1] = daemon
  return daemon
end

-- What a scenario has measured, for its report.
function play:report(text, ...)
  self.reports[#self.reports + 1] = text:format(...)
end

-- What must hold for each daemon, whatever happened: it lives, stops in order, printed no secret, and no sanitizer spoke.
local function check_daemon(daemon)
  assert(daemon:running(), "the daemon is gone:\n" .. daemon:tail())
  assert(#daemon:find { msg = "an action ended twice" } == 0, "an action ended twice")
  local code = daemon:stop()
  assert(code == 0, ("the daemon ended with %s:\n%s"):format(code, daemon:tail()))
  local said = daemon:stderr()
  for _, word in ipairs { "Sanitizer", "runtime error", helper.SECRET } do
    assert(not said:find(word, 1, true), ("the daemon said '%s':\n%s"):format(word, said:sub(-3000)))
  end
end

-- Plays a scenario and checks; its reports, or nil and why it cannot be played here.
function support.play(scenario)
  local why = scenario.needs and scenario.needs()
  if why then return nil, why end
  local t = setmetatable({ daemons = {}, reports = {} }, play)
  scenario.play(t)
  for _, daemon in ipairs(t.daemons) do check_daemon(daemon) end
  return t.reports
end

return support
