-- Emits without end within one call.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do ami.emit("attack.loop", { a = 1 }) end
end)
