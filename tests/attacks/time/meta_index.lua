-- A loop in __index.
-- ends: deadline
ami.on("attack.meta_index", function()
  local trap = setmetatable({}, { __index = function() while true do end end })
  while true do pcall(function() local x = trap.field end) end
end)
