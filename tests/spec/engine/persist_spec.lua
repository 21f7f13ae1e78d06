-- Persistent stores and the state file through the real program.
local h = require "tests.spec.helper"
local lfs = require "lfs"

local RULE = [[
local st = store.open("agents", { persistent = true })
ami.on("test.set", function(ev) st:set(ev.Key, { since = ev.Value }) log.info("set", { ok = tostring(st:sync()) }) end)
ami.on("test.push", function() log.info("pushed", { err = tostring((select(2, work.push("full", {})))) }) end)
ami.on("test.hour", function() st:set("hour", { since = "now" }, 3600) log.info("set", { ok = tostring(st:sync()) }) end)
ami.on("test.show", function(ev) log.info("value", { of = ev.Key, is = (st:get(ev.Key) or {}).since or "nothing" }) end)]]

local function options(more)
  local config = { persist = { file = "state.db" } }
  for key, value in pairs(more or {}) do config[key] = value end
  return { rules = { ["keeper.lua"] = RULE }, config = config }
end

local function shows(daemon, key, value)
  local from = daemon:mark()
  daemon:emit("test.show", "Key=" .. key)
  return daemon:await({ msg = "value", of = key }, { from = from }).is == value
end

local function set(daemon, key, value)
  local from = daemon:mark()
  daemon:emit("test.set", "Key=" .. key, "Value=" .. value)
  return daemon:await({ msg = "set" }, { from = from }).ok == "true"
end

describe("a persistent store", function()
  after_each(h.cleanup)

  it("survives a stop, and kill -9 once sync has returned", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    assert.is_true(set(daemon, "alice", "9:00"))
    assert.equal(0, daemon:stop())
    daemon = h.daemon(project)
    local loaded = daemon:await { msg = "persistent state loaded" }
    assert.same({ 1, true, true }, { loaded.entries, loaded.file:find "state.db$" ~= nil, loaded.seconds >= 0 })
    assert.is_true(shows(daemon, "alice", "9:00"))
    assert.is_true(set(daemon, "bob", "10:00"))
    daemon:signal "KILL"
    daemon:ended()
    daemon = h.daemon(project)
    assert.is_true(shows(daemon, "alice", "9:00"))
    assert.is_true(shows(daemon, "bob", "10:00"))
    assert.equal("rw-------", lfs.attributes(project.folder .. "/state.db", "permissions"))
    assert.equal(2, daemon:metric "hookswitch_persist_entries")
    local function metric(name) return daemon:metric("hookswitch_persist_" .. name) end
    local before = { commits = metric "commits_total", rows = metric "rows_total", seconds = metric "commit_seconds_total", unfolded = metric "unfolded_rows" }
    assert.is_true(set(daemon, "carol", "11:00"))
    assert.same({ before.commits + 1, before.unfolded + 1 }, { metric "commits_total", metric "unfolded_rows" })
    assert.is_true(metric "rows_total" > before.rows and metric "commit_seconds_total" > before.seconds)
    assert.is_true(metric "wal_bytes" > 0 and metric "file_bytes" > 0)
    assert.same({ 0, 0, 0, 0 }, { metric "dirty_bytes", metric "failing", metric "failures_total", metric "damaged_total" })
  end)

  it("keeps what has a ttl while the wall clock jumps, and never longer than that", function()
    local clock = h.wallclock()
    local project = h.project(options())
    local daemon = h.daemon(project, { env = clock.env })
    daemon:emit "test.hour"
    daemon:await { msg = "set", ok = "true" }
    for _, days in ipairs { 1, -1, 0 } do
      clock.jump(days * 86400)
      assert.is_true(shows(daemon, "hour", "now"))
    end
    -- What was written a day ahead, by a clock that was wrong, is not held against entries that are written later.
    clock.jump(86400)
    assert.is_true(set(daemon, "alice", "9:00"))
    daemon:emit "test.hour"
    daemon:await({ msg = "set", ok = "true" }, { count = 3 })
    daemon:signal "KILL"
    daemon:ended()
    clock.jump(0)
    daemon = h.daemon(project, { env = clock.env })
    assert.is_true(shows(daemon, "hour", "now"))
    daemon:stop()
    -- Down for two days.
    clock.jump(2 * 86400)
    daemon = h.daemon(project, { env = clock.env })
    assert.is_true(shows(daemon, "hour", "nothing"))
    assert.is_true(shows(daemon, "alice", "9:00"))
  end)

  it("needs a file: check and a start without one say which option", function()
    local project = h.project { rules = { ["keeper.lua"] = RULE } }
    local code, out, err = h.run("check", "-c", project.config)
    assert.equal(1, code)
    assert.matches("keeper.lua:1: store: a persistent store needs a file: persist = { file", out .. err)
    project.write(options())
    assert.equal(0, (h.run("check", "-c", project.config)))
    -- Looking at it makes no file.
    assert.is_nil(lfs.attributes(project.folder .. "/state.db"))
  end)

  it("keeps its file over a reload, and refuses another one", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    assert.is_true(set(daemon, "alice", "9:00"))
    project.write(options { persist = { file = "other.db" } })
    local applied, reason = daemon:reload()
    assert.is_false(applied)
    assert.matches("persist.file cannot change while the daemon runs", reason)
    project.write(options { persist = { file = "state.db", dirty_bytes = 100000 } })
    assert.is_true((daemon:reload()))
    assert.is_true(shows(daemon, "alice", "9:00"))
  end)
end)

