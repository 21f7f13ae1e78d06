-- A million closures.
-- ends: memory
ami.on("attack.closures", function()
  local hoard = {}
  for i = 1, 1e6 do hoard[i] = function() return i end end
end)
