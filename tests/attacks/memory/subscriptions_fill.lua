-- A thousand subscriptions to everything, none of which is read.
-- ends: served
local hoard = {}

ami.on("attack.subscriptions_fill", function()
  for i = 1, 900 do hoard[i] = ami.subscribe "*" end
end)
