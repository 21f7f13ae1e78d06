-- Ten thousand listeners with as many different filters as are allowed: their cost is bounded.
-- ends: served
local values = {}
for i = 1, 4000 do values[i] = "value " .. i end
for _ = 1, 10000 do
  if not pcall(ami.on, "NoSuchEvent", { where = { Channel = values } }, function() end) then break end
end
