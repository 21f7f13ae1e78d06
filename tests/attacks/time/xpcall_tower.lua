-- Message handlers that fail into message handlers.
-- ends: deadline
ami.on("attack.xpcall_tower", function()
  local function handler()
    xpcall(error, handler, "x")
    while true do end
  end
  xpcall(error, handler, "x")
end)
