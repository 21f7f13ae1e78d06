-- A loop in __lt.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __lt = function() while true do end end })
  while true do pcall(function() local x = trap < trap end) end
end)
