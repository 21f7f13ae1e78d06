-- What is measured of a rule's calls, in a real daemon.
local helper = require "tests.spec.helper"

describe("calls of a rule", function()
  after_each(helper.cleanup)

  -- `spin(s)` uses so many seconds of CPU time, however busy the machine is.
  local SPIN = "local function spin(s) local t = os.clock() while os.clock() - t < s do end end\n"

  local function histogram(d, rule)
    local _, out = d:ctl("metrics", "--json")
    for _, series in ipairs(helper.json(out).hookswitch_rules_call_seconds.series) do
      if series.labels.rule == rule then return series end
    end
  end

  local function view(d, name)
    local _, out = d:ctl("scripts", "--json")
    for _, rule in ipairs(helper.json(out).rules) do
      if rule.name == name then return rule end
    end
  end

  it("are timed by a clock, not by samples", function()
    local d = helper.daemon { rules = { ["spin.lua"] = SPIN .. [[
      local n, every = 0
      every = timer.every(0.005, function()
        n = n + 1
        spin(0.0005)
        if n == 40 then every:cancel() log.info "spun" end
      end)]], ["quiet.lua"] = "" } }
    d:await { msg = "spun" }
    local seconds = view(d, "spin").seconds
    assert.is_true(seconds >= 0.02 and seconds < 0.4, seconds)
    assert.is_true(math.abs(seconds / 0.01 - math.floor(seconds / 0.01 + 0.5)) > 1e-6, "whole ticks: " .. seconds)
    assert.are.equal(0, view(d, "quiet").seconds)
    local times = histogram(d, "spin")
    assert.are.equal(40, times.count)
    assert.are.equal(0, times.buckets["0.0001"])
    assert.is_true(math.abs(times.sum - seconds) < 2e-6)
    assert.is_true(math.abs(d:metric("hookswitch_rules_cpu_seconds_total", { rule = "spin" }) - seconds) < 2e-6)
  end)

  it("are all in the histogram, though in busy turns few are timed", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--events", "30000"), { limits = { backlog_events = 100000 } }) },
      rules = { ["all.lua"] = [[ami.on("*", function() end)]] } }
    d:ready "pbx1"
    helper.wait_for(function() return view(d, "all").calls >= 30000 end)
    local calls, times = view(d, "all").calls, histogram(d, "all")
    assert.is_true(times.count > 0.75 * calls and times.count < 1.25 * calls, times.count .. " of " .. calls)
    assert.is_true(times.buckets["0.001"] > 0.9 * times.count)
    assert.is_true(view(d, "all").seconds > 0)
  end)

  it("are logged and counted when they are slow, in a busy turn too", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--events", "20000"), { limits = { backlog_events = 100000 } }) },
      rules = { ["slow.lua"] = SPIN .. [[
        local n = 0
        ami.on("*", function() n = n + 1 if n % 5000 == 0 then spin(0.06) end end)]] },
      config = { limits = { deadline = 2, stuck = 10 } } }
    d:ready "pbx1"
    -- Its load is a call too: the last slow one may come behind the 20,000th.
    local function slow_calls() return d:metric("hookswitch_rules_slow_calls_total", { rule = "slow" }) end
    helper.wait_for(function() return view(d, "slow").calls >= 20000 and slow_calls() >= 4 end, 8,
      function() return helper.source(view(d, "slow")) .. d:tail() end)
    assert.are.equal(4, slow_calls())
    local record = d:await { msg = "a slow call", rule = "slow", server = "pbx1", ["in"] = "listener" }
    assert.is_true(record.seconds >= 0.02 and record.seconds < 1 and record.event ~= nil, helper.source(record))
    -- At most one record a second for each rule.
    assert.is_true(#d:find { msg = "a slow call" } <= 3)
  end)

  it("are slow by the configuration's word, or never", function()
    for limit, expected in pairs { [0] = 0, [0.5] = 0, [0.004] = 1 } do
      local d = helper.daemon { rules = { ["spin.lua"] = SPIN .. [[ami.on("crm.spin", function() spin(0.05) log.info "spun" end)]] },
        config = { limits = { deadline = 1, stuck = 10, slow_call = limit } } }
      d:emit "crm.spin"
      d:await { msg = "spun" }
      assert.are.equal(expected, d:metric("hookswitch_rules_slow_calls_total", { rule = "spin" }))
      assert.are.equal(expected, #d:find { msg = "a slow call", rule = "spin", event = "crm.spin" })
    end
  end)
end)
