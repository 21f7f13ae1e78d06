-- Rules that mean harm (tests/attacks), run by the real binary on a simulated server, beside a probe in a file of its own that
-- counts events and the time between them. An attack's second comment line says how it must end: with a log record of that
-- kind (deadline, memory, error), or not at all (served), which leaves everyone else served.
local helper = require "tests.spec.helper"
local lfs = require "lfs"

local DEADLINE = 0.05
local RATE = 1000 -- events a second; the probe hears each

-- The longest time between two events at the probe is what somebody else made it wait: as CPU time, because other processes
-- of the machine take what they like; as time of the clock, less the time that the daemon waited for a processor, it must only show
-- that nothing blocked. The probe also begins the attacks one after the other, so that on a slow machine too no two of them begin in
-- the same turn.
local PROBE = [[
local settings = settings { attacks = {}, every = 1 }
local begun = 0
timer.every(settings.every, function()
  begun = begun + 1
  if settings.attacks[begun] then ami.emit("attack." .. settings.attacks[begun]) end
end)
local events, worst, wall, last, last_clock = 0, 0, 0, nil, nil
local function note()
  local now, clock = timer.now(), os.clock()
  if last then
    worst = math.max(worst, math.min(now - last, clock - last_clock))
    wall = math.max(wall, now - last)
  end
  last, last_clock = now, clock
end
timer.every(0.01, note)
ami.on("*", { priority = -1 }, function(ev)
  events = events + 1
  note()
  if ev.UserEvent == "FloodDone" then log.info("probe", { events = events, worst = worst, wall = wall }) end
end)
local gaps = 0
ami.on("server.gap", function(ev) gaps = gaps + 1 log.error("probe missed events", { count = ev.count, reason = ev.reason }) end)
]]

