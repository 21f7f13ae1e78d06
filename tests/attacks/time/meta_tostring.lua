-- A loop in __tostring.
-- ends: deadline
ami.on("attack.meta_tostring", function()
  local trap = setmetatable({}, { __tostring = function() while true do end end })
  while true do pcall(function() tostring(trap) end) end
end)
