-- Shared by the specs of the Lua host: rules written in the spec, run on the real host with virtual time (hookswitch.rules).
-- A rule says `note(...)`; said() gives what was noted, one text for each call. Call support.cleanup after each test.
local lfs = require "lfs"
local cjson = require "cjson"
local hookswitch = require "hookswitch"

local support = {}
local open = {}    -- runs that cleanup() closes
local folders = {} -- and folders that it removes

-- In front of each rule, on its first line, so that line numbers stay.
local PRELUDE = [[local note do local said = sink.open "said" note = function(...) local t = table.pack(...) ]]
  .. [[for i = 1, t.n do t[i] = tostring(t[i]) end said:write((table.concat(t, " "):gsub("\n", "|"))) end end ]]

function support.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  folders[#folders + 1] = path
  return path
end

function support.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local Run = {}

-- Methods of the harness are methods of the run.
Run.__index = function(_, name)
  return Run[name] or function(self, ...)
    return self.harness[name](self.harness, ...)
  end
end

-- Writes a rule, or with "lib/" in front a module.
function Run:put(name, text)
  if name:match "^lib/" or name:match "^raw:" then
    support.write(self.folder .. "/" .. (name:match "^lib/" and name or "scripts/" .. name:sub(5)), text)
  else
    support.write(self.folder .. "/scripts/" .. name, PRELUDE .. text)
  end
end

function Run:remove_file(name)
  assert(os.remove(self.folder .. "/" .. (name:match "^lib/" and name or "scripts/" .. name)))
end

-- What was noted since the last call.
function Run:said()
  local lines = self.harness:sink_lines()
  local said = {}
  for i = self.seen + 1, #lines do
    if lines[i].sink == "said" then said[#said + 1] = lines[i].line end
  end
  self.seen = #lines
  return said
end

-- Lines of another sink, decoded when they are JSON.
function Run:lines_of(sink)
  local of = {}
  for _, entry in ipairs(self.harness:sink_lines()) do
    if entry.sink == sink then of[#of + 1] = entry.line:sub(1, 1) == "{" and cjson.decode(entry.line) or entry.line end
  end
  return of
end

-- The rule "rule" (there is mostly one): what is shown of it.
function Run:rule(name)
  return self.harness:rules()[name or "rule"]
end

-- Actions that were sent and have no answer.
function Run:pending()
  local pending = {}
  for _, entry in ipairs(self.harness:sent()) do
    if not entry.answered then pending[#pending + 1] = entry end
  end
  return pending
end

-- Answers the oldest pending action and lets what waited go on.
function Run:reply(reply)
  self.harness:answer(assert(self:pending()[1], "no action waits").id, reply or { Response = "Success" })
  self.harness:advance()
end

function Run:metric(name)
  for line in self.harness:metrics():gmatch "[^\n]+" do
    local value = line:sub(1, #name + 1) == name .. " " and line:sub(#name + 2)
    if value then return tonumber(value) end
  end
end

-- `files`: name -> text, or the text of rule.lua. `options`: those of rules.new. Gives the run, or nil and the faults; the second
-- value is then the list of warnings. Its first server is ready unless `ready` is false.
function support.load(files, options)
  options = options or {}
  local run = setmetatable({ folder = support.folder(), seen = 0 }, Run)
  local settings = { rules = run.folder .. "/scripts", lib = run.folder .. "/lib" }
  for key, value in pairs(options) do
    if key ~= "ready" then settings[key] = value end
  end
  assert(lfs.mkdir(settings.rules))
  assert(lfs.mkdir(settings.lib))
  for name, text in pairs(type(files) == "table" and files or { ["rule.lua"] = files }) do run:put(name, text) end
  local harness, faults = hookswitch.rules.new(settings)
  if not harness then return nil, faults end
  run.harness = harness
  open[#open + 1] = harness
  if options.ready ~= false then
    for _, name in ipairs(settings.servers or { "pbx1" }) do harness:ready(name, "5.0.1") end
  end
  harness:advance()
  return run, faults
end

-- As load, for rules that must be good.
function support.run(files, options)
  local run, faults = support.load(files, options)
  if not run then error(table.concat(faults, "\n"), 2) end
  return run
end

-- The faults of rules that must not load, as one text.
function support.faults(files, options)
  local run, faults = support.load(files, options)
  assert(not run, "the rules loaded")
  return table.concat(faults, "\n")
end

-- What is logged outside of logged() is meant, and would hide what busted says.
local function quiet()
  hookswitch.rules.log { file = "/dev/null", level = "error" }
end
quiet()

-- Runs `fn` with the process's log in a file; gives its records, decoded, each with its text as `line`.
function support.logged(fn, level)
  local path = os.tmpname()
  hookswitch.rules.log { file = path, level = level or "debug" }
  local ok, err = pcall(fn)
  quiet()
  local records = {}
  for line in io.lines(path) do
    records[#records + 1] = cjson.decode(line)
    records[#records].line = line
  end
  os.remove(path)
  assert(ok, err)
  return records
end

-- The first record with that text (or pattern).
function support.record(records, pattern)
  for _, record in ipairs(records) do
    if record.msg:match(pattern) then return record end
  end
end

function support.cleanup()
  for _, harness in ipairs(open) do harness:close() end
  for _, path in ipairs(folders) do
    for _, part in ipairs { "scripts", "lib" } do
      if lfs.attributes(path .. "/" .. part) then
        for name in lfs.dir(path .. "/" .. part) do os.remove(path .. "/" .. part .. "/" .. name) end
        os.remove(path .. "/" .. part)
      end
    end
    os.remove(path)
  end
  open, folders = {}, {}
end

return support
