-- Entries of a store without end.
-- ends: error
timer.after(settings({ at = 0.1 }).at, function()
  local s = store.open "attack"
  for i = 1, 1e7 do s:set(i, ("x"):rep(1000)) end
end)
