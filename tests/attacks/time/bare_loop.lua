-- A loop that never ends.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do end
end)
