-- Emits without end within one call.
-- ends: deadline
ami.on("attack.emit_loop", function()
  while true do ami.emit("attack.loop", { a = 1 }) end
end)
