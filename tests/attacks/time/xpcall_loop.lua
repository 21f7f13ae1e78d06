-- A message handler that loops, for an error out of the deadline itself.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  xpcall(function() while true do end end, function() while true do end end)
end)
