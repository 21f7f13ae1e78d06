-- A loop in __eq.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __eq = function() while true do end end })
  while true do pcall(function() local x = trap == setmetatable({}, getmetatable(trap)) end) end
end)
