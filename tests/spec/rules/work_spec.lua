-- `work`: jobs of rules, in memory and in virtual time; tests/spec/engine/work_spec.lua has the state file.
local support = require "tests.spec.rules.support"

-- A rule that pushes what it hears, { ev.N } with the options of `push`, and serves the queue "q" with `on`.
local function rule(push, on, fn)
  return ([[
    ami.on("Hangup", function(ev) note("pushed", work.push("q", { n = ev.N }, %s)) end)
    work.on("q", %s, function(job) %s end)]]):format(push or "nil", on or "{}", fn or "note(job.n, job.try)")
end

local function push(t, ...)
  for _, n in ipairs { ... } do t:event("Hangup", { N = n }) end
  t:advance()
  t:said()
end

local function states(t)
  local all = {}
  for _, job in ipairs(t:jobs "q") do all[#all + 1] = job.job.n .. " " .. job.state .. " " .. job.try end
  return all
end

describe("work.push", function()
  after_each(support.cleanup)

  it("waits until the job is on disk and gives its number", function()
    local t = support.run(rule())
    t:event("Hangup", { N = "a" })
    assert.same({}, t:said())
    t:advance()
    local number = t:jobs("q")[1].number
    assert.same({ "pushed " .. number }, t:said())
  end)

  it("does not wait with a callback, which gets the number", function()
    local t = support.run [[
      ami.on("Hangup", function() note(work.push("q", {}, function(id, err) note(math.type(id), err) end)) end)]]
    t:event "Hangup"
    assert.same({ "true" }, t:said())
    t:advance()
    assert.same({ "integer nil" }, t:said())
  end)

  it("calls a callback with `cancelled` when the engine stops before the answer", function()
    local t = support.run [[ami.on("Hangup", function() work.push("q", {}, function(id, err) note(id, err.code) end) end)]]
    t:event "Hangup"
    t:stop()
    assert.same({ "nil cancelled" }, t:said())
  end)

  it("knows an id while its job waits or runs, and for `dedup` after its end", function()
    local t = support.run(rule("{ id = ev.N, dedup = 60 }", "{}", "note('run', job.n)"))
    t:event("Hangup", { N = "a" })
    t:event("Hangup", { N = "a" })
    t:advance()
    local said = t:said()
    assert.equal(said[1], said[2])
    t:work()
    assert.same({ "run a" }, t:said())
    push(t, "a")
    assert.same({}, t:jobs "q")
    t:advance(61)
    push(t, "a")
    assert.equal(1, #t:jobs "q")
  end)

  it("keeps a job until its delay is over, or its time has come", function()
    for _, options in ipairs { "{ delay = 30 }", "{ at = os.time() + 30 }" } do
      local t = support.run(rule(options))
      push(t, "a")
      t:advance(29)
      assert.equal(0, t:work())
      t:advance(2)
      assert.equal(1, t:work())
    end
  end)

  it("gives way to a higher priority, then to age", function()
    local t = support.run(rule("{ priority = ev.N == 'vip' and 1 or 0 }", "{ at_once = 1 }", "note(job.n)"))
    push(t, "a", "b", "vip")
    t:work()
    assert.same({ "vip", "a", "b" }, t:said())
  end)

  it("copies plain data; the job has its own fields try and pushed", function()
    local t = support.run [[
      ami.on("Hangup", function() work.push("q", { list = { 1, 2 }, deep = { x = 1.5, [true] = "y" } }) end)
      work.on("q", function(job)
        note(#job.list, job.deep.x, job.deep[true], math.type(job.try), os.time() - math.floor(job.pushed + 0.5))
      end)]]
    t:event "Hangup"
    t:advance(100)
    t:work()
    assert.same({ "2 1.5 y integer 100" }, t:said())
  end)

  it("says what is wrong with arguments and options, and names the right ones", function()
    local t = support.run [[ami.on("Hangup", function()
      for _, args in ipairs {
        { 7 }, { "" }, { "q" }, { "q", "text" }, { "q", { f = print } }, { "q", { try = 1 } }, { "q", { pushed = 1 } },
        { "q", {}, { dely = 1 } }, { "q", {}, { delay = -1 } }, { "q", {}, { delay = 1, at = 1 } }, { "q", {}, { at = "x" } },
        { "q", {}, { tries = 0 } }, { "q", {}, { priority = 1.5 } }, { "q", {}, { id = 7 } }, { "q", {}, { dedup = 5 } },
        { "q", {}, 5 }, { "q", {}, {}, 5 }, { "q", { ("x"):rep(70000) } },
      } do note((select(2, pcall(work.push, table.unpack(args))))) end
    end)]]
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    local said = t:said()
    for i, part in ipairs { "1 to 1024 bytes", "1 to 1024 bytes", "table expected", "table expected", "field 'f' is a function", "'try' is the engine's",
      "'pushed' is the engine's", "unknown option 'dely' of work.push; there are id, dedup, delay, at, tries and priority", "delay is a number",
      "not both", "at is a number", "tries is an integer from 1 to", "priority is an integer", "id is a text", "give the job an id",
      "options %(a table%) or a function", "a function is expected", "job: " } do
      if i > 1 then assert.matches(part, said[i]) end
    end
    assert.equal(18, #said)
  end)

  it("is not possible while the rules load", function()
    assert.matches("work.push is not possible while the rules are loading", support.faults [[work.push("q", {})]])
  end)

  it("is bounded for a rule in what is on its way to the disk", function()
    local t = support.run([[ami.on("Hangup", function()
      for i = 1, 3 do note(work.push("q", {}, function() note "back" end)) end
    end)]], { limits = { pending = 2 } })
    t:event "Hangup"
    local said = t:said()
    assert.same({ "true", "true" }, { said[1], said[2] })
    assert.matches("limits.pending", said[3])
    t:advance()
    assert.same({ "back", "back" }, t:said())
  end)
end)

describe("work.on", function()
  after_each(support.cleanup)

  it("runs a job once when it returns", function()
    local t = support.run(rule())
    push(t, "a")
    assert.same({ "a waiting 0" }, states(t))
    assert.equal(1, t:work())
    assert.same({ "a 1" }, t:said())
    assert.same({}, states(t))
    assert.equal(0, t:work())
  end)

  it("tries again after an error, each time after twice the time, and gives up after the last try", function()
    local t = support.run(rule(nil, "{ tries = 3, backoff = 10 }", "note(job.try) error 'busy'"))
    push(t, "a")
    t:work()
    for _, seconds in ipairs { 10, 20 } do
      assert.same({ "a waiting " .. (seconds // 10) }, states(t))
      t:advance(seconds - 1)
      assert.equal(0, t:work())
      t:advance(1.1)
      assert.equal(1, t:work())
    end
    assert.same({ "1", "2", "3" }, t:said())
    assert.same({ "a dead 3" }, states(t))
    assert.matches("rule.lua:%d+: busy", t:jobs("q")[1].error)
  end)

  it("takes the times between tries from a list, and tries from the job", function()
    local t = support.run(rule("{ tries = 4 }", "{ backoff = { 1, 5 } }", "error 'x'"))
    push(t, "a")
    for _, seconds in ipairs { 1, 5, 5 } do
      t:work()
      assert.near(seconds, t:jobs("q")[1].due_in, 0.01)
      t:advance(seconds)
    end
    t:work()
    assert.same({ "a dead 4" }, states(t))
  end)

  it("runs at most at_once jobs at the same time, also while an older state drains", function()
    local text = rule(nil, "{ at_once = 2 }", "note('begin', job.n) timer.sleep(10) note('end', job.n)")
    local t = support.run(text)
    push(t, "a", "b", "c", "d")
    assert.equal(2, t:work())
    t:advance(1)
    t:put("rule.lua", text .. " -- changed")
    assert.is_true(t:reload())
    assert.equal(0, t:work())
    t:advance(9.5)
    assert.same({ "begin a", "begin b", "end a", "end b" }, t:said())
    assert.equal(2, t:work())
    assert.same({ "begin c", "begin d" }, t:said())
  end)

  it("begins at most per_second jobs in a second, also over a reload", function()
    local text = rule(nil, "{ at_once = 100, per_second = 2 }", "note(timer.now())")
    local t = support.run(text)
    push(t, table.unpack { "a", "b", "c", "d", "e", "f" })
    local times = {}
    for i = 1, 40 do
      t:work()
      for _, at in ipairs(t:said()) do times[#times + 1] = tonumber(at) end
      t:advance(0.1)
      if i == 7 then
        t:put("rule.lua", text .. " -- changed")
        assert.is_true(t:reload())
      end
    end
    assert.equal(6, #times)
    for i = 2, #times do assert.is_true(times[i] - times[i - 1] >= 0.5, times[i] - times[i - 1]) end
    assert.is_true(times[6] - times[1] < 3.1)
  end)

  it("reaches a high pace too, and no more", function()
    local t = support.run(rule(nil, "{ at_once = 1000, per_second = 200 }", "note(timer.now())"))
    for i = 1, 300 do t:event("Hangup", { N = i }) end
    t:advance()
    t:said()
    local times = {}
    for _ = 1, 200 do
      t:work()
      for _, at in ipairs(t:said()) do times[#times + 1] = tonumber(at) end
      t:advance(0.01)
    end
    assert.equal(300, #times)
    for i = 201, #times do assert.is_true(times[i] - times[i - 200] >= 0.999) end
  end)

  it("uses up no try when newer rules end it at the end of its drain", function()
    local t = support.run(rule(nil, "{ tries = 2 }", "note('begin', job.try) local x <close> = setmetatable({}, { __close = function() note 'closed' end }) timer.sleep(1000)"),
      { limits = { drain = 5 } })
    push(t, "a")
    t:work()
    t:put("rule.lua", rule(nil, "{ tries = 2 }", "note('new', job.try)"))
    assert.is_true(t:reload())
    t:advance(1)
    assert.equal(0, t:work())
    t:advance(5)
    assert.same({ "begin 1", "closed" }, t:said())
    assert.same({ "a waiting 0" }, states(t))
    assert.equal(1, t:work())
    assert.same({ "new 1" }, t:said())
  end)

  it("gives the job back when its rule is quarantined for another call, and takes it again later", function()
    local t = support.run([[
      ami.on("Newstate", function() while true do end end)
      ami.on("Hangup", function() work.push("q", { n = "a" }) end)
      work.on("q", function(job) note("begin", job.try) timer.sleep(5) note "end" end)]])
    push(t, "a")
    for _ = 1, 3 do t:event "Newstate" t:turn() end
    assert.is_true(t:rule().quarantined)
    assert.equal(0, t:work())
    assert.same({ "a waiting 0" }, states(t))
    t:advance(31)
    assert.equal(1, t:work())
    t:advance(6)
    assert.same({ "begin 1", "end" }, t:said())
    assert.same({}, states(t))
  end)

  it("gives back a job that was taken and has not begun when its rule is quarantined", function()
    local t = support.run(rule(nil, "{ at_once = 4, tries = 1 }", "if job.n ~= 'd' then while true do end end note(job.n)"))
    push(t, "a", "b", "c", "d")
    t:work()
    assert.is_true(t:rule().quarantined)
    assert.same({}, t:said())
    local all = states(t)
    table.sort(all)
    assert.same({ "a dead 1", "b dead 1", "c dead 1", "d waiting 0" }, all)
  end)

  it("lets a job that runs end though its rule is quarantined", function()
    local t = support.run([[
      ami.on("Newstate", function() while true do end end)
      ami.on("Hangup", function() work.push("q", { n = "a" }) end)
      work.on("q", function(job) timer.sleep(5) note("end", job.try) end)]])
    push(t, "a")
    t:work()
    for _ = 1, 3 do t:event "Newstate" t:turn() end
    assert.is_true(t:rule().quarantined)
    t:advance(6)
    assert.same({ "end 1" }, t:said())
    assert.same({}, states(t))
  end)

  it("takes no job while its rule is out of memory, and does not use up a try of the others", function()
    local t = support.run([[
      ami.on("Newstate", function() local t = {} while true do t[#t + 1] = ("x"):rep(1000) end end)
      ami.on("Hangup", function() work.push("q", { n = "a" }) end)
      work.on("q", function(job) note("begin", job.try) timer.sleep(5) end)]], { limits = { rule_memory = 2 * 1024 * 1024 } })
    push(t, "a")
    t:work()
    for _ = 1, 3 do t:event "Newstate" t:turn() end
    assert.is_true(t:rule().down)
    assert.same({ "a waiting 0" }, states(t))
    t:advance(31)
    assert.is_false(t:rule().down)
    t:work()
    assert.same({ "begin 1", "begin 1" }, t:said())
  end)

  it("needs a call at the top of a file, once for a queue, with options that it knows", function()
    for part, code in pairs {
      ["unknown option 'atonce' of work.on; there are at_once, per_second, tries and backoff"] = [[work.on("q", { atonce = 1 }, print)]],
      ["at_once is an integer from 1"] = [[work.on("q", { at_once = 0 }, print)]],
      ["at_once is at most 1000, .*limits.waiting"] = [[work.on("q", { at_once = 1001 }, print)]],
      ["per_second is a number"] = [[work.on("q", { per_second = 0 }, print)]],
      ["tries is an integer from 1"] = [[work.on("q", { tries = 1.5 }, print)]],
      ["backoff is a number of seconds, or a list"] = [[work.on("q", { backoff = "x" }, print)]],
      ["each of backoff is a number"] = [[work.on("q", { backoff = { 1, "x" } }, print)]],
      ["backoff is a list of 1 to 16"] = [[work.on("q", { backoff = {} }, print)]],
      ["a function is expected"] = [[work.on("q", {})]],
      ["serves the queue 'q' already"] = [[work.on("q", print) work.on("q", print)]],
    } do assert.matches(part, support.faults(code)) end
    local t = support.run [[ami.on("Hangup", function() note(pcall(work.on, "q", print)) end)]]
    t:event "Hangup"
    assert.matches("^false .*only while the rules are loading", t:said()[1])
  end)

  it("is for one rule of a queue: a second one fails to load", function()
    local faults = support.faults { ["a.lua"] = [[work.on("q", print)]], ["b.lua"] = [[work.on("q", print)]] }
    assert.matches('b.lua: the queue "q" is served by [^:]*a.lua already', faults)
    local t = support.run { ["b.lua"] = [[work.on("q", print)]] }
    t:put("a.lua", [[work.on("q", print)]])
    assert.is_falsy(t:reload())
    t:remove_file "b.lua"
    assert.is_true(t:reload())
  end)

  it("leaves jobs of a queue that no rule serves; that is logged", function()
    local t
    local records = support.logged(function()
      t = support.run [[ami.on("Hangup", function(ev) work.push("q", { n = ev.N }) end)]]
      push(t, "a")
    end)
    assert.equal("q", support.record(records, "no rule serves").queue)
    assert.equal(0, t:work())
    records = support.logged(function()
      t:put("rule.lua", "-- nothing")
      assert.is_true(t:reload())
    end)
    assert.truthy(support.record(records, "no rule serves"))
    t:put("rule.lua", [[work.on("q", function(job) note(job.n) end)]])
    assert.is_true(t:reload())
    t:work()
    assert.same({ "a" }, t:said())
  end)

  it("drops the oldest dead job beyond limits.queue_dead, counted and logged; a full queue refuses", function()
    local t
    local records = support.logged(function()
      t = support.run(rule(nil, "{ tries = 1, at_once = 2 }", "error 'x'"), { limits = { queue_dead = 1, queue_jobs = 2 } })
      t:event("Hangup", { N = "a" })
      t:event("Hangup", { N = "b" })
      t:event("Hangup", { N = "c" })
      t:advance()
      assert.matches("pushed nil backpressure: work: the queue q is full", t:said()[1])
      t:work()
    end)
    assert.same({ "b dead 1" }, states(t))
    assert.equal("q", support.record(records, "dead job dropped").queue)
    assert.equal(1, t:metric 'hookswitch_jobs_total{queue="q",fate="dropped"}')
    assert.equal(2, t:metric 'hookswitch_jobs_total{queue="q",fate="died"}')
  end)

  it("remembers no more ids than limits.queue_jobs, counted and logged", function()
    local t
    local records = support.logged(function()
      t = support.run(rule("{ id = ev.N, dedup = 3600 }", nil, "note(job.n)"), { limits = { queue_jobs = 2 } })
      for _, n in ipairs { "a", "b", "c", "c", "a" } do
        t:event("Hangup", { N = n })
        t:advance()
        t:work()
      end
    end)
    local ran = {}
    for _, text in ipairs(t:said()) do
      if #text == 1 then ran[#ran + 1] = text end
    end
    assert.same({ "a", "b", "c", "a" }, ran)
    assert.equal("q", support.record(records, "id of a job forgotten before its dedup was over: there are too many").queue)
    assert.equal(2, t:metric 'hookswitch_jobs_total{queue="q",fate="forgotten"}')
  end)

  it("logs an error with queue and job", function()
    local t
    local records = support.logged(function()
      t = support.run(rule(nil, "{ tries = 1 }", "log.info 'here' error 'x'"))
      push(t, "a")
      t:work()
    end)
    local record, said = support.record(records, "rule.lua:%d+: x"), support.record(records, "^here$")
    assert.same({ "job", "q" }, { record["in"], record.queue })
    assert.equal(record.job, said.job)
    assert.equal("q", support.record(records, "job is dead").queue)
  end)
end)

describe("work.stats", function()
  after_each(support.cleanup)

  it("counts a queue's jobs, also while the rules load", function()
    local t = support.run(rule(nil, "{ tries = 1 }", "if job.n == 'bad' then error 'x' end timer.sleep(10)"))
    push(t, "bad", "a", "b")
    t:work()
    t:put("rule.lua", [[local s = work.stats "q" ami.on("Newstate", function()
      note(s.waiting, s.ready, s.running, s.dead, s.pushed, s.failed, s.died, s.done) note(work.stats("none").waiting) end)]])
    assert.is_true(t:reload())
    t:event "Newstate"
    assert.same({ "1 1 1 1 3 1 1 0", "0" }, t:said())
    assert.equal(1, t:metric 'hookswitch_jobs_waiting{queue="q"}')
    assert.equal(1, t:metric 'hookswitch_jobs_dead{queue="q"}')
    assert.equal(0, t:metric 'hookswitch_jobs_served{queue="q"}')
    assert.equal(3, t:metric 'hookswitch_jobs_total{queue="q",fate="pushed"}')
    assert.equal(1, t:metric 'hookswitch_jobs_run_seconds_count{queue="q"}')
    assert.equal(2, t:metric 'hookswitch_jobs_wait_seconds_count{queue="q"}')
  end)
end)
