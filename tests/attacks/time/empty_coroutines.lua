-- Coroutines made without end within one call.
-- ends: deadline
ami.on("attack.empty_coroutines", function()
  while true do pcall(coroutine.create, function() end) end
end)
