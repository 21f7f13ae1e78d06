-- Subscriptions without end.
-- ends: error or memory or deadline
ami.on("attack.subscriptions", function()
  local hoard = {}
  for i = 1, 1e6 do hoard[i] = ami.subscribe "*" end
end)
