-- P9: what rules lose is counted, and logged under a name that an operator can look for.
local h = require "tests.spec.helper"

-- A daemon with this rule `r` and these limits; it has no server.
local function daemon(rule, limits)
  return h.daemon { rules = { ["r.lua"] = rule }, config = { limits = limits } }
end

describe("a loss of a rule", function()
  after_each(h.cleanup)

  it("is counted and logged when it writes more log lines than it may", function()
    local d = daemon('timer.after(0, function() for i = 1, 50 do log.info("line", { n = i }) end end)', { log_lines_per_second = 10 })
    d:await { level = "warn", msg = "log lines of a rule were dropped (limits.log_lines_per_second)", rule = "r" }
    assert.is_true(d:metric("hookswitch_rules_log_dropped_total", { rule = "r" }) >= 39)
    assert.equal(10, #d:find { msg = "line" })
  end)

  it("is counted and logged when more events are emitted than may wait", function()
    local d = daemon([[ami.on("a.b", function() end) timer.after(0, function()
      local refused = 0
      for i = 1, 50 do if not ami.emit("a.b", { n = tostring(i) }) then refused = refused + 1 end end
      log.info("refused", { count = refused })
    end)]], { emitted = 10 })
    local refused = d:await({ msg = "refused" }).count
    assert.is_true(refused >= 39, refused)
    local record = d:await { level = "warn", msg = "an engine event was dropped: too many wait (limits.emitted, limits.rule_events, limits.rule_bytes)", event = "a.b" }
    assert.equal(10, record.limit)
    assert.equal(refused, d:metric "hookswitch_engine_events_dropped_total")
  end)

  it("is counted and logged when a timer cannot run because too many calls wait", function()
    local d = daemon([[
      for _ = 1, 2 do timer.after(0, function() timer.sleep(1000) end) end
      timer.every(0.01, function() log.info "ran" end)]], { waiting = 2 })
    d:await { level = "warn", msg = "timer not run: too many calls of the rule wait", rule = "r", reason = "waiting" }
    assert.equal(0, #d:find { msg = "ran" })
    assert.is_true(d:metric("hookswitch_rules_events_skipped_total", { rule = "r" }) >= 1)
  end)
end)
