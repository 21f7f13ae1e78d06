local helper = require "tests.spec.helper"

describe("ctl disable and enable", function()
  after_each(helper.cleanup)

  local function daemon()
    return helper.daemon { rules = {
      ["one.lua"] = [[
        ami.on("crm.a", function(ev) log.info("one heard", { n = ev.n }) end)
        ami.on("server.gap", function(ev) log.info("one missed", { count = ev.count, reason = ev.reason }) end)
        timer.every(0.01, function() log.info("one ticked") end)
        ami.on("crm.wait", function() timer.sleep(0.1) log.info("one went on") end)
      ]],
      ["two.lua"] = [[ami.on("crm.a", function(ev) log.info("two heard", { n = ev.n }) end)]],
    } }
  end

  local function state(d, name)
    for _, rule in ipairs(d:status().rules) do
      if rule.name == name then return rule.state, rule end
    end
  end

  it("stops a rule's listeners and timers, and no other's, until it is enabled", function()
    local d = daemon()
    d:await { msg = "one ticked" }
    local code, out = d:ctl("disable", "one")
    assert.are.equal(0, code)
    assert.matches("^one is disabled", out)
    assert.are.equal("disabled", (state(d, "one")))
    assert.are.equal("runs", (state(d, "two")))
    d:emit("crm.a", "n=1")
    d:await { msg = "two heard", n = "1" }
    local mark = d:mark()
    d:emit("crm.a", "n=2")
    d:await { msg = "two heard", n = "2" }
    assert.are.same({}, d:find({ msg = "one ticked" }, mark))
    local _, table = d:ctl "scripts"
    assert.matches("\none +disabled ", table)
    assert.are.equal(0, (d:ctl("enable", "one")))
    d:emit("crm.a", "n=3")
    d:await { msg = "one heard", n = "3" }
    assert.are.equal(1, #d:find { msg = "one heard" })
    local gap = d:await { msg = "one missed" }
    assert.are.same({ "2", "disabled" }, { gap.count, gap.reason })
    d:await({ msg = "one ticked" }, { from = mark })
  end)

  it("lets go on what has begun", function()
    local d = daemon()
    d:emit "crm.wait"
    d:ctl("disable", "one")
    d:await { msg = "one went on" }
  end)

  it("ends with a reload", function()
    local d = daemon()
    d:ctl("disable", "one")
    d:ctl "reload"
    assert.are.equal("runs", (state(d, "one")))
  end)

  it("refuses a rule that there is not", function()
    local d = daemon()
    for _, order in ipairs { "enable", "disable" } do
      local code, _, err = d:ctl(order, "nosuch")
      assert.are.equal(1, code)
      assert.matches("no rule 'nosuch' runs", err)
    end
  end)
end)
