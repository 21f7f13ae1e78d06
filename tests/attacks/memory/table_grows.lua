-- A table that grows for ever, with pcall around it.
-- ends: memory
local hoard = {}

ami.on("attack.table_grows", function()
  while true do
    pcall(function() for i = #hoard + 1, math.huge do hoard[i] = { i } end end)
  end
end)
