-- A callback that sends the next action, a hundred times over.
-- ends: served
timer.after(0.1, function()
  local server = ami.servers()[1]
  local function again() server:send({ Action = "Ping" }, again) end
  for _ = 1, 100 do again() end
end)
