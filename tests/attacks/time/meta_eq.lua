-- A loop in __eq.
-- ends: deadline
ami.on("attack.meta_eq", function()
  local trap = setmetatable({}, { __eq = function() while true do end end })
  while true do pcall(function() local x = trap == setmetatable({}, getmetatable(trap)) end) end
end)
