-- Many listeners of one name, cancelled and made anew while they are called: when the rule ends, none of them stays in the table.
-- ends: served
local listeners = {}

local function renew()
  for _, listener in ipairs(listeners) do listener:cancel() end
  for i = 1, 100 do listeners[i] = ami.on("*", { priority = i }, renew) end
end

for i = 1, 100 do listeners[i] = ami.on("*", { priority = i }, renew) end
