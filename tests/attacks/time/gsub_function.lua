-- gsub's replacement function loops.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do
    pcall(string.gsub, ("x"):rep(100), "x", function() while true do end end)
  end
end)
