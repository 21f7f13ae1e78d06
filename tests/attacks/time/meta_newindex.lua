-- A loop in __newindex.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __newindex = function() while true do end end })
  while true do pcall(function() trap.field = 1 end) end
end)
