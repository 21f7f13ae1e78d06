-- The same on events that the server sends back to everybody.
-- ends: served
local globs = {}
for i = 1, 400 do globs[i] = ami.glob("*" .. ("a"):rep(450) .. "b" .. i) end
for _ = 1, 10 do ami.on("UserEvent", { where = { Text = globs } }, function() end) end

timer.every(0.02, function()
  for _ = 1, 10 do ami.servers()[1]:send { Action = "UserEvent", UserEvent = "Attack", Text = ("a"):rep(1000) } end
end)
