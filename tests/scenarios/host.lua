-- What this machine itself may do: stop the process, jump its clock, run out of descriptors, memory or disk.
local support = require "scenarios.support"
local session = support.session

return {
  {
    name = "SIGSTOP",
    must = "a process that was suspended reads first: no timeout is seen where the bytes had come in, and the session stays",
    play = function(t)
      local stopped = support.signal_file()
      -- One waits for an action and one for a Pong, so that neither's read helps the other.
      local acting = support.peer(session([[action Getvar]], "wait " .. stopped, [[send Response: Success\r\nActionID: $id\r\n\r\n]], [[serve]]))
      local idle = support.peer(session([[action Ping]], "wait " .. stopped, [[send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n]],
        [[serve]]))
      local daemon = t:daemon { servers = { acting = support.at(acting, { timeouts = { heartbeat_interval = 30, read = 60 } }),
        idle = support.at(idle, { timeouts = { heartbeat_interval = 0.1, heartbeat = 1, read = 1.2 } }) } }
      daemon:ready "acting"
      daemon:ready "idle"
      daemon:emit("please.send", "server=acting", "action=Getvar", "timeout=1")
      support.wait_for(function()
        return acting.received():find("Action: Getvar", 1, true) and idle.received():find("Action: Ping", 1, true)
      end)
      daemon:signal "STOP"
      support.touch(stopped)
      -- Longer than every deadline of the sessions.
      local till = support.now() + 2
      support.wait_for(function() return support.now() >= till end)
      daemon:signal "CONT"
      assert(daemon:await { msg = "done" }.code == "success")
      support.await_server(daemon, "idle", "a Pong after the pause", function(server) return tonumber(server.heartbeat_rtt) end)
      assert(#daemon:find { msg = "session lost" } == 0)
    end,
  },
  {
    name = "a wall clock that jumps",
    must = "a day forward and two back: no timeout comes early or late, timers keep their pace, the session stays",
    play = function(t)
      local page = support.folder() .. "/jump"
      local function jump(seconds)
        -- In place: the process has it mapped.
        local file = assert(io.open(page, support.exists(page) and "r+b" or "wb"))
        file:write(string.pack("d", seconds))
        file:close()
      end
      jump(0)
      local preload = (os.getenv "LD_PRELOAD" or "") .. " " .. support.tools .. "wallclock.so"
      local peer = support.peer(session([[action Ping]], [[send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n]], [[action Getvar]],
        [[serve]]))
      local daemon = t:daemon({ servers = { pbx = support.at(peer, { timeouts = { heartbeat_interval = 0.3, heartbeat = 5, read = 20 } }) },
        rules = { support.LISTEN, support.SEND, [[
timer.every(0.1, function() log.info("tick", { day = os.date "%F" }) end)
ami.on("please.date", function() log.info("date", { day = os.date "%F" }) end)
]] } }, { env = { LD_PRELOAD = preload:match "^%s*(.*)", WALLCLOCK = page, ASAN_OPTIONS = "verify_asan_link_order=0:detect_leaks=0" } })
      daemon:ready "pbx"
      daemon:emit "please.date"
      local today = daemon:await { msg = "date" }.day
      for n, day in ipairs { 1, -2 } do
        jump(day * 86400)
        daemon:emit "please.date"
        daemon:await({ msg = "date" }, { count = n + 1 })
        local began, ticks = support.now(), #daemon:find { msg = "tick" }
        daemon:emit("please.send", "server=pbx", "action=Getvar", "tag=" .. n, "timeout=0.5")
        local done = daemon:await { msg = "done", tag = tostring(n) }
        local took = support.now() - began
        ticks = #daemon:find { msg = "tick" } - ticks
        t:report("%+d day: the action ended as %s after %.2f s, with %d ticks of 0.1 s", day, done.code, took, ticks)
        assert(n > 1 or (done.code == "timeout" and took >= 0.5 and ticks >= 3), took)
        assert(ticks <= took / 0.1 + 2, ticks)
      end
      local days = daemon:find { msg = "date" }
      assert(days[1].day == today and days[2].day > today and days[3].day < today, "the clock did not jump")
      assert(#daemon:find { msg = "session lost" } == 0)
    end,
  },
  {
    name = "out of file descriptors",
    must = "a new connect ends as system with EMFILE and is tried again, the other session goes on, no core is burnt, and all is well when there are "
      .. "descriptors again",
    needs = function() return not support.can "command -v prlimit" and "no prlimit on this machine" or nil end,
    play = function(t)
      local cut = support.signal_file()
      local peer, sim = support.peer(session("wait " .. cut), session "serve"), support.sim()
      local daemon = t:daemon { servers = { pbx = support.at(peer), other = support.at(sim) } }
      daemon:ready "pbx"
      daemon:ready "other"
      assert(support.can(("prlimit --pid %s --nofile=3:4096"):format(daemon.pid)))
      support.touch(cut)
      local record = daemon:await { msg = "no session", server = "pbx" }
      assert(record.reason == "system" and record.error:find("EMFILE", 1, true), support.source(record))
      -- A client that cannot be accepted must not make the loop spin.
      os.execute(("timeout 1 %s ctl --socket %s/console status >/dev/null 2>&1"):format(support.binary, daemon.project.folder))
      local before, from = support.usage(daemon.pid), support.now()
      daemon:await({ msg = "no session", server = "pbx" }, { count = #daemon:find { msg = "no session", server = "pbx" } + 3 })
      local cpu = (support.usage(daemon.pid).cpu - before.cpu) / (support.now() - from)
      t:report("%.0f %% of a core meanwhile", cpu * 100)
      assert(cpu < 0.7, cpu)
      assert(support.can(("prlimit --pid %s --nofile=4096:4096"):format(daemon.pid)))
      daemon:ready("pbx", { count = 2 })
      support.wait_for(function() return (daemon:ctl("status")) == 0 end)
      daemon:emit("please.send", "server=other", "action=Ping", "tag=other")
      assert(daemon:await { msg = "done", tag = "other" }.code == "success")
      assert(support.server(daemon, "other").sessions == 1)
    end,
  },
  {
    name = "out of memory for a buffer",
    must = "a read buffer that cannot grow ends that session as system and no other",
    needs = function()
      if support.sanitized then return "a sanitizer's own memory leaves no space for a limit" end
      return not support.can "command -v prlimit" and "no prlimit on this machine" or nil
    end,
    play = function(t)
      local go = support.signal_file()
      local peer = support.peer(session("wait " .. go, [[send Event: Big\r\nV: ]], "times 40000 " .. ("x"):rep(1000)), session "serve")
      local daemon = t:daemon { servers = { pbx = support.at(peer, { limits = { frame = 256 * 1024 * 1024 } }), other = support.at(support.sim()) } }
      daemon:ready "pbx"
      daemon:ready "other"
      local size = tonumber(support.read("/proc/" .. daemon.pid .. "/status"):match "VmSize:%s*(%d+)") * 1024
      assert(support.can(("prlimit --pid %s --as=%d:unlimited"):format(daemon.pid, size + 24 * 1024 * 1024)))
      support.touch(go)
      local record = daemon:await { msg = "session lost", server = "pbx" }
      assert(record.reason == "system" and record.error:find("memory", 1, true), support.source(record))
      daemon:ready("pbx", { count = 2 })
      assert(support.can(("prlimit --pid %s --as=unlimited:unlimited"):format(daemon.pid)))
      assert(support.server(daemon, "other").sessions == 1)
    end,
  },
  {
    name = "no memory left in the system",
    must = "rules are refused more, with an error, a record and a metric; nothing ends, and all goes on once there is memory",
    needs = function()
      if support.sanitized then return "a sanitizer's own memory leaves no space for a limit" end
      return not support.can "command -v prlimit" and "no prlimit on this machine" or nil
    end,
    play = function(t)
      local daemon = t:daemon { servers = { pbx = support.at(support.sim()) }, rules = { support.SEND, [[
        ami.on("please.grow", function()
          local made, refused = 0, 0
          for _ = 1, 9000 do
            if pcall(timer.after, 3600, print) then made = made + 1 else refused = refused + 1 end
          end
          log.info("grown", { made = made, refused = refused })
        end)]] }, config = { limits = { deadline = 2, stuck = 4 } } }
      daemon:ready "pbx"
      local size = tonumber(support.read("/proc/" .. daemon.pid .. "/status"):match "VmSize:%s*(%d+)") * 1024
      assert(support.can(("prlimit --pid %s --as=%d:unlimited"):format(daemon.pid, size)))
      daemon:emit "please.grow"
      daemon:await { msg = "the system has no memory left: rules and servers get no more until it has" }
      assert(support.can(("prlimit --pid %s --as=unlimited:unlimited"):format(daemon.pid)))
      daemon:await { msg = "the system has memory again" }
      support.wait_for(function() return daemon:metric "hookswitch_memory_shortages_total" >= 1 end)
      -- A session whose buffer could not be had was lost, and comes back.
      support.await_server(daemon, "pbx", "the session", function(server) return server.state == "ready" end, 30)
      daemon:emit("please.send", "server=pbx", "action=Ping", "tag=after")
      assert(daemon:await { msg = "done", tag = "after" }.code == "success")
    end,
  },
  {
    name = "a full disk under the log",
    must = "records that cannot be written are counted, nothing waits for the disk, and the log goes on when there is space",
    needs = function()
      return not support.can "d=$(mktemp -d) && mount -t tmpfs none $d && umount $d && rmdir $d" and "mounting is not permitted here" or nil
    end,
    play = function(t)
      local disk = support.folder()
      assert(support.can(("mount -t tmpfs -o size=64k none %s"):format(disk)))
      local good, why = pcall(function()
        local sim = support.sim("--events", "3000")
        local daemon = t:daemon({ servers = { pbx = support.at(sim) }, rules = { support.LISTEN, support.SEND },
          config = { limits = support.GENEROUS, log = { file = disk .. "/log", throttle_burst = 1000000 } } }, { log_file = disk .. "/log" })
        local lost = support.await_metric(daemon, "hookswitch_log_lost_total", { reason = "write" }, 1)
        t:report("%d records were not written", lost)
        assert(support.server(daemon, "pbx").state == "ready")
        assert(support.can(("mount -o remount,size=64m %s"):format(disk)))
        support.wait_for(function()
          daemon:emit("please.send", "server=pbx", "action=Ping", "tag=space")
          return #daemon:find { msg = "done", tag = "space" } > 0
        end)
        t.daemons = {}
        assert(daemon:stop() == 0)
      end)
      os.execute("umount -l " .. disk)
      assert(good, why)
    end,
  },
  {
    name = "ten idle servers",
    must = "fewer than two voluntary switches a second for each server and less than 0.5 % of a core, with a Ping a second on each",
    play = function(t)
      local sim, servers = support.sim(), {}
      for n = 1, 10 do servers["pbx" .. n] = support.at(sim, { timeouts = { heartbeat_interval = 1 } }) end
      local daemon = t:daemon { servers = servers, rules = { support.COUNT } }
      for n = 1, 10 do daemon:ready("pbx" .. n) end
      support.await_server(daemon, "pbx10", "a first Ping", function(server) return tonumber(server.heartbeat_rtt) end)
      local before, from = support.usage(daemon.pid), support.now()
      support.wait_for(function() return support.now() - from >= 4 end)
      local after, seconds = support.usage(daemon.pid), support.now() - from
      local switches, cpu = (after.switches - before.switches) / seconds / 10, (after.cpu - before.cpu) / seconds
      t:report("%.2f switches a second for each server, %.2f %% of a core", switches, cpu * 100)
      assert(switches < 2, switches)
      assert(cpu < (support.sanitized and 0.03 or 0.005) + 0.0026, cpu) -- a tick of the accounting is a quarter of a percent
    end,
  },
  {
    name = "time is monotonic",
    must = "no deadline is made of the wall clock: link and net read it only to report when bytes came and how long a certificate is valid",
    play = function(t)
      local pipe = assert(io.popen "grep -cE 'clock_wall|CLOCK_REALTIME|gettimeofday|ev_periodic|[^_a-z]time\\(' src/link/*.c src/net/*.c")
      for line in pipe:lines() do
        local file, count = line:match "^([^:]*):(%d+)"
        local told = file == "src/link/intake.c" or file == "src/link/link.c" or file == "src/link/link_metrics.c"
        assert(tonumber(count) <= (told and 1 or 0), line)
      end
      pipe:close()
      t:report("%s", "as it must")
    end,
  },
}
