-- A __close that loops, run while the deadline's error unwinds.
-- ends: deadline
ami.on("attack.close_loop", function()
  while true do
    pcall(function()
      local guard <close> = setmetatable({}, { __close = function() while true do end end })
      while true do end
    end)
  end
end)
