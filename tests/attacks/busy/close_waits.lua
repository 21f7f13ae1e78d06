-- Coroutines that wait, yield and close each other while they are closed: nothing of it can be left by a yield.
-- ends: served
local function guard(fn) return setmetatable({}, { __close = fn }) end

timer.every(0.005, function()
  local a, b
  a = coroutine.create(function()
    local x <close> = guard(function()
      pcall(coroutine.close, a)
      pcall(coroutine.resume, b)
      pcall(coroutine.yield)
      pcall(timer.sleep, 0)
      pcall(ami.wait, "Newchannel")
      assert(not coroutine.isyieldable())
      error "closed"
    end)
    coroutine.resume(b)
    coroutine.yield()
    timer.sleep(0)
  end)
  b = coroutine.create(function()
    pcall(coroutine.close, a)
    coroutine.yield()
    timer.sleep(0)
  end)
  coroutine.resume(a)
  local closed, why = coroutine.close(a)
  assert(not closed and why:find "closed$")
  pcall(coroutine.close, b)
  timer.after(0, function()
    pcall(coroutine.resume, a)
    pcall(coroutine.resume, b)
  end)
end)
