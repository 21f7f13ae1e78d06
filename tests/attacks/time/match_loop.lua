-- Expensive patterns, each refused, without end.
-- ends: deadline
ami.on("attack.match_loop", function()
  while true do pcall(string.find, ("a"):rep(60), ("a-"):rep(12) .. "b") end
end)
