-- Listeners without end.
-- ends: error or memory or deadline
ami.on("attack.listeners", function()
  for i = 1, 1e6 do ami.on("name" .. i, function() end) end
end)
