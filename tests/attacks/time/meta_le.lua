-- A loop in __le.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __le = function() while true do end end })
  while true do pcall(function() local x = trap <= trap end) end
end)
