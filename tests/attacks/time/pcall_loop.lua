-- A loop around a protected loop: pcall must not swallow the deadline.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do
    pcall(function() while true do end end)
  end
end)
