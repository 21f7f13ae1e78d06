-- A message handler that loops, for an error of the rule's own.
-- ends: deadline
ami.on("attack.xpcall_error_loop", function()
  while true do
    xpcall(error, function() while true do end end, "x")
  end
end)
