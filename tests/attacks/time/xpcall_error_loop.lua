-- A message handler that loops, for an error of the rule's own.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do
    xpcall(error, function() while true do end end, "x")
  end
end)
