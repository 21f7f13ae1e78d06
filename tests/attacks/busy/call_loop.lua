-- server:call in an endless loop.
-- ends: served
timer.after(0.1, function()
  local server = ami.servers()[1]
  while true do server:call { Action = "Ping" } end
end)
