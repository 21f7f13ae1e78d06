-- Recursion without end, protected, in a loop.
-- ends: memory or deadline
ami.on("attack.recursion", function()
  local function deep() return 1 + deep() end
  while true do pcall(deep) end
end)
