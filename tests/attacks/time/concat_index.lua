-- A loop in the __index that table.concat asks.
-- ends: deadline
ami.on("attack.concat_index", function()
  local m = setmetatable({}, { __index = function() while true do end end })
  table.concat(m, "", 1, 10)
end)
