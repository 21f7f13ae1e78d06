-- A loop in __len.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __len = function() while true do end end })
  while true do pcall(function() local x = #trap end) end
end)
