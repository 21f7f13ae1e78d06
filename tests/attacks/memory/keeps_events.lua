-- Every event is kept for ever.
-- ends: memory
local hoard = {}

timer.after(settings({ at = 0.1 }).at, function()
  ami.on("*", function(ev) hoard[#hoard + 1] = { ev, ev.Channel, ("x"):rep(4096) .. #hoard } end)
end)
