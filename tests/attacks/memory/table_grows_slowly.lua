-- Hoards at each tick, catches each refusal, and waits: nothing of it ever ends.
-- ends: memory
local hoard = {}

ami.on("attack.table_grows_slowly", function()
  while true do
    pcall(function() for i = 1, 1e5 do hoard[#hoard + 1] = { i } end end)
    timer.sleep(0)
  end
end)
