-- A loop in __concat.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __concat = function() while true do end end })
  while true do pcall(function() local x = trap .. "x" end) end
end)
