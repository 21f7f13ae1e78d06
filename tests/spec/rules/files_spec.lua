local lfs = require "lfs"
local support = require "tests.spec.rules.support"

describe("rule files", function()
  after_each(support.cleanup)

  it("run in the order of their names, but for those that begin with _ or .", function()
    local t = support.run {
      ["b.lua"] = [[ami.on("Hangup", function() note "b" end)]],
      ["a.lua"] = [[ami.on("Hangup", function() note "a" end)]],
      ["10.lua"] = [[ami.on("Hangup", function() note "10" end)]],
      ["_c.lua"] = [[error "ran"]],
      [".d.lua"] = [[error "ran"]],
      ["e.txt"] = [[error "ran"]],
    }
    t:event "Hangup"
    assert.same({ "10", "a", "b" }, t:said())
  end)

  it("have their own globals", function()
    local t = support.run {
      ["a.lua"] = [[x = 1 ami.on("Hangup", function() x = x + 1 note("a", x) end)]],
      ["b.lua"] = [[ami.on("Hangup", function() note("b", (pcall(function() return x end))) x = "mine" note("b", x) end)]],
    }
    t:event "Hangup"
    t:event "Hangup"
    assert.same({ "a 2", "b false", "b mine", "a 3", "b true", "b mine" }, t:said())
  end)

  it("that read a global which is not defined fail with its name", function()
    assert.matches("rule.lua:2: undefined global 'quue'", support.faults "local a = 1\nreturn quue")
    assert.matches("rule.lua:1: undefined global 'print_'", support.faults "print_('x')")
  end)

  it("do not have what reaches outside", function()
    for _, name in ipairs { "io", "debug", "package", "load", "loadstring", "dofile", "loadfile", "_G", "module" } do
      assert.matches(("undefined global '%s'"):format(name), support.faults("return " .. name))
      support.cleanup()
    end
    local t = support.run [[ami.on("Hangup", function()
      for _, name in ipairs { "execute", "exit", "getenv", "remove", "rename", "tmpname", "setlocale" } do note(os[name]) end
      note(string.dump, (pcall(collectgarbage)), type(collectgarbage "count"), (pcall(setmetatable, {}, { __gc = function() end })))
    end)]]
    t:event "Hangup"
    assert.same({ "nil", "nil", "nil", "nil", "nil", "nil", "nil", "nil false number false" }, t:said())
  end)

  it("cannot change the libraries that all share", function()
    for _, text in ipairs { "string.format = nil", "table.x = 1", "ami.on = nil", "rawset(ami, 'on', 1)", "setmetatable(ami, {})", "math.pi = 3",
      "getmetatable('').__index = {}", "json.null = 1", "timer.after = nil" } do
      assert.matches("rule.lua:1: ", support.faults(text))
      support.cleanup()
    end
  end)

  it("are text, never bytecode", function()
    assert.matches("rule.lua: .*binary", support.faults { ["raw:rule.lua"] = string.dump(function() return 1 end) })
  end)

  it("that do not compile or fail while loading are named with their line, all of them", function()
    local text = support.faults { ["a.lua"] = "local x = \n = 3", ["b.lua"] = "\n\nerror 'wrong'", ["c.lua"] = "local x = nil\nreturn x.y", ["d.lua"] = "" }
    assert.matches("scripts/a.lua:2: ", text)
    assert.matches("scripts/b.lua:3: wrong", text)
    assert.matches("scripts/c.lua:2: attempt to index a nil value %(local 'x'%)", text)
  end)

  it("that cannot be read fail the load", function()
    local run = support.folder()
    assert(lfs.mkdir(run .. "/scripts"))
    assert(lfs.link("/etc/hostname", run .. "/scripts/link.lua", true))
    local rules = require("hookswitch").rules
    local h, faults = rules.new { rules = run .. "/scripts", lib = run .. "/lib" }
    assert.is_nil(h)
    assert.matches("scripts/link.lua: .*symbolic link", faults[1])
    os.remove(run .. "/scripts/link.lua")
    h, faults = rules.new { rules = run .. "/nothing", lib = run .. "/lib" }
    assert.is_nil(h)
    assert.matches("nothing: the rules folder cannot be read: No such file", faults[1])
  end)

  it("get an error when there is none", function()
    local _, warnings = support.load {}
    assert.matches("warning: .*no rule", warnings[1])
  end)

  it("run too long or take too much memory while loading are stopped", function()
    assert.equal("scripts/rule.lua:1: deadline: the file takes too long to load (limits.load_deadline)",
      support.faults({ ["raw:rule.lua"] = "while true do end" }, { limits = { load_deadline = 0.05 } }))
    assert.matches("rule.lua:1: not enough memory %(limits.rule_memory", support.faults("local t = {} for i = 1, 1e9 do t[i] = { i } end", { limits = { rule_memory = 2e6, load_deadline = 5 } }))
  end)

  it("are blamed for memory only when that is what ended them", function()
    local hoard = "local t = {} for i = 1, 1e9 do t[i] = { i } end"
    assert.equal("scripts/rule.lua:1: not enough memory (limits.rule_memory)",
      support.faults({ ["raw:rule.lua"] = hoard }, { limits = { rule_memory = 2e6, load_deadline = 5, stuck = 10 } }))
    assert.equal("scripts/rule.lua:2: another",
      support.faults({ ["raw:rule.lua"] = "pcall(function() " .. hoard .. " end)\nerror 'another'" },
        { limits = { rule_memory = 2e6, load_deadline = 5, stuck = 10 } }))
  end)

  it("take no more than limits.load_total together", function()
    local files = {}
    for i = 1, 9 do files[("raw:busy%d.lua"):format(i)] = "local began = os.clock() while os.clock() - began < 0.1 do end" end
    local faults = support.faults(files, { limits = { load_total = 0.25, load_deadline = 5, stuck = 10 } })
    assert.matches("loading took more than 0.25 s of CPU time %(limits.load_total%): 3 of 9 files were loaded", faults)
    assert.is_nil(faults:find "\n")
    support.run(files, { limits = { load_total = 5, load_deadline = 5, stuck = 10 } })
  end)

  it("keep what they are made of in a digest", function()
    local t = support.run { ["raw:rule.lua"] = "return 1" }
    assert.matches("^%x+$", t:rule().digest)
    assert.equal(64, #t:rule().digest)
  end)
end)

describe("require", function()
  after_each(support.cleanup)

  it("finds scripts/x.lua, then lib/x.lua", function()
    local t = support.run {
      ["rule.lua"] = [[local one, two = require "one", require "two" ami.on("Hangup", function() note(one, two) end)]],
      ["raw:_x.lua"] = "", ["raw:one.lua"] = [[return "scripts/one"]],
      ["lib/one.lua"] = [[return "lib/one"]],
      ["lib/two.lua"] = [[return "lib/two"]],
    }
    t:event "Hangup"
    assert.same({ "scripts/one lib/two" }, t:said())
  end)

  it("makes an instance of a module for each rule, once", function()
    local t = support.run {
      ["a.lua"] = [[local m = require "m" ami.on("Hangup", function() note(m.next()) end)]],
      ["b.lua"] = [[local m = require "m" ami.on("Hangup", function() note(m.next(), m == require "m") end)]],
      ["lib/m.lua"] = [[local n = 0 return { next = function() n = n + 1 return n end }]],
    }
    t:event "Hangup"
    t:event "Hangup"
    assert.same({ "1", "1 true", "2", "2 true" }, t:said())
  end)

  it("makes an instance of a rule that another one requires, beside the rule itself", function()
    local t = support.run {
      ["a.lua"] = [[local b = require "b" ami.on("Hangup", function() note("a", b.x) end)]],
      ["b.lua"] = [[ami.on("Hangup", function() note "b" end) return { x = 1 }]],
    }
    t:event "Hangup"
    assert.same({ "b", "a 1", "b" }, t:said())
  end)

  it("gives true for a module that returns nothing, and functions and values as they are", function()
    local t = support.run {
      ["rule.lua"] = [[local a, f, s = require "a", require "f", require "s" ami.on("Hangup", function() note(a, f(2), s) end)]],
      ["lib/a.lua"] = "", ["lib/f.lua"] = "return function(x) return x * 2 end", ["lib/s.lua"] = "return 'text'",
    }
    t:event "Hangup"
    assert.same({ "true 4 text" }, t:said())
  end)

  it("lets a module change itself", function()
    local t = support.run {
      ["rule.lua"] = [[local m = require "m" ami.on("Hangup", function() m.add "x" note(#m.list, m.list[1]) end)]],
      ["lib/m.lua"] = [[local m = { list = {} } function m.add(x) m.list[#m.list + 1] = x end return m]],
    }
    t:event "Hangup"
    assert.same({ "1 x" }, t:said())
  end)

  it("lets a module that is called wait", function()
    local t = support.run {
      ["rule.lua"] = [[local m = require "m" ami.on("Hangup", function() note(m(1)) note(m.nap(1)) end)]],
      ["lib/m.lua"] = [[return setmetatable({ nap = function(s) timer.sleep(s) return "nap" end }, { __call = function(_, s) timer.sleep(s) return "called" end })]],
    }
    t:event "Hangup"
    t:advance(2)
    assert.same({ "called", "nap" }, t:said())
  end)

  it("gives a module its own environment, and lets it listen", function()
    local t = support.run {
      ["rule.lua"] = [[x = "rule" require "m" ami.on("Hangup", function() note("rule", x) end)]],
      ["lib/m.lua"] = [[x = "module" local s = sink.open "said" ami.on("Hangup", function() s:write("module " .. x) end)]],
    }
    t:event "Hangup"
    assert.same({ "module module", "rule rule" }, t:said())
    assert.equal(2, t:rule().listeners)
  end)

  it("names a circle, a module that fails, and one that is not there", function()
    assert.matches("requires itself", support.faults { ["rule.lua"] = [[require "a"]], ["lib/a.lua"] = [[require "b"]], ["lib/b.lua"] = [[require "a"]] })
    assert.matches("lib/a.lua:2: oh", support.faults { ["rule.lua"] = [[require "a"]], ["lib/a.lua"] = "\nerror 'oh'" })
    local both = support.faults { ["x.lua"] = [[require "a"]], ["y.lua"] = [[require "a"]], ["lib/a.lua"] = "\nerror 'oh'" }
    assert.equal("lib/a.lua:2: oh\nlib/a.lua:2: oh", both)
    assert.matches("there is no scripts/nothing.lua and no lib/nothing.lua", support.faults [[require "nothing"]])
  end)

  it("reaches nothing beyond the two folders", function()
    for _, name in ipairs { "../rule", "a/b", "a.b", "/etc/passwd", "", "a\\0b", "lua.cjson" } do
      assert.matches("letters, digits", support.faults(('require "%s"'):format(name)))
      support.cleanup()
    end
    assert.matches("no scripts/cjson.lua", support.faults [[require "cjson"]])
  end)

  it("at run time gives what is loaded, and reads nothing new", function()
    local t = support.run {
      ["rule.lua"] = [[require "m" ami.on("Hangup", function() note(require "m", (select(2, pcall(require, "late")))) end)]],
      ["lib/m.lua"] = "return 'm'", ["lib/late.lua"] = "return 'late'",
    }
    t:event "Hangup"
    assert.matches("^m .*while the rules load", t:said()[1])
  end)
end)
