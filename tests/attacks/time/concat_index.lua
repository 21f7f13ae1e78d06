-- A loop in the __index that table.concat asks.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local m = setmetatable({}, { __index = function() while true do end end })
  table.concat(m, "", 1, 10)
end)
