-- An iterator of `for` that loops.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  for _ in function() while true do end end do end
end)
