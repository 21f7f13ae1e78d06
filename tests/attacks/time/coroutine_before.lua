-- A coroutine made while the file was loaded loops when it is resumed.
-- ends: deadline
local co = coroutine.create(function() while true do end end)

ami.on("attack.coroutine_before", function()
  while true do coroutine.resume(co) end
end)
