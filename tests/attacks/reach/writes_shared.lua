-- Changes all that it can reach: globals and a module, of which every rule has its own instance.
-- says: held
shared_global = "mine"
local mod = require "shared"
for _, t in ipairs { mod, mod.nested, mod.nested.deeper } do
  t.value = "changed"
  table.insert(t, "changed")
end
math.randomseed(1)
local first = math.random(1 << 40)
timer.after(0.05, function()
  math.randomseed(1)
  assert(math.random(1 << 40) == first)
  log.info "held"
end)
