-- Two hundred callbacks that loop.
-- ends: deadline
timer.after(0.2, function()
  local server = ami.servers()[1]
  for _ = 1, 200 do
    server:send({ Action = "Ping" }, function() while true do end end)
  end
end)
