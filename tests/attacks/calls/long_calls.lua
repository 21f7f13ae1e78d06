-- Library calls that would stay in C for seconds: each ends with an error that can be caught, within the deadline.
-- says: held
local lying = setmetatable({}, { __len = function() return 1 << 50 end, __index = function() return "x" end, __newindex = function() end })
local deep = {}
do
  local at = deep
  for _ = 1, 10000 do at[1] = {} at = at[1] end
end
local cycle = {}
cycle[1] = cycle

local calls = {
  { "minus", string.find, ("a"):rep(60), ("a-"):rep(12) .. "b" },
  { "dots", string.find, ("x"):rep(10000), ".-.-.-.-b$" },
  { "optional", string.find, ("a"):rep(30), ("a?"):rep(30) .. ("a"):rep(30) .. "b" },
  { "match", string.match, ("a"):rep(100000), "(.-)(.-)(.-)b" },
  { "gsub", string.gsub, ("a"):rep(100000), ".-.-b", "" },
  { "rep empty", function() assert(#string.rep("", 1 << 62) == 0) error "held" end },
  { "rep", string.rep, "x", 1 << 40 },
  { "rep of rep", string.rep, ("x"):rep(1000), 1 << 20, "," },
  { "format width", string.format, "%1000000d", 1 },
  { "move", table.move, lying, 1, 1 << 50, 2 },
  { "move far", table.move, { 1 }, math.mininteger, math.maxinteger, 1 },
  { "insert", table.insert, lying, 1, "x" },
  { "remove", table.remove, lying, 1 },
  { "concat", table.concat, lying },
  { "unpack", table.unpack, lying },
  { "unpack far", table.unpack, {}, 1, 1 << 30 },
  { "sort", table.sort, lying },
  { "utf8.char", function() utf8.char(table.unpack({}, 1, 1 << 25)) end },
  { "byte", string.byte, ("x"):rep(1 << 22), 1, -1 },
  { "pack", string.pack, "c1000000000", "x" },
  { "plain find", function()
    -- A near miss in a megabyte: found or not, it takes no time.
    string.find(("a"):rep(1 << 20), ("a"):rep(1 << 19) .. "b", 1, true)
    error "held"
  end },
  { "utf8.len", function() utf8.len(("\u{e9}"):rep(1 << 20)) error "held" end },
  { "utf8.codes", function() for _ in utf8.codes(("x"):rep(1 << 12)) do end error "held" end },
  { "json.encode deep", function() assert(not json.encode(deep)) error "held" end },
  { "json.encode cycle", function() assert(not json.encode(cycle)) error "held" end },
  { "json.decode deep", function() assert(not json.decode(("["):rep(10000))) error "held" end },
  { "json.decode big", function() assert(not json.decode("[" .. ("1,"):rep(1 << 21) .. "1]")) error "held" end },
  { "json.decode errors", function() for _ = 1, 500 do assert(not json.decode(("[1,"):rep(30))) end error "held" end },
}

local done = 0
for i, call in ipairs(calls) do
  timer.after(0.2 + i * 0.04, function()
    local good, message = pcall(table.unpack(call, 2))
    assert(not good, call[1] .. ": no error")
    assert(type(message) == "string", call[1])
    done = done + 1
    if done == #calls then
      assert(math.type(json.decode "1") == "integer")
      log.info "held"
    end
  end)
end
