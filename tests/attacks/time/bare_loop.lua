-- A loop that never ends.
-- ends: deadline
ami.on("attack.bare_loop", function()
  while true do end
end)
