local h = require "tests.spec.helper"

local expected = h.json(h.read(h.captures .. "expected.json"))
local names = {}
for name in pairs(expected) do names[#names + 1] = name end
table.sort(names)

local DIAL = h.captures .. "dial.ami"

-- Runs `replay` with one rule of this text; exit code, stdout as decoded lines, stderr. Further arguments come last.
local function replay(rule, ...)
  local folder = h.folder()
  h.write_file(folder .. "/rules/probe.lua", rule)
  local code, out, err = h.run("replay", "--rules", folder .. "/rules", ...)
  local lines = {}
  for i, line in ipairs(h.lines(out)) do lines[i] = h.json(line) end
  return code, lines, err
end

-- A capture of these frames, each a list of lines.
local function capture(frames)
  local parts = { "Asterisk Call Manager/9.0.0\r\n" }
  for _, frame in ipairs(frames) do parts[#parts + 1] = table.concat(frame, "\r\n") .. "\r\n\r\n" end
  return h.write_file(h.folder() .. "/made.ami", table.concat(parts))
end

local function nothing_skipped(counts)
  local all = { malformed = 0, oversized = 0, skipped_bytes = 0 }
  for key, value in pairs(counts) do all[key] = value end
  return all
end

describe("replay", function()
  after_each(h.cleanup)

  for _, name in ipairs(names) do
    it("counts all of " .. name .. " as an independent reader did, however the bytes come", function()
      for _, chunk in ipairs { "65536", "1", "7" } do
        local code, out, err = h.run("replay", "--summary", "--chunk", chunk, h.captures .. name)
        assert.equal(0, code, err)
        assert.same(nothing_skipped(expected[name]), h.json(out))
        assert.equal("", err)
      end
    end)
  end

  it("shows the jobs that rules push, and runs them with --jobs", function()
    local rule = [[
      local out = sink.open "out"
      work.on("calls", function(job) out:write { try = job.try, n = job.n } end)
      ami.once("Hangup", function() work.push("calls", { n = 1, list = { "a", true } }) work.push("calls", { n = 2 }) end)]]
    local code, lines, err = replay(rule, DIAL)
    assert.equal(0, code, err)
    local pushed = { { rule = "probe", queue = "calls", job = { n = 1, list = { "a", true } } }, { rule = "probe", queue = "calls", job = { n = 2 } } }
    assert.same(pushed, lines)
    code, lines = replay(rule, "--jobs", DIAL)
    assert.equal(0, code)
    assert.same({ sink = "out", line = '{"n":1,"try":1}' }, { sink = lines[3].sink, line = lines[3].line:gsub('"try":1,"n":1', '"n":1,"try":1') })
  end)

  it("is ready from the first frame where a capture has no banner", function()
    local path = h.write_file(h.folder() .. "/bare.ami", "Event: UserEvent\r\nUserEvent: x\r\n\r\n")
    local code, lines, err = replay([[
      local out = sink.open "out"
      ami.on("server.ready", function() out:write "ready" end)
      ami.on("UserEvent", function() out:write "heard" end)]], path)
    assert.equal(0, code, err)
    assert.same({ { sink = "out", line = "ready" }, { sink = "out", line = "heard" } }, lines)
  end)

  it("lets the rules' clocks pass between two frames, also when nothing is due in between", function()
    local path = capture { { "Event: UserEvent", "Timestamp: 1795210100.5" }, { "Event: UserEvent", "Timestamp: 1795210107.75" },
      { "Event: UserEvent", "Timestamp: 1795210200.5" } }
    local code, lines, err = replay([[
      local out = sink.open "out"
      local mono, wall
      ami.on("UserEvent", function(ev)
        if mono then out:write(("%.3f %.3f"):format(timer.now() - mono, ami.time(ev) - wall)) end
        mono, wall = timer.now(), ami.time(ev)
      end)]], path)
    assert.equal(0, code, err)
    assert.same({ { sink = "out", line = "7.250 7.250" }, { sink = "out", line = "92.750 92.750" } }, lines)
  end)

  it("gives one summary for each capture", function()
    local code, out = h.run("replay", "--summary", DIAL, h.captures .. "queue.ami")
    assert.equal(0, code)
    local lines = h.lines(out)
    assert.equal(2, #lines)
    assert.same(nothing_skipped(expected["dial.ami"]), h.json(lines[1]))
    assert.same(nothing_skipped(expected["queue.ami"]), h.json(lines[2]))
  end)

  it("runs rules on every event and prints their actions as JSON lines instead of sending them", function()
    local code, lines, err = replay([[
      ami.on("Newchannel", function(ev, server)
        server:send { Action = "Setvar", Channel = ev.Channel, Variable = "X", Value = true, Tag = { "a", "b" } }
      end)]], DIAL)
    assert.equal(0, code, err)
    assert.equal(expected["dial.ami"].by_event.Newchannel, #lines)
    assert.same({ server = "replay", rule = "probe",
      action = { Action = "Setvar", Channel = "Local/900@default-00000003;1", Variable = "X", Value = "true", Tag = { "a", "b" } } }, lines[1])
  end)

  it("calls the server as --server says", function()
    local _, lines = replay([[
      ami.once("Newchannel", { server = "pbx7" }, function(ev, server) server:send { Action = "Ping" } end)]], "--server", "pbx7", DIAL)
    assert.equal(1, #lines)
    assert.equal("pbx7", lines[1].server)
  end)

  it("prints what rules write to sinks", function()
    local _, lines = replay([[
      local journal = sink.open "journal"
      ami.once("Newchannel", function(ev) journal:write { channel = ev.Channel } journal:write "plain" end)]], DIAL)
    assert.equal(2, #lines)
    assert.equal("journal", lines[1].sink)
    assert.same({ channel = "Local/900@default-00000003;1" }, h.json(lines[1].line))
    assert.equal("plain", lines[2].line)
  end)

  it("answers actions as --answer says, and as cancelled without it", function()
    local rule = [[
      local out = sink.open "out"
      ami.once("Newchannel", function(ev, server)
        local res, err = server:call { Action = "Ping" }
        out:write(res and "success" or err.code)
      end)]]
    for answer, code in pairs { cancelled = "cancelled", success = "success", error = "error", timeout = "timeout" } do
      local _, lines = replay(rule, "--answer", answer, DIAL)
      assert.equal(code, lines[2] and lines[2].line)
    end
    local _, lines = replay(rule, DIAL)
    assert.equal("cancelled", lines[2].line)
  end)

  it("lets an action's timeout pass in the capture's time", function()
    local at = 1800000000
    local path = capture {
      { "Event: UserEvent", "UserEvent: begin", "Timestamp: " .. at .. ".0" },
      { "Event: UserEvent", "UserEvent: end", "Timestamp: " .. at + 60 .. ".0" },
    }
    local _, lines = replay([[
      local out = sink.open "out"
      ami.once("UserEvent", function(ev, server)
        local before = timer.now()
        local res, err = server:call({ Action = "Ping" }, { timeout = 12.5 })
        out:write { code = err.code, after = timer.now() - before, at = os.time() }
      end)]], "--answer", "timeout", path)
    local told = h.json(lines[2].line)
    assert.equal("timeout", told.code)
    assert.equal(12.5, told.after)
    assert.equal(at + 12, told.at)
  end)

  it("runs timers, os.time and os.date in the capture's time, as fast as it goes", function()
    local at = 1800000000
    local path = capture {
      { "Event: UserEvent", "UserEvent: begin", "Timestamp: " .. at .. ".0" },
      { "Event: UserEvent", "UserEvent: end", "Timestamp: " .. at + 3600 .. ".25" },
    }
    local began = h.now()
    local _, lines = replay([[
      local out, ticks = sink.open "out", 0
      timer.every(60, function() ticks = ticks + 1 end)
      ami.on("UserEvent", function(ev)
        if ev.UserEvent == "begin" then
          timer.after(90, function() out:write { what = "after", at = os.time(), text = os.date("!%H:%M:%S") } end)
          timer.sleep(1800)
          out:write { what = "slept", at = os.time() }
        else
          out:write { what = "end", at = os.time(), ticks = ticks, arrived = ami.time(ev) }
        end
      end)]], path)
    assert.is_true(h.now() - began < 30)
    assert.equal(3, #lines)
    assert.same({ what = "after", at = at + 90, text = os.date("!%H:%M:%S", at + 90) }, h.json(lines[1].line))
    assert.same({ what = "slept", at = at + 1800 }, h.json(lines[2].line))
    local last = h.json(lines[3].line)
    assert.equal(at + 3600, last.at)
    assert.equal(60, last.ticks)
    assert.equal(at + 3600.25, last.arrived)
  end)

  it("keeps the capture's pace when --speed says so", function()
    local at = 1800000000
    local path = capture {
      { "Event: UserEvent", "UserEvent: begin", "Timestamp: " .. at .. ".0" },
      { "Event: UserEvent", "UserEvent: end", "Timestamp: " .. at + 20 .. ".0" },
    }
    local began = h.now()
    assert.equal(0, (replay("local nothing", "--speed", "100x", path)))
    assert.is_true(h.now() - began >= 0.2)
  end)

  it("takes no number for a time that cannot be one, neither of a frame nor beside the capture", function()
    local rule = [[ami.on("UserEvent", function(ev) sink.open("out"):write(("%.0f"):format(ami.time(ev))) end)]]
    local function frames(...)
      local list = {}
      for i, at in ipairs { ... } do list[i] = { "Event: UserEvent", "Timestamp: " .. at } end
      return capture(list)
    end
    local function times(path)
      local code, lines, err = replay(rule, path)
      assert.equal(0, code, err)
      local all = {}
      for i, line in ipairs(lines) do all[i] = line.line end
      return all
    end
    assert.same({ "1800000000", "1800000000", "1800000000", "1800000000", "1800000001" },
      times(frames("1800000000", "100000000", "100000000000", "0", "1800000001")))
    for _, at in ipairs { "100000001", "99999999999" } do assert.same({ at }, times(frames(at))) end
    -- Where the first is none, the clock's is there.
    local now = os.time()
    assert.is_true(tonumber(times(frames "100000000")[1]) >= now)
    local path = frames "100000000"
    h.write_file(path .. ".times", "0 0\n")
    assert.is_true(tonumber(times(path)[1]) >= now)
    -- Beside it: the offset behind which bytes came, and when.
    for _, bad in ipairs { "100000000000", "0", "-1" } do
      path = frames("1800000000", "1800000001")
      h.write_file(path .. ".times", "0 1700000000\n40 " .. bad .. "\n")
      assert.same({ "1700000000", "1700000000" }, times(path))
    end
  end)

  it("gives the rules the session's beginning, and the same engine events as a real one", function()
    local _, lines = replay([[
      local out = sink.open "out"
      ami.on("server.ready", function(ev, server)
        out:write { name = server.name, ready = server.ready, version = server.version, reason = ev.reason }
      end)]], DIAL)
    assert.same({ name = "replay", ready = true, version = "13.0.0", reason = "connected" }, h.json(lines[1].line))
  end)

  it("takes settings, policy and sinks from a configuration", function()
    local project = h.project {
      rules = { ["probe.lua"] = [[
        local set = settings { greeting = "none" }
        local out = sink.open "out"
        ami.once("Newchannel", function(ev, server)
          local id, err = server:send { Action = "Ping" }
          out:write(set.greeting .. " " .. tostring(id) .. " " .. (err and err.code or ""))
        end)]] },
      config = { rules = { probe = { greeting = "hello" } }, policy = { deny = { "Ping" } }, sinks = { out = { file = "out" } } },
    }
    local code, out, err = h.run("replay", "-c", project.config, DIAL)
    assert.equal(0, code, err)
    assert.equal("hello nil denied", h.json(out).line)
    assert.is_false(h.exists(project.folder .. "/out"))
    project.rule("probe.lua", "sink.open 'other'")
    code, _, err = h.run("replay", "-c", project.config, DIAL)
    assert.equal(1, code)
    assert.truthy(err:find("scripts/probe.lua:1: the configuration has no sink 'other'", 1, true), err)
  end)

  it("finds the modules beside the rules folder, wherever it is started", function()
    local folder = h.folder()
    h.write_file(folder .. "/rules/probe.lua", [[
      local greet = require "greet"
      ami.once("Newchannel", function() sink.open("out"):write(greet) end)]])
    h.write_file(folder .. "/lib/greet.lua", "return 'beside'")
    h.write_file(folder .. "/other/greet.lua", "return 'given'")
    h.write_file(folder .. "/alone/rules/probe.lua", "local recent = require 'recent'")
    local function greeting(options, ...)
      local words = { "replay", ... }
      table.move({ DIAL, options }, 1, 2, #words + 1, words)
      local code, out, err = h.run(table.unpack(words))
      assert.equal(0, code, err)
      return h.json(out).line
    end
    assert.equal("beside", greeting({}, "--rules", folder .. "/rules"))
    assert.equal("beside", greeting({ cwd = folder .. "/rules" }, "--rules", "."))
    assert.equal("beside", greeting({ cwd = folder }, "--rules", "rules/"))
    assert.equal("given", greeting({}, "--rules", folder .. "/rules", "--lib", folder .. "/other"))
    -- Where there is none beside it, the one of the current folder, as before.
    assert.equal(0, (h.run("replay", "--rules", folder .. "/alone/rules", DIAL)))
  end)

  it("masks secrets in the actions that it prints", function()
    local _, lines, err = replay([[
      ami.once("Newchannel", function(ev, server) server:send { Action = "UserEvent", UserEvent = "x", Secret = "wombat-4711" } end)]], DIAL)
    assert.equal(1, #lines)
    assert.falsy((lines[1].action.Secret .. err):find("wombat", 1, true))
  end)

  it("logs what rules say to stderr, as text or as JSON, from the level asked for", function()
    local rule = [[ami.once("Newchannel", function() log.debug("quiet") log.info("loud", { n = 1 }) end)]]
    local _, _, err = replay(rule, DIAL)
    assert.truthy(err:find("info  loud rule=probe server=replay event=Newchannel n=1\n", 1, true), err)
    assert.falsy(err:find("quiet", 1, true))
    _, _, err = replay(rule, "--json", "--log", "debug", DIAL)
    local told = {}
    for _, line in ipairs(h.lines(err)) do told[h.json(line).msg] = true end
    assert.is_true(told.quiet and told.loud)
  end)

  it("ends what waits as a stop of the daemon does: <close> variables run", function()
    local code, _, err = replay([[
      ami.once("Hangup", function()
        local parked <close> = setmetatable({}, { __close = function() log.info("closed") end })
        timer.sleep(86400)
      end)]], DIAL)
    assert.equal(0, code, err)
    assert.matches("closed", err, 1, true)
  end)

  it("goes on after a rule's error and logs it with file, line and event", function()
    local code, lines, err = replay([[
      local out = sink.open "out"
      ami.once("Newchannel", function(ev) local x = nil; x.y = 1 end)
      ami.once("Hangup", function(ev) out:write "went on" end)]], DIAL)
    assert.equal(0, code)
    assert.equal("went on", lines[1].line)
    assert.truthy(err:find("probe.lua:2: attempt to index a nil value (local 'x')", 1, true), err)
    assert.truthy(err:find("event=Newchannel", 1, true), err)
  end)

  it("reads a recording that begins in mid-session", function()
    local path = h.write_file(h.folder() .. "/mid.ami", "Event: Hangup\r\nCause: 16\r\n\r\n")
    local code, out = h.run("replay", "--summary", path)
    assert.equal(0, code)
    assert.equal(1, h.json(out).by_event.Hangup)
  end)

  it("counts the frames that it skips, and says so", function()
    local glued = "Event: A\r\nPrivilege: call,all\r\nCha: Event: B\r\nPrivilege: call,all\r\n\r\n"
    local large = "Event: Large\r\n" .. ("a:\r\n"):rep(1048577) .. "\r\n"
    local cut = "Event: Cut\r\nHalf: a"
    local path = h.write_file(h.folder() .. "/bad.ami", "Asterisk Call Manager/9.0.0\r\nEvent: Good\r\n\r\n" .. glued .. glued .. large .. "Event: Good\r\n\r\n" .. cut)
    for _, chunk in ipairs { "65536", "4099" } do
      local code, out, err = h.run("replay", "--summary", "--chunk", chunk, path)
      assert.equal(0, code)
      local counts = h.json(out)
      assert.same({ Good = 2 }, counts.by_event)
      local bytes = 2 * #glued + #large + #cut
      assert.same({ 2, 1, true, bytes }, { counts.malformed, counts.oversized, counts.partial_tail, counts.skipped_bytes })
      assert.equal(("%s: frames skipped: 2 malformed, 1 too large, 1 cut by the end; %d bytes\n"):format(path, bytes), err)
    end
    local _, _, err = replay("local nothing", path)
    assert.truthy(err:find("frames skipped: 2 malformed", 1, true), err)
  end)

  it("lets no rule hear of what is no capture", function()
    for _, path in ipairs { "/etc/passwd", h.write_file(h.folder() .. "/c", "#include <a/b.h>\n\nint main: x\n\n"), h.binary } do
      local code, lines, err = replay([[ami.on("*", function() sink.open("out"):write "heard" end) ami.on("server.ready", function() log.info "begun" end)]], path)
      assert.equal(1, code)
      assert.same({}, lines)
      assert.falsy(err:find("begun", 1, true), err)
      assert.truthy(err:find(path .. ": is no AMI capture: ", 1, true), err)
    end
    -- A proxy's banner is its own.
    local path = h.write_file(h.folder() .. "/proxy.ami", "Some Proxy/1.0\r\nResponse: Success\r\n\r\n")
    assert.equal(0, (h.run("replay", "--summary", path)))
  end)

  it("refuses what is no capture in one line that says why", function()
    local folder = h.folder()
    local wanted = {
      [h.write_file(folder .. "/empty", "")] = "is empty",
      [h.write_file(folder .. "/text", "once upon a time\n")] = "is no AMI capture: it does not begin with a banner",
      [h.write_file(folder .. "/binary", "\127ELF\0\0\0")] = "is no AMI capture",
      [folder] = "is a directory",
      [folder .. "/none"] = "No such file or directory",
    }
    for path, text in pairs(wanted) do
      local code, out, err = h.run("replay", "--summary", path)
      assert.equal(1, code)
      assert.equal("", out)
      assert.equal(1, #h.lines(err))
      assert.truthy(err:find(path .. ": ", 1, true) and err:find(text, 1, true), err)
    end
  end)

  it("reads the other captures when one is bad, and still fails", function()
    local code, out, err = h.run("replay", "--summary", h.folder() .. "/none", DIAL)
    assert.equal(1, code)
    assert.same(nothing_skipped(expected["dial.ami"]), h.json(out))
    assert.equal(1, #h.lines(err))
  end)

  it("refuses rules that do not load: a missing folder, syntax, an error", function()
    local code, _, err = h.run("replay", "--rules", h.folder() .. "/nowhere", DIAL)
    assert.equal(1, code)
    assert.truthy(err:find("nowhere: the rules folder cannot be read: No such file or directory", 1, true), err)
    local lines
    code, lines, err = replay("x = = 1", DIAL)
    assert.equal(1, code)
    assert.equal(0, #lines)
    assert.truthy(err:find("rules/probe.lua:1: unexpected symbol near '='", 1, true), err)
    code, _, err = replay("local t\nt.x = 1", DIAL)
    assert.equal(1, code)
    assert.truthy(err:find("rules/probe.lua:2: attempt to index a nil value (local 't')", 1, true), err)
  end)

  it("refuses option values that mean nothing", function()
    for _, how in ipairs { { "--answer", "maybe" }, { "--chunk", "0" }, { "--speed", "fast" }, { "--log", "loud" }, { "--server", "" } } do
      local code, _, err = h.run("replay", how[1], how[2], DIAL)
      assert.equal(2, code)
      assert.truthy(err:find(how[1], 1, true), err)
    end
    assert.equal(2, (h.run "replay"))
  end)

  it("ends with an error that names the rule when time cannot pass", function()
    for name, rule in pairs {
      ["sleep(0)"] = [[ami.once("*", function() while true do timer.sleep(0) end end)]],
      ["sleep of a nanosecond"] = [[ami.once("*", function() while true do timer.sleep(1e-9) end end)]],
      ["emit"] = [[ami.on("self.heard", function() ami.emit "self.heard" end) ami.once("*", function() ami.emit "self.heard" end)]],
      ["timer"] = [[local function again() timer.after(0, again) end ami.once("*", again)]],
      ["while loading"] = [[local function again() timer.after(0, again) end again()]],
    } do
      local began = h.now()
      local code, _, err = replay(rule, DIAL)
      assert.equal(1, code, name)
      assert.matches("dial.ami: is not replayed to its end: rule 'probe' wants to run at once again and again %(10000 turns in 0.1 s", err)
      assert.is_true(h.now() - began < 2, name)
    end
  end)

  it("lets rules run at once often, and keeps every tick of a long gap", function()
    local code, _, err = replay([[
      local n, ticks = 0, 0
      ami.once("*", function() for _ = 1, 5000 do timer.sleep(0) end print "slept" end)
      timer.every(0.001, function() ticks = ticks + 1 end)
      ami.on("Second", function() print("ticks", ticks) end)]],
      capture { { "Event: First", "Timestamp: 1700000000.0" }, { "Event: Second", "Timestamp: 1700000200.0" } })
    assert.equal(0, code, err)
    assert.matches("slept", err)
    assert.matches("ticks 200000", err)
  end)
end)

describe("requests in a replay", function()
  after_each(h.cleanup)

  local RULE = [[
    ami.on("DialBegin", function()
      local res, err = http.post("https://crm.example.net/api/x?token=wombat-4711", { n = 1 }, { timeout = 2,
        headers = { Authorization = "Bearer wombat-4712", ["X-Session"] = "wombat-4713", ["X-Credential"] = "wombat-4714", ["X-Plain"] = "plain" } })
      log.info("ended", { status = res and res.status, body = res and res.body, type = res and res.headers.type, code = err and err.code })
    end)]]

  -- The line of the first request, and the log.
  local function run(...)
    local code, lines, err = replay(RULE, "--json", DIAL, ...)
    assert.equal(0, code, err)
    return lines[1], err
  end

  it("are printed with their secrets masked, and end as cancelled", function()
    local line, log = run()
    assert.same({ rule = "probe", http = { method = "POST", url = "https://crm.example.net/api/x?token=[redacted]", body = '{"n":1}',
      headers = { Authorization = "[redacted]", ["X-Session"] = "[redacted]", ["X-Credential"] = "[redacted]", ["X-Plain"] = "plain", ["Content-Type"] = "application/json" } } }, line)
    assert.matches('"msg":"ended"[^\n]*"code":"cancelled"', log)
  end)

  it("end as --http says: a status, a timeout, or what a file has", function()
    for how, wanted in pairs { ["100"] = '"status":100', ["200"] = '"status":200', ["599"] = '"status":599', ["404"] = '"status":404', ["timeout"] = '"code":"timeout"' } do
      local _, log = run("--http", how)
      assert.matches('"msg":"ended"[^\n]*' .. wanted, log)
    end
    local file = h.folder() .. "/answers.lua"
    h.write_file(file, [[return { { url = "https://crm.example.net/api/", method = "GET", status = 201 },
      { url = "https://crm.example.net/api/x", status = 202, headers = { Type = "t" }, json = { a = 1 } } }]])
    local _, log = run("--http", file)
    assert.truthy(log:find([["body":"{\"a\":1}","status":202,"type":"t"]], 1, true), log)
    h.write_file(file, [[return { { url = "https://crm.example.net/", code = "refused" } }]])
    _, log = run("--http", file)
    assert.matches('"code":"refused"', log)
    h.write_file(file, "return {}")
    _, log = run("--http", file)
    assert.matches('"status":404', log)
    for _, bad in ipairs { "return 1", "return { 1 }", "return { { status = 200 } }" } do
      h.write_file(file, bad)
      local code, _, err = replay(RULE, "--http", file, DIAL)
      assert.equal(1, code)
      assert.matches("answers.lua", err)
    end
    assert.equal(1, (replay(RULE, "--http", "/no/such/file", DIAL)))
  end)

  it("time out in the capture's time, each at its own, after 10 s where they name none", function()
    local at = 1800000000
    local path = capture {
      { "Event: UserEvent", "UserEvent: begin", "Timestamp: " .. at .. ".0" },
      { "Event: UserEvent", "UserEvent: end", "Timestamp: " .. at + 60 .. ".0" },
    }
    local code, lines, err = replay([[
      local out = sink.open "out"
      ami.once("UserEvent", function()
        local before = timer.now()
        for _, timeout in ipairs { 12.345, 3.017, 0 } do
          http.get("http://crm.example.net/", { timeout = timeout > 0 and timeout or nil }, function(res, err)
            out:write(("%g: %s after %g s"):format(timeout, err and err.code or res.status, timer.now() - before))
          end)
        end
      end)]], "--http", "timeout", path)
    assert.equal(0, code, err)
    local ends = {}
    for _, line in ipairs(lines) do ends[#ends + 1] = line.line end
    assert.same({ "3.017: timeout after 3.017 s", "0: timeout after 10 s", "12.345: timeout after 12.345 s" }, ends)
  end)

  it("are answered by no file with a slip in it: it is refused by item, and says what is wanted", function()
    local file = h.folder() .. "/answers.lua"
    for slip, why in pairs { ['code = "refusd"'] = "code is an error", ['code = "none"'] = "code is an error", ['code = "unknown"'] = "code is an error",
      ["code = 5"] = "code are strings", ["status = 99"] = "from 100 to 599", ["status = 600"] = "from 100 to 599", ['status = "200"'] = "status is an integer",
      ["body = {}"] = "body and code are strings", ["method = 1"] = "method, body", ['headers = "Type: t"'] = "headers is a table",
      ["headers = { Type = 1 }"] = "values of headers are strings", ['headers = { "Type: t" }'] = "names and values", ["headers = { true }"] = "values of headers are strings" } do
      h.write_file(file, ('return { { url = "https://crm.example.net/", status = 599 }, { url = "https://crm.example.net/api", %s } }'):format(slip))
      local code, _, err = replay(RULE, "--http", file, DIAL)
      assert.equal(1, code, slip)
      assert.matches("answers.lua: item 2: [^\n]*" .. why, err)
    end
    h.write_file(file, 'return { {}, { url = "https://crm.example.net/" }, 1 }')
    local _, _, err = replay(RULE, "--http", file, DIAL)
    assert.matches("item 1: an answer is a table with url.*item 3: an answer is a table with url", err)
    for _, good in ipairs { "status = 100", "status = 599", 'code = "deadline"' } do
      h.write_file(file, ('return { { url = "https://crm.example.net/", %s } }'):format(good))
      assert.equal(0, (replay(RULE, "--http", file, DIAL)), good)
    end
  end)
end)
