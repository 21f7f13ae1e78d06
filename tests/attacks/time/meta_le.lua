-- A loop in __le.
-- ends: deadline
ami.on("attack.meta_le", function()
  local trap = setmetatable({}, { __le = function() while true do end end })
  while true do pcall(function() local x = trap <= trap end) end
end)
