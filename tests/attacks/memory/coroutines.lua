-- Coroutines that are never resumed.
-- ends: error or memory or deadline
timer.after(settings({ at = 0.1 }).at, function()
  local hoard = {}
  for i = 1, 1e5 do hoard[i] = coroutine.create(function() end) end
end)
