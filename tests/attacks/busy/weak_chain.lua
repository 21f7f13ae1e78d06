-- A chain of tables with weak keys in no order: a collection goes once through all of them for every link or two.
-- ends: served
local hold, meta = { {} }, {}
local keys, tables, order = {}, {}, {}
local COUNT = 12000

for i = 1, COUNT do keys[i], order[i], tables[i] = {}, i, setmetatable({}, meta) end
for i = COUNT, 2, -1 do
  local k = math.random(i)
  order[i], order[k] = order[k], order[i]
end
for i = 1, COUNT - 1 do tables[order[i]][keys[i]] = keys[i + 1] end
hold = { tables, keys[1] }
meta.__mode = "k"
keys, order, tables = nil, nil, nil

local refused = not pcall(setmetatable, {}, { __mode = "k" })
timer.every(0.005, function()
  assert(refused)
  for _ = 1, 2000 do local _ = { hold } end
end)
