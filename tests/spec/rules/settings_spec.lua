local support = require "tests.spec.rules.support"

describe("settings", function()
  after_each(support.cleanup)

  local function with(code, settings)
    return support.run(code, { settings = settings })
  end

  it("are the defaults when the configuration says nothing", function()
    local t = with [[local s = settings { queue = "sales", limit = 3, on = true } ami.on("Hangup", function() note(s.queue, s.limit, s.on, s.other) end)]]
    t:event "Hangup"
    assert.same({ "sales 3 true nil" }, t:said())
  end)

  it("are the rule's own section over the defaults", function()
    local t = with([[local s = settings { queue = "sales", limit = 3, on = true } ami.on("Hangup", function() note(s.queue, s.limit, s.on) end)]],
      { rule = { limit = 4.5, on = false } })
    t:event "Hangup"
    assert.same({ "sales 4.5 false" }, t:said())
  end)

  it("overlay tables of options key by key, and replace lists and maps without keys whole", function()
    local t = with([[
      local s = settings { mail = { to = "a", from = "b", more = { x = 1, y = 2 } }, list = { 1, 2, 3 }, map = {} }
      ami.on("Hangup", function() note(s.mail.to, s.mail.from, s.mail.more.x, s.mail.more.y, #s.list, s.list[1], s.map.anything) end)]],
      { rule = { mail = { to = "z", more = { y = 9 } }, list = { 7 }, map = { anything = "goes" } } })
    t:event "Hangup"
    assert.same({ "z b 1 9 1 7 goes" }, t:said())
  end)

  it("cannot be changed, nor reached through the table of defaults", function()
    local t = with([[
      local defaults = { a = { 1 } }
      local s = settings(defaults)
      defaults.a[1] = 99
      ami.on("Hangup", function()
        note(s.a[1], (pcall(function() s.a = 1 end)), (pcall(function() s.a[1] = 2 end)), (pcall(rawset, s, "a", 1)), s.a[1], getmetatable(s))
      end)]])
    t:event "Hangup"
    assert.same({ "1 false false false 1 false" }, t:said())
  end)

  it("can be walked", function()
    local t = with([[local s = settings { a = 1, b = 2, list = { 4, 5 } } ami.on("Hangup", function()
      local n = 0 for k, v in pairs(s) do n = n + 1 end
      local sum = 0 for _, v in ipairs(s.list) do sum = sum + v end
      note(n, sum, #s.list)
    end)]], { rule = { a = 5 } })
    t:event "Hangup"
    assert.same({ "3 9 2" }, t:said())
  end)

  it("with an unknown key fail the load", function()
    assert.matches("rules.rule.quue: unknown option", support.faults([[settings { queue = "x" }]], { settings = { rule = { quue = "y" } } }))
    assert.matches("rules.rule.mail.tu: unknown option", support.faults([[settings { mail = { to = "x" } }]], { settings = { rule = { mail = { tu = "y" } } } }))
  end)

  it("of a wrong type fail the load", function()
    assert.matches("rules.rule.limit: a number is expected, not a string", support.faults([[settings { limit = 3 }]], { settings = { rule = { limit = "3" } } }))
    assert.matches("rules.rule.mail: a table is expected, not a boolean", support.faults([[settings { mail = { to = 1 } }]], { settings = { rule = { mail = true } } }))
  end)

  it("that no rule reads fail the load", function()
    assert.matches("rules.nobody: there is no scripts/nobody.lua", support.faults("", { settings = { nobody = { a = 1 } } }))
    assert.matches("rules.rule: scripts/rule.lua does not call settings", support.faults("", { settings = { rule = { a = 1 } } }))
  end)

  it("of a module are its own section", function()
    local t = support.run({
      ["lib/calls.lua"] = [[return settings { depth = 1 }]],
      ["rule.lua"] = [[local calls = require "calls" ami.on("Hangup", function() note(calls.depth) end)]],
    }, { settings = { ["lib/calls"] = { depth = 5 } } })
    t:event "Hangup"
    assert.same({ "5" }, t:said())
  end)

  it("refuse defaults that are no plain data", function()
    assert.matches("settings: .*function", support.faults "settings { a = print }")
    assert.matches("table expected", support.faults "settings()")
  end)
end)
