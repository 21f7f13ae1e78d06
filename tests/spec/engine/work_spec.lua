-- Jobs through the real program and its state file: kill -9, restart, reload, stop, kills of a rule, and what an operator sees and does.
local h = require "tests.spec.helper"

-- A job does what its field `what` says; every try is logged as it begins.
local RULE = [[
ami.on("test.push", function(ev)
  local number, err = work.push("q", { what = ev.What, n = ev.N }, { id = ev.Id, delay = tonumber(ev.Delay) })
  log.info("pushed", { number = number, n = ev.N, err = err and err.code })
end)
work.on("q", { at_once = 2, tries = 3, backoff = 0.01 }, function(job)
  log.info("begin", { n = job.n, try = job.try })
  local closed <close> = setmetatable({}, { __close = function() log.info("end", { n = job.n, try = job.try }) end })
  if job.what == "wait" then timer.sleep(600) end
  if job.what == "fail" then error("no " .. job.n) end
  if job.what == "event" then assert(ami.wait("Newchannel", { server = "pbx" }, 600)) end -- `lost` when the session ends
  if job.what == "stuck" then local t = {} for k = 1, 131073 do t[k * 262143] = true end end
end)]]

local function options(rule)
  return { rules = { ["worker.lua"] = rule or RULE }, config = { persist = { file = "state.db" } } }
end

local function push(daemon, n, what, ...)
  local from = daemon:mark()
  daemon:emit("test.push", "N=" .. n, "What=" .. (what or "end"), ...)
  return math.tointeger(daemon:await({ msg = "pushed", n = n }, { from = from }).number)
end

local function queue(daemon, name)
  local code, out, err = daemon:ctl("work", name or "q", "--json")
  assert.equal(0, code, err)
  return h.json(out)
end

local function kill(daemon)
  daemon:signal "KILL"
  daemon:ended()
end