local function attacks(folder)
  local found = {}
  for name in lfs.dir("tests/attacks/" .. folder) do
    local rule = name:match "^(.*)%.lua$"
    if rule then
      local text = helper.read("tests/attacks/" .. folder .. "/" .. name)
      found[#found + 1] = { rule = rule, text = text, ends = text:match "\n%-%- ends: ([%w ]+)\n" }
    end
  end
  table.sort(found, function(a, b) return a.rule < b.rule end)
  return found
end

-- Sanitizers keep what was freed.
local SANITIZED = helper.binary:find("sanitize", 1, true) ~= nil

local function megabytes(daemon)
  if SANITIZED then return 0 end
  return tonumber(helper.read("/proc/" .. daemon.pid .. "/status"):match "VmHWM:%s*(%d+)") / 1024
end

-- Seconds that the daemon could have run and did not, because of others.
local function denied(daemon)
  return tonumber(helper.read("/proc/" .. daemon.pid .. "/schedstat"):match "^%d+ (%d+)") / 1e9
end

-- Runs these attacks together for `seconds` of events, those that wait for a sign one each `every` seconds; the daemon, at the end
-- of the events.
local function run(list, every, seconds, config)
  local rules, order = { ["probe.lua"] = PROBE }, {}
  for _, attack in ipairs(list) do
    rules[attack.rule .. ".lua"] = attack.text
    if attack.text:find('"attack.' .. attack.rule .. '"', 1, true) then order[#order + 1] = attack.rule end
  end
  local events = math.floor(seconds * RATE)
  local sim = helper.sim("--events", tostring(events), "--rate", tostring(RATE))
  config = config or {}
  config.log = {} -- repetitions are held back, as they are by default
  config.rules = { probe = { attacks = order, every = every } }
  local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = rules, config = config }
  local told = daemon:await({ rule = "probe", msg = "probe" }, { timeout = seconds * 3 + 120 })
  told.denied = denied(daemon)
  return daemon, told, events
end

local function check_probe(daemon, told, events)
  assert.are.equal(0, #daemon:find { rule = "probe", msg = "probe missed events" })
  -- FullyBooted and the end of the flood are events as well.
  assert.is_true(told.events >= events, ("%d of %d events"):format(told.events, events))
  assert.is_true(told.worst < 5 * DEADLINE, ("the probe waited %.0f ms"):format(told.worst * 1000))
  local blocked = told.wall - (told.denied or denied(daemon))
  assert.is_true(blocked < 1, ("the probe heard nothing for %.0f ms"):format(blocked * 1000))
  assert.is_true(daemon:running())
end

local function check_end(daemon, attack)
  -- Sanitizers make everything take several times as long: what ends in other ways may reach its deadline first.
  if SANITIZED and daemon:find({ rule = attack.rule, kind = "deadline" })[1] then return end
  if attack.ends == "served" then
    assert.are.same({}, daemon:find { rule = attack.rule, kind = helper.has "" })
    return
  end
  -- A call that catches every refusal and waits does not end by itself: its rule is quarantined.
  local record = helper.wait_for(function()
    return daemon:find({ rule = attack.rule, kind = helper.has "" })[1] or daemon:find({ rule = attack.rule, msg = "rule quarantined" })[1]
  end, 60, attack.rule .. " to end")
  local how = record.kind or record.reason
  assert.is_truthy(attack.ends:find(how, 1, true), ("%s ended as %s: %s"):format(attack.rule, how, record.msg))
end

describe("attacks of a rule", function()
  after_each(helper.cleanup)

  it("on the time of others end at the deadline", function()
    local list = attacks "time"
    local daemon, told, events = run(list, 0.15, #list * 0.15 + 0.6)
    for _, attack in ipairs(list) do check_end(daemon, attack) end
    check_probe(daemon, told, events)
    assert.is_true(megabytes(daemon) < 200)
  end)

  it("that never end leave the others served", function()
    local list = attacks "busy"
    local daemon, told, events = run(list, 1, 3)
    for _, attack in ipairs(list) do check_end(daemon, attack) end
    check_probe(daemon, told, events)
  end)

  for _, attack in ipairs(attacks "crowd") do
    it("in crowds get no more than one share of a turn: " .. attack.rule, function()
      local daemon, told, events = run({ attack }, 1, 1.5)
      check_end(daemon, attack)
      check_probe(daemon, told, events)
      assert.is_true(megabytes(daemon) < 100, megabytes(daemon) .. " MB")
    end)
  end

  it("as ten at once that each use up a turn with one event leave the others served, and are named", function()
    local list = {}
    for i = 1, 10 do
      list[i] = { rule = "slow" .. i, text = 'ami.on("*", function() local till = os.clock() + 0.035 while os.clock() < till do end end)' }
    end
    local daemon, told, events = run(list, 1, 1.5)
    assert.are.equal(0, #daemon:find { rule = "probe", msg = "probe missed events" })
    assert.is_true(told.events >= events, ("%d of %d events"):format(told.events, events))
    daemon:await { msg = helper.has "the rules have used up their share of a turn", rule = helper.has "slow" }
  end)

  it("on memory end for that rule alone", function()
    local list = attacks "memory"
    local daemon, told, events = run(list, 0.3, #list * 0.3 + 1, { limits = { memory = 160 << 20, rule_memory = 6 << 20,
      store_bytes = 2 << 20 } })
    for _, attack in ipairs(list) do check_end(daemon, attack) end
    check_probe(daemon, told, events)
    assert.is_true(megabytes(daemon) < 250, megabytes(daemon) .. " MB")
  end)

  it("in long library calls end with an error that can be caught", function()
    local daemon, told, events = run(attacks "calls", 1, 2.2)
    daemon:await { rule = "long_calls", msg = "held" }
    assert.are.same({}, daemon:find { rule = "long_calls", kind = helper.has "" })
    check_probe(daemon, told, events)
  end)

  it("reach nothing but their own", function()
    local rules = {}
    for _, attack in ipairs(attacks "reach") do rules[attack.rule .. ".lua"] = attack.text end
    local sim = helper.sim("--events", "50", "--rate", "50")
    local project = helper.project { servers = { pbx = helper.server(sim) }, rules = rules, config = { limits = { actions_per_second = 100 } } }
    helper.write_file(project.folder .. "/lib/shared.lua", [[
      local mod = { value = "original", nested = { value = "original", deeper = { value = "original" } }, 3, 1, 2 }
      function mod.get() return mod.value end
      return mod]])
    helper.write_file(project.folder .. "/secret.lua", "return {}")
    helper.write_file(project.folder .. "/lib/huge.lua", "return {}" .. (" "):rep(8 << 20))
    helper.write_file(project.folder .. "/lib/binary.lua", string.dump(function() end))
    assert(lfs.link(project.folder .. "/secret.lua", project.folder .. "/lib/link.lua", true))
    local daemon = helper.daemon(project, { arguments = { "--strict" } })
    for _, attack in ipairs(attacks "reach") do
      helper.wait_for(function()
        local failed = daemon:find({ rule = attack.rule, kind = helper.has "" })[1]
        assert.is_nil(failed, failed and failed.msg)
        return #daemon:find { rule = attack.rule, msg = "held" } == 1
      end, 10, function() return attack.rule .. ":\n" .. daemon:tail() end)
    end
    assert.is_truthy(daemon:stderr():find("to the log", 1, true))
    assert.are.equal(0, #daemon:find { msg = "a finalizer ran" })
  end)

  it("are quarantined when they fail again and again, and are probed", function()
    local sim = helper.sim("--events", "0", "--rate", "200")
    local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = {
      ["fails.lua"] = 'ami.on("Newchannel", { label = "bad" }, function() error "x" end) ami.on("Newchannel", { label = "good" }, function() end)',
      ["loops.lua"] = 'ami.on("Newchannel", function() while true do end end)',
      ["waits.lua"] = [[timer.after(0, function() timer.sleep(1.5) log.info "woke" end)
        ami.on("Newchannel", function() while true do end end)]],
      ["watch.lua"] = 'ami.on("script.quarantined", function(ev) log.info("quarantined", { by = ev.rule, why = ev.reason, listener = ev.listener }) end)',
    } }
    assert.are.equal("bad", daemon:await({ msg = "listener quarantined", rule = "fails" }).listener)
    daemon:await { msg = "rule quarantined", rule = "loops", reason = "deadline" }
    daemon:await { msg = "quarantined", by = "fails", why = "errors", listener = "bad" }
    daemon:await { msg = "quarantined", by = "loops", why = "deadline" }
    daemon:await { msg = "rule quarantined", rule = "waits" }
    daemon:await { msg = "woke", rule = "waits" }
    assert.are.equal(5, #daemon:find { rule = "fails", kind = "error" })
    assert.are.equal(3, #daemon:find { rule = "loops", kind = "deadline" })
    assert.are.equal(1, daemon:metric("hookswitch_rules_quarantined_total", { rule = "loops" }))
    assert.are.equal(3, daemon:metric("hookswitch_rules_errors_total", { rule = "loops", kind = "deadline" }))
  end)
end)

describe("reload under fire", function()
  after_each(helper.cleanup)

  local function descriptors(daemon)
    local n = 0
    for _ in lfs.dir("/proc/" .. daemon.pid .. "/fd") do n = n + 1 end
    return n
  end

  local function resident(daemon)
    if SANITIZED then return 0 end
    return tonumber(helper.read("/proc/" .. daemon.pid .. "/status"):match "VmRSS:%s*(%d+)") / 1024
  end

  -- Each generation counts into the store what it hears, sends, and is answered.
  local RULE = [[
    local s = store.open "count"
    ami.on("*", function(ev)
      s:incr "events"
      if ev.UserEvent == "FloodDone" then s:set("done", true) end
    end)
    timer.every(0.005, function()
      local server = ami.servers()[1]
      local id = server:send({ Action = "Ping" }, function(res, err)
        s:incr "completed"
        if err then s:incr("failed " .. err.code) end
      end)
      if id then s:incr "sent" end
    end)
    ami.on("attack.report", function()
      local report = {}
      for key, value in pairs(s) do report[key] = value end
      log.info("report", report)
    end)
  ]]

  it("loses no event and no answer in a thousand reloads", function()
    local EVENTS = 100000
    local sim = helper.sim("--events", tostring(EVENTS), "--rate", "10000")
    local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = { ["count.lua"] = RULE },
      config = { scripts = { drain = 1 }, log = { throttle_burst = 1000000, level = "info" } } }
    daemon:ready "pbx"
    local before, memory
    for i = 1, 1000 do
      daemon:signal "HUP"
      if i == 200 then before, memory = descriptors(daemon), resident(daemon) end
    end
    local report = helper.wait_for(function()
      daemon:emit "attack.report"
      local found = daemon:find { msg = "report" }
      local last = found[#found]
      return last and last.done and last
    end, 60, "the end of the events")
    assert.is_true(report.events >= EVENTS and report.events <= EVENTS + 3, report.events .. " events")
    assert.is_true(#daemon:find { msg = "reloaded" } > 20)
    -- Every answer comes, in the generation that asked.
    daemon:await({ msg = "report" }, { count = #daemon:find { msg = "report" } })
    assert.is_true(report.sent - report.completed < 50, ("%d sent, %d completed"):format(report.sent, report.completed))
    assert.is_nil(report["failed cancelled"])
    assert.are.equal(0, #daemon:find { msg = helper.RELOAD_FAILED })
    helper.wait_for(function() return descriptors(daemon) <= before + 2 end, 10, "descriptors to be given back")
    assert.is_true(resident(daemon) < memory + 40, ("%.0f MB, then %.0f MB"):format(memory, resident(daemon)))
  end)

  it("keeps the old rules when anything of the new ones is wrong", function()
    local sim = helper.sim("--events", "0", "--rate", "100")
    local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = {
      ["old.lua"] = 'ami.on("attack.who", function() log.info "the old ones" end)' } }
    daemon:ready "pbx"
    local project = daemon.project
    local bad = {
      { "syntax", "x = = 1" }, { "error", 'error "at load"' }, { "deadline", "while true do end" },
      { "a protected loop", "while true do pcall(function() while true do end end) end" },
      { "memory", 'local s = "x" while true do s = s .. s end' },
      { "protected memory", "local t = {} while true do pcall(function() for i = 1, math.huge do t[#t + 1] = {} end end) end" },
      { "sending", "ami.servers()[1]:send { Action = 'Ping' }" }, { "waiting", "timer.sleep(1)" }, { "storing", 'store.open("x"):set(1, 1)' },
      { "bytecode", string.dump(function() end) }, { "a module that is not there", 'require "nothing"' },
      { "an endless list of timers", "for _ = 1, 1e9 do timer.after(1, function() end) end" },
      { "a loop in __close", "local x <close> = setmetatable({}, { __close = function() while true do end end }) error 'x'" },
    }
    for _, case in ipairs(bad) do
      project.rule("bad.lua", case[2])
      local good, why = daemon:reload()
      assert.is_false(good, case[1])
      assert.is_truthy(why:find("bad.lua", 1, true), case[1] .. ": " .. why)
      local from = daemon:mark()
      daemon:emit "attack.who"
      daemon:await({ msg = "the old ones" }, { from = from })
    end
    project.rule("bad.lua", nil)

    -- The configuration, and folders and files that are not what they should be.
    local config = helper.read(project.config)
    for _, text in ipairs { "return {", "return { servers = { pbx = { } } }", "while true do end", "return { nonsense = 1 }",
      config:gsub("^return {", 'return { http = { listen = "127.0.0.1:1" }, ') } do
      helper.write_file(project.config, text)
      if text ~= config then assert.is_false((daemon:reload()), text) end
    end
    os.remove(project.config)
    assert.is_false((daemon:reload()))
    helper.write_file(project.config, config)
    assert(lfs.link(project.folder .. "/nowhere", project.folder .. "/scripts/dangling.lua", true))
    assert.is_false((daemon:reload()))
    os.remove(project.folder .. "/scripts/dangling.lua")
    assert(os.rename(project.folder .. "/scripts", project.folder .. "/gone"))
    assert.is_false((daemon:reload()))
    assert(os.rename(project.folder .. "/gone", project.folder .. "/scripts"))
    local from = daemon:mark()
    daemon:emit "attack.who"
    daemon:await({ msg = "the old ones" }, { from = from })
    assert.is_true((daemon:reload()))
    assert.are.equal(0, #daemon:find({ msg = "session lost" }))
  end)

  for _, attack in ipairs(attacks "ending") do
    it("leaves nothing behind of a rule that ends: " .. attack.rule, function()
      local sim = helper.sim("--events", "0", "--rate", "500")
      local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = { ["ends.lua"] = attack.text,
        ["watch.lua"] = 'local n = 0 ami.on("*", function() n = n + 1 end) ami.on("attack.count", function() log.info("heard", { n = n }) end)' } }
      daemon:ready "pbx"
      local function hears()
        local from, before = daemon:mark(), nil
        helper.wait_for(function()
          daemon:emit "attack.count"
          local heard = daemon:find({ rule = "watch", msg = "heard" }, from)
          before = before or heard[1] and heard[1].n
          return before and heard[#heard].n > before + 20
        end, 10, function() return "more events:\n" .. daemon:tail() end)
      end
      for _ = 1, 12 do
        hears()
        assert.is_true((daemon:reload_all()))
      end
      hears()
      daemon.project.rule("ends.lua", nil)
      assert.is_true((daemon:reload()))
      hears()
      assert.are.equal(0, daemon:stop())
      assert.is_nil(daemon:stderr():find("Sanitizer", 1, true))
    end)
  end

  it("ends old rules in time, whatever they do at their end", function()
    local sim = helper.sim("--events", "3000", "--rate", tostring(RATE))
    local daemon = helper.daemon { servers = { pbx = helper.server(sim) }, rules = {
      ["probe.lua"] = PROBE,
      ["ends.lua"] = [[
        for _ = 1, 500 do
          timer.after(0, function()
            local guard <close> = setmetatable({}, { __close = function() while true do end end })
            timer.sleep(1e6)
          end)
        end
        timer.after(0.2, function()
          local server = ami.servers()[1]
          local function again() server:send({ Action = "Ping" }, again) while true do end end
          for _ = 1, 100 do again() end
        end)]],
    }, config = { scripts = { drain = 0.2 } } }
    daemon:ready "pbx"
    assert.is_true((daemon:reload_all()))
    daemon:await { msg = helper.has "their ending takes too long", rule = "ends" }
    daemon:await { rule = "ends", kind = "deadline" }
    assert.is_true(daemon:running())
    daemon:await { rule = "probe", msg = "probe" }
    local started = helper.now()
    assert.are.equal(0, daemon:stop())
    assert.is_true(helper.now() - started < 5)
  end)
end)
