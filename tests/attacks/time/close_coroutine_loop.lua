-- A coroutine that the deadline killed, closed, with a __close that loops (hooks stay off on Lua 5.4.4).
-- ends: deadline
ami.on("attack.close_coroutine_loop", function()
  local co = coroutine.create(function()
    local guard <close> = setmetatable({}, { __close = function() while true do end end })
    while true do end
  end)
  pcall(coroutine.resume, co)
  pcall(coroutine.close, co)
  coroutine.close(co)
  while true do end
end)
