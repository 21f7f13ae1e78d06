-- An event whose listener emits two more of it: what grows without bound has one.
-- ends: served
ami.on("attack.double", function()
  ami.emit "attack.double"
  ami.emit "attack.double"
end)
timer.after(0.1, function() ami.emit "attack.double" end)
