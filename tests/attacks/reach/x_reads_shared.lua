-- Sees nothing of what writes_shared tried.
-- says: held
assert(not pcall(function() return shared_global end))
local mod = require "shared"
local numbers = {}
timer.every(0.02, function() numbers[#numbers + 1] = math.random(1 << 40) end)
timer.after(0.3, function()
  assert(mod.value == "original" and mod.nested.value == "original" and mod.nested.deeper.value == "original")
  assert(mod[1] == 3 and mod.get() == "original")
  -- Another rule's randomseed does not steer this one's numbers.
  math.randomseed(1)
  local seeded = math.random(1 << 40)
  for _, number in ipairs(numbers) do assert(number ~= seeded) end
  log.info "held"
end)
