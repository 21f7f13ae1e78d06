-- Recursion without end: an error like any other.
-- ends: error or memory or deadline
ami.on("attack.recursion_once", function()
  local function deep() return 1 + deep() end
  deep()
end)