describe("a job", function()
  after_each(h.cleanup)

  it("is run after kill -9, and once only when its end was on disk", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    push(daemon, "later", "end", "Delay=4") -- not before the process has ended
    push(daemon, "now")
    daemon:await { msg = "end", n = "now" }
    h.wait_for(function() return queue(daemon).done == 1 and h.json((select(2, daemon:ctl("persist", "status", "--json")))).dirty_bytes == 0 end)
    kill(daemon)
    daemon = h.daemon(project)
    daemon:await { msg = "end", n = "later" }
    assert.same({}, daemon:find { msg = "begin", n = "now" })
    assert.same({ 0, 0, 0 }, { queue(daemon).waiting, queue(daemon).running, queue(daemon).dead })
  end)

  it("that ends the process again and again is dead after its last try", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    local number = push(daemon, "crash", "wait")
    for try = 1, 3 do
      daemon:await { msg = "begin", n = "crash", try = try }
      kill(daemon)
      daemon = h.daemon(project)
    end
    local job = queue(daemon).jobs[1]
    assert.same({ number, "dead", 3, 3 }, { job.number, job.state, job.try, job.tries })
    assert.matches("process ended during this try", job.error)
    assert.same({}, daemon:find { msg = "begin" })
  end)

  it("uses up no try when the daemon stops in order or its rule is replaced, and `<close>` runs", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    push(daemon, "long", "wait")
    daemon:await { msg = "begin", n = "long", try = 1 }
    assert.equal(0, daemon:stop())
    daemon:await { msg = "end", n = "long", try = 1 }
    local short = options()
    short.config.scripts = { drain = 0.2 }
    project.write(short)
    daemon = h.daemon(project)
    for round = 1, 2 do
      local from = daemon:mark()
      daemon:await({ msg = "begin", n = "long", try = 1 }, { count = round })
      project.rule("worker.lua", RULE .. "\n-- changed " .. round)
      assert.is_true((daemon:reload()))
      daemon:await({ msg = "end", n = "long", try = 1 }, { from = from })
    end
  end)

  it("uses up no try when a stop ends what it waits for", function()
    local with_server = options()
    with_server.servers = { pbx = h.server(h.sim()) }
    local project = h.project(with_server)
    local daemon = h.daemon(project)
    daemon:ready "pbx"
    push(daemon, "waits", "event")
    daemon:await { msg = "begin", n = "waits", try = 1 }
    assert.equal(0, daemon:stop())
    daemon:await { msg = "end", n = "waits", try = 1 }
    daemon = h.daemon(project)
    daemon:await { msg = "begin", n = "waits", try = 1 }
  end)

  it("is served by one rule: another one that would serve its queue is left out at the start", function()
    local two = options()
    two.rules["zz.lua"] = 'work.on("q", function() log.info "wrong" end)'
    local daemon = h.daemon(two)
    assert.matches('zz.lua: the queue "q" is served by scripts/worker.lua already', (daemon:await { msg = "left out, the rest runs" }).reason)
    push(daemon, "a")
    daemon:await { msg = "end", n = "a" }
    local _, out = daemon:ctl "work"
    assert.matches("\nq +worker ", out)
  end)

  it("uses up a try when its rule is killed in it; those that wait beside it do not", function()
    local daemon = h.daemon(options())
    push(daemon, "beside", "wait")
    daemon:await { msg = "begin", n = "beside" }
    push(daemon, "bad", "stuck")
    local record = daemon:await({ msg = h.has "rule killed" }, { timeout = 30 })
    assert.same({ "job", "q" }, { record["in"], record.queue })
    h.wait_for(function() return queue(daemon).running == 0 end)
    local tries = {}
    for _, job in ipairs(queue(daemon).jobs) do tries[job.job.n] = ("%s %d"):format(job.state, job.try) end
    assert.same({ beside = "waiting 0", bad = "waiting 1" }, tries)
    local _, out = daemon:ctl "work"
    assert.matches("q +worker %(down%)", out)
  end)

  it("follows the one before it at once, though nothing else happens", function()
    local daemon = h.daemon(options [[
      ami.on("test.push", function() for i = 1, 10 do work.push("q", { n = i }, function() end) end end)
      work.on("q", function(job) timer.sleep(0.02) if job.n == 10 then log.info "last" end end)]])
    daemon:emit "test.push"
    daemon:await({ msg = "last" }, { timeout = 3 })
  end)

  it("waits while its rule is disabled, and in a queue that no rule serves, which is reported", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    assert.equal(0, (daemon:ctl("disable", "worker")))
    local from = daemon:mark()
    -- Its listeners are stopped as well: another rule pushes.
    project.rule("pusher.lua", 'ami.on("test.more", function() log.info("more", { number = work.push("q", { n = "x" }), other = work.push("nobody", {}) }) end)')
    assert.is_true((daemon:reload()))
    assert.equal(0, (daemon:ctl("disable", "worker")))
    daemon:emit "test.more"
    daemon:await({ msg = "more" }, { from = from })
    assert.equal("nobody", daemon:await { msg = h.has "no rule serves" }.queue)
    assert.same({ 1, "disabled" }, { queue(daemon).waiting, queue(daemon).state })
    assert.same({ 1, "no rule" }, { queue(daemon, "nobody").waiting, queue(daemon, "nobody").state })
    assert.equal(0, daemon:metric("hookswitch_jobs_served", { queue = "nobody" }))
    assert.equal(1, daemon:metric("hookswitch_jobs_served", { queue = "q" }))
    assert.equal(0, (daemon:ctl("enable", "worker")))
    daemon:await { msg = "end", n = "x" }
    -- Reported at the next start too.
    daemon:stop()
    daemon = h.daemon(project)
    assert.equal("nobody", daemon:await { msg = h.has "no rule serves" }.queue)
  end)

  it("needs a file: check, a start and a push without one say which option", function()
    local project = h.project { rules = { ["worker.lua"] = RULE } }
    local code, out, err = h.run("check", "-c", project.config)
    assert.equal(1, code)
    assert.matches("worker.lua:5: work needs a file for its jobs: persist = { file", out .. err)
    local daemon = h.daemon { rules = { ["pusher.lua"] = 'ami.on("test.push", function() work.push("q", {}) end)' } }
    daemon:emit "test.push"
    assert.matches("persist = { file", daemon:await { kind = "error" }.msg)
    local _, _, refused = daemon:ctl "work"
    assert.matches("no state file", refused)
  end)
end)

