-- Keys of a table that all have one hash: each look-up walks all of them, and a table that grows puts each in anew.
-- ends: deadline
ami.on("attack.float_keys", function()
  local t = {}
  for k = 1, math.huge do t[1 + k * 2.0^-52] = true end
end)
