-- Listeners with large filters: what stands outside of Lua counts too.
-- ends: memory
ami.on("attack.listener_values", function()
  local values = {}
  for i = 1, 4000 do values[i] = ("x"):rep(1000) .. i end
  for i = 1, 1e6 do ami.on("name" .. i, { where = { A = values } }, function() end) end
end)
