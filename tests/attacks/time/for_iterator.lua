-- An iterator of `for` that loops.
-- ends: deadline
ami.on("attack.for_iterator", function()
  for _ in function() while true do end end do end
end)
