-- A table that is its own __call: Lua follows the chain inside of C, without an instruction.
-- ends: deadline
ami.on("attack.call_chain", function()
  local trap = setmetatable({}, {})
  getmetatable(trap).__call = trap
  while true do pcall(trap) end
end)
