-- Metrics without end.
-- ends: error
ami.on("attack.metric_families", function()
  for i = 1, 1e6 do metric.counter("attack_family_x" .. i, "x") end
end)
