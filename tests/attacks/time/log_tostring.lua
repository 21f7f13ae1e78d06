-- A log field whose __tostring loops.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  log.info("x", { field = setmetatable({}, { __tostring = function() while true do end end }) })
end)
