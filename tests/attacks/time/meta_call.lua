-- A loop in __call.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __call = function() while true do end end })
  while true do pcall(function() trap() end) end
end)
