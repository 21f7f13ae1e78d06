-- A message handler that loops, for an error out of the deadline itself.
-- ends: deadline
ami.on("attack.xpcall_loop", function()
  xpcall(function() while true do end end, function() while true do end end)
end)
