-- Shared by the specs of the examples. They run from the repository's root, on the real program: HOOKSWITCH names it.
local support = { program = os.getenv "HOOKSWITCH" or "build/hookswitch", CAPTURES = "tests/fixtures/captures/" }

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

local function run(command)
  local pipe = assert(io.popen(command, "r"))
  local out = pipe:read "a"
  local _, _, code = pipe:close()
  return (out:gsub("\n$", "")), code
end

-- Frames as Asterisk writes them: each a list of lines.
function support.capture(frames)
  local all = { "Asterisk Call Manager/9.0.0\r\n" }
  for _, lines in ipairs(frames) do all[#all + 1] = table.concat(lines, "\r\n") .. "\r\n\r\n" end
  return table.concat(all)
end

-- An event at second `at` of a made-up day, from a table of headers.
function support.event(at, name, headers)
  local lines = { "Event: " .. name, "Privilege: call,all", ("Timestamp: %.6f"):format(1795204800 + at) }
  for header, value in pairs(headers) do lines[#lines + 1] = header .. ": " .. value end
  return lines
end

-- ---- a folder for one test: the rule under test, a configuration, what the programs write ----

local Folder = {}
Folder.__index = Folder

-- `files`: name -> text; `rules`: paths of rules that are copied to scripts/.
function support.folder(rules, files)
  local folder = setmetatable({ path = run "mktemp -d", started = {} }, Folder)
  os.execute("mkdir " .. quote(folder.path .. "/scripts"))
  for _, path in ipairs(rules) do folder:put("scripts/" .. path:match "[^/]+$", read(path)) end
  for name, text in pairs(files or {}) do folder:put(name, text) end
  return folder
end

function Folder:put(name, text)
  write(self.path .. "/" .. name, text)
end

function Folder:read(name)
  return read(self.path .. "/" .. name)
end

-- Runs the program to its end: standard output, standard error, exit code.
function Folder:run(arguments)
  local out, code = run(("%s %s 2>%s"):format(support.program, arguments, quote(self.path .. "/err")))
  return out, self:read "err", code
end

-- Runs the rules on a capture: a path, or a list of frames. `settings`: text of the configuration's `rules`. Gives what was printed (actions,
-- lines to sinks, requests, as JSON) as a list of lines, and the log. `more`: other sections of the configuration, each with a comma.
function Folder:replay(capture, options, settings, more)
  if type(capture) == "table" then
    self:put("capture", support.capture(capture))
    capture = self.path .. "/capture"
  end
  self:put("replay.lua", ("return { servers = { replay = { host = '127.0.0.1', username = 'ops', secret = 'secret' } }, sinks = { journal = { file = 'journal' } },\n"
    .. "scripts = { rules = 'scripts', lib = '%s' }, %s rules = { %s } }"):format(run "pwd" .. "/lib", more or "", settings or ""))
  local out, log, code = self:run(("replay -c %s --json %s %s"):format(quote(self.path .. "/replay.lua"), options or "", quote(capture)))
  assert(code == 0, log)
  local lines = {}
  for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines, log
end

-- The same with jobs, which run; only the actions.
function Folder:replay_jobs(capture)
  local lines, log = self:replay(capture, "--jobs")
  local actions = {}
  for _, line in ipairs(lines) do
    if line:find('"action":', 1, true) then actions[#actions + 1] = line end
  end
  return actions, log
end

-- Starts the program in the background; its output goes to the file NAME.log of the folder. `self.env`: variables for it, as in a shell.
function Folder:start(name, arguments)
  -- It holds a lock as long as it lives, so that its end can be awaited.
  local path = self.path .. "/" .. name
  local pid = run(("%s flock -F %s %s %s >%s 2>&1 & echo $!"):format(self.env or "", quote(path .. ".lock"), support.program, arguments, quote(path .. ".log")))
  self.started[name] = pid
  return pid
end

-- Waits until a line of NAME.log has `pattern` (of grep -E) and gives that line. Fails after 20 s, with the log.
function Folder:await(name, pattern)
  local path = self.path .. "/" .. name .. ".log"
  local line = run(("timeout 20 tail -n +1 -F %s 2>/dev/null | grep -m1 -E %s"):format(quote(path), quote(pattern)))
  assert(line ~= "", ("no line with %s in:\n%s"):format(pattern, read(path)))
  return line
end

-- Waits until `fn` gives something true; fails after 60 s.
function Folder:until_true(fn)
  for _ = 1, 600 do
    if fn() then return end
    os.execute "sleep 0.1"
  end
  error("it did not become true; the log:\n" .. self:read "run.log")
end

-- Asks a program to end, and waits until it has. With the signal "KILL" it ends as in a crash.
function Folder:stop(name, signal)
  local pid = self.started[name]
  self.started[name] = nil
  local _, code = run(("kill -%s %s; flock -w 10 %s true"):format(signal or "TERM", pid, quote(self.path .. "/" .. name .. ".lock")))
  assert(code == 0, name .. " does not end")
end

-- A simulated Asterisk; its port.
function Folder:sim(name, options)
  self:start(name, ("sim --listen 127.0.0.1:0 --duration 60 %s"):format(options or ""))
  return tonumber(self:await(name, "^listening on"):match ":(%d+)$")
end

-- A wall clock for what is started from now on, which jumps: a function of the seconds that it is ahead.
function Folder:wallclock()
  local page = self.path .. "/jump"
  local function jump(seconds)
    -- In place: the process has it mapped.
    local file = io.open(page, "r+b") or assert(io.open(page, "wb"))
    file:write(string.pack("d", seconds))
    file:close()
  end
  jump(0)
  self.env = ("ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 WALLCLOCK=%s LD_PRELOAD=%s"):format(quote(page), quote(((os.getenv "LD_PRELOAD" or "") .. " " .. support.program:gsub("[^/]*$", "tests/wallclock.so")):match "^%s*(.*)"))
  return jump
end

-- The engine on these servers: { name, port } each; `more`: further lines of the configuration.
function Folder:engine(servers, more)
  local lines = {}
  for _, server in ipairs(servers) do
    lines[#lines + 1] = ("%s = { host = '127.0.0.1', port = %d, username = 'ops', secret = 'secret', reconnect = { first = 0.2, max = 0.5, breaker_open = 0.2 } },")
      :format(server[1], server[2])
  end
  self:put("hookswitch.lua", ("return { servers = { %s }, scripts = { rules = 'scripts', lib = '%s' }, log = { format = 'json', level = 'debug' },\n"
    .. "control = { socket = 'ctl' }, %s }"):format(table.concat(lines, "\n"), run "pwd" .. "/lib", more or ""))
  self:start("run", "run --allow-root --strict -c " .. quote(self.path .. "/hookswitch.lua"))
  for _, server in ipairs(servers) do self:await("run", ('session ready.*"server":"%s"'):format(server[1])) end
end

-- Ends the engine (as stop() does) and starts it again, on the same folder.
function Folder:restart(signal)
  self:stop("run", signal)
  self:start("run", "run --allow-root --strict -c " .. quote(self.path .. "/hookswitch.lua"))
  self:await("run", '"msg":"session ready"')
end

function Folder:ctl(arguments)
  return self:run(("ctl -c %s %s"):format(quote(self.path .. "/hookswitch.lua"), arguments))
end

-- Ends everything and removes the folder.
function Folder:close()
  if self.started.run then self:stop "run" end
  for name in pairs(self.started) do self:stop(name) end
  os.execute("rm -rf " .. quote(self.path))
end

return support
