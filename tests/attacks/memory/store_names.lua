-- Stores without end.
-- ends: error
ami.on("attack.store_names", function()
  for i = 1, 1e6 do store.open("attack" .. i) end
end)
