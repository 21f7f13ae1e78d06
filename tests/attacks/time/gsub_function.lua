-- gsub's replacement function loops.
-- ends: deadline
ami.on("attack.gsub_function", function()
  while true do
    pcall(string.gsub, ("x"):rep(100), "x", function() while true do end end)
  end
end)
