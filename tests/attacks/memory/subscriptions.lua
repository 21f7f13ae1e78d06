-- Subscriptions without end.
-- ends: error or memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  local hoard = {}
  for i = 1, 1e6 do hoard[i] = ami.subscribe "*" end
end)
