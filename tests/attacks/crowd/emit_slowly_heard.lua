-- Large events of its own that it hears slowly, and more with each: they wait outside of Lua's memory.
-- ends: served
local fields = {}
for i = 1, 60 do fields["field" .. i] = ("x"):rep(1000) end

ami.on("attack.payload", function()
  local began = os.clock()
  repeat until os.clock() - began > 0.005
  for _ = 1, 100 do
    if not ami.emit("attack.payload", fields) then break end
  end
end)
timer.after(0, function() ami.emit("attack.payload", fields) end)
