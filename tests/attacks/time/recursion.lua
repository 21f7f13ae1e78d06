-- Recursion without end, protected, in a loop.
-- ends: memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  local function deep() return 1 + deep() end
  while true do pcall(deep) end
end)
