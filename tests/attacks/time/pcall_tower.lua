-- Protected calls within each other, each of them ready to go on.
-- ends: deadline
ami.on("attack.pcall_tower", function()
  local function tower(n)
    if n > 0 then pcall(tower, n - 1) end
    while true do end
  end
  tower(150)
end)
