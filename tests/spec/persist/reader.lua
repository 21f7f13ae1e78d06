-- An independent reader of state files: the `sqlite3` command, and a CRC of its own for each row.
local cjson = require "cjson"
local helper = require "tests.spec.helper"

local reader = {}

-- As src/persist/row.h has them: number under the CRC, columns with their kinds.
local tables = {
  { "meta", 0, "name t value t" },
  { "entry", 1, "store t key t value t writer t expires i" },
  { "log", 2, "entry i gone i store t key t value t writer t expires i" },
  { "job", 3, "queue t name t body t state t priority i due i try i tries i dedup i pushed i changed i error t" },
  { "line", 4, "spool t text t state t pushed i expires i error t" },
  { "batch", 5, "spool t key t first i last i try i" },
}

local steps = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = c & 1 == 1 and c >> 1 ~ 0xEDB88320 or c >> 1 end
  steps[i] = c
end

local function crc32(bytes)
  local crc = 0xFFFFFFFF
  for i = 1, #bytes do crc = crc >> 8 ~ steps[(crc ~ bytes:byte(i)) & 0xFF] end
  return crc ~ 0xFFFFFFFF
end

local function integer(n)
  return string.pack("<i8", math.tointeger(n))
end

local function check_row(name, number, columns, row)
  local packed = { string.pack("<I4", number), integer(row.id) }
  for column, kind in columns:gmatch "(%S+) (%S+)" do
    packed[#packed + 1] = kind == "i" and integer(row[column]) or string.pack("<s4", row[column])
  end
  assert(crc32(table.concat(packed)) == row.crc, ("row %d of %s has a wrong CRC"):format(row.id, name))
end

-- Copies the file with its WAL, so that reading it changes nothing for the next process; the copy's name.
function reader.copy(file)
  local folder = helper.folder()
  os.execute(("cp %s %s-wal %s/ 2>/dev/null"):format(file, file, folder))
  return folder .. "/" .. file:match "[^/]*$"
end

-- All that a state file holds: { entries = { [store] = { [key] = value } }, jobs = { [id] = row }, lines =, batches = }. Fails when SQLite
-- finds it inconsistent or a CRC is wrong.
function reader.read(file)
  local sql = { "PRAGMA integrity_check;" }
  for _, def in ipairs(tables) do
    local columns = { "'id',id", "'crc',crc" }
    for column in def[3]:gmatch "(%S+) %S+" do columns[#columns + 1] = ("'%s',%s"):format(column, column) end
    sql[#sql + 1] = ("SELECT json_group_array(json_object(%s)) FROM (SELECT * FROM %s ORDER BY id);"):format(table.concat(columns, ","), def[1])
  end
  local code, out, err = helper.run("-batch", file, table.concat(sql), { program = "sqlite3" })
  assert(code == 0, err)
  local answers = helper.lines(out)
  assert(answers[1] == "ok", answers[1])
  local all = {}
  for i, def in ipairs(tables) do
    local name, number, columns = table.unpack(def)
    all[name] = cjson.decode(answers[i + 1])
    for _, row in ipairs(all[name]) do check_row(name, number, columns, row) end
  end
  local state = { entries = {}, jobs = {}, lines = all.line, batches = all.batch, meta = all.meta }
  local owners = {}
  local function put(id, row)
    state.entries[row.store] = state.entries[row.store] or {}
    state.entries[row.store][row.key] = row.value
    owners[row.store .. "\0" .. row.key] = id
  end
  for _, row in ipairs(all.entry) do put(row.id, row) end
  for _, row in ipairs(all.log) do
    if row.gone == 0 then
      put(row.entry, row)
    elseif owners[row.store .. "\0" .. row.key] == row.entry then
      state.entries[row.store][row.key] = nil
    end
  end
  for _, row in ipairs(all.job) do state.jobs[row.id] = row end
  return state
end

return reader
