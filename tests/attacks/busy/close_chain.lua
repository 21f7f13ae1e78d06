-- Coroutines that close the next one, each out of many calls of C: their depth is the C stack's.
-- ends: served
local function deep(n, fn)
  if n == 0 then return fn() end
  return (("x"):gsub("x", function() deep(n - 1, fn) end))
end

timer.after(0.1, function()
  local last
  for _ = 1, 900 do
    local next = last
    last = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function()
        if not next then return end
        pcall(deep, 180, function() coroutine.close(next) end)
        pcall(coroutine.close, next)
      end })
      coroutine.yield()
    end)
    coroutine.resume(last)
  end
  coroutine.close(last)
end)
