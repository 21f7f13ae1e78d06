-- Entries of a store without end.
-- ends: error
ami.on("attack.store_entries", function()
  local s = store.open "attack"
  for i = 1, 1e7 do s:set(i, ("x"):rep(1000)) end
end)
