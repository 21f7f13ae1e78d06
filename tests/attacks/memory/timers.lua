-- Timers without end.
-- ends: error or memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  for _ = 1, 1e6 do timer.after(1e6, function() end) end
end)
