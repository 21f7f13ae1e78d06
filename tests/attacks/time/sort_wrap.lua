-- A loop in coroutine.wrap, in the comparator of table.sort.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local list = {}
  for i = 1, 100 do list[i] = -i end
  table.sort(list, coroutine.wrap(function() while true do end end))
end)
