-- A loop in __index.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __index = function() while true do end end })
  while true do pcall(function() local x = trap.field end) end
end)
