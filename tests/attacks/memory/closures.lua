-- A million closures.
-- ends: memory
timer.after(settings({ at = 0.1 }).at, function()
  local hoard = {}
  for i = 1, 1e6 do hoard[i] = function() return i end end
end)
