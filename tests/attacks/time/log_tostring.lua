-- A log field whose __tostring loops.
-- ends: deadline
ami.on("attack.log_tostring", function()
  log.info("x", { field = setmetatable({}, { __tostring = function() while true do end end }) })
end)
