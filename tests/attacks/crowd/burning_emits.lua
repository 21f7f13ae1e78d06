-- Emitted events whose listener stays a little below the deadline.
-- ends: served
local function burn(seconds)
  local till = os.clock() + seconds
  while os.clock() < till do end
end

ami.on("attack.burn", function() burn(0.02) end)
timer.every(0.1, function()
  for _ = 1, 1000 do ami.emit "attack.burn" end
end)
