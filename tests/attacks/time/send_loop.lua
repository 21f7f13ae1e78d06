-- Sends without end within one call.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do
    server = ami.servers()[1]
    server:send { Action = "Ping" }
  end
end)