describe("the state file", function()
  after_each(h.cleanup)

  -- What a daemon that cannot start says.
  local function refused(project)
    local code, _, err = h.run("run", "--allow-root", "-c", project.config)
    assert.equal(1, code)
    return err
  end

  it("is closed when the start fails behind it: its write-ahead log is not left beside it", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    assert.is_true(set(daemon, "alice", "9:00"))
    daemon:signal "KILL"
    daemon:ended()
    assert.is_truthy(lfs.attributes(project.folder .. "/state.db-wal"))
    project.rule("bad.lua", "x = = 1")
    local code, _, err = h.run("run", "--allow-root", "--strict", "-c", project.config)
    assert.equal(1, code)
    assert.matches("bad.lua:1:", err)
    assert.is_nil(lfs.attributes(project.folder .. "/state.db-wal"))
  end)

  it("is refused to a second daemon", function()
    local project = h.project(options())
    h.daemon(project)
    project.write(options { control = { socket = "second" } })
    assert.matches("persist.file: .*state.db is in use by another hookswitch", refused(project))
  end)

  it("is refused when a newer version made it, and left as it is", function()
    local project = h.project(options())
    h.daemon(project):stop()
    h.run(project.folder .. "/state.db", "PRAGMA user_version = 99", { program = "sqlite3" })
    assert.matches("persist.file: .*schema 99, made by a newer hookswitch", refused(project))
    local _, out = h.run(project.folder .. "/state.db", "PRAGMA user_version", { program = "sqlite3" })
    assert.equal("99\n", out)
  end)

  it("is salvaged when it is damaged; that is logged, counted and shown, and the damaged file is kept", function()
    local project = h.project(options())
    local daemon = h.daemon(project)
    assert.is_true(set(daemon, "alice", "9:00"))
    daemon:stop()
    local file = assert(io.open(project.folder .. "/state.db", "r+b"))
    file:write(("\0"):rep(100))
    file:close()
    daemon = h.daemon(project)
    local record = daemon:await { msg = h.has "was damaged", level = "error" }
    assert.truthy(lfs.attributes(record.damaged))
    assert.is_true(shows(daemon, "alice", "9:00"))
    assert.equal(1, daemon:metric "hookswitch_persist_damaged_total")
    assert.matches("damaged +1 times", select(2, daemon:ctl("persist", "status")))
  end)

  it("is shown by ctl persist status", function()
    local daemon = h.daemon(options())
    assert.is_true(set(daemon, "alice", "9:00"))
    local code, out = daemon:ctl("persist", "status")
    assert.equal(0, code)
    assert.matches("state +good\nentries +1\n", out)
    local status = h.json((select(2, daemon:ctl("persist", "status", "--json"))))
    assert.same({ 1, false, 0, 0 }, { status.entries, status.failing, status.failures, status.dirty_bytes })
    assert.equal(2, (daemon:ctl("persist", "frob")))
    local without = h.daemon {}
    assert.matches("no state file", select(3, without:ctl("persist", "status")))
  end)

  it("is copied by ctl persist backup while it is in use", function()
    local daemon = h.daemon(options())
    assert.is_true(set(daemon, "alice", "9:00"))
    local copy = daemon.project.folder .. "/copy.db"
    assert.equal(0, (daemon:ctl("persist", "backup", copy)))
    local code, _, err = daemon:ctl("persist", "backup", copy)
    assert.equal(1, code)
    assert.matches("File exists", err)
    assert.equal(2, (daemon:ctl("persist", "backup", "relative.db")))
    local other = h.daemon(options { persist = { file = copy } })
    assert.is_true(shows(other, "alice", "9:00"))
  end)

  it("is shown to the role look, and copied for admin alone", function()
    local daemon = h.daemon(options { control = { socket = "console", sockets = { wall = { path = "wall", roles = { "look", "act", "emit" } } } } })
    local copy = daemon.project.folder .. "/copy.db"
    local function ask(...) return h.run("ctl", "--socket", daemon.project.folder .. "/wall", "persist", ...) end
    assert.equal(0, (ask "status"))
    local code, _, err = ask("backup", copy)
    assert.equal(1, code)
    assert.matches("persist backup needs the role admin", err)
    assert.is_false(h.exists(copy))
  end)

  it("logs when the disk is full and when it works again; nothing is lost", function()
    if not os.execute "unshare -rm mount -t tmpfs none /mnt 2>/dev/null" then return pending "needs a mount namespace" end
    local project = h.project(options())
    local folder = project.folder .. "/disk"
    assert(lfs.mkdir(folder))
    project.write(options { persist = { file = "disk/state.db" } })
    local script = [[mount -t tmpfs -o size=2m none "$1" && exec "$2" run --allow-root -c "$3"]]
    local daemon = h.start("unshare", { "-rm", "sh", "-c", script, "sh", folder, h.binary, project.config })
    setmetatable(daemon, getmetatable(h.daemon(options())))
    daemon.project, daemon.records, daemon.read_to = project, {}, 0
    daemon:await { msg = "started" }
    local inside = ("/proc/%s/root%s/ballast"):format(daemon.pid, folder)
    os.execute(("dd if=/dev/zero of=%s bs=64k 2>/dev/null"):format(inside))
    local from = daemon:mark()
    daemon:emit("test.set", "Key=full", "Value=" .. ("x"):rep(3000))
    -- The file's pages that are there may take some changes.
    for i = 1, 300 do daemon:emit("test.set", "Key=k" .. i, "Value=" .. ("x"):rep(3000)) end
    daemon:await({ msg = h.has "cannot be written", level = "error" }, { from = from })
    daemon:await({ msg = "set", ok = "nil" }, { from = from })
    daemon:emit "test.push"
    assert.matches("backpressure", daemon:await({ msg = "pushed" }, { from = from }).err)
    assert.equal(1, daemon:metric "hookswitch_persist_failing")
    assert.is_true(daemon:metric "hookswitch_persist_failures_total" >= 1)
    assert.is_true(daemon:metric "hookswitch_persist_dirty_bytes" >= 3000)
    os.execute("rm " .. inside)
    daemon:await({ msg = h.has "written again" }, { from = from })
    h.wait_for(function() return daemon:metric "hookswitch_persist_failing" == 0 end)
    assert.is_true(shows(daemon, "full", ("x"):rep(3000)))
  end)
end)
