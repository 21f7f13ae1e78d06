local helper = require "tests.spec.helper"

describe("run as a daemon", function()
  after_each(helper.cleanup)

  local notify_binary = helper.binary:gsub("[^/]*$", "tests/notify")

  -- Something that listens as systemd does.
  local function manager()
    local path = helper.folder() .. "/notify"
    local process = helper.start(notify_binary, { path })
    process.path = path
    helper.wait_for(function() return process:stdout():find("listening on", 1, true) end)
    function process.await(text, count)
      helper.wait_for(function()
        local _, n = process:stdout():gsub("%f[^\n]" .. text .. "\n", "")
        return n >= (count or 1)
      end, nil, function() return text .. "; it got:\n" .. process:stdout() end)
    end
    return process
  end

  local function limit(daemon, name)
    local soft, hard = helper.read("/proc/" .. daemon.pid .. "/limits"):match("Max " .. name .. " +(%S+) +(%S+)")
    return soft, hard
  end

  it("notifies systemd when it is ready, reloads and stops", function()
    local systemd = manager()
    local d = helper.daemon({}, { env = { NOTIFY_SOCKET = systemd.path } })
    systemd.await "READY=1"
    assert.is_nil(systemd:stdout():find("WATCHDOG", 1, true))
    assert.is_true(d:reload())
    systemd.await "RELOADING=1"
    systemd.await("READY=1", 2)
    d.project.rule("bad.lua", "error 'bad'")
    assert.is_false((d:reload()))
    systemd.await("RELOADING=1", 2)
    systemd.await("READY=1", 3)
    assert.are.equal(0, d:stop())
    systemd.await "STOPPING=1"
  end)

  it("feeds the watchdog from the loop, and only while that turns", function()
    local systemd = manager()
    local d = helper.daemon({}, { env = { NOTIFY_SOCKET = systemd.path, WATCHDOG_USEC = "100000" } })
    systemd.await("WATCHDOG=1", 3)
    d:signal "STOP"
    helper.wait_for(function() return helper.read("/proc/" .. d.pid .. "/stat"):match "%) T " end)
    local before = systemd:stdout()
    local fence = helper.now() + 0.3
    helper.wait_for(function() return helper.now() > fence end)
    assert.are.equal(before, systemd:stdout())
    d:signal "CONT"
    local _, n = before:gsub("WATCHDOG", "")
    systemd.await("WATCHDOG=1", n + 2)
  end)

  it("raises the limit on descriptors and makes no core dumps unless asked", function()
    local d = helper.daemon {}
    local soft, hard = limit(d, "open files")
    assert.are.equal(hard, soft)
    assert.are.equal("0", (limit(d, "core file size")))
    local other = helper.daemon({}, { arguments = { "--core" } })
    local core, most = limit(other, "core file size")
    assert.are.equal(most, core)
  end)

  it("keeps a pid file, which only one daemon may hold", function()
    local path = helper.folder() .. "/pid"
    local d = helper.daemon({}, { arguments = { "--pid-file", path } })
    assert.are.equal(d.pid .. "\n", helper.read(path))
    local code, _, err = helper.run("run", "--allow-root", "-c", helper.project({}).config, "--pid-file", path)
    assert.are.equal(1, code)
    assert.matches("pid: another daemon runs with this pid file", err)
    assert.are.equal(d.pid .. "\n", helper.read(path))
    assert.are.equal(0, d:stop())
    assert.is_false(helper.exists(path))
  end)

  it("takes over the pid file of one that was killed", function()
    local path = helper.folder() .. "/pid"
    local killed = helper.daemon({}, { arguments = { "--pid-file", path } })
    killed:signal "KILL"
    killed:ended()
    local d = helper.daemon({}, { arguments = { "--pid-file", path } })
    assert.are.equal(d.pid .. "\n", helper.read(path))
  end)

  it("says why it cannot write the pid file", function()
    local code, _, err = helper.run("run", "--allow-root", "-c", helper.project({}).config, "--pid-file", "/nowhere/pid")
    assert.are.equal(1, code)
    assert.matches("%-%-pid%-file /nowhere/pid: No such file or directory", err)
  end)

  describe("as root", function()
    local am_root = io.popen("id -u"):read "n" == 0

    -- As root: in truth, or in a user namespace of its own.
    local function run_as_root(...)
      if am_root then return helper.run("run", ...) end
      if not os.execute "unshare -r true 2>/dev/null" then return end
      local words = { "-r", helper.binary, "run", ... }
      words[#words + 1] = { program = "unshare" }
      return helper.run(table.unpack(words))
    end

    it("does not start without --allow-root, and says what to do", function()
      local project = helper.project { config = { log = { file = "log" } } }
      local pid = project.folder .. "/pid"
      local code, out, err = run_as_root("--config=" .. project.config, "--pid-file=" .. pid)
      if not code then return pending "needs root or user namespaces" end
      assert.are.equal(1, code)
      assert.are.equal("", out)
      assert.matches("^hookswitch run: not started as root[^\n]*the unit[^\n]*a user of its own[^\n]*%-%-allow%-root\n$", err)
      for _, name in ipairs { "pid", "log", "console" } do assert.is_false(helper.exists(project.folder .. "/" .. name), name) end
    end)

    it("starts with it", function()
      if not am_root then return pending "needs root" end
      local d = helper.daemon {}
      assert.matches("\nUid:\t0\t0\t", helper.read("/proc/" .. d.pid .. "/status"))
      assert.are.equal(0, d:stop())
    end)

    it("is not meant when another user starts it", function()
      local project = helper.project {}
      local words = { "run", "-c", project.config }
      local program = helper.binary
      if am_root then
        -- That user must reach the program and the folder, wherever they are.
        assert(os.execute(("cp %s %s/hookswitch && chown -R 65534:65534 %s"):format(helper.binary, project.folder, project.folder)))
        program, words = "setpriv", { "--reuid=65534", "--regid=65534", "--clear-groups", project.folder .. "/hookswitch", table.unpack(words) }
      end
      local process = helper.start(program, words)
      helper.wait_for(function() return process:stderr():find('"msg":"started"', 1, true) end, nil, function() return process:tail() end)
      process:signal "TERM"
      assert.are.equal(0, process:ended())
    end)
  end)

  it("has a unit that systemd understands, which tries again for ever, ever more slowly", function()
    local unit = helper.read "conf/hookswitch.service"
    assert.matches("%[Unit%].*\nStartLimitIntervalSec=0\n.*%[Service%]", unit)
    assert.matches("\nRestart=on%-failure\n", unit)
    local folder = helper.folder()
    -- What systemd runs before each start, with a clock of its own.
    local before = assert(unit:match "\nExecStartPre=%-/bin/sh %-c '([^\n]*)'\n"):gsub("%$%$", "$")
    local after = assert(unit:match "\nExecStartPost=%-([^\n]*)\n")
    helper.write_file(folder .. "/sleep", "#!/bin/sh\necho $1\n")
    os.execute("chmod +x " .. folder .. "/sleep")
    local env = { RUNTIME_DIRECTORY = folder, PATH = folder .. ":" .. os.getenv "PATH" }
    local function waits(n)
      local list = {}
      for i = 1, n do
        local code, out, err = helper.run("-c", before, { program = "/bin/sh", env = env })
        assert.are.equal(0, code)
        assert.are.equal("", err)
        list[i] = tonumber(out)
      end
      return list
    end
    assert.are.same({ 0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60 }, waits(14))
    assert.are.equal(0, (helper.run("-c", after, { program = "/bin/sh", env = env })))
    assert.are.same({ 0, 5 }, waits(2))
    if not os.execute "command -v systemd-analyze >/dev/null 2>&1" then return pending "systemd-analyze is not installed" end
    helper.write_file(folder .. "/hookswitch.service", (unit:gsub("/usr/local/bin/hookswitch", helper.binary)))
    local _, out, err = helper.run("-c", "systemd-analyze verify --man=no " .. folder .. "/hookswitch.service", { program = "sh" })
    for _, line in ipairs(helper.lines(out .. err)) do assert.is_nil(line:find("hookswitch.service", 1, true), line) end
  end)

  it("has a unit that systemd calls hardened", function()
    if not os.execute "command -v systemd-analyze >/dev/null 2>&1" then return pending "systemd-analyze is not installed" end
    local code, out, err = helper.run("-c", "systemd-analyze security --offline=true --threshold=20 --no-pager conf/hookswitch.service",
      { program = "sh" })
    assert.are.equal(0, code, out .. err)
    assert.is_true(tonumber(out:match "exposure level for hookswitch.service: ([%d.]+)") < 2.0)
  end)
end)
