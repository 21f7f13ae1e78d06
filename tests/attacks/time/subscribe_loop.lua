-- Listeners and subscriptions made and cancelled without end within one call.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  for i = 1, math.huge do
    pcall(function()
      ami.on("name." .. i, function() end):cancel()
      ami.subscribe("name" .. i):cancel()
    end)
  end
end)
