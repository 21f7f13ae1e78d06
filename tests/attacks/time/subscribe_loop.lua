-- Listeners and subscriptions made and cancelled without end within one call.
-- ends: deadline
ami.on("attack.subscribe_loop", function()
  for i = 1, math.huge do
    pcall(function()
      ami.on("name." .. i, function() end):cancel()
      ami.subscribe("name" .. i):cancel()
    end)
  end
end)
