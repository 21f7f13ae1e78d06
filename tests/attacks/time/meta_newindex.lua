-- A loop in __newindex.
-- ends: deadline
ami.on("attack.meta_newindex", function()
  local trap = setmetatable({}, { __newindex = function() while true do end end })
  while true do pcall(function() trap.field = 1 end) end
end)