describe("ctl work", function()
  after_each(h.cleanup)

  it("lists queues and jobs, retries dead ones and drops them", function()
    local daemon = h.daemon(options())
    assert.matches("\nq +worker +0 +0 +0 +0 +%- +0 +0\n$", (select(2, daemon:ctl "work")))
    assert.equal("no job waits, runs or is dead\n", (select(2, daemon:ctl("work", "q"))))
    local bad = push(daemon, "bad", "fail")
    push(daemon, "worse", "fail")
    push(daemon, "long", "wait")
    local later = push(daemon, "later", "end", "Delay=500", "Id=mine")
    h.wait_for(function() return queue(daemon).dead == 2 end)
    daemon:await { msg = "begin", n = "long" }

    local _, out = daemon:ctl "work"
    assert.matches("^QUEUE +RULE +WAITING +READY +RUNNING +DEAD +OLDEST +DONE +FAILED\nq +worker +1 +0 +1 +2 +%- +0 +6\n$", out)
    local code
    code, out = daemon:ctl("work", "q")
    assert.equal(0, code)
    assert.matches(bad .. " +dead +%- +3 of 3 [^\n]*{\"n\":\"bad\",\"what\":\"fail\"} +[^\n]*worker.lua:%d+: no bad", out)
    assert.matches(later .. " +waiting +mine +0 +[^\n]* 8 m", out)
    local view = queue(daemon)
    assert.same({ "worker", "runs", 2, 4, 0 }, { view.rule, view.state, view.at_once, #view.jobs, view.more })

    -- One, then all of the queue.
    daemon:await { msg = h.has "job is dead", id = bad }
    local from = daemon:mark()
    assert.equal("tried again: 1 job\n", (select(2, daemon:ctl("work", "retry", tostring(bad)))))
    daemon:await({ msg = "begin", n = "bad", try = 3 }, { from = from })
    assert.equal("console: work retry", daemon:find({ argument = tostring(bad) }, from)[1].msg)
    h.wait_for(function() return queue(daemon).dead == 2 end)
    _, out = daemon:ctl("work", "retry", "q", "--json")
    assert.same({ success = true, message = "tried again: 2 jobs", jobs = 2 }, h.json(out))
    h.wait_for(function() return queue(daemon).dead == 2 end)
    assert.equal("dropped 2 jobs\n", (select(2, daemon:ctl("work", "drop", "q"))))
    assert.equal("dropped 1 job\n", (select(2, daemon:ctl("work", "drop", tostring(later)))))
    assert.same({ 0, 1, 0 }, { queue(daemon).waiting, queue(daemon).running, queue(daemon).dead })
    assert.equal(3, daemon:metric("hookswitch_jobs_total", { queue = "q", fate = "dropped" }))
  end)

  it("says why something cannot be done", function()
    local daemon = h.daemon(options())
    local long = tostring(push(daemon, "long", "wait"))
    daemon:await { msg = "begin", n = "long" }
    for _, case in ipairs {
      { 1, "no rule serves a queue 'other', and it has no jobs", "other" }, { 1, "'other'", "retry", "other" }, { 1, "there is no job 999", "drop", "999" },
      { 1, "is not dead: it is running", "retry", long }, { 1, "cannot be dropped: it is running", "drop", long },
      { 2, "say `work`", "retry" }, { 2, "say `work`", "q", "x" },
    } do
      local code, _, err = daemon:ctl("work", table.unpack(case, 3))
      assert.equal(case[1], code, err)
      assert.matches(case[2], err)
    end
  end)

  it("shows jobs to the role look, and changes them for admin alone", function()
    local known = options()
    known.config.control = { socket = "console", sockets = { wall = { path = "wall", roles = { "look" } } } }
    local daemon = h.daemon(known)
    push(daemon, "bad", "fail")
    h.wait_for(function() return queue(daemon).dead == 1 end)
    local function ask(...) return h.run("ctl", "--socket", daemon.project.folder .. "/wall", "work", ...) end
    assert.equal(0, (ask "q"))
    for _, verb in ipairs { "retry", "drop" } do
      local code, _, err = ask(verb, "q")
      assert.equal(1, code)
      assert.matches("work " .. verb .. " needs the role admin", err)
    end
    assert.equal(1, queue(daemon).dead)
  end)

  it("shows no secret of a job", function()
    local known = options()
    known.servers = { pbx = h.server(h.dead_port()) }
    local daemon = h.daemon(known)
    daemon:emit("test.push", "What=wait", "N=" .. h.SECRET)
    h.wait_for(function() return (daemon:metric("hookswitch_jobs_running", { queue = "q" }) or 0) == 1 end)
    for _, words in ipairs { { "work", "q" }, { "work", "q", "--json" } } do
      local _, out = daemon:ctl(table.unpack(words))
      assert.is_nil(out:find(h.SECRET, 1, true))
    end
  end)

  it("is completed with queues", function()
    local daemon = h.daemon(options())
    push(daemon, "a")
    local script = h.write_file(h.folder() .. "/complete", ([[
      compopt() { :; }
      . conf/completion.bash
      COMP_WORDS=('%s' ctl -c '%s' work retry '') COMP_CWORD=6
      _hookswitch
      printf '%%s\n' "${COMPREPLY[@]}"]]):format(h.binary, daemon.project.config))
    local _, out = h.run(script, { program = "bash" })
    assert.equal("q\n", out)
  end)
end)
