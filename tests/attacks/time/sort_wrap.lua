-- A loop in coroutine.wrap, in the comparator of table.sort.
-- ends: deadline
ami.on("attack.sort_wrap", function()
  local list = {}
  for i = 1, 100 do list[i] = -i end
  table.sort(list, coroutine.wrap(function() while true do end end))
end)
