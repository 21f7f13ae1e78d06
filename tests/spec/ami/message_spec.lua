local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"
local frame = support.frame

describe("a message", function()
  local m = hookswitch.message.parse(frame("Event: CEL", "UniqueID: 1.2", "Variable: a=1", "CallerIDnum: 100", "Empty:", "variable: b=2",
    "no colon", "VARIABLE: c=3"))

  it("Q08 finds a header whatever the case of its name", function()
    assert.equal("1.2", m:get "Uniqueid")
    assert.equal("1.2", m:get "UNIQUEID")
    assert.equal("100", m:get "CallerIDNum")
  end)

  it("Q07 gives the first value, and each of the others in order", function()
    assert.equal("a=1", m:get "Variable")
    assert.same({ "a=1", "b=2", "c=3" }, { m:get("Variable", 0), m:get("Variable", 1), m:get("Variable", 2) })
    assert.is_nil(m:get("Variable", 3))
    assert.same({ 2, 5, 7 }, { m:find "Variable", m:find("Variable", 3), m:find("Variable", 6) })
    assert.is_nil(m:find("Variable", 8))
  end)

  it("Q06 distinguishes an empty value from an absent header", function()
    assert.equal("", m:get "Empty")
    assert.is_nil(m:get "Absent")
    assert.is_nil(m:get "Empt")
    assert.is_nil(m:get "Empty:")
  end)

  it("Q09 finds no line without a colon by a name", function()
    assert.is_nil(m:get "")
    assert.is_nil(m:get "no colon")
  end)

  it("is the same in a copy that outlives the original", function()
    local original = hookswitch.message.parse("Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\na\nb\n--END COMMAND--\r\n\r\n")
    local expected, size = original:fields(), original:size()
    local copy = original:copy()
    original = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    local others = {} -- written where the original was
    for i = 1, 200 do others[i] = hookswitch.message.build("Other", { { "Filler", ("x"):rep(#expected.bytes // 2 + i) } }) end
    assert.same(expected, copy:fields())
    assert.equal("a\nb\n", copy:fields().text)
    assert.equal(size, copy:size())
    assert.is_true(size > #expected.bytes)
  end)

  it("is built from names and values that no wire carried", function()
    local built = hookswitch.message.build("server.lost", { { "reason", "a: b\r\n\0" }, { "empty", "" }, { "reason", "2" } })
    local fields = built:fields()
    assert.same({ "event", "server.lost", "" }, { fields.kind, fields.name, fields.action_id })
    assert.same({ { "Event", "server.lost" }, { "reason", "a: b\r\n\0" }, { "empty", "" }, { "reason", "2" } }, fields.headers)
    assert.equal("2", built:get("Reason", 1))
    assert.same(fields, built:copy():fields())
    assert.same({ { "Event", "x" } }, hookswitch.message.build("x", {}):fields().headers)
  end)
end)
