-- A loop in __call.
-- ends: deadline
ami.on("attack.meta_call", function()
  local trap = setmetatable({}, { __call = function() while true do end end })
  while true do pcall(function() trap() end) end
end)
