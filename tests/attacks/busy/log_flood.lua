-- Log lines without end, a burst in each turn.
-- ends: served
timer.every(0.01, function()
  for i = 1, 2000 do log.info("flood " .. i) end
end)
