-- Label sets without end.
-- ends: served
ami.on("attack.metric_series", function()
  local m = metric.counter("attack_series", "x", { "a" })
  for i = 1, 20000 do m:inc({ "value " .. i }) end
end)
