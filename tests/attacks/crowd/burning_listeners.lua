-- A thousand listeners that each stay a little below the deadline.
-- ends: served
local function burn(seconds)
  local till = os.clock() + seconds
  while os.clock() < till do end
end

for _ = 1, 1000 do
  ami.on("Newchannel", function() burn(0.02) end)
end
