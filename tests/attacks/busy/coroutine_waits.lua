-- A wait inside coroutines within coroutines, without end.
-- ends: served
local function nest(n)
  if n == 0 then return timer.sleep(0) end
  coroutine.wrap(nest)(n - 1)
end
timer.after(0, function()
  while true do nest(10) end
end)
