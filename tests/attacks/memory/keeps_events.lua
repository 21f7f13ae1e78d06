-- Every event is kept for ever.
-- ends: memory
local hoard = {}

ami.on("attack.keeps_events", function()
  ami.on("*", function(ev) hoard[#hoard + 1] = { ev, ev.Channel, ("x"):rep(4096) .. #hoard } end)
end)
