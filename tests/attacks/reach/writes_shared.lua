-- Tries to change what the other rules see: globals, a module and what is in it.
-- says: held
shared_global = "mine"
local mod = require "shared"
for _, t in ipairs { mod, mod.nested, mod.nested.deeper } do
  assert(not pcall(function() t.value = "changed" end))
  assert(not pcall(rawset, t, "value", "changed"))
  assert(not pcall(setmetatable, t, {}))
  assert(not pcall(table.insert, t, "changed"))
  assert(#t < 2 or not pcall(table.sort, t))
  assert(not pcall(table.move, { "changed" }, 1, 1, 1, t))
  assert(getmetatable(t) == false)
  for key, value in pairs(t) do
    if type(value) == "table" then assert(not pcall(rawset, value, key, "changed")) end
  end
end
math.randomseed(1)
local first = math.random(1 << 40)
timer.after(0.05, function()
  math.randomseed(1)
  assert(math.random(1 << 40) == first)
  log.info "held"
end)
