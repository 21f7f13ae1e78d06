local real = require "tests.spec.rules.support"

-- The rules of this file with stores of one kind: every store.open in them becomes a persistent one, or stays as it is.
local function kind_of(persistent)
  local function texts(files)
    if type(files) == "table" then
      local all = {}
      for name, text in pairs(files) do all[name] = texts(text) end
      return all
    end
    return persistent and files:gsub("store%.open ?%(?(['\"])(%w+)%1%)?", 'store.open("%2", { persistent = true })') or files
  end
  local support = setmetatable({ texts = texts }, { __index = real })
  function support.run(files, options)
    local run = real.run(texts(files), options)
    function run:store(name) return self.harness:store(name, persistent) end
    return run
  end
  function support.faults(files, options) return real.faults(texts(files), options) end
  return support
end

for what, support in pairs { ["a store"] = kind_of(false), ["a persistent store"] = kind_of(true) } do
describe(what, function()
  after_each(support.cleanup)

  -- Runs `code` with the store `st`; what it noted.
  local function with(code, options)
    local t = support.run("local st = store.open 'calls' ami.on('Hangup', function(ev) " .. code .. " end)", options)
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    return t:said(), t
  end

  it("keeps plain values of every type", function()
    assert.same({ "1 integer 1.5 float true x table" }, (with [[
      st:set("i", 1) st:set("f", 1.5) st:set("b", true) st:set("s", "x") st:set("t", { a = { 1, 2 } })
      note(st:get "i", math.type(st:get "i"), st:get "f", math.type(st:get "f"), st:get "b", st:get "s", type(st:get "t"))]]))
  end)

  it("gives nil or the default for what is not there", function()
    assert.same({ "nil 7 false 1" }, (with [[st:set("f", false) note(st:get "a", st:get("a", 7), st:get("f", 7), select("#", st:get "a"))]]))
  end)

  it("takes strings, numbers and booleans as keys, an integral float as its integer", function()
    assert.same({ "a b c a" }, (with [[st:set(1, "a") st:set("1", "b") st:set(true, "c") note(st:get(1), st:get "1", st:get(true), st:get(1.0))]]))
  end)

  it("copies in and out", function()
    assert.same({ "1 1 1" }, (with [[
      local t = { n = { 1 } }
      st:set("t", t)
      t.n[1] = 99
      local got = st:get "t"
      local first = got.n[1]
      got.n[1] = 98
      note(first, st:get("t").n[1], #st:get("t").n)]]))
  end)

  it("deletes, with delete or a nil", function()
    assert.same({ "true false nil nil" }, (with [[
      st:set("a", 1) st:set("b", 1)
      local was, again = st:delete "a", st:delete "a"
      st:set("b", nil)
      note(was, again, st:get "a", st:get "b")]]))
  end)

  it("counts with incr, from nothing too", function()
    assert.same({ "1 2 12 11.5" }, (with [[note(st:incr "n", st:incr "n", st:incr("n", 10), st:incr("n", -0.5))]]))
  end)

  it("refuses to count what is no number", function()
    assert.same({ "false false" }, (with [[st:set("s", "x") note((pcall(st.incr, st, "s")), (pcall(st.incr, st, "n", "x")))]]))
  end)

  it("forgets after the ttl", function()
    local t = support.run [[
      local st = store.open "x"
      ami.on("Hangup", function() st:set("a", 1, 10) end)
      ami.on("Newstate", function() note(st:get "a") end)]]
    t:event "Hangup"
    t:advance(9.9)
    t:event "Newstate"
    t:advance(0.2)
    t:event "Newstate"
    assert.same({ "1", "nil" }, t:said())
    t:advance(1)
    assert.same({}, t:store "x")
  end)

  it("takes the shortest ttl for one, not for none", function()
    local t = support.run [[
      local st = store.open "x"
      ami.on("Hangup", function() st:set("a", 1, 1e-12) st:incr("b", 1, 1e-12) end)
      ami.on("Newstate", function() note(st:get "a", st:get "b") end)]]
    t:event "Hangup"
    t:advance(1)
    t:event "Newstate"
    assert.same({ "nil nil" }, t:said())
  end)

  it("says once in an error that it is the store's", function()
    local t = support.run [[
      local st = store.open "x"
      ami.on("Hangup", function() note(select(2, pcall(st.get, st, nil))) note(select(2, pcall(store.open, "y", { persistent = true }))) end)]]
    t:event "Hangup"
    for _, text in ipairs(t:said()) do
      assert.equal(1, select(2, text:gsub("store: ", "")), text)
    end
  end)

  it("the ttl of incr counts from the entry's creation, that of set from each set", function()
    local t = support.run [[
      local st = store.open "x"
      ami.on("Hangup", function() note(st:incr("n", 1, 10)) st:set("s", 1, 10) end)
      ami.on("Newstate", function() note(st:get "s") end)]]
    t:event "Hangup"
    t:advance(6)
    t:event "Hangup"
    t:advance(6)
    t:event "Newstate"
    t:event "Hangup"
    assert.same({ "1", "2", "1", "1" }, t:said())
  end)

  it("a set without ttl stays for ever", function()
    local _, t = with [[st:set("a", 1, 5) st:set("a", 2)]]
    t:advance(1e6)
    assert.same({ a = 2 }, t:store "calls")
  end)

  it("walks a snapshot with pairs", function()
    assert.same({ "3 6" }, (with [[
      for i = 1, 3 do st:set(i, i) end
      local n, sum = 0, 0
      for k, v in pairs(st) do n = n + 1 sum = sum + v st:delete(k) st:set("new" .. k, 100) end
      note(n, sum)]]))
  end)

  it("is shared by name between rules", function()
    local t = support.run {
      ["a.lua"] = [[local st = store.open "shared" ami.on("Hangup", function() st:set("x", "from a") end)]],
      ["b.lua"] = [[local st, other = store.open "shared", store.open "other" ami.on("Hangup", function() note(st:get "x", other:get "x") end)]],
    }
    t:event "Hangup"
    assert.same({ "from a nil" }, t:said())
  end)

  it("survives a reload, and can be read while loading", function()
    local t = support.run [[local st = store.open "x" ami.on("Hangup", function() st:set("a", { 1, 2 }) end)]]
    t:event "Hangup"
    t:put("rule.lua", support.texts [[local st = store.open "x" local got = st:get "a" ami.on("Hangup", function() note(#got, #st:get "a") end)]])
    assert.is_true(t:reload())
    t:event "Hangup"
    assert.same({ "2 2" }, t:said())
  end)

  it("does not change while loading", function()
    assert.matches("loading", support.faults "store.open 'x':set('a', 1)")
    assert.matches("loading", support.faults "store.open 'x':incr 'a'")
    assert.matches("loading", support.faults "store.open 'x':delete 'a'")
  end)

  it("says which value it cannot keep, where it is set", function()
    local t = support.run [[ami.on("Hangup", function()
      local st = store.open "x"
      local cycle = {} cycle.me = cycle
      for _, v in ipairs { print, cycle, { a = { b = coroutine.create(print) } }, setmetatable({}, {}) } do note((select(2, pcall(st.set, st, "k", v)))) end
      note(pcall(st.set, st, "k"))
      note(pcall(st.set, st, nil, 1))
      note(pcall(st.set, st, {}, 1))
      note(pcall(st.set, st, 0/0, 1))
      note(pcall(st.set, st, "k", 1, 0))
      note(pcall(st.get, {}, "k"))
      note(pcall(store.open, ""))
    end)]]
    t:event "Hangup"
    local said = t:said()
    assert.matches("function", said[1])
    assert.matches("holds itself", said[2])
    assert.matches("'a.b' is a thread", said[3])
    assert.equal("nil", said[4])
    for i = 5, 11 do assert.matches("^false ", said[i]) end
    assert.same({ k = {} }, t:store "x")
  end)

  it("is bounded for the rule that writes, and for nobody else", function()
    local t = support.run({
      ["a.lua"] = [[local st = store.open "s" ami.on("Hangup", function() for i = 1, 100 do st:set("a" .. i, i) end end)]],
      ["b.lua"] = [[local st = store.open "s" ami.on("Hangup", function() st:set("b", 1) note "ok" end)]],
    }, { limits = { store_entries = 10 } })
    t:event "Hangup"
    assert.matches("store", t:rule("a").last_error)
    assert.same({ "ok" }, t:said())
  end)

  it("refuses a value that is too large", function()
    assert.matches("^false", with([[note(pcall(st.set, st, "k", ("x"):rep(2000)))]], { limits = { store_value = 1000 } })[1])
  end)
end)
end

describe("a persistent store", function()
  after_each(real.cleanup)

  it("waits until all is on disk with sync", function()
    local t = real.run [[
      local st = store.open("x", { persistent = true })
      ami.on("Hangup", function() st:set("a", 1) note "before" note(st:sync()) end)]]
    t:event "Hangup"
    assert.same({ "before" }, t:said())
    t:advance()
    assert.same({ "true" }, t:said())
  end)

  it("is another one than a store of the same name that does not survive", function()
    local t = real.run [[local st = store.open "x" ami.on("Hangup", function() st:set("a", 1) end)]]
    t:event "Hangup"
    t:put("rule.lua", [[local st = store.open("x", { persistent = true }) ami.on("Hangup", function() note(st:get "a") end)]])
    assert.is_true(t:reload())
    t:event "Hangup"
    assert.same({ "nil" }, t:said())
  end)

  it("keeps floats exactly, and texts of any bytes", function()
    local t = real.run [[
      local st = store.open("x", { persistent = true })
      ami.on("Hangup", function()
        for _, v in ipairs { 0.1, 1/3, 1e300, -0.0, math.huge, 2^53, "\0;}\255", "" } do
          st:set("v", { v, [v] = true })
          local got = st:get "v"
          note(rawequal(got[1], v), math.type(got[1]) == math.type(v), got[v])
        end
      end)]]
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    for _, line in ipairs(t:said()) do assert.equal(line:match "nil" or "true", line:match "%S+") end
  end)

  it("is opened the same way by all rules", function()
    local faults = real.faults {
      ["a.lua"] = [[store.open("x", { persistent = true })]],
      ["b.lua"] = [[store.open "x"]],
    }
    assert.matches('b.lua: the store "x" is not persistent here and persistent in [^:]*a.lua', faults)
  end)

  it("stays the same way when one rule changes and the other is kept", function()
    local t = real.run { ["a.lua"] = [[store.open("x", { persistent = true })]], ["b.lua"] = [[store.open "y"]] }
    t:put("b.lua", [[store.open "x"]])
    assert.is_falsy(t:reload())
    t:put("b.lua", [[store.open("x", { persistent = true })]])
    assert.is_true(t:reload())
  end)

  it("names options that it does not know, and cannot sync what does not survive", function()
    assert.matches("only option is persistent", real.faults [[store.open("x", { persist = true })]])
    assert.matches("true or false", real.faults [[store.open("x", { persistent = 1 })]])
    local t = real.run [[local st = store.open "x" ami.on("Hangup", function() note(pcall(st.sync, st)) end)]]
    t:event "Hangup"
    assert.matches("only a persistent store", t:said()[1])
  end)
end)
