-- Expensive patterns, each refused, without end.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do pcall(string.find, ("a"):rep(60), ("a-"):rep(12) .. "b") end
end)
