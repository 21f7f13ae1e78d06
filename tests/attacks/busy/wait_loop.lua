-- ami.wait in an endless loop, for an event that comes all the time and for one that never does.
-- ends: served
timer.after(0, function()
  while true do ami.wait("Newchannel", nil, 0.001) end
end)
timer.after(0, function()
  while true do ami.wait("name.never", nil, 0) end
end)
