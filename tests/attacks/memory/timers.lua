-- Timers without end.
-- ends: error or memory or deadline
ami.on("attack.timers", function()
  for _ = 1, 1e6 do timer.after(1e6, function() end) end
end)
