-- Message handlers that fail into message handlers.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local function handler()
    xpcall(error, handler, "x")
    while true do end
  end
  xpcall(error, handler, "x")
end)
