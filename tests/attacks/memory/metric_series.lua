-- Label sets without end.
-- ends: served
timer.after(settings({ at = 0.1 }).at, function()
  local m = metric.counter("attack_series", "x", { "a" })
  for i = 1, 20000 do m:inc({ "value " .. i }) end
end)
