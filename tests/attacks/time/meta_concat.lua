-- A loop in __concat.
-- ends: deadline
ami.on("attack.meta_concat", function()
  local trap = setmetatable({}, { __concat = function() while true do end end })
  while true do pcall(function() local x = trap .. "x" end) end
end)
