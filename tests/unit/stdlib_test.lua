-- Behaviour of the standard library for rules. `stock` is Lua's own, `rule` is ours; see stdlib_test.c for the helpers.
local unpack, pack = table.unpack, table.pack
local sstring, rstring = stock.string, rule.string

local function show(v)
  local list = {}
  for i = 1, v.n do list[i] = type(v[i]) == "string" and stock.string.format("%q", v[i]) or tostring(v[i]) end
  return table.concat(list, ", ")
end

local function same(a, b)
  if a.n ~= b.n then return false end
  for i = 1, a.n do
    if a[i] ~= b[i] and (a[i] == a[i] or b[i] == b[i]) or math.type(a[i]) ~= math.type(b[i]) then return false end
  end
  return true
end

-- Fails with a text that holds `part`.
local function refused(part, fn, ...)
  local r = pack(pcall(fn, ...))
  if r[1] then error("was not refused: " .. show(r), 2) end
  if not sstring.find(tostring(r[2]), part, 1, true) then error("other error: " .. tostring(r[2]), 2) end
end

-- Both give the same values, or both fail. The rule's goes first: memory that the stock function gives back has the right bytes in it.
local function agree(what, stock_fn, rule_fn, ...)
  local b = pack(pcall(rule_fn, ...))
  local a = pack(pcall(stock_fn, ...))
  if a[1] ~= b[1] or (a[1] and not same(a, b)) then
    error(what .. "(" .. show(pack(...)) .. ")\n  stock: " .. show(a) .. "\n  rule:  " .. show(b), 2)
  end
end

local seed = 20240501
local function random(n)
  seed = (seed * 6364136223846793005 + 1442695040888963407)
  return (seed >> 33) % n + 1
