-- Stores without end.
-- ends: error
timer.after(settings({ at = 0.1 }).at, function()
  for i = 1, 1e6 do store.open("attack" .. i) end
end)
