-- Sleeps of 0 without end.
-- ends: served
timer.after(0, function()
  while true do timer.sleep(0) end
end)
