-- Recursion without end: an error like any other.
-- ends: error or memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  local function deep() return 1 + deep() end
  deep()
end)
