-- kill -9 at random moments while rules set, incr, push jobs and finish them. What a rule was told reaches the simulated Asterisk as a
-- UserEvent, and a recording there: what stands in it had happened. After each kill an independent reader holds the file to it.
-- PERSIST_KILLS: how often (8).
local h = require "tests.spec.helper"
local reader = require "tests.spec.persist.reader"
local system = require "system"

local RULE = [[
local st = store.open("load", { persistent = true })
local pbx = ami.server "pbx"

-- Numbers go up over all lives of the daemon.
local function number() return math.floor(timer.now() * 1e6) end
local function report(what, a, b) return { Action = "UserEvent", UserEvent = "Witness", What = what, A = a, B = b } end
-- After something, and before it: then it is seen outside first.
local function after(...) pbx:send(report(...)) end
local function before(...) assert(pbx:call(report(...))) end

local function for_ever(seconds, fn)
  timer.after(0, function() while true do fn() timer.sleep(seconds) end end)
end

ami.on("server.ready", function()
  for i = 1, 3 do
    for_ever(0.005, function()
      local n = number()
      before("push", n)
      local job = work.push("load", { n = n }, { priority = i })
      if job then after("pushed", n, job) end
    end)
  end
  for_ever(0.01, function()
    local key, n = "k" .. math.random(50), number()
    before("set", key, n)
    st:set(key, n)
    if st:sync() then after("synced", key, n) end
  end)
  for_ever(0.004, function()
    local n = st:incr "counter"
    if n % 5 == 0 and st:sync() then after("counted", n) end
  end)
end)

work.on("load", { at_once = 6, tries = 1000000, backoff = 0 }, function(job)
  before("begin", job.n, job.try)
  if math.random(5) == 1 then error "again" end
  -- Once this call has ended.
  timer.after(0, function() if st:sync() then after("done", job.n) end end)
end)
]]

-- What was witnessed, over all lives.
local function new_history()
  return { push = {}, pushed = {}, set = {}, synced = {}, begun = {}, done = {}, counted = 0 }
end

local function read_recording(history, text)
  for frame in text:gmatch "(.-)\r\n\r\n" do
    local what, a, b = frame:match "\nWhat: (%a+)", frame:match "\nA: ([^\r]*)", frame:match "\nB: ([^\r]*)"
    local n, m = tonumber(a), tonumber(b)
    if what == "push" then
      history.push[n] = true
    elseif what == "pushed" then
      history.pushed[n] = m
    elseif what == "set" then
      history.set[a] = m
    elseif what == "synced" then
      history.synced[a] = m
    elseif what == "counted" then
      assert(n > history.counted, "the counter went back")
      history.counted = n
    elseif what == "begin" then
      assert(not history.done[n], "a job began again though its end was on disk")
      assert(m > (history.begun[n] or 0), "a try was not counted")
      history.begun[n] = m
    elseif what == "done" then
      history.done[n] = true
    end
  end
end

-- A rule's number as it stands packed in a value or a job.
local function packed(text) return tonumber(text:match "i(%d+);") end

local function check(history, state)
  local entries, there = {}, {}
  for key, value in pairs(state.entries.load or {}) do entries[key:match "^s%d+:(.*);$"] = packed(value) end
  for key, n in pairs(history.synced) do
    assert((entries[key] or 0) >= n, ("%s is %s, but %d was on disk"):format(key, entries[key], n))
    assert(entries[key] <= history.set[key], key .. " was never set to this")
  end
  assert((entries.counter or 0) >= history.counted, "the counter has lost what was on disk")
  for id, job in pairs(state.jobs) do
    local n = packed(job.body)
    assert(history.push[n], "a job that nobody pushed")
    assert(not there[n], "a job is there twice")
    assert(job.state == "waiting" or job.state == "running", job.state)
    assert(job.try >= (history.begun[n] or 0), "a try that began is not on disk")
    assert(not history.done[n], "a job is there though its end was on disk")
    assert(not history.pushed[n] or history.pushed[n] == id)
    there[n] = true
  end
  for n in pairs(history.pushed) do assert(there[n] or history.begun[n], ("job %d was pushed and is lost"):format(n)) end
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

describe("rules under kill -9", function()
  after_each(h.cleanup)

  it("lose nothing that they were told is on disk, and run every job until it has ended", function()
    local sim = h.sim()
    local project = h.project { rules = { ["load.lua"] = RULE }, servers = { pbx = h.server(sim, { live = false }) },
      config = { persist = { file = "state.db" }, log = { level = "warn", throttle_burst = 1 }, limits = { actions_per_second = 0 } } }
    local recording = project.folder .. "/recording"
    local recorder = h.start(h.binary, { "record", "pbx", "-c", project.config, "-o", recording })
    h.wait_for(function() return h.exists(recording) and #h.read(recording) > 0 end)
    local history, file, read = new_history(), assert(io.open(recording, "rb")), 0
    local function fresh()
      file:seek("set", read)
      return file:read "a"
    end
    for _ = 1, tonumber(os.getenv "PERSIST_KILLS" or 8) do
      local daemon = h.daemon(project, { waits = false })
      h.wait_for(function() return #fresh() > 20000 end, nil, function() return "the load: " .. daemon:tail() end)
      system.sleep(math.random() * 0.3)
      daemon:signal "KILL"
      daemon:ended()
      -- The simulated Asterisk has read all that was sent once nothing more comes.
      local text, before
      h.wait_for(function()
        before, text = text, fresh()
        if text == before then return true end
        system.sleep(0.1)
      end)
      read_recording(history, text)
      read = read + #text
      check(history, reader.read(reader.copy(project.folder .. "/state.db")))
    end
    file:close()
    recorder:signal "INT"
    recorder:ended()
    assert(count(history.done) > 20 and count(history.synced) > 10 and history.counted > 20, "the load was none")
    -- What is left is run in peace.
    project.rule("load.lua", (RULE:gsub("for i = 1, 3", "for i = 1, 0"):gsub("if math.random%(5%) == 1 then error \"again\" end", "")))
    local daemon = h.daemon(project, { waits = false })
    h.wait_for(function()
      local code, out = daemon:ctl("work", "load", "--json")
      local queue = code == 0 and h.json(out)
      return queue and queue.waiting == 0 and queue.running == 0 and queue.dead == 0
    end)
  end)
end)
