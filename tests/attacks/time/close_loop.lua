-- A __close that loops, run while the deadline's error unwinds.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  while true do
    pcall(function()
      local guard <close> = setmetatable({}, { __close = function() while true do end end })
      while true do end
    end)
  end
end)
