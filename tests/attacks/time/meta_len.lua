-- A loop in __len.
-- ends: deadline
ami.on("attack.meta_len", function()
  local trap = setmetatable({}, { __len = function() while true do end end })
  while true do pcall(function() local x = #trap end) end
end)
