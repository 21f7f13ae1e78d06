-- Metrics without end.
-- ends: error
timer.after(settings({ at = 0.1 }).at, function()
  for i = 1, 1e6 do metric.counter("attack_family_x" .. i, "x") end
end)
