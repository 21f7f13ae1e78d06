local support = require "examples.spec.support"
local event = support.event

local ANSWERS = [[return {
  { url = "https://crm.example.net/api/customer?number=4711", json = { name = "Ann\r\nAction: Logoff, \"Smith\"" } },
  { url = "https://crm.example.net/api/customer?number=4712", code = "timeout" },
  { url = "https://crm.example.net/api/customer?number=4713", status = 500 },
}]]

local function join(at, number, channel)
  return event(at, "QueueCallerJoin", { Queue = "support", Channel = channel or "PJSIP/trunk-1", CallerIDNum = number, Position = 1, Count = 1 })
end

describe("examples/caller_name.lua", function()
  local folder

  before_each(function() folder = support.folder({ "examples/caller_name.lua" }, { ["answers.lua"] = ANSWERS }) end)
  after_each(function() folder:close() end)

  -- Requests and actions, in order.
  local function replay(...)
    local lines, log = folder:replay({ ... }, "--answer success --http " .. folder.path .. "/answers.lua", "caller_name = { token = 'wombat-4711' }",
      "policy = { rules = { caller_name = { http = { 'https://crm.example.net/api/' } } } },")
    return lines, log
  end

  it("asks the CRM and sets the name, without what could do harm in it", function()
    local lines = replay(join(0, "4711"))
    assert.matches('"http":{"method":"GET","url":"https://crm.example.net/api/customer%?number=4711","headers":{"Authorization":"%[redacted%]"}', lines[1])
    assert.matches('"Action":"Setvar"', lines[2])
    assert.truthy(lines[2]:find('"Value":"Ann  Action: Logoff   Smith "', 1, true), lines[2])
    assert.equal(2, #lines)
  end)

  it("asks once for a number, also for one that is not known, and again when the answer is old", function()
    local lines = replay(join(0, "4711"), join(1, "4711", "PJSIP/trunk-2"), join(2, "4799"), join(3, "4799"), join(4000, "4799"), event(4001, "Ping", {}))
    local asked = {}
    for _, line in ipairs(lines) do asked[#asked + 1] = line:match 'number=(%d+)' or line:match '"Channel":"([^"]*)' end
    assert.same({ "4711", "PJSIP/trunk-1", "PJSIP/trunk-2", "4799", "4799" }, asked)
  end)

  it("lets the call be when the CRM is slow or down, and says so", function()
    local lines, log = replay(join(0, "4712"), join(1, "4713"), join(2, "anonymous"), event(10, "Ping", {}))
    assert.equal(2, #lines)
    assert.matches('"msg":"the CRM does not answer"[^\n]*"reason":"timeout"', log)
    assert.matches('"msg":"the CRM does not answer"[^\n]*"status":500', log)
  end)
end)
