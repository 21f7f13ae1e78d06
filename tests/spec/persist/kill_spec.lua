-- kill -9 at random moments under a load of set, incr, push, finishing jobs and spooling; after each, an independent reader holds the
-- file to the promises of src/persist/persist.h. PERSIST_KILLS: how often (25).
local h = require "tests.spec.helper"
local reader = require "tests.spec.persist.reader"
local system = require "system"

local load_binary = h.binary:gsub("[^/]*$", "tests/persist_load")

-- What was seen over all lives of the file.
local function new_history()
  return {
    sets = {},       -- key -> list of { n, base }: base is the number of commits that had ended for sure not after it + 1
    synced = {},     -- key -> highest n that a sync covered
    pushes = {},     -- body -> true
    pushed = {},     -- id -> body
    done = {}, done_on_disk = {}, -- id -> true
    tries = {},      -- id -> highest try that ran
    lines = {}, spooled = {}, -- n -> true
    batches = {},    -- key -> its lines
    acked = {},      -- n -> true
    incr = 0, incr_safe = 0,
  }
end

-- Reads one life's journal into the history. A set that two more commits came after is safe: the second began after it.
local function read_journal(history, text)
  local open_sets, commits = {}, 0
  local function commit(n)
    commits = n
    for i = #open_sets, 1, -1 do
      local set = open_sets[i]
      set.base = set.base or n
      if n >= set.base + 2 then
        if set.key then
          history.synced[set.key] = math.max(history.synced[set.key] or 0, set.n)
        else
          history.incr_safe = math.max(history.incr_safe, set.n)
        end
        table.remove(open_sets, i)
      end
    end
  end
  for line in text:gmatch "[^\n]+" do
    local what, rest = line:match "^%d+ (%S+) ?(.*)"
    local a, b = rest:match "^(%S+) ?(.*)"
    local n, m = tonumber(a), tonumber(b)
    assert(what ~= "bad", line)
    if what == "set" then
      history.sets[a] = m
      open_sets[#open_sets + 1] = { key = a, n = m }
    elseif what == "incr" then
      assert(n >= history.incr_safe + 1, "the counter went back")
      history.incr = n
      open_sets[#open_sets + 1] = { n = n }
    elseif what == "commit" then commit(n)
    elseif what == "synced" then history.synced[a] = math.max(history.synced[a] or 0, m)
    elseif what == "push" then history.pushes[a] = true
    elseif what == "pushed" then history.pushed[m] = a
    elseif what == "run" then
      assert(not history.done_on_disk[n], "job " .. n .. " ran again though its end was on disk")
      assert(m > (history.tries[n] or 0), "a try of job " .. n .. " was not counted")
      history.tries[n] = m
    elseif what == "done" then history.done[n] = true
    elseif what == "doneok" then history.done_on_disk[n] = true
    elseif what == "line" then history.lines[a] = true
    elseif what == "spooled" then history.spooled[a] = true
    elseif what == "batch" then
      assert(not history.batches[a] or history.batches[a] == b, "batch " .. a .. " has changed")
      history.batches[a] = b
    elseif what == "acked" then
      for line_n in history.batches[a]:gmatch "%S+" do history.acked[line_n] = true end
    end
  end
  return commits
end

local function check_entries(history, state)
  local entries = state.entries.load or {}
  for key, safe in pairs(history.synced) do
    local n = tonumber((entries[key] or ""):match "^%d+")
    assert(n and n >= safe, ("%s is %s, but %d was on disk"):format(key, entries[key], safe))
    assert(n <= history.sets[key], key .. " was never set to this")
  end
  local counter = tonumber(entries.counter or 0)
  assert(counter >= history.incr_safe and counter <= history.incr,
    ("the counter is %d, not between %d and %d"):format(counter, history.incr_safe, history.incr))
end

local function check_jobs(history, state)
  for id, body in pairs(history.pushed) do
    local job = state.jobs[id]
    assert(job or history.done[id], ("job %d was pushed and is lost"):format(id))
    assert(not job or job.body == body)
    assert(not (job and history.done_on_disk[id]), ("job %d is there though its end was on disk"):format(id))
  end
  for id, job in pairs(state.jobs) do
    assert(history.pushes[job.body], "a job that nobody pushed")
    assert(job.try >= (history.tries[id] or 0), ("a try of job %d is not on disk"):format(id))
    assert(job.state == "waiting" or job.state == "running")
  end
end

local function check_spool(history, state)
  local there, last = {}, 0
  for _, line in ipairs(state.lines) do
    assert(history.lines[line.text], "a line that nobody wrote")
    assert(tonumber(line.text) > last, "lines are out of order")
    last = tonumber(line.text)
    there[line.text] = line.id
  end
  for n in pairs(history.spooled) do assert(there[n] or history.acked[n], "line " .. n .. " is lost") end
  for _, batch in ipairs(state.batches) do
    local lines = history.batches[batch.key]
    for n in (lines or ""):gmatch "%S+" do
      assert(there[n] and there[n] >= batch.first and there[n] <= batch.last, "batch " .. batch.key .. " has lost a line")
    end
  end
end

describe("persistent state under kill -9", function()
  after_each(h.cleanup)

  it("keeps what it promised", function()
    local folder = h.folder()
    local file = folder .. "/state.db"
    local history = new_history()
    local kills = tonumber(os.getenv "PERSIST_KILLS" or 25)
    local commits = 0
    for life = 1, kills do
      local journal = ("%s/journal.%d"):format(folder, life)
      local process = h.start(load_binary, { file, journal })
      h.wait_for(function() return process:stdout():find "ready" end, nil, function() return "the load: " .. process:tail() end)
      system.sleep(0.005 + math.random() * 0.2)
      process:signal "KILL"
      process:ended()
      commits = commits + read_journal(history, h.read(journal))
      local state = reader.read(reader.copy(file))
      check_entries(history, state)
      check_jobs(history, state)
      check_spool(history, state)
    end
    -- The load was one.
    assert(commits > kills, "commits: " .. commits)
    assert(next(history.done_on_disk) and next(history.acked) and next(history.synced))
  end)

  it("refuses a file that another process uses, and takes it when that one is dead", function()
    local file = h.folder() .. "/state.db"
    local first = h.start(load_binary, { file, file .. ".journal" })
    h.wait_for(function() return first:stdout():find "ready" end)
    local second = h.start(load_binary, { file, file .. ".second" })
    assert.equal(1, second:ended())
    assert.truthy(h.read(file .. ".second"):find "bad open: .* is in use by another hookswitch")
    first:signal "KILL"
    first:ended()
    local third = h.start(load_binary, { file, file .. ".third" })
    h.wait_for(function() return third:stdout():find "ready" end)
  end)
end)
