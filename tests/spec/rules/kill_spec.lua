-- Rules that are stuck in one instruction, where no deadline comes: they are killed, the others and the process go on, and they
-- begin anew. By the real binary, because only there every error is seen that leaves a C function.
local helper = require "tests.spec.helper"
local support = require "tests.spec.rules.support"

local SANITIZED = helper.binary:find("sanitize", 1, true) ~= nil
local STUCK = 0.25
-- What one step of Lua may take until the next tick, and what a sanitizer adds.
local LATE = SANITIZED and 2 or 0.1

-- Texts whose last instruction takes minutes. `t` and `n` are free.
local INTEGERS = "local t = {} for k = 1, 131073 do t[k * 262143] = true end"
local FLOATS = "local t = {} for k = 1, 131073 do t[1 + k * 2.0^-52] = true end"

-- Constants that collide in the compiler's own table: the text runs nothing.
local CONSTANTS
do
  local numbers = {}
  for i = 1, 50000 do numbers[i] = ("%.17g"):format(1 + i * 2.0^-52) end
  CONSTANTS = "return {" .. table.concat(numbers, ",") .. "}"
end

local NEIGHBOUR = [[
  local n = 0
  ami.on("*", function(ev) n = n + 1 end)
  timer.every(0.05, function() log.info("alive", { n = n }) end)
]]

