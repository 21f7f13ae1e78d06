-- Coroutines within coroutines, each of which goes on after its child.
-- ends: deadline
ami.on("attack.coroutine_nest", function()
  local function nest(n)
    if n > 0 then pcall(coroutine.wrap(nest), n - 1) end
    while true do end
  end
  nest(60)
end)
