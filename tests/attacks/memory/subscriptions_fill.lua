-- A thousand subscriptions to everything, none of which is read.
-- ends: served
local hoard = {}

timer.after(settings({ at = 0.1 }).at, function()
  for i = 1, 900 do hoard[i] = ami.subscribe "*" end
end)
