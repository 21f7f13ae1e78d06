local helper = require "tests.spec.helper"

describe("redact", function()
  after_each(helper.cleanup)

  local RULE = [[
    ami.on("crm.card", function(ev)
      log.info("seen " .. ev.text, { account = "12-34", plain = ev.text, plain_too = ev.text })
      metric.counter("cards_total", "Cards", { "number" }):inc({ ev.text })
      error("refused " .. ev.text)
    end)
    log.info("loading 1234-5678-9012-3456")
  ]]
  local CARD = "4111-1111-1111-1111"
  local PATTERN = [[\b\d{4}-\d{4}-\d{4}-\d{4}\b]]

  local function daemon(redact)
    return helper.daemon { rules = { ["card.lua"] = RULE }, config = { redact = redact } }
  end

  it("masks what its patterns match in logs, errors, metrics and what ctl shows, and the names that it gives", function()
    local d = daemon { names = { "ACC*" }, values = { PATTERN } }
    d:emit("crm.card", "text=" .. CARD)
    local record = d:await { msg = helper.has "seen" }
    assert.are.equal("seen [redacted]", record.msg)
    assert.are.equal("[redacted]", record.account)
    d:await { msg = helper.has "refused [redacted]", kind = "error" }
    assert.matches("loading %[redacted%]", d:stderr())
    for _, words in ipairs { { "metrics" }, { "scripts" }, { "scripts", "--json" }, { "status" }, { "status", "--json" } } do
      local code, out = d:ctl(table.unpack(words))
      assert.are.equal(0, code)
      assert.is_nil(out:find(CARD, 1, true), words[1])
    end
    assert.is_nil(d:stderr():find(CARD, 1, true))
  end)

  it("takes new patterns with a reload, all or nothing", function()
    local d = daemon { values = {} }
    d:emit("crm.card", "text=" .. CARD)
    d:await { msg = "seen " .. CARD }
    d.project.write { config = { redact = { values = { "(" } } }, rules = { ["card.lua"] = RULE } }
    local good, reason = d:reload()
    assert.is_false(good)
    assert.matches("redact%.values%[1%]: the pattern %( is wrong at byte 1", reason)
    d.project.write { config = { redact = { values = { PATTERN } } }, rules = { ["card.lua"] = RULE } }
    assert.is_true(d:reload())
    d:emit("crm.card", "text=" .. CARD)
    d:await { msg = "seen [redacted]" }
  end)

  it("masks the whole text when a pattern takes too long", function()
    local d = daemon { values = { "(a+)+$" } }
    d:emit("crm.card", "text=" .. ("a"):rep(60) .. "!")
    d:await { msg = "[redacted]" }
  end)

  it("refuses a pattern that matches everywhere", function()
    local code, _, err = helper.run("check", "-c", helper.project { config = { redact = { values = { "x*" } } } }.config)
    assert.are.equal(1, code)
    assert.matches("redact%.values%[1%]: the pattern x%* matches the empty text", err)
  end)
end)