describe("a rule that is stuck", function()
  after_each(helper.cleanup)

  for name, text in pairs { integers = INTEGERS,
    ["a compare function"] = "local u = { 1, 2 } table.sort(u, function() " .. INTEGERS .. " return false end)",
    ["a coroutine"] = "coroutine.wrap(function() pcall(error, 'x') " .. INTEGERS .. " end)()",
    ["a variable that is closed"] = "local c <close> = setmetatable({}, { __close = function() " .. INTEGERS .. " end })",
    ["__tostring of a log field"] = "log.info('x', { f = setmetatable({}, { __tostring = function() " .. INTEGERS .. " return 'x' end }) })" } do
    it("in " .. name .. " is killed alone, and its neighbours go on", function()
      local sim = helper.sim("--events", "0", "--rate", "200")
      local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = {
        ["a_neighbour.lua"] = NEIGHBOUR, ["z_neighbour.lua"] = NEIGHBOUR,
        ["stuck.lua"] = 'timer.after(0.3, function() end) ami.subscribe "Newstate" ami.once("FullyBooted", { label = "grows" }, function() timer.sleep(0.2) '
          .. text .. " end)" } }
      local record = daemon:await({ rule = "stuck", msg = helper.has "rule killed" }, { timeout = 30 })
      assert.are.equal("killed", record.kind)
      assert.are.equal("grows", record.listener)
      assert.are.equal("FullyBooted", record.event)
      assert.are.equal("pbx", record.server)
      assert.is_true(record.seconds >= STUCK - 0.02 and record.seconds < STUCK + LATE, record.seconds)
      daemon:await { rule = "stuck", msg = "rule quarantined", reason = "killed", begins_anew_in_seconds = 30 }
      local seen = #daemon:find { rule = "a_neighbour", msg = "alive" }
      helper.wait_for(function() return #daemon:find { rule = "a_neighbour", msg = "alive" } > seen + 3 end, 10)
      for _, neighbour in ipairs { "a_neighbour", "z_neighbour" } do
        assert.are.equal(0, daemon:metric("hookswitch_rules_events_skipped_total", { rule = neighbour }))
      end
      assert.are.equal(1, daemon:metric("hookswitch_rules_errors_total", { rule = "stuck", kind = "killed" }))
      assert.are.equal(1, daemon:metric("hookswitch_rules_down", { rule = "stuck" }))
      assert.is_true(daemon:metric("hookswitch_rules_memory_bytes", { rule = "stuck" }) < 1024)
      local _, shown = daemon:ctl "scripts"
      assert.matches("\nstuck +down ", shown)
      assert.matches("stuck: was stopped and begins anew at %d%d%d%d%-", shown)
      assert.is_true(daemon:running())
      daemon:stop()
    end)
  end

  it("while it loads fails the reload, and the old rules go on", function()
    for _, text in ipairs { INTEGERS, FLOATS } do
      local project = helper.project { rules = { ["good.lua"] = NEIGHBOUR }, config = { limits = { load_stuck = 0.6 } } }
      local daemon = helper.daemon(project)
      daemon:await { rule = "good", msg = "alive" }
      helper.write_file(project.folder .. "/scripts/stuck.lua", text)
      daemon:reload()
      local record = daemon:await({ msg = helper.has "reload failed" }, { timeout = 30 })
      -- Which limit comes first depends on the machine: many short instructions stand before the long one.
      assert.is_truthy(record.reason:find("limits.load_", 1, true), record.reason)
      local seen = #daemon:find { rule = "good", msg = "alive" }
      helper.wait_for(function() return #daemon:find { rule = "good", msg = "alive" } > seen + 3 end, 10)
      daemon:stop()
      helper.cleanup()
    end
  end)

  it("in the compiler fails the reload, says that it took too long, and the old rules go on", function()
    local project = helper.project { rules = { ["good.lua"] = NEIGHBOUR }, config = { limits = { load_deadline = 0.1, load_stuck = 0.2 } } }
    local daemon = helper.daemon(project)
    daemon:await { rule = "good", msg = "alive" }
    helper.write_file(project.folder .. "/scripts/stuck.lua", CONSTANTS)
    assert.is_false((daemon:reload()))
    local record = daemon:await { msg = helper.has "reload failed" }
    -- After load_deadline the compiler ends as soon as it asks for memory, else after load_stuck.
    assert.is_truthy(record.reason:find("limits.load_", 1, true), record.reason)
    local seen = #daemon:find { rule = "good", msg = "alive" }
    helper.wait_for(function() return #daemon:find { rule = "good", msg = "alive" } > seen + 3 end, 10)
  end)
end)

describe("a configuration whose keys collide", function()
  after_each(helper.cleanup)

  local function check(text)
    local project = helper.project { rules = { ["good.lua"] = "" } }
    local path = project.folder .. "/bad.lua"
    helper.write_file(path, text)
    -- CPU time: other processes of the machine take what they like.
    local pipe = assert(io.popen(("bash -c 'TIMEFORMAT=%%U; time %s check -c %s' 2>&1"):format(helper.binary, path)))
    local said, seconds = pipe:read("a"):match "^(.*)\n([%d.]+)\n$"
    pipe:close()
    assert.is_true(tonumber(seconds) < (SANITIZED and 10 or 4), seconds)
    return said
  end

  it("ends with a clear error while it runs", function()
    assert.is_truthy(check("for i = 1, 1 do " .. INTEGERS .. " end return {}"):find("runs too long", 1, true))
  end)

  it("ends with a clear error as one large table", function()
    assert.is_truthy(check(CONSTANTS):find("runs too long", 1, true))
  end)
end)

describe("a rule that was killed", function()
  after_each(support.cleanup)

  local FILES = {
    ["stuck.lua"] = [[
      local n = 0
      local m = metric.counter("heard", "x")
      ami.on("script.loaded", function(ev) note("loaded", ev.reason or "-") end)
      ami.on("server.ready", function(ev, server) note("ready", server.name, ev.reason) end)
      ami.on("server.gap", function(ev) note("gap", ev.count, ev.reason) end)
      ami.on("Hangup", function() m:inc() n = n + 1 note("heard", n) end)
      ami.on("own.stick", function() ]] .. INTEGERS .. [[ end)]],
    ["other.lua"] = 'ami.on("script.quarantined", function(ev) note("quarantined", ev.rule, ev.reason) end)',
  }

  local function stick(t)
    t:emit "own.stick"
    t:turn()
    t:turn()
  end

  it("begins anew after a pause, and hears why and what it missed", function()
    local t = support.run(FILES)
    t:event "Hangup"
    t:said()
    stick(t)
    assert.same({ "quarantined stuck killed" }, t:said())
    assert.is_true(t:rule("stuck").down)
    for _ = 1, 3 do t:event "Hangup" end
    t:advance(29)
    assert.same({}, t:said())
    t:advance(2)
    assert.is_false(t:rule("stuck").down)
    assert.equal("restarted", t:rule("stuck").change)
    assert.same({ "loaded killed", "ready pbx1 reloaded", "gap 3 killed" }, t:said())
    t:event "Hangup"
    assert.same({ "heard 1" }, t:said())
    assert.equal(2, t:metric "hookswitch_rule_heard")
    assert.equal(3, t:rule("stuck").skipped)
  end)

  it("hears of what it had missed before, too", function()
    local t = support.run([[
      ami.on("server.gap", function(ev) note("gap", ev.count, ev.reason) end)
      ami.on("own.wait", function() ami.wait "Newchannel" ]] .. INTEGERS .. [[ end)
      ami.on("Hangup", function() end)]], { limits = { waiting = 1 } })
    t:emit "own.wait"
    t:turn()
    for _ = 1, 3 do t:event "Hangup" end
    t:event "Newchannel"
    t:turn()
    t:turn()
    assert.is_true(t:rule().down)
    t:event "Hangup"
    t:advance(31)
    assert.same({ "gap 4 killed" }, t:said())
  end)

  it("hears, counted, of the events that waited for it when it was killed", function()
    local t = support.run([[
      ami.on("server.gap", function(ev) note("gap", ev.count, ev.reason) end)
      ami.on("Busy", function() note "stuck" ]] .. INTEGERS .. [[ end)
      ami.on("Hangup", function() note "heard" end)]], { limits = { turn_events = 1 } })
    local records = support.logged(function()
      t:event "Hangup"
      t:event "Busy"
      for _ = 1, 3 do t:event "Hangup" end
      t:turn()
      t:turn()
    end, "warn")
    assert.is_true(t:rule().down)
    local lost
    for _, record in ipairs(records) do
      if record.msg == "events that waited for a rule were not given to it" then lost = record end
    end
    assert.same({ "rule", 3, "killed" }, { lost.rule, lost.count, lost.reason })
    assert.equal(3, t:metric 'hookswitch_rules_events_skipped_total{rule="rule"}')
    t:event "Hangup"
    t:advance(31)
    assert.same({ "heard", "stuck", "gap 4 killed" }, t:said())
    assert.equal(4, t:metric 'hookswitch_rules_events_skipped_total{rule="rule"}')
  end)

  it("that is loaded by a reload meanwhile hears what it missed, too", function()
    local t = support.run(FILES)
    stick(t)
    for _ = 1, 3 do t:event "Hangup" end
    t:said()
    assert.is_true(t:reload())
    t:advance(1)
    assert.same({ "loaded -", "ready pbx1 reloaded", "gap 3 killed" }, t:said())
    assert.equal(3, t:metric 'hookswitch_rules_events_skipped_total{rule="stuck"}')
  end)

  it("waits twice as long each time, and as at first after an hour or a reload", function()
    local t = support.run(FILES)
    local function wait(seconds)
      stick(t)
      t:advance(seconds - 1)
      assert.is_true(t:rule("stuck").down, seconds)
      t:advance(2)
      assert.is_false(t:rule("stuck").down, seconds)
    end
    wait(30)
    wait(60)
    wait(120)
    t:advance(3700)
    wait(30)
    wait(60)
    t:reload { all = true }
    t:advance(1)
    wait(30)
  end)

  it("is loaded by a reload meanwhile", function()
    local t = support.run(FILES)
    stick(t)
    assert.is_true(t:rule("stuck").down)
    t:said()
    assert.is_true(t:reload())
    t:advance(1)
    assert.is_false(t:rule("stuck").down)
    assert.same({ "loaded -", "ready pbx1 reloaded" }, t:said())
    t:advance(100)
    assert.same({}, t:said())
  end)

  it("leaves nothing: its timers, waits, actions and subscriptions are gone at once", function()
    local t = support.run([[
      ami.on("own.fill", function()
        timer.every(1, function() end)
        for _ = 1, 5 do ami.subscribe "Hangup" end
        ami.server "pbx1":send({ Action = "Ping" }, function() note "answered" end)
        timer.sleep(3600)
      end)
      ami.on("own.call", function() ami.server "pbx1":call { Action = "Ping" } note "answered" end)
      ami.on("own.stick", function() ]] .. INTEGERS .. [[ end)]])
    t:emit "own.fill"
    t:emit "own.call"
    t:turn()
    t:event "Hangup"
    assert.is_true(t:rule().waiting == 2 and t:rule().pending == 2)
    stick(t)
    local rule = t:rule()
    assert.same({ 0, 0, 0, 0, 0 }, { rule.waiting, rule.pending, rule.timers, rule.subscriptions, rule.memory })
    for _, entry in ipairs(t:pending()) do t:answer(entry.id, { Response = "Success" }) end
    t:advance(10)
    assert.same({}, t:said())
  end)
end)

describe("a rule that uses up its memory again and again", function()
  after_each(support.cleanup)

  it("gives it back and begins anew after a pause", function()
    local t = support.run([[
      local kept = {}
      ami.on("script.loaded", function(ev) note("loaded", ev.reason or "-") end)
      ami.on("server.gap", function(ev) note("gap", ev.count, ev.reason) end)
      ami.on("Hangup", function() for i = 1, 1e6 do kept[#kept + 1] = { i } end end)]], { limits = { rule_memory = 2e6, deadline = 5, stuck = 20 } })
    t:said()
    for _ = 1, 3 do
      t:event "Hangup"
      t:turn()
    end
    assert.is_true(t:rule().down)
    assert.equal(0, t:rule().memory)
    t:event "Hangup"
    t:advance(31)
    assert.is_false(t:rule().down)
    assert.same({ "loaded memory", "gap 1 memory" }, t:said())
  end)
end)
