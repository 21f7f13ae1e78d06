-- Two hundred answers at the deadline of their actions, whose callbacks loop: what overtakes the rule's own order is no faster than others.
-- ends: deadline
timer.after(0.2, function()
  local server = ami.servers()[1]
  for _ = 1, 200 do
    server:send({ Action = "Ping" }, { timeout = 0.1 }, function() while true do end end)
  end
end)
