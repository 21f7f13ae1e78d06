-- A string that doubles.
-- ends: memory
ami.on("attack.strings_double", function()
  local s = "x"
  while true do s = s .. s end
end)
