-- Listeners without end.
-- ends: error or memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  for i = 1, 1e6 do ami.on("name" .. i, function() end) end
end)
