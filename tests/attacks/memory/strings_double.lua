-- A string that doubles.
-- ends: memory
timer.after(settings({ at = 0.1 }).at, function()
  local s = "x"
  while true do s = s .. s end
end)
