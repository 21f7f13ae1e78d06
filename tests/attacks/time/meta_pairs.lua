-- A loop in __pairs.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __pairs = function() while true do end end })
  while true do pcall(function() for _ in pairs(trap) do end end) end
end)
