-- Sends without end within one call.
-- ends: deadline
ami.on("attack.send_loop", function()
  while true do
    server = ami.servers()[1]
    server:send { Action = "Ping" }
  end
end)
