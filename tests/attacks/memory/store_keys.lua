-- Keys that are too long, without end: nothing of them stays.
-- ends: served
ami.on("attack.store_keys", function()
  local s, key = store.open "attack", ("k"):rep(60000)
  for _ = 1, 20000 do pcall(s.get, s, key) end
end)
