-- A loop in __lt.
-- ends: deadline
ami.on("attack.meta_lt", function()
  local trap = setmetatable({}, { __lt = function() while true do end end })
  while true do pcall(function() local x = trap < trap end) end
end)
