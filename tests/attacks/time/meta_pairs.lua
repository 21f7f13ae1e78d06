-- A loop in __pairs.
-- ends: deadline
ami.on("attack.meta_pairs", function()
  local trap = setmetatable({}, { __pairs = function() while true do end end })
  while true do pcall(function() for _ in pairs(trap) do end end) end
end)
