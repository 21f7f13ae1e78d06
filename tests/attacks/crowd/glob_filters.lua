-- Globs that go back again and again, on long events of its own.
-- ends: served
local globs = {}
for i = 1, 100 do globs[i] = ami.glob("*" .. ("a"):rep(500) .. "b" .. i) end
for _ = 1, 20 do ami.on("attack.glob", { where = { Text = globs } }, function() end) end

timer.every(0.01, function()
  for _ = 1, 20 do ami.emit("attack.glob", { Text = ("a"):rep(60000) }) end
end)
