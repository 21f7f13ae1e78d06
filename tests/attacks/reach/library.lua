-- What a rule could reach beyond its own: absent or inert.
-- says: held
local function absent(name) return not pcall(function() return _ENV[name] end) end
for _, name in ipairs { "io", "package", "debug", "load", "loadfile", "loadstring", "dofile", "module", "_G", "arg", "setfenv", "newproxy" } do
  assert(absent(name), name)
end
for _, name in ipairs { "execute", "exit", "getenv", "remove", "rename", "tmpname", "setlocale" } do assert(os[name] == nil, name) end
assert(string.dump == nil)
local good, message = pcall(function() return undefined_name end)
assert(not good and message:find("undefined_name", 1, true))
for _, what in ipairs { "collect", "stop", "restart", "step", "incremental", "generational", "setpause" } do
  assert(not pcall(collectgarbage, what), what)
end
assert(not pcall(collectgarbage))
assert(collectgarbage "count" > 0)
for _, format in ipairs { "%E", "%O", "%", "%Ez", ("%c"):rep(10000), "%\0" } do assert(not pcall(os.date, format), format) end
print "to the log"

-- Nothing that is shared can be changed.
local shared = { string, table, math, utf8, os, coroutine, ami, timer, log, json, metric, store, sink }
assert(#shared == 13)
for i, library in ipairs(shared) do
  assert(not pcall(function() library.find = 1 end), i)
  assert(not pcall(function() library.new_name = 1 end), i)
  assert(not pcall(rawset, library, "find", 1), i)
  assert(not pcall(setmetatable, library, {}), i)
  assert(not pcall(table.insert, library, 1), i)
  assert(getmetatable(library) == false, i)
  assert(next(library) == nil, i)
end
assert(getmetatable "" == false)
assert(not pcall(function() getmetatable("").__index = nil end))
assert(not pcall(setmetatable, _ENV, {}))
assert(getmetatable(_ENV) == false)
assert(not pcall(setmetatable, {}, { __gc = function() end }))
assert(not pcall(setmetatable, {}, { __gc = false }))
local late = {}
setmetatable({}, late)
late.__gc = function() log.error "a finalizer ran" end
assert(not pcall(setmetatable, {}, late))
assert(not pcall(setmetatable, {}, { __mode = "k" }))
-- Nor does a mode that is set later make a table weak.
local meta = {}
local weak = setmetatable({ {}, [{}] = true }, meta)
meta["__mo" .. "de"] = "kv"

-- The coroutine that a handler runs in cannot be had.
local token, main = coroutine.running()
assert(type(token) ~= "thread" and main)
assert(not pcall(coroutine.resume, token) and not pcall(coroutine.close, token))
assert(not pcall(coroutine.yield))

for _, name in ipairs { "../secret", "/etc/passwd", "a.b", "a/b", "", ".", "..", "mod\0", "mod\0.lua", "link", "huge", "nothing", ("x"):rep(300), "a b", "ä", "binary" } do
  local ok, why = pcall(require, name)
  assert(not ok and type(why) == "string", name)
end
timer.after(0.1, function()
  for _ = 1, 1e5 do local _ = {} end
  assert(#weak == 1 and next(weak, 1) and meta.__mode == "kv")
  assert(not pcall(require, "late"))
  assert(not pcall(coroutine.yield))
  log.info "held"
end)
