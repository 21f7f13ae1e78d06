-- Coroutines that are never resumed.
-- ends: error or memory or deadline
ami.on("attack.coroutines", function()
  local hoard = {}
  for i = 1, 1e5 do hoard[i] = coroutine.create(function() end) end
end)
