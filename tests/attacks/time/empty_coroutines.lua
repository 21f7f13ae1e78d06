-- Coroutines made without end within one call.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do pcall(coroutine.create, function() end) end
end)
