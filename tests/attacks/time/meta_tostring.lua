-- A loop in __tostring.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local trap = setmetatable({}, { __tostring = function() while true do end end })
  while true do pcall(function() tostring(trap) end) end
end)
