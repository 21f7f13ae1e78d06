-- As many events of its own as may wait, each as large as it may be: what waits stands outside of Lua's memory.
-- ends: served
local fields = {}
for i = 1, 60 do fields["field" .. i] = ("x"):rep(1000) end

ami.on("attack.payload", function() end)
timer.every(0.02, function()
  for _ = 1, 2500 do
    if not ami.emit("attack.payload", fields) then break end
  end
end)
