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
  refused("invalid capture index %2 in replacement string", rstring.gsub, "abc", "(b)", "%2")
  for _, p in ipairs { "[a-]+", "[]-]+", "[+-]+", "[^a-]+", "[a-c-]+", "[%a-z]+" } do agree("match", sstring.match, rstring.match, "xb-a]+z", p) end
  agree("gsub", sstring.gsub, rstring.gsub, "abcdefghi", ("(.)"):rep(9), "%9%8%1")
  agree("match", sstring.match, rstring.match, "abc", ("()"):rep(32))
end)

test("nothing behind the subject is read", function()
  assert(not rstring.find("abc", "%f[\xA5]") and not rstring.match("abc", "x()") and not rstring.find("abc", "%f[\xA5]", 4))
end)

test("a long replacement is made whole, and what nothing changes is the text itself", function()
  local long = ("abcdefghij"):rep(500)
  agree("gsub", sstring.gsub, rstring.gsub, long, "%a", { a = false, b = "BB", c = 3 })
  agree("gsub", sstring.gsub, rstring.gsub, long, "%a", function(c) return c == "b" and "BB" or c == "c" and 3 or c ~= "d" and nil end)
  agree("gsub", sstring.gsub, rstring.gsub, long, "(a)(.)", "%2%%%1%0")
  agree("gsub", sstring.gsub, rstring.gsub, long, "a", 42)
  for _, by in ipairs { {}, function() end, { a = false } } do
    local same_text, n = rstring.gsub(long, "a", by)
    assert(n == 500 and rstring.format("%p", same_text) == rstring.format("%p", long))
  end
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

test("plain find looks at every place, in parts or not", function()
  local hay = ("a"):rep(65536 - 3) .. "needle" .. ("a"):rep(70000) .. "end"
  for _, what in ipairs { "needle", "aneedlea", "end", ("a"):rep(300) .. "end", ("a"):rep(69000) .. "end", "needle" .. ("a"):rep(69999), "nowhere" } do
    for _, from in ipairs { 1, 2, 60000, 65533, 65534, 65535, 70000 } do agree("find", sstring.find, rstring.find, hay, what, from, true) end
  end
  for n = 254, 258 do
    local what = ("b"):rep(n)
    for at = 65536 - 2 * n, 65536 + 2 * n, n // 2 do
      local text = ("a"):rep(at) .. what .. ("a"):rep(70000)
      local first, last = rstring.find(text, what, 1, true)
      assert(first == at + 1 and last == at + n)
    end
  end
end)

test("a match has its steps, and more for each byte of the subject", function()
  assert(small.string.find("", ("x?"):rep(49)) == 1 and small.string.find("y", ("x?"):rep(57)) == 1)
  refused("too expensive", small.string.find, "", ("x?"):rep(50))
  refused("too expensive", small.string.find, "y", ("x?"):rep(58))
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
  local long = ("aB-1"):rep(2500)
  for _, name in ipairs { "reverse", "upper", "lower", "len" } do agree(name, sstring[name], rstring[name], long) end
  agree("sub", sstring.sub, rstring.sub, long, 2, -2)
  agree("rep", sstring.rep, rstring.rep, long, 3, ", ")
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
  for _, letter in ipairs(letters) do
    for i = 1, 29 do agree("format", sstring.format, rstring.format, "<%" .. letter .. ">", items[i]) end
    for _, item in ipairs { 65, 1.5, "x", ("y"):rep(99), ("y"):rep(99) .. "\0", ("y"):rep(100), ("y"):rep(128) } do
      for _, modifier in ipairs { "5", "-12", "05", "+", ".3", "9.3", "99", ".99", "99.99", "100", ".100", ".", "5.", "1.2.3" } do
        agree("format", sstring.format, rstring.format, "<%" .. modifier .. letter .. ">", item)
      end
    end
  end
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
  assert(rstring.format("%20p|%-20p|", 1, print):find "^              %(null%)|%x+    |$")
  -- Nothing of one conversion is left to the next.
  agree("format", sstring.format, rstring.format, "%.3d|%5s|%d", 1, ("y"):rep(150), 2)
  refused("invalid conversion '%z' to 'format'", rstring.format, "%z", 1)
  refused("invalid conversion '%5' to 'format'", rstring.format, "%5", 1)
  refused("invalid conversion '%" .. ("0"):rep(19) .. "' to 'format'", rstring.format, "%" .. ("0"):rep(50) .. "d", 1)
  refused("cannot have modifiers", rstring.format, "%5q", 1)
end)

test("a long format is made whole, whatever it is given", function()
  local long = ("long text "):rep(300)
  local object = setmetatable({}, { __tostring = function() return long end })
  agree("format", sstring.format, rstring.format, long .. "%5s|%-7s|" .. long .. "%s" .. long, 1, true, "x")
  agree("format", sstring.format, rstring.format, "%s%s%s%s|%5s", object, object, long, object, 1)
  agree("format", sstring.format, rstring.format, long .. "%q" .. long .. "%q%q", long, 1.5, nil)
  local named = setmetatable({}, { __name = "thing" })
  local text = rstring.format(long .. "%s%s%s" .. long, named, {}, named)
  local number = rstring.format("%p", named)
  assert(#text == 2 * #long + 2 * #("thing: " .. number) + #("table: " .. number))
  text = rstring.format(long .. "%p%p" .. long .. "%p", named, named, named)
  assert(text == long .. number .. number .. long .. number)
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
  refused("text too long", rstring.rep, ("x"):rep(16), 1 << 60)
  refused("text too long", rstring.format, big .. "%5s", "x")
  refused("text too long", rstring.format, big .. "xx%d", 1)
  refused("text too long", rstring.format, big .. "x")
  refused("text too long", rstring.pack, "s4", big)
  -- A separator behind a single text goes nowhere.
  assert(rstring.rep(("x"):rep(5000), 1, "0123456789") == ("x"):rep(5000))
end)

test("a text that becomes too long is given up before it is made", function()
  local third = ("x"):rep(6 << 20)
  local whole = third .. third
  local literal = "%s" .. whole
  local cases = {
    concat = function() rule.table.concat({ "", "", "" }, third) end,
    ["concat of long elements"] = function() rule.table.concat { third, third, third } end,
    gsub = function() rstring.gsub("xxx", "x", function() return third end) end,
    ["gsub by a text"] = function() rstring.gsub("xxx", "x", third) end,
    ["gsub by a capture"] = function() rstring.gsub(third, "(x+)", "%1%1") end,
    format = function() rstring.format("%s%s%s", third, third, third) end,
    ["format of a literal"] = function() rstring.format(literal, third) end,
    rep = function() rstring.rep(third, 3) end,
    upper = function() rstring.upper(whole) end,
    pack = function() rstring.pack("s4s4s4", third, third, third) end,
  }
  for name, fn in pairs(cases) do
    local bytes = greatest(fn)
    assert(bytes <= 9 << 20, name .. " asked for " .. bytes)
  end
  -- What grows by single bytes doubles.
  local zeros = ("\0"):rep(8 << 20)
  assert(greatest(function() rstring.format("%q", zeros) end) <= 16 << 20)
end)

test("each limit is exact", function()
  local function just(fn, part, last, first_refused)
    assert(pcall(fn, unpack(last)))
    refused(part, fn, unpack(first_refused))
  end
  local function x(n) return ("x"):rep(n) end
  just(small.string.rep, "text too long (more than 100 bytes in one call)", { "x", 100 }, { "x", 101 })
  just(small.string.upper, "text too long", { x(100) }, { x(101) })
  just(small.string.format, "text too long", { "%s%s", x(50), x(50) }, { "%s%s", x(50), x(51) })
  just(small.string.format, "text too long", { x(100) }, { x(101) })
  just(small.string.format, "text too long", { x(95) .. "%5s", 1 }, { x(96) .. "%5s", 1 })
  just(small.string.format, "text too long", { "%q", x(98) }, { "%q", x(99) })
  just(small.string.gsub, "text too long", { x(50), "x", "xx" }, { x(51), "x", "xx" })
  just(small.table.concat, "text too long", { { x(49), x(50) }, "," }, { { x(50), x(50) }, "," })
  just(small.string.pack, "text too long", { "z", x(67) }, { "z", x(68) })
  just(small.string.pack, "text too long", { "z", x(67) }, { "z", x(99) })
  just(small.string.pack, "text too long", { "c67", "" }, { "c68", "" })
  just(small.string.pack, "text too long", { "bbb", 1, 2, 3 }, { "bbbb", 1, 2, 3, 4 })
  just(small.string.byte, "more than 3 values", { "abc", 1, -1 }, { "abcd", 1, -1 })
  just(small.utf8.codepoint, "more than 3 values", { "abc", 1, -1 }, { "abcd", 1, -1 })
  just(small.table.unpack, "more than 3", { { 1, 2, 3 } }, { { 1, 2, 3, 4 } })
  just(small.string.unpack, "format too long", { "bbb", "abc" }, { "bbbb", "abcd" })
  just(small.string.packsize, "format too long", { "bbb" }, { "bbbb" })
  just(small.table.concat, "too many elements (more than 5 in one call)", { { 1, 2, 3, 4, 5 } }, { { 1, 2, 3, 4, 5, 6 } })
  just(small.table.sort, "too many elements", { { 1, 2, 3, 4, 5 } }, { { 1, 2, 3, 4, 5, 6 } })
  just(small.table.insert, "too many elements", { { 1, 2, 3, 4 }, 1, 0 }, { { 1, 2, 3, 4, 5 }, 1, 0 })
  just(small.table.remove, "too many elements", { { 1, 2, 3, 4, 5 }, 1 }, { { 1, 2, 3, 4, 5, 6 }, 1 })
  just(small.table.move, "too many elements", { {}, 1, 5, 2 }, { {}, 1, 6, 2 })
  just(rule.os.date, "format too long", { x(256) }, { x(257) })
end)

test("a call has slots for all that it returns", function()
  assert(select("#", rstring.byte(("x"):rep(5000), 1, -1)) == 5000)
  assert(select("#", rule.utf8.codepoint(("x"):rep(5000), 1, -1)) == 5000)
  assert(select("#", rule.table.unpack({}, 1, 5000)) == 5000)
  -- In a coroutine the stack is short.
  for n = 1, 12 do
    local function nested(i)
      if i > 0 then
        local first = nested(i - 1)
        return first
      end
      return select("#", rstring.match("abc", ("()"):rep(32)))
    end
    assert(coroutine.wrap(nested)(n) == 32)
  end
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
  for n = 1, 3 do
    for to_first = math.maxinteger - 3, math.maxinteger do
      agree("move", on_copy(stock.table.move), on_copy(rule.table.move), { 1, 2, 3 }, 1, n, to_first)
    end
  end
  local list = { 1, 2, 3 }
  assert(rule.table.move(list, 1, 3, 2, list) == list and table.concat(list, ",") == "1,1,2,3")
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

test("table functions read and write what they need, in Lua's order", function()
  local function seen_by(fn, ...)
    local seen = {}
    local list = stock.setmetatable({}, {
      __len = function() seen[#seen + 1] = "#" return 4 end,
      __index = function(_, i) seen[#seen + 1] = "<" .. i return i end,
      __newindex = function(_, i) seen[#seen + 1] = ">" .. i end,
    })
    fn(list, ...)
    return table.concat(seen, " ")
  end
  for _, args in ipairs { { "insert", "x" }, { "insert", 1, "x" }, { "insert", 4, "x" }, { "insert", 5, "x" }, { "remove" }, { "remove", 1 }, { "remove", 4 },
    { "remove", 5 }, { "concat" }, { "concat", "", 2, 3 }, { "unpack" }, { "unpack", 2, 3 } } do
    local name = args[1]
    local a, b = seen_by(stock.table[name], unpack(args, 2)), seen_by(rule.table[name], unpack(args, 2))
    assert(a == b, name .. ": " .. a .. " and " .. b)
  end
  -- What is no table needs only the metamethods that are used.
  local function with(mt, fn)
    stock.debug.setmetatable(0, mt)
    local good, why = pcall(fn)
    stock.debug.setmetatable(0, nil)
    assert(good, why)
  end
  local written = {}
  local index, len, newindex = function(_, i) return i end, function() return 3 end, function(_, i, v) written[i] = v end
  with({ __index = index, __len = len }, function()
    assert(rule.table.concat(7, ",") == "1,2,3" and #rule.table.move(7, 1, 3, 1, {}) == 3)
    refused("table expected, got number", rule.table.insert, 7, 1)
  end)
  with({ __newindex = newindex }, function()
    rule.table.move({ "a", "b" }, 1, 2, 1, 7)
    assert(table.concat(written) == "ab")
    refused("table expected, got number", rule.table.concat, 7)
  end)
  with({ __len = len, __newindex = newindex }, function() refused("table expected, got number", rule.table.sort, 7) end)
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

test("a long list is sorted by a function", function()
  local many = {}
  for i = 1, 80000 do many[i] = random(1 << 30) end
  rule.table.sort(many, rule.math.ult)
  for i = 2, #many do assert(many[i - 1] <= many[i]) end
end)

test("sort is stable, and leaves the list alone when a comparison raises", function()
  local t = {}
  for i = 1, 1000 do t[i] = { key = i % 10, at = i } end
  rule.table.sort(t, function(a, b) return a.key < b.key end)
  for i = 2, 1000 do
    assert(t[i - 1].key < t[i].key or (t[i - 1].key == t[i].key and t[i - 1].at < t[i].at))
  end
  local sorted, compared = {}, 0
  for i = 1, 1024 do sorted[i] = i end
  rule.table.sort(sorted, function(a, b) compared = compared + 1 return a < b end)
  assert(compared == 1023, "a sorted list costs one comparison for each pair of neighbours")
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
  "\x80", "\u{d800}", "\u{dfff}", "\xed\xa0\x80", "\xf8\x80\x80\x80\x80", "z", "", "\u{200000}", "\u{4000000}" }

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
  refused("bad argument #1", rule.utf8.codes, "\x80a")
  refused("invalid UTF-8 code", rule.utf8.codes "", "\x80a", 0)
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
  for _, when in ipairs { 0, 1700000000, 1720000000, -1, 951782400 } do
    for _, f in ipairs { "*t", "!*t" } do
      local a, b = stock.os.date(f, when), rule.os.date(f, when)
      for k, v in pairs(a) do assert(b[k] == v, k) end
      for k, v in pairs(b) do assert(a[k] == v, k) end
    end
    agree("date", stock.os.date, rule.os.date, "%c %H %Z|!", when)
  end
  for _, f in ipairs { "%\0", "%\0x", "%E\0", "%O", "%Oc", "%EH" } do refused("invalid conversion specifier", rule.os.date, f, 0) end
  refused("invalid conversion specifier '%Q'", rule.os.date, "%c %Q", 0)
  agree("date", stock.os.date, rule.os.date, "%Y", math.maxinteger)
  agree("date", stock.os.date, rule.os.date, "%Y", 1.5)
  refused("too long", rule.os.date, ("%c"):rep(1000), 0)
  for _, t in ipairs { { year = 2024, month = 2, day = 30 }, { year = 2024, month = 13, day = 1, hour = -5, min = 99, sec = 3600 },
    { year = 2024, month = 7, day = 1, isdst = true }, { year = 2024, month = 1 }, { year = "2024", month = "1", day = "2" },
    { year = 2024, month = 1, day = 1.5 }, { year = 1 << 40, month = 1, day = 1 }, { year = 2147483647, month = 1, day = 1 },
    { year = 2024, month = 1, day = 1, sec = 1 << 31 }, { year = 2024, month = 1, day = 1, sec = (1 << 31) - 1 },
    { year = 2024, month = 1, day = 1, sec = -(1 << 31) }, { year = 2024, month = 1, day = 1, sec = -(1 << 31) - 1 },
    { year = (1 << 31) + 1899, month = 1, day = 1 }, { year = (1 << 31) + 1900, month = 1, day = 1 },
    { year = (1 << 31) + 1899, month = 12, day = 32 }, { year = 1900 - (1 << 31), month = 1, day = 1 }, { year = 1899 - (1 << 31), month = 1, day = 1 },
    { year = 2024, month = 7, day = 1, isdst = false }, { year = 2024, month = 1, day = 1, isdst = true }, { year = 2024, month = 7, day = 1 },
    { year = 1969, month = 12, day = 31, hour = 23, min = 59, sec = 59 } } do
    -- It normalizes the table that it gets.
    local function on_copy(fn)
      return function()
        local c, fields = {}, {}
        for k, v in pairs(t) do c[k] = v end
        local when = fn(c)
        for k, v in pairs(c) do fields[#fields + 1] = k .. "=" .. tostring(v) end
        table.sort(fields)
        return when, table.concat(fields, " ")
      end
    end
    agree("time", on_copy(stock.os.time), on_copy(rule.os.time), t.year, t.month, t.day, t.hour, t.min, t.sec, t.isdst)
  end
  refused("table expected, got number", rule.os.time, 5)
  -- Lua takes this second for an error.
  assert(rule.os.time { year = 1970, month = 1, day = 1, hour = 0, min = 59, sec = 59 } == -1)
  refused("field 'hour' is not an integer", rule.os.time, { year = 2024, month = 1, day = 1, hour = "x" })
  refused("field 'min' is not an integer", rule.os.time, { year = 2024, month = 1, day = 1, min = 1.5 })
  refused("field 'day' missing in date table", rule.os.time, { year = 2024, month = 1 })
  refused("field 'sec' is out-of-bound", rule.os.time, { year = 2024, month = 1, day = 1, sec = 1 << 31 })
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
    assert(lib[iterate(state)] ~= nil)
    refused("'" .. name .. "' is read-only (field 'find' was assigned)", function() lib.find = 1 end)
  end
  local list = sealed { 1, 2, 3, x = 4 }
  assert(#list == 3 and list.x == 4 and list[2] == 2)
  refused("'thing' is read-only", function() list[4] = 1 end)
  refused("(field 'x' was assigned)", function() list.x = 1 end)
  local _, why = pcall(function() list[4] = 1 end)
  assert(not sstring.find(why, "field", 1, true), why)
  refused("read-only", rule.rawset, rule.setmetatable({}, marked {}), 1, 2)
end)

test("rawset sets in what is not sealed, whatever its metatable", function()
  assert(rule.rawset({}, 1, 2, 3)[1] == 2)
  local t = rule.setmetatable({}, { __newindex = error })
  refused("bad argument #2", rule.rawset, t)
  refused("bad argument #3", rule.rawset, t, 1)
  assert(rule.rawset(t, 1, 2) == t and t[1] == 2 and rule.rawset(t, 3, 4, 5)[3] == 4)
end)

test("tostring gives an object a number of its own in place of its address", function()
  local function no_address(v, name)
    local text = rule.tostring(v)
    assert(text == name .. ": " .. rstring.format("%p", v) and text == rule.tostring(v) and text == text_of(v), text)
    assert(text ~= stock.tostring(v))
  end
  no_address({}, "table")
  no_address(print, "function")
  no_address(coroutine.create(print), "thread")
  no_address(setmetatable({}, { __name = "thing" }), "thing")
  no_address(setmetatable({}, { __name = 5 }), "table")
  no_address(setmetatable({}, {}), "table")
  for _, v in ipairs { 1, 1.5, "text", true, false, 1 / 0 } do assert(rule.tostring(v) == stock.tostring(v) and text_of(v) == stock.tostring(v)) end
  assert(rule.tostring(nil) == "nil" and text_of(nil) == "nil")
  local on
  local object = setmetatable({}, { __tostring = function() on = can_be_killed() return "named" end, __name = "thing" })
  assert(text_of(object) == "named" and on)
  refused("'__tostring' must return a string", rule.tostring, setmetatable({}, { __tostring = function() return {} end }))
end)

test("setmetatable refuses finalizers and protected metatables", function()
  refused("__gc", rule.setmetatable, {}, { __gc = function() end })
  refused("__gc", rule.setmetatable, {}, { __gc = false })
  refused("protected", rule.setmetatable, rule.setmetatable({}, { __metatable = 1 }), {})
  refused("nil or table", rule.setmetatable, {}, 1)
  refused("__mode", rule.setmetatable, {}, { __mode = "k" })
  refused("__mode", rule.setmetatable, {}, { __mode = false })
  assert(rule.getmetatable(rule.setmetatable({}, nil, 5)) == nil)
  local plain = {}
  assert(rule.getmetatable(rule.setmetatable({}, plain, 5)) == plain)
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

test("after the deadline xpcall does not call its handler", function()
  local called = 0
  local function handler(e) called = called + 1 return e .. "!" end
  local fine, good, why = too_late(function() return rule.xpcall(error, handler, "why", 0) end)
  assert(fine and good == false and why == "why" and called == 0)
  good, why = rule.xpcall(error, handler, "why", 0)
  assert(good == false and why == "why!" and called == 1)
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
  for _, name in ipairs { "xpcall", "rawset", "setmetatable", "tostring" } do compare(name, stock[name], rule[name]) end
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
    ["format of long texts"] = function() return rstring.format(("%.1s"):rep(10), long, long, long, long, long, long, long, long, long, long) end,
    ["sort of long texts"] = function() return rule.table.sort { long .. "c", long .. "b", long .. "a", long .. "d" } end,
    ["sort of objects"] = function()
      local mt, objects = { __lt = function(a, b) return a[1] < b[1] end }, {}
      for i = 1, 25 do objects[i] = setmetatable({ -i }, mt) end
      return rule.table.sort(objects)
    end,
  }
  assert(not granted(3, rstring.find, long, "a-b") and not granted(3, rstring.gsub, long, "a", "b"))
  for name, fn in pairs(cases) do
    local ok, why = granted(3, fn)
    assert(not ok and sstring.find(why, "deadline", 1, true), name .. " did not ask: " .. tostring(why))
  end
end)

test("each part of a long call asks for the deadline", function()
  local written
  local slow = rule.setmetatable({}, { __len = function() return 50 end, __index = function(_, i) return i end,
    __newindex = function() written = true end })
  -- Sorting reads and writes each of the 50, whose access may cost 2048 steps.
  assert(checks(function() rule.table.sort(slow) end) >= 48)
  written = false
  assert(not granted(20, function() rule.table.sort(slow) end) and not written)
  assert(not granted(35, function() rule.table.sort(slow) end) and written)
  -- What is read counts, and what is written.
  local plain = {}
  for i = 1, 50 do plain[i] = i end
  assert(checks(function() rule.table.move(slow, 1, 50, 1, {}) end) >= 24)
  assert(checks(function() rule.table.move(plain, 1, 50, 1, slow) end) >= 24)
  assert(checks(function() rule.table.move(slow, 1, 50, 2) end) >= 49)
  assert(checks(function() rule.table.move(plain, 1, 50, 2) end) == 0)
  assert(checks(function() rule.table.concat(slow) end) >= 24)
  assert(checks(function() rule.table.concat(plain) end) == 0)
end)

test("a text to compile is reported with its place", function()
  -- Behind a pcall, so that the test's own handler of errors does not see what Lua says first.
  local function compile(...) return select(2, pcall(compiled, ...)) end
  assert(compile("return 1", "=a") == "" and compile("", "=a") == "")
  local why = compile("\n\nx x", "@dir/b.lua")
  assert(why == "dir/b.lua:3: syntax error near 'x'", why)
  assert(compile("return " .. ("("):rep(300), "=a"):find "^a:1: nested too deeply; Lua takes less than 200 levels")
  assert(compile("--\n--\n\nreturn " .. ("{"):rep(300) .. "\n\n", "@b.lua"):find "^b.lua:4: nested too deeply")
  assert(compile("return 'C stack overflow", "=a"):find "unfinished string")
  assert(compile("\27Lua", "=a"):find "attempt to load a binary chunk")
  assert(compile("x = 1\ny = 2", "=a") == "" and compile("x = 1\ny = = 2\n", "=a"):find "^a:2:")
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
