-- Drives the real binary for specs: commands, daemons, simulated servers and bad peers, each with its output in a file of a
-- temporary folder. Specs run from the repository's root; HOOKSWITCH names another binary (build/hookswitch), beside which
-- stands tests/peer. Nothing sleeps for a fixed time: wait_for() asks again and again. Call cleanup() after each test.
local cjson = require "cjson"
local lfs = require "lfs"
local system = require "system"

local helper = {}

local POLL = 0.008    -- s
-- Seconds for what must happen; a loaded machine under sanitizers is slow. Where tests are expected to fail it may be less.
local PATIENCE = tonumber(os.getenv "PATIENCE" or "20")

local root = lfs.currentdir()
helper.root = root

local function absolute(path)
  return path:sub(1, 1) == "/" and path or root .. "/" .. path
end

helper.binary = absolute(os.getenv "HOOKSWITCH" or "build/hookswitch")
helper.peer_binary = helper.binary:gsub("[^/]*$", "tests/peer")
helper.captures = absolute "tests/fixtures/captures/"
-- Whether the binary was built with AddressSanitizer; times are longer then.
helper.sanitized = helper.binary:find("build-sanitize/", 1, true) ~= nil

-- ---- texts and files ----

local function quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function quote_all(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = quote(word) end
  return table.concat(quoted, " ")
end

function helper.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- Missing folders of the path are made.
function helper.write_file(path, text)
  os.execute("mkdir -p " .. quote(path:match "^(.*)/"))
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
  return path
end

function helper.exists(path)
  return lfs.attributes(path, "mode") ~= nil
end

-- Lines of a text, without their ends.
function helper.lines(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

helper.json = cjson.decode

-- A plain table as Lua source, for configurations.
local function source(value)
  if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = (type(key) == "number" and "" or ("[%q] = "):format(key)) .. source(item)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end
helper.source = source

-- ---- what must be cleaned up ----

local folders, processes = {}, {}

function helper.folder()
  local pipe = assert(io.popen("mktemp -d", "r"))
  local path = pipe:read "l"
  pipe:close()
  folders[#folders + 1] = path
  return path
end

function helper.cleanup()
  for _, process in ipairs(processes) do
    if process.handle then
      process:signal "KILL"
      process.handle:close()
      process.handle = nil
    end
  end
  for _, path in ipairs(folders) do os.execute("rm -rf " .. quote(path)) end
  folders, processes = {}, {}
end

-- ---- waiting ----

-- What condition() gives as soon as it is true; fails after `timeout` s. `what` says what was awaited: a text, or a
-- function that makes one.
function helper.wait_for(condition, timeout, what)
  local deadline = system.monotime() + (timeout or PATIENCE)
  while true do
    local results = table.pack(condition())
    if results[1] then return table.unpack(results, 1, results.n) end
    if system.monotime() > deadline then
      error("waited in vain for " .. (type(what) == "function" and what() or what or "a condition"), 2)
    end
    system.sleep(POLL)
  end
end

-- Seconds of a clock that never jumps.
helper.now = system.monotime

-- The environment of a program, as the shell's words before its command. Leaks are looked for in ours, whatever holds for busted.
local function assignments(env, program)
  local words = { "env" }
  if helper.sanitized and program == helper.binary then words[2] = "ASAN_OPTIONS=detect_leaks=1" end
  -- A program of the system, but for a Lua that loads our module, runs without the sanitizer that the interpreter has: some wait for ever with it.
  if helper.sanitized and not program:find "/" and not program:find "^lua" and not (env and env.LD_PRELOAD) then words[2] = "LD_PRELOAD=" end
  for name, value in pairs(env or {}) do words[#words + 1] = name .. "=" .. quote(value) end
  return table.concat(words, " ") .. " "
end

-- ---- commands that end ----

-- Runs the binary with these arguments; exit code, stdout, stderr. Options may come last: { cwd =, env = { NAME = value },
-- timeout = s, program = }.
function helper.run(...)
  local words = table.pack(...)
  local options = type(words[#words]) == "table" and table.remove(words) or {}
  local folder = helper.folder()
  local env = assignments(options.env, options.program or helper.binary)
  local line = ("cd %s && %stimeout -k 1 %d %s %s >%s/out 2>%s/err </dev/null"):format(quote(options.cwd or root), env,
    options.timeout or 60, quote(options.program or helper.binary), quote_all(words), folder, folder)
  local _, _, code = os.execute(line)
  return code, helper.read(folder .. "/out"), helper.read(folder .. "/err")
end

-- ---- processes ----

local Process = {}
Process.__index = Process

-- Starts a program; a Process with `pid`, the files `out` and `err`. Options: { cwd =, env =, folder = }.
function helper.start(program, words, options)
  options = options or {}
  local folder = options.folder or helper.folder()
  local env = assignments(options.env, program)
  -- The shell prints the pid, then waits and ends as the program does: closing the handle gives its exit code.
  local line = ("cd %s || exit 126; %s%s %s >%s/out 2>%s/err & echo $!; exec 2>/dev/null; wait $!"):format(quote(options.cwd or root),
    env, quote(program), quote_all(words), folder, folder)
  local process = setmetatable({ folder = folder, out = folder .. "/out", err = folder .. "/err" }, Process)
  process.handle = assert(io.popen(line, "r"))
  process.pid = assert(process.handle:read "l", "no process started")
  processes[#processes + 1] = process
  return process
end

function Process:running()
  if not self.handle then return false end
  local status = io.open("/proc/" .. self.pid .. "/stat", "r")
  if not status then return false end
  local text = status:read "a" or ""
  status:close()
  return text ~= "" and not text:match "%) Z "
end

-- name: HUP, TERM, …
function Process:signal(name)
  os.execute(("kill -%s %s 2>/dev/null"):format(name, self.pid))
end

-- Waits for its end; the exit code, 128 and more for a signal.
function Process:ended(timeout)
  if self.handle then
    helper.wait_for(function() return not self:running() end, timeout, function()
      return ("the end of process %s; it said:\n%s"):format(self.pid, self:tail())
    end)
    local _, _, code = self.handle:close()
    self.handle = nil
    self.code = code
    local report = self:stderr():match "[^\n]*ERROR: %a+Sanitizer.*"
    if report then error(report:sub(1, 6000), 2) end
  end
  return self.code
end

local function read_if_there(path)
  return helper.exists(path) and helper.read(path) or ""
end

function Process:stdout()
  return read_if_there(self.out)
end

function Process:stderr()
  return read_if_there(self.err)
end

-- The last of what it said, for messages of failed tests.
function Process:tail()
  return (self:stdout() .. self:stderr() .. (self.log_file and read_if_there(self.log_file) or "")):sub(-3000)
end

local function await_port(process)
  process.port = tonumber((helper.wait_for(function()
    return process:stdout():match "listening on [^\n]*:(%d+)\n"
  end, nil, function() return "a port to listen on:\n" .. process:tail() end)))
  return process
end

-- ---- servers ----

helper.USER, helper.SECRET = "operator", "wombat-4711"

-- A simulated Asterisk; `port` is where. Further arguments of `hookswitch sim` may be given.
function helper.sim(...)
  return await_port(helper.start(helper.binary, { "sim", "--listen", "127.0.0.1:0", "--user", helper.USER, "--secret", helper.SECRET,
    ... }))
end

-- A scripted peer (tests/tools/peer.c), started with these options ({ "--tls", path }); each further argument is the script for
-- one connection, the last one for all that follow. A list is a script too, one command an item.
function helper.peer_with(options, ...)
  local parts = table.pack(...)
  for i, part in ipairs(parts) do parts[i] = type(part) == "table" and table.concat(part, "\n") or part end
  local folder = helper.folder()
  helper.write_file(folder .. "/script", table.concat(parts, "\n----\n"))
  local words = { table.unpack(options) }
  words[#words + 1] = folder .. "/script"
  words[#words + 1] = folder .. "/received"
  local process = helper.start(helper.peer_binary, words, { folder = folder })
  -- What all clients have sent so far.
  function process.received()
    return read_if_there(folder .. "/received")
  end
  return await_port(process)
end

function helper.peer(...)
  return helper.peer_with({}, ...)
end

-- A folder with the certificates of tests/tools/certificates.c: ca.pem, good.pem …
function helper.certificates()
  local folder = helper.folder()
  local code, _, err = helper.run(folder, { program = helper.binary:gsub("[^/]*$", "tests/certificates") })
  assert(code == 0, err)
  return folder
end

-- A web server (tests/tools/httpd.c), started with these options ({ "--tls", path }): `url` is its root, `folder` its folder, requests()
-- what it was asked so far, mode(text) what /sink answers from now on.
function helper.httpd(options)
  local folder = helper.folder()
  local words = { table.unpack(options or {}) }
  words[#words + 1] = folder
  local process = await_port(helper.start(helper.binary:gsub("[^/]*$", "tests/httpd"), words, { folder = folder }))
  process.url = ("%s://127.0.0.1:%d"):format(table.concat(words, " "):find("--tls", 1, true) and "https" or "http", process.port)
  function process.requests()
    local all = {}
    for _, line in ipairs(helper.lines(read_if_there(folder .. "/requests"))) do all[#all + 1] = cjson.decode(line) end
    return all
  end
  function process.mode(text)
    helper.write_file(folder .. "/mode.new", text)
    assert(os.rename(folder .. "/mode.new", folder .. "/mode"))
  end
  return process
end

-- Plays a script to the server at that port (or of that process) and waits for its end: what the server sent, and whether
-- it closed first.
function helper.client(port, script)
  local folder = helper.folder()
  helper.write_file(folder .. "/script", type(script) == "table" and table.concat(script, "\n") or script)
  local code, out, err = helper.run(folder .. "/script", folder .. "/received", type(port) == "table" and port.port or port,
    { program = helper.peer_binary })
  assert(code == 0, err)
  return read_if_there(folder .. "/received"), not out:find("done\n", 1, true)
end

-- The beginning of a peer's script: a session with the MD5 login, up to its Success.
helper.LOGIN = [[
line Asterisk Call Manager/9.0.0
action Challenge
send Response: Success\r\nActionID: $id\r\nChallenge: 123456789\r\n\r\n
action Login
send Response: Success\r\nActionID: $id\r\nMessage: Authentication accepted\r\n\r\n]]

-- A wall clock that can jump: `env` for the process that has it (helper.daemon), `jump(seconds)`, from the true time.
function helper.wallclock()
  local page = helper.folder() .. "/jump"
  local clock = { env = {
    LD_PRELOAD = ((os.getenv "LD_PRELOAD" or "") .. " " .. helper.binary:gsub("[^/]*$", "tests/wallclock.so")):match "^%s*(.*)",
    WALLCLOCK = page, ASAN_OPTIONS = "verify_asan_link_order=0:detect_leaks=0",
  } }
  function clock.jump(seconds)
    -- In place: the process has it mapped.
    local file = assert(io.open(page, helper.exists(page) and "r+b" or "wb"))
    file:write(string.pack("d", seconds))
    file:close()
  end
  clock.jump(0)
  return clock
end

-- A port of this machine on which nobody listens: it was free a moment ago.
function helper.dead_port()
  local process = helper.peer "stall"
  process:signal "KILL"
  process:ended()
  return process.port
end

-- ---- the daemon ----

helper.RELOAD_FAILED = "reload failed, the old rules and configuration go on"

local Daemon = setmetatable({}, { __index = Process })
Daemon.__index = Daemon

-- Options of a server at that port (or of that process), quick to reconnect; `more` overrides them.
function helper.server(port, more)
  local server = {
    host = "127.0.0.1", port = type(port) == "table" and port.port or port, username = helper.USER, secret = helper.SECRET,
    reconnect = { first = 0.05, max = 0.2, breaker_failures = 1000 }, timeouts = { drain = 2 },
  }
  -- A script knows nothing of the lists that the live picture asks for.
  if type(port) == "table" and port.received then server.live = false end
  for key, value in pairs(more or {}) do server[key] = value end
  return server
end

local function write_rules(folder, rules)
  for name, text in pairs(rules) do helper.write_file(folder .. "/scripts/" .. name, text) end
end

-- A folder with a configuration and rules: { servers = { name = … }, rules = { ["x.lua"] = text }, config = more options }.
-- Gives a project: `folder`, `config` (the file's path), write(options), rule(name, text or nil to remove it).
function helper.project(options)
  local project = { folder = helper.folder() }
  project.config = project.folder .. "/hookswitch.lua"
  lfs.mkdir(project.folder .. "/scripts")
  function project.write(o)
    -- Each record counts: none is held back as a repetition.
    local config = { servers = o.servers or {}, control = { socket = "console" }, log = { throttle_burst = 1000000 } }
    for key, value in pairs(o.config or {}) do config[key] = value end
    helper.write_file(project.config, "return " .. source(config) .. "\n")
    write_rules(project.folder, o.rules or {})
  end
  function project.rule(name, text)
    local path = project.folder .. "/scripts/" .. name
    if not text then return assert(os.remove(path)) end
    -- Whole at once, as an editor does it.
    helper.write_file(path .. ".new", text)
    assert(os.rename(path .. ".new", path))
  end
  project.write(options)
  return project
end

-- Starts `hookswitch run`, whoever runs the specs, on a project (or the options of one). More: { arguments = {…}, env =, waits = false }; unless
-- `waits` is false it returns when the daemon has started.
function helper.daemon(project, more)
  more = more or {}
  if not project.folder then project = helper.project(project) end
  local words = { "run", "--allow-root", "-c", project.config }
  for _, word in ipairs(more.arguments or {}) do words[#words + 1] = word end
  local daemon = setmetatable(helper.start(helper.binary, words, { env = more.env }), Daemon)
  daemon.project, daemon.records, daemon.read_to, daemon.log_file = project, {}, 0, more.log_file
  if more.waits ~= false then daemon:await { msg = "started" } end
  return daemon
end

-- Every log record so far, as tables; a line that is no JSON is { text = line }.
function Daemon:log()
  local file = io.open(self.log_file or self.err, "rb")
  if not file then return self.records end
  file:seek("set", self.read_to)
  local fresh = file:read "a"
  file:close()
  local whole = fresh:match "^.*\n"
  if not whole then return self.records end
  self.read_to = self.read_to + #whole
  for line in whole:gmatch "([^\n]*)\n" do
    local good, record = pcall(cjson.decode, line)
    self.records[#self.records + 1] = good and type(record) == "table" and record or { text = line }
  end
  return self.records
end

-- For a match: true of texts that contain this one.
function helper.has(text)
  return function(value) return type(value) == "string" and value:find(text, 1, true) ~= nil end
end

local function matches(record, match)
  for key, wanted in pairs(match) do
    local value = record[key]
    if type(wanted) == "function" then
      if not wanted(value) then return false end
    elseif value ~= wanted then
      return false
    end
  end
  return true
end

-- Records that match { field = value or function(value) }, from number `from` on.
function Daemon:find(match, from)
  local found = {}
  local records = self:log()
  for i = from or 1, #records do
    if matches(records[i], match) then found[#found + 1] = records[i] end
  end
  return found
end

-- A place in the log: what comes later has this number and higher ones.
function Daemon:mark()
  return #self:log() + 1
end

-- Waits for `count` (1) records that match; the last of them. Options: { from = mark, count =, timeout = }.
function Daemon:await(match, options)
  options = options or {}
  local count = options.count or 1
  return helper.wait_for(function()
    local found = self:find(match, options.from)
    if #found >= count then return found[count] end
    if self.handle and not self:running() then
      error(("process %s ended while a record was awaited; it said:\n%s"):format(self.pid, self:tail()), 0)
    end
  end, options.timeout, function()
    local wanted = {}
    for key, value in pairs(match) do wanted[#wanted + 1] = key .. "=" .. tostring(value) end
    return ("a record with %s; the log ends with:\n%s"):format(table.concat(wanted, " "), self:tail())
  end)
end

-- Waits for that server's session.
function Daemon:ready(server, options)
  return self:await({ msg = "session ready", server = server }, options)
end

-- Sends SIGHUP and waits for the end of that reload; true when it was applied, else false and its first fault.
function Daemon:reload()
  local from = self:mark()
  self:signal "HUP"
  local record = self:await({ msg = function(text) return text == "reloaded" or text == helper.RELOAD_FAILED end }, { from = from })
  return record.msg == "reloaded", record.reason
end

-- Reloads every rule, unchanged ones too.
function Daemon:reload_all()
  local code, out, err = self:ctl("reload", "--all")
  return code == 0, out .. err
end

-- `hookswitch ctl` on this daemon.
function Daemon:ctl(...)
  return helper.run("ctl", "--socket", self.project.folder .. "/console", ...)
end

function Daemon:status()
  local code, out, err = self:ctl("status", "--json")
  assert(code == 0, err)
  return cjson.decode(out)
end

-- A metric's value; `labels` picks the series, those that it does not name may be anything. Nil when there is none.
function Daemon:metric(name, labels)
  local code, out, err = self:ctl("metrics", "--json")
  assert(code == 0, err)
  local family = cjson.decode(out)[name]
  for _, series in ipairs(family and family.series or {}) do
    if matches(series.labels, labels or {}) then return series.value end
  end
end

-- An event of a rule's own for the daemon's rules.
function Daemon:emit(...)
  local code, _, err = self:ctl("emit", ...)
  assert(code == 0, err)
end

-- Ends it by SIGTERM; its exit code.
function Daemon:stop()
  self:signal "TERM"
  return self:ended()
end

return helper