end
local function pick(list) return list[random(#list)] end

local function collect(gmatch, ...)
  local all = {}
  for a, b, c in gmatch(...) do
    all[#all + 1] = tostring(a) .. "|" .. tostring(b) .. "|" .. tostring(c)
    if #all > 100 then break end
  end
  return table.concat(all, ";")
end

-- Matching ------------------------------------------------------------------------------------------------------

local singles = { "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%p", "%A", "%W", "%x", "%u", "%l", "%c", "%g", "%.", "%%",
  "[ab]", "[^ab]", "[a-c]", "[%d_]", "[^%s]", "[]]", "[^]]", "[a%-z]", "[%a-]", " ", "-", "1", "%-", "\0", "%z", "[\0-\x1f]", "é" }
local repeats = { "", "", "", "", "*", "+", "-", "?" }
local specials = { "(", ")", "()", "%1", "%2", "%b()", "%bab", "%f[%a]", "%f[^%w]", "$", "^", "%", "[", "]", "%f", "%b", "[^", "%0",
  "(a)", "(.-)", "(%a+)", "(b*)" }

local function some_pattern()
  local parts = {}
  if random(5) == 1 then parts[1] = "^" end
  for _ = 1, random(7) do
    if random(4) == 1 then
      parts[#parts + 1] = pick(specials)
    else
      parts[#parts + 1] = pick(singles) .. pick(repeats)
    end
  end
  if random(5) == 1 then parts[#parts + 1] = "$" end
  return table.concat(parts)
end

local bytes = { "a", "b", "c", "a", "b", " ", "(", ")", "1", "2", "_", "-", "]", "%", ".", "A", "\0", "\n", "\xc3\xa9" }
local function some_subject(n)
  local parts = {}
  for i = 1, random(n) - 1 do parts[i] = pick(bytes) end
  return table.concat(parts)
end

local templates = { "", "x", "<%0>", "%1", "%2%1", "%%", "%", "%9", "a%1b%0c" }

test("find, match, gmatch and gsub agree with Lua on generated patterns", function()
  local found = 0
  for i = 1, 12000 do
    local p, s = some_pattern(), some_subject(22)
    local init = random(4) == 1 and random(30) - 15 or nil
    agree("find", sstring.find, rstring.find, s, p, init)
    agree("match", sstring.match, rstring.match, s, p, init)
    agree("gmatch", function(...) return collect(sstring.gmatch, ...) end, function(...) return collect(rstring.gmatch, ...) end, s, p, init)
    local n = random(4) == 1 and random(4) - 1 or nil
    agree("gsub", sstring.gsub, rstring.gsub, s, p, pick(templates), n)
    agree("gsub", sstring.gsub, rstring.gsub, s, p, { a = "A", b = false, ab = 12, [1] = "one" }, n)
    agree("gsub", sstring.gsub, rstring.gsub, s, p, function(a, b) return b or (a == "a" and 1.5) or nil end, n)
    if pcall(sstring.find, s, p) and sstring.find(s, p) then found = found + 1 end
  end
  assert(found > 2000, "too few patterns matched: " .. found)
end)

test("plain find agrees with Lua", function()
  for _ = 1, 2000 do
    local s, p = some_subject(30), some_subject(4)
    agree("find", sstring.find, rstring.find, s, p, random(40) - 20, true)
  end
  agree("find", sstring.find, rstring.find, "abc", "", 4)
  agree("find", sstring.find, rstring.find, "abc", "", 5)
  agree("find", sstring.find, rstring.find, "", "")
  agree("find", sstring.find, rstring.find, "abc", "b", math.mininteger)
  agree("find", sstring.find, rstring.find, "abc", "b", math.maxinteger)
end)

test("patterns fail as in Lua", function()
  for _, p in ipairs { "(", ")", "%", "[", "[a", "[]", "[^]", "%b", "%bx", "%f", "%fa", "%1", "(a)%2", "(a%1)", "%0", ("()"):rep(33) } do
    agree("find", sstring.find, rstring.find, "aaa", p)
  end
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b", function() return {} end)
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b", true)
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b", "%2")
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b", "%x")
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b")
  agree("gsub", sstring.gsub, rstring.gsub, "abc", "b", 7)
  agree("find", sstring.find, rstring.find)
  agree("find", sstring.find, rstring.find, "a", {})
  agree("match", sstring.match, rstring.match, 1234, 23)
  agree("match", sstring.match, rstring.match, "aaa", ("a?"):rep(30) .. ("a"):rep(3))
  refused("invalid capture index %2", rstring.find, "aaa", "(a)%2")
  refused("invalid capture index %1", rstring.find, "aaa", "(a%1)")
  refused("invalid capture index %3", rstring.gsub, "abc", "b", "%3")
end)

-- Each of these runs for seconds to years in Lua's own library.
local function expensive(fn, ...)
  local start = cpu()
  refused("pattern too expensive", fn, ...)
  assert(cpu() - start < 2, "took " .. cpu() - start)
end

test("a pattern that explodes ends as an error", function()
  expensive(rstring.find, ("a"):rep(60), ("a-"):rep(12) .. "b")
  expensive(rstring.match, ("x"):rep(10000), ".-.-.-.-b$")
  expensive(rstring.match, ("a"):rep(40), ("a?"):rep(40) .. ("a"):rep(41))
  expensive(rstring.gsub, ("a"):rep(1000), ".-.-.-b", "")
  expensive(rstring.find, ("("):rep(200000), "%b()")
  expensive(rstring.find, ("a"):rep(20000), "(.*)%1b")
  expensive(function() for _ in rstring.gmatch(("a"):rep(20000), ".-.-b") do end end)
  expensive(rstring.find, ("a"):rep(5000), ("[" .. ("b"):rep(1000) .. "]-"):rep(2) .. "c")
end)

test("a long honest match is within the budget", function()
  local s = ("the quick brown fox "):rep(20000)
  assert(select(2, rstring.gsub(s, "%a+", "x")) == 80000)
  assert(select(2, rstring.gsub(s, "o", { o = "0" })) == 40000)
  local n = 0
  for _ in rstring.gmatch(s, "%S+") do n = n + 1 end
  assert(n == 80000)
  assert(rstring.find(s, "fox $") == #s - 3)
end)

test("nesting in a pattern is bounded", function()
  refused("pattern too complex", rstring.find, ("a"):rep(500), ("a?"):rep(300) .. "b")
end)

test("plain find of a near miss in a megabyte is quick", function()
  local start = cpu()
  local hay, needle = ("a"):rep(1 << 20), ("a"):rep(1 << 19) .. "b"
  assert(not rstring.find(hay, needle, 1, true))
  assert(not rstring.find(hay, ("a"):rep(200) .. "b", 1, true))
  assert(not rstring.find(hay, "b" .. ("a"):rep(200), 1, true))
  assert(cpu() - start < 1, "took " .. cpu() - start)
end)

-- Other strings -------------------------------------------------------------------------------------------------

test("sub, byte, rep, reverse, upper, lower, len, char agree with Lua", function()
  for _ = 1, 3000 do
    local s = some_subject(12)
    local i, j = random(30) - 15, random(30) - 15
    if random(20) == 1 then i = math.mininteger end
    if random(20) == 1 then j = math.maxinteger end
    agree("sub", sstring.sub, rstring.sub, s, i, random(3) > 1 and j or nil)
    agree("byte", sstring.byte, rstring.byte, s, i, random(3) > 1 and j or nil)
    agree("rep", sstring.rep, rstring.rep, s, random(9) - 2, pick { "", ",", ", " })
    agree("reverse", sstring.reverse, rstring.reverse, s)
    agree("upper", sstring.upper, rstring.upper, s)
    agree("lower", sstring.lower, rstring.lower, s)
    agree("len", sstring.len, rstring.len, s)
  end
  agree("char", sstring.char, rstring.char, 0, 65, 255)
  agree("char", sstring.char, rstring.char)
  agree("char", sstring.char, rstring.char, 256)
  agree("char", sstring.char, rstring.char, -1)
  agree("byte", sstring.byte, rstring.byte, "abc")
  agree("sub", sstring.sub, rstring.sub, "abc")
end)

local flags = { "", "", "-", "+", " ", "#", "0", "-0", "+0", "- ", "##" }
local widths = { "", "", "5", "12", "99", "100", "05" }
local precisions = { "", "", ".", ".0", ".3", ".15", ".99", ".100" }
local letters = { "d", "i", "u", "c", "x", "X", "o", "e", "E", "f", "F", "g", "G", "a", "A", "s", "q", "%", "z", "5", "", "l" }
local items = { 0, 1, -1, 42, 65, 1 << 40, math.mininteger, 0.0, -0.0, 1.5, -2.25, 1e300, -1e-300, 1 / 0, -1 / 0, 0 / 0, 3.0, 2 ^ 53, "x",
  "10", "0x10", "1e1", "a\0b", "long text that is longer than some", "", true, nil, ("y"):rep(150), "quote\"\\\n\r\0001\t" }

test("format agrees with Lua", function()
  for _ = 1, 20000 do
    local f = "<%" .. pick(flags) .. pick(widths) .. pick(precisions) .. pick(letters) .. ">"
    agree("format", sstring.format, rstring.format, f, items[random(29)])
  end
  agree("format", sstring.format, rstring.format, "%d %s %%", 1)
  -- The longest conversion has 20 characters before its letter.
  for n = 17, 23 do agree("format", sstring.format, rstring.format, "<%" .. ("-"):rep(n) .. "d>", 5) end
  agree("format", sstring.format, rstring.format, "%d %s %5.1f|%q", 1, "x", 2.5, "y", "unused")
  agree("format", sstring.format, rstring.format, "%s", setmetatable({}, { __tostring = function() return "named" end }))
  agree("format", sstring.format, rstring.format, "%s", setmetatable({}, { __tostring = function() return 1 end }))
  agree("format", sstring.format, rstring.format, "%q", {})
  agree("format", sstring.format, rstring.format, "%" .. ("0"):rep(50) .. "d", 1)
  agree("format", sstring.format, rstring.format, "%99.99f", -1e308)
  for _, edge in ipairs { 0x1.fffffffffffffp+1023, -0x1.fffffffffffffp+1023, math.huge, -math.huge, -(0 / 0), -0.0 } do
    agree("format", sstring.format, rstring.format, "%q", edge)
  end
  assert(rstring.format("%p%p", 1, {}):find "^%(null%)%x+$")
end)

test("texts are capped", function()
  local big = ("x"):rep(8 << 20)
  refused("text too long", rstring.rep, "x", (8 << 20) + 1)
  refused("text too long", rstring.rep, "ab", 1 << 62)
  refused("text too long", rstring.rep, "", 1 << 62, ",")
  refused("text too long", rstring.rep, big, math.maxinteger, big)
  assert(rstring.rep("", 1 << 62) == "" and rstring.rep("x", -1) == "")
  assert(#rstring.rep("x", 8 << 20) == 8 << 20)
  refused("text too long", rstring.format, "%s%s", big, "x")
  refused("text too long", rstring.format, "%q", big)
  refused("text too long", rstring.format, big .. "%d", 1)
  refused("text too long", rstring.gsub, big, "x", "xx")
  refused("text too long", rstring.upper, big .. "x")
  refused("text too long", rstring.reverse, big .. "x")
  refused("text too long", rstring.pack, "c2147483647", "")
  refused("text too long", rstring.pack, "c99999999999999999999999", "")
  refused("text too long", rstring.pack, "s4s4", big, "x")
  refused("too long", rstring.unpack, ("b"):rep(100000), big)
  refused("too long", rstring.byte, big, 1, -1)
end)

test("pack, packsize and unpack work", function()
  agree("pack", sstring.pack, rstring.pack, ">I4 s1 z c5 d !8 i3", 7, "abc", "zed", "five!", 1.5, -2)
  agree("packsize", sstring.packsize, rstring.packsize, "i4 i8 !8 d c10")
  agree("unpack", sstring.unpack, rstring.unpack, ">I2 s1", "\1\2\3abc")
  agree("pack", sstring.pack, rstring.pack, "i17", 1)
  agree("unpack", sstring.unpack, rstring.unpack, "i4", "ab")
  refused("bad argument #2 to 'pack'", function() rstring.pack("i4", {}) end)
end)

test("strings have their methods, and nothing leads to where they stand", function()
  assert(("abc"):upper() == "ABC" and ("%d"):format(3) == "3")
  assert(rule.getmetatable("") == false and stock.getmetatable("") == false)
  refused("protected", rule.setmetatable, rule.string, {})
  assert("10" + 1 == 11)
end)

-- Tables --------------------------------------------------------------------------------------------------------

test("insert, remove, move, concat, pack and unpack agree with Lua", function()
  local function on_copy(fn)
    return function(t, ...)
      local c = { n = t.n }
      for k, v in pairs(t) do c[k] = v end
      local r = pack(fn(c, ...))
      local keys = {}
      for k, v in pairs(c) do keys[#keys + 1] = tostring(k) .. "=" .. tostring(v) end
      table.sort(keys)
      for i = 1, r.n do if r[i] == c then r[i] = "itself" end end
      return table.concat(keys, ","), unpack(r, 1, r.n)
    end
  end
  for _ = 1, 3000 do
    local t = {}
    for i = 1, random(7) - 1 do t[i] = pick { i, "v" .. i, i + 0.5 } end
    local i, j, k = random(12) - 4, random(12) - 4, random(12) - 4
    agree("insert", on_copy(stock.table.insert), on_copy(rule.table.insert), t, i, "new")
    agree("insert", on_copy(stock.table.insert), on_copy(rule.table.insert), t, "new")
    agree("remove", on_copy(stock.table.remove), on_copy(rule.table.remove), t, random(3) > 1 and i or nil)
    agree("move", on_copy(stock.table.move), on_copy(rule.table.move), t, i, j, k)
    agree("concat", stock.table.concat, rule.table.concat, t, pick { "", ",", "--" }, random(2) > 1 and i or nil, random(2) > 1 and j or nil)
    agree("unpack", stock.table.unpack, rule.table.unpack, t, random(2) > 1 and i or nil, random(2) > 1 and j or nil)
  end
  local to = rule.table.move({ 1, 2, 3 }, 1, 3, 2, {})
  assert(to[2] == 1 and to[4] == 3 and to[1] == nil)
  local p = rule.table.pack(nil, 2, nil)
  assert(p.n == 3 and p[2] == 2)
  agree("insert", stock.table.insert, rule.table.insert, {}, 1, 2, 3)
  agree("insert", stock.table.insert, rule.table.insert, nil, 1)
  agree("concat", stock.table.concat, rule.table.concat, { {} })
  agree("concat", stock.table.concat, rule.table.concat, { "a", "b" }, ",", math.maxinteger - 1, math.maxinteger)
  agree("unpack", stock.table.unpack, rule.table.unpack, { 1 }, math.maxinteger - 1, math.maxinteger)
  agree("move", stock.table.move, rule.table.move, {}, 1, 10, math.maxinteger - 3)
  -- What metamethods see of the order: from the end only where the ranges overlap upwards in one table.
  local function order(move, to_first, ...)
    local seen = {}
    local function watched(name)
      return stock.setmetatable({}, {
        __index = function(_, i) seen[#seen + 1] = name .. "<" .. i return i end,
        __newindex = function(_, i) seen[#seen + 1] = name .. ">" .. i end,
      })
    end
    local from = watched "a"
    move(from, 2, 4, to_first, ... and watched "b")
    return table.concat(seen, " ")
  end
  for to_first = 1, 6 do
    assert(order(stock.table.move, to_first) == order(rule.table.move, to_first), to_first)
    assert(order(stock.table.move, to_first, true) == order(rule.table.move, to_first, true), to_first)
  end
end)

test("table functions go through metamethods", function()
  local log, real = {}, { "a", "b" }
  local proxy = rule.setmetatable({}, {
    __len = function() return #real end,
    __index = function(_, i) log[#log + 1] = "r" .. i return real[i] end,
    __newindex = function(_, i, v) log[#log + 1] = "w" .. i real[i] = v end,
  })
  rule.table.insert(proxy, 1, "z")
  assert(rule.table.concat(real) == "zab" and rule.table.concat(proxy, ",") == "z,a,b")
  assert(rule.table.remove(proxy, 1) == "z" and #real == 2)
  rule.table.sort(proxy, function(a, b) return a > b end)
  assert(real[1] == "b" and select("#", rule.table.unpack(proxy)) == 2)
end)

test("what neither is a table nor behaves like one is refused by its type", function()
  for what, value in pairs { string = "abc", number = 5, boolean = true, ["FILE*"] = io.stdout } do
    for _, fn in ipairs { "insert", "remove", "concat", "sort" } do refused("table expected, got " .. what, rule.table[fn], value, 1) end
    refused("table expected, got " .. what, rule.table.move, value, 1, 2, 1)
    refused("table expected, got " .. what, rule.table.move, {}, 1, 2, 1, value)
  end
end)

test("sort agrees with Lua", function()
  for _ = 1, 500 do
    local t, a, b = {}, {}, {}
    for i = 1, random(60) - 1 do t[i] = random(30) end
    local less = pick { false, function(x, y) return x > y end }
    for i, v in ipairs(t) do a[i], b[i] = v, v end
    table.sort(a, less or nil)
    rule.table.sort(b, less or nil)
    assert(table.concat(a, ",") == table.concat(b, ","))
  end
  local words = { "b", "a", "c" }
  rule.table.sort(words)
  assert(table.concat(words) == "abc")
  agree("sort", stock.table.sort, rule.table.sort, { 1, "x" })
  agree("sort", stock.table.sort, rule.table.sort, { 3, 1 }, 5)
end)

test("sort is stable, and leaves the list alone when a comparison raises", function()
  local t = {}
  for i = 1, 1000 do t[i] = { key = i % 10, at = i } end
  rule.table.sort(t, function(a, b) return a.key < b.key end)
  for i = 2, 1000 do
    assert(t[i - 1].key < t[i].key or (t[i - 1].key == t[i].key and t[i - 1].at < t[i].at))
  end
  local list, n = { 5, 4, 3, 2, 1 }, 0
  refused("no more", rule.table.sort, list, function(a, b) n = n + 1 if n > 3 then error("no more") end return a < b end)
  assert(table.concat(list) == "54321")
  rule.table.sort(list, function() return true end)
  rule.table.sort(list, function() return random(2) == 1 end)
  assert(#list == 5)
end)

test("lengths that lie and endless ranges are errors", function()
  local liar = function(n)
    return rule.setmetatable({}, { __len = function() return n end, __index = function() return "x" end, __newindex = function() end })
  end
  for _, n in ipairs { 1 << 50, math.maxinteger, 5000000 } do
    refused("too many elements", rule.table.sort, liar(n))
    refused("too many elements", rule.table.concat, liar(n))
    refused("too many", rule.table.unpack, liar(n))
    refused("too many elements", rule.table.remove, liar(n), 1)
    if n < math.maxinteger then refused("too many elements", rule.table.insert, liar(n), 1, "v") end
  end
  refused("too many elements", rule.table.move, {}, 1, 1 << 50, 2)
  refused("too many elements", rule.table.move, {}, math.mininteger, math.maxinteger, 1)
  refused("too many elements", rule.table.concat, {}, "", 1, 1 << 50)
  refused("too many results", rule.table.unpack, {}, 1, 1 << 50)
  refused("too many results", rule.table.unpack, {}, math.mininteger, math.maxinteger)
  refused("not an integer", rule.table.concat, liar("x"))
  refused("text too long", rule.table.concat, rule.setmetatable({}, { __len = function() return 100 end,
    __index = function() return ("x"):rep(1 << 20) end }))
end)

-- utf8, os, math, base ------------------------------------------------------------------------------------------

local sequences = { "a", "\u{7f}", "\u{80}", "é", "€", "\u{ffff}", "\u{10ffff}", "\u{110000}", "\u{7fffffff}", "\xff", "\xc0\x80", "\xe2\x82",
  "\x80", "\u{d800}", "\xed\xa0\x80", "\xf8\x80\x80\x80\x80", "z", "", "\u{200000}", "\u{4000000}" }

test("utf8 agrees with Lua", function()
  local function all(codes)
    return function(s, lax)
      local list = {}
      for at, code in codes(s, lax) do list[#list + 1] = at .. ":" .. code end
      return table.concat(list, ",")
    end
  end
  for _ = 1, 6000 do
    local s = ""
    for _ = 1, random(5) - 1 do s = s .. pick(sequences) end
    local i, j, lax = random(3) > 1 and random(14) - 7 or nil, random(3) > 1 and random(14) - 7 or nil, random(2) == 1
    agree("len", stock.utf8.len, rule.utf8.len, s, i, j, lax)
    agree("codepoint", stock.utf8.codepoint, rule.utf8.codepoint, s, i, j, lax)
    agree("offset", stock.utf8.offset, rule.utf8.offset, s, random(11) - 6, i)
    -- Lua 5.4.4 lets surplus continuation bytes pass; the manual does not.
    if stock.utf8.len(s, 1, -1, lax) then
      agree("codes", all(stock.utf8.codes), all(rule.utf8.codes), s, lax)
    else
      refused("invalid UTF-8 code", all(rule.utf8.codes), s, lax)
    end
  end
  for _, c in ipairs { 0, 65, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x1fffff, 0x200000, 0x3ffffff, 0x4000000, 0x7fffffff, 1 << 31, -1 } do
    agree("char", stock.utf8.char, rule.utf8.char, c, 66, c)
  end
  agree("char", stock.utf8.char, rule.utf8.char)
  assert(stock.utf8.charpattern == rule.utf8.charpattern)
  refused("too long", rule.utf8.codepoint, ("x"):rep(1 << 20), 1, -1)
end)

test("os has time, date, clock and difftime only, on the given clock", function()
  local names = {}
  for k in rule.pairs(rule.os) do names[#names + 1] = k end
  table.sort(names)
  assert(table.concat(names, " ") == "clock date difftime time")
  at_time(86400.75)
  assert(rule.os.time() == 86400 and rule.os.date("!%Y-%m-%d %H:%M:%S") == "1970-01-02 00:00:00")
  assert(rule.os.date("!*t").day == 2)
  at_time(-1)
  for _, f in ipairs { "%c", "!%c", "%x %X %p", "!%Y%m%dT%H%M%SZ", "%%", "", "!", "%Ey %OH", "%Q", "%E", "%EQ", "%", "%j %U %w", "text" } do
    agree("date", stock.os.date, rule.os.date, f, 1700000000)
  end
  agree("date", stock.os.date, rule.os.date, "%Y", math.maxinteger)
  agree("date", stock.os.date, rule.os.date, "%Y", 1.5)
  refused("too long", rule.os.date, ("%c"):rep(1000), 0)
  for _, t in ipairs { { year = 2024, month = 2, day = 30 }, { year = 2024, month = 13, day = 1, hour = -5, min = 99, sec = 3600 },
    { year = 2024, month = 7, day = 1, isdst = true }, { year = 2024, month = 1 }, { year = "2024", month = "1", day = "2" },
    { year = 2024, month = 1, day = 1.5 }, { year = 1 << 40, month = 1, day = 1 }, { year = 2147483647, month = 1, day = 1 },
    { year = 2024, month = 1, day = 1, sec = 1 << 31 } } do
    agree("time", stock.os.time, rule.os.time, t)
  end
  local t = { year = 2024, month = 14, day = 1 }
  rule.os.time(t)
  assert(t.year == 2025 and t.month == 2 and t.yday == 32)
  assert(rule.os.difftime(5, 3) == 2.0 and rule.os.clock() >= 0)
end)

test("nothing that reaches outside is there", function()
  local expected = "_VERSION assert collectgarbage error getmetatable ipairs math next os pairs pcall rawequal rawget rawlen rawset " ..
    "select setmetatable string table tonumber tostring type utf8 xpcall"
  local names = {}
  for k in pairs(rule) do names[#names + 1] = k end
  table.sort(names)
  assert(table.concat(names, " ") == expected, table.concat(names, " "))
  for name in pairs(stock.math) do
    if not ({ cosh = 1, sinh = 1, tanh = 1, pow = 1, frexp = 1, ldexp = 1, log10 = 1, atan2 = 1 })[name] then assert(rule.math[name] ~= nil, name) end
  end
  for _, lib in ipairs { "string", "table", "utf8" } do
    for name in pairs(stock[lib]) do
      assert((rule[lib][name] == nil) == (name == "dump"), lib .. "." .. name)
    end
  end
  assert(math.type(rule.math.random(5)) == "integer")
end)

test("the library tables cannot be changed or reached", function()
  for _, name in ipairs { "string", "table", "math", "utf8", "os" } do
    local lib = rule[name]
    refused("read-only", function() lib.find = 1 end)
    refused("read-only", rule.rawset, lib, "find", 1)
    refused("read-only", rule.table.insert, lib, "x")
    refused("protected", rule.setmetatable, lib, nil)
    assert(rule.getmetatable(lib) == false and rule.next(lib) == nil and rule.rawget(lib, "find") == nil)
    local iterate, state = rule.pairs(lib)
    assert(state == lib)
    for k, v in iterate, state do assert(lib[k] == v) end
  end
  local list = sealed { 1, 2, 3, x = 4 }
  assert(#list == 3 and list.x == 4 and list[2] == 2)
  refused("'thing' is read-only", function() list[4] = 1 end)
end)

test("setmetatable refuses finalizers and protected metatables", function()
  refused("__gc", rule.setmetatable, {}, { __gc = function() end })
  refused("__gc", rule.setmetatable, {}, { __gc = false })
  refused("protected", rule.setmetatable, rule.setmetatable({}, { __metatable = 1 }), {})
  refused("nil or table", rule.setmetatable, {}, 1)
  local mt = { __index = function(_, k) return k end }
  assert(rule.setmetatable({}, mt).x == "x" and rule.getmetatable(rule.setmetatable({}, mt)) == mt)
  mt = {}
  local t = rule.setmetatable({}, mt)
  mt.__gc = function() error("ran") end
  t = nil
  stock.collectgarbage()
  assert(rule.rawset({}, 1, 2)[1] == 2)
end)

test("xpcall hands errors to its handler", function()
  local function handler(e) return e, "more" end
  for _, e in ipairs { "text", 7, {}, handler } do
    local function fail() error(e, 0) end
    agree("xpcall", stock.xpcall, rule.xpcall, fail, handler)
    agree("xpcall", stock.xpcall, rule.xpcall, fail, function(x) return { x } == nil end)
  end
  agree("xpcall", stock.xpcall, rule.xpcall, error, function(e) return "got " .. e end, "an argument", 0)
  agree("xpcall", stock.xpcall, rule.xpcall, function() return 1, nil, 3, nil end, handler)
  agree("xpcall", stock.xpcall, rule.xpcall, select, handler, 2, "a", nil, "c", nil)
  agree("xpcall", stock.xpcall, rule.xpcall, select, error, "#")
  -- Also when the call has waited in between.
  local waits = coroutine.wrap(function(...) return rule.xpcall(function(...) error(coroutine.yield(...)) end, function(e) return e .. "!" end, ...) end)
  local a, b = waits("x", "y")
  assert(a == "x" and b == "y")
  local good, why = waits "why"
  assert(good == false and why:find "why!$", why)
  waits = coroutine.wrap(function() return rule.xpcall(coroutine.yield, error) end)
  waits()
  a, b, why = waits(1, nil)
  assert(a == true and b == 1 and why == nil)
end)

test("collectgarbage only counts", function()
  assert(rule.collectgarbage("count") > 0)
  for _, what in ipairs { "collect", "stop", "step", "generational", "x" } do refused("not available", rule.collectgarbage, what) end
  refused("not available", rule.collectgarbage)
end)

-- All combinations of values as the first three arguments.
test("arguments of a wrong type are refused where Lua refuses them", function()
  local values, n = { nil, "x", "1", 2, 1.5, true, {}, { 3, 1, 2 }, math.abs, stock }, 10
  local function compare(name, of_stock, of_rule)
    for i = 0, n do
      for k = 0, i == 0 and 0 or n do
        for m = 0, k == 0 and 0 or n do
          local count = i == 0 and 0 or k == 0 and 1 or m == 0 and 2 or 3
          local function call(fn) return pcall(fn, unpack({ values[i], values[k], values[m] }, 1, count)) end
          local good, why = call(of_rule)
          local stock_good, stock_why = call(of_stock)
          if good ~= stock_good then
            error(("%s with %d arguments, %s, %s, %s:\n  stock: %s\n  rule:  %s"):format(name, count, tostring(values[i]),
              tostring(values[k]), tostring(values[m]), tostring(stock_why), tostring(why)))
          end
        end
      end
    end
  end
  for _, name in ipairs { "xpcall", "rawset", "setmetatable" } do compare(name, stock[name], rule[name]) end
  for _, lib in ipairs { "string", "table", "utf8" } do
    for name, fn in pairs(stock[lib]) do
      if type(fn) == "function" and rule[lib][name] then compare(lib .. "." .. name, fn, rule[lib][name]) end
    end
  end
end)

-- Deadlines and raises ------------------------------------------------------------------------------------------

test("long calls look at the deadline", function()
  local long = ("a"):rep(1 << 20)
  local numbers = {}
  for i = 1, 50000 do numbers[i] = 50000 - i end
  local few, slow = {}, rule.setmetatable({}, { __index = function(_, i) return i end })
  for i = 1, 1000 do few[i] = 1000 - i end
  local cases = {
    find = function() return rstring.find(long, "a-b") end,
    ["plain find"] = function() return rstring.find(long, "b", 1, true) end,
    gsub = function() return rstring.gsub(long, ".", rstring.reverse) end,
    ["gsub by a long template"] = function() return rstring.gsub("a", "(b?)", ("%1"):rep(2000), 1) end,
    ["gsub by a slow table"] = function() return rstring.gsub(("a"):rep(20), ".", slow) end,
    gmatch = function() for _ in rstring.gmatch(long, "a-b") do end end,
    sort = function() return rule.table.sort(numbers, rule.math.ult) end,
    ["sort of few"] = function() return rule.table.sort(few) end,
    ["sort of few by a function"] = function() return rule.table.sort(few, rule.math.ult) end,
    ["unpack of what is slow"] = function() return rule.table.unpack(slow, 1, 1000) end,
    concat = function() return rule.table.concat(numbers) end,
    insert = function() return rule.table.insert(numbers, 1, 1) end,
    remove = function() return rule.table.remove(numbers, 1) end,
    move = function() return rule.table.move(numbers, 1, #numbers, 2) end,
    len = function() return rule.utf8.len(long) end,
    offset = function() return rule.utf8.offset(long, 1 << 19) end,
    ["offset back"] = function() return rule.utf8.offset(long, -(1 << 19)) end,
    ["offset of the character"] = function() return rule.utf8.offset(("\x80"):rep(1 << 20), 0, 1 << 20) end,
    format = function() return rstring.format(("%d"):rep(2000), rule.table.unpack(numbers, 1, 2000)) end,
  }
  for name, fn in pairs(cases) do
    local ok, why = granted(3, fn)
    assert(not ok and sstring.find(why, "deadline", 1, true), name .. " did not ask: " .. tostring(why))
  end
end)

local function busy()
  local s = ("key=value "):rep(20)
  local t = {}
  for k, v in s:gmatch("(%w+)=(%w+)") do t[#t + 1] = k .. v .. #t end
  local r = s:gsub("%w+", function(w) local x = 0 for i = 1, 5 do x = x + i end return w .. x end)
  r = r .. s:gsub("(%w+)", rule.setmetatable({}, { __index = function(_, k) return k:rep(30) end }))
  rule.table.sort(t, function(a, b) return a > b end)
  r = r .. rule.table.concat(rule.setmetatable({}, { __len = function() return 30 end, __index = function(_, i) return "<" .. i .. ">" end }), ", ")
  r = r .. rstring.format("%s %q %5.2f", rule.setmetatable({}, { __tostring = function() return ("t"):rep(2000) end }), r, 1.5)
  rule.table.insert(t, 1, "x")
  return r .. rule.table.concat(t) .. rstring.pack("s4", r) .. rule.utf8.char(228, 8364) .. rule.os.date("!%c", 0)
end

test("an error out of a hook may strike at any instruction", function()
  local whole = busy()
  local ended, n = false, 1
  repeat
    ended = interrupted(n, busy)
    n = n + 7
  until ended
  assert(n > 500 and busy() == whole)
end)

test("any allocation may fail", function()
  local whole = busy()
  local n = 1
  while not starved(n, busy) do n = n + (n < 300 and 1 or 13) end
  assert(n > 100 and busy() == whole)
end)

-- Plain data ----------------------------------------------------------------------------------------------------

test("plain data is copied whole", function()
  local v = copied { 1, 2.5, "x\0y", true, { a = { b = false } }, [true] = 1, [1.5] = "f" }
  assert(v[1] == 1 and math.type(v[1]) == "integer" and v[2] == 2.5 and v[3] == "x\0y" and v[5].a.b == false and v[true] == 1 and v[1.5] == "f")
  assert(copied(nil) == nil and copied("s") == "s" and copied(7) == 7 and next(copied {}) == nil)
  local twice = {}
  v = copied { twice, twice }
  assert(v[1] ~= v[2])
end)

test("what is no plain data is refused, with its place", function()
  local function told(part, ...)
    local v, why = copied(...)
    if v ~= nil or not sstring.find(why, part, 1, true) then error(tostring(why), 2) end
  end
  told("field 'a.b' is a function", { a = { b = print } })
  told("the value is a function", print)
  told("field 'a[2].c' is a thread", { a = { 1, { c = coroutine.create(print) } } })
  told("field 'f' is a userdata", { f = io.stdout })
  told("has a table as a key", { [{}] = 1 })
  local loop = { x = {} }
  loop.x.y = loop
  told("field 'x.y' is a table that holds itself", loop)
  local deep = {}
  for _ = 1, 200 do deep = { d = deep } end
  told("too deep", deep)
  told("too deep", { { {} } }, 2)
  assert(copied({ {} }, 2))
  told("too big", { ("x"):rep(2000) }, 5, 1000)
  told("too big", (function() local t = { 1 } for _ = 1, 40 do t = { t, t } end return t end)(), 60)
  told("field 'a?b", { ["a\nb" .. ("x"):rep(10000)] = print })
  assert(copied(setmetatable({ 1 }, { __index = error, __pairs = error, __len = error }))[1] == 1)
end)
