-- What an operator relies on in the log of the real program: which record says what, colour, and a reader that stops.
local h = require "tests.spec.helper"

describe("a record about an action", function()
  after_each(h.cleanup)

  local PEER = h.LOGIN .. [[

action Ping
send Response: Success\r\nActionID: $id\r\nPing: Pong\r\n\r\n
action Ping
send Response: Error\r\nActionID: $id\r\nMessage: not now\r\n\r\n
send Response: Success\r\nActionID: stray-7\r\n\r\n
action DBPut
serve]]

  local RULE = [[ami.on("probe.act", function(ev)
    local pbx = ami.server "pbx1"
    pbx:send({ Action = "Ping" }, function() log.info("in callback") error "callback failed" end)
    local _, err = pbx:call { Action = "Ping" }
    log.info("refused", { reason = err.code })
    pbx:send({ Action = "DBPut", Family = "f", Key = "k", Val = "v" }, { timeout = 0.05 })
  end)]]

  it("names server, rule, action, ActionID and, when it failed, the reason", function()
    local d = h.daemon { servers = { pbx1 = h.server(h.peer(PEER), { timeouts = { heartbeat_interval = 0 } }) }, rules = { ["probe.lua"] = RULE },
                         config = { log = { level = "debug", throttle_burst = 1000000 } } }
    d:ready "pbx1"
    d:emit "probe.act"
    local sent = {}
    for n = 1, 2 do sent[n] = d:await({ msg = "action sent", action = "Ping", rule = "probe", server = "pbx1" }, { count = n }).action_id end
    local put = d:await { msg = "action sent", action = "DBPut" }.action_id
    local function ended(id)
      local r = d:await { msg = "action ended", action_id = id, server = "pbx1", rule = "probe" }
      assert.is_true(r.seconds >= 0)
      return { r.action, r.reason, r.error }
    end
    assert.same({ "Ping" }, ended(sent[1]))
    assert.same({ "Ping", "error", "not now" }, ended(sent[2]))
    assert.equal("timeout", ended(put)[2])
    assert.equal(sent[1], d:await { msg = "in callback", rule = "probe", server = "pbx1", action = "Ping" }.action_id)
    assert.equal(sent[1], d:await { msg = h.has "callback failed", level = "error", action = "Ping", server = "pbx1" }.action_id)
    assert.equal("probe.act", d:await({ msg = "refused", reason = "error" }).event)
    assert.equal("pbx1", d:await({ msg = h.has "an answer came for an action", action_id = "stray-7" }).server)
    assert.equal(0, (d:ctl("call", "pbx1", "Action=CoreStatus")))
    local asked = d:await { msg = "action sent", sent_by = "console", action = "CoreStatus" }
    assert.is_nil(d:await({ msg = "action ended", sent_by = "console", action_id = asked.action_id }).reason)
  end)

  it("is one of those that repeat, whatever its ActionID", function()
    local d = h.daemon { servers = { pbx1 = h.server(h.sim()) }, config = { log = { throttle_burst = 3, throttle_window = 0.5 } }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        for _ = 1, 10 do server:send({ Action = "Ping" }, function() log.info "answered" end) end
      end)]] } }
    assert.equal(7, d:await({ msg = "answered", repeated = function(n) return n ~= nil end }).repeated)
    assert.equal(3, #d:find { msg = "answered", action = "Ping" })
  end)
end)

describe("the log", function()
  after_each(h.cleanup)

  it("has colour on a terminal, and only there", function()
    local project = h.project {}
    local shown = h.start("script", { "-qfec", ("exec %s run --allow-root -c %s"):format(h.binary, project.config), "/dev/null" })
    h.wait_for(function() return shown:stdout():find("\27%[32minfo \27%[0m started \27%[2mversion=\27%[0m") end, nil, function() return shown:tail() end)
    assert.truthy(shown:stdout():find("\27[33mwarn \27[0m ", 1, true))
    -- The terminal's end would be a reload to it.
    os.execute("kill " .. h.read(("/proc/%s/task/%s/children"):format(shown.pid, shown.pid)))
    assert.equal(0, shown:ended())
    for _, format in ipairs { "auto", "text", "json" } do
      local d = h.start(h.binary, { "run", "--allow-root", "-c", h.project({ config = { log = { format = format } } }).config })
      h.wait_for(function() return d:stderr():find("started", 1, true) end, nil, function() return d:tail() end)
      assert.is_nil(d:stderr():find("\27", 1, true), format)
    end
  end)

  it("waits for nobody: a reader that stops costs records, which are counted and reported with the reason", function()
    local folder = h.folder()
    local pipe, go = folder .. "/pipe", folder .. "/go"
    assert(os.execute("mkfifo " .. pipe))
    -- Holds the pipe open, and reads only when it is asked to.
    local reader = h.start("sh", { "-c", [[exec 3<>"$1"; echo up; while [ ! -e "$2" ]; do sleep 0.02; done; exec cat <&3]], "sh", pipe, go })
    h.wait_for(function() return reader:stdout() == "up\n" end)
    local project = h.project { config = { limits = { log_lines_per_second = 0, deadline = 1, stuck = 10 }, log = { format = "json", throttle_burst = 1000000 } }, rules = { ["probe.lua"] = [[
      local ticks = metric.counter("ticks_total", "Ticks.")
      timer.every(0.01, function() ticks:inc() end)
      ami.on("probe.flood", function() for i = 1, 6000 do log.info("flood", { n = i, text = ("x"):rep(200) }) end end)]] } }
    local daemon = h.start("sh", { "-c", [[exec "$0" run --allow-root -c "$1" 2>"$2"]], h.binary, project.config, pipe })
    local function ctl(...)
      local code, out, err = h.run("ctl", "--socket", project.folder .. "/console", ...)
      return code == 0 and out, err
    end
    h.wait_for(function() return ctl "status" end)
    local function metric(name) return tonumber(assert(ctl "metrics"):match("\n" .. name .. " (%d+)")) or 0 end
    assert(ctl("emit", "probe.flood"))
    h.wait_for(function() return metric 'hookswitch_log_lost_total{reason="queue"}' > 0 and metric 'hookswitch_log_lost_total{reason="write"}' > 0 end)
    local ticks = metric "hookswitch_rule_ticks_total"
    h.wait_for(function() return metric "hookswitch_rule_ticks_total" > ticks + 20 end)
    h.write_file(go, "")
    local function told(text)
      return h.json((h.wait_for(function() return reader:stdout():match('{[^\n]*"msg":"' .. text .. '[^\n]*}\n') end, nil, function() return text end)))
    end
    local dropped, lost = told "log records dropped: the queue was full", told "log records lost: could not write"
    assert.same({ "warn", "queue" }, { dropped.level, dropped.reason })
    assert.same({ "warn", "stderr", "Resource temporarily unavailable" }, { lost.level, lost.file, lost.reason })
    assert.is_true(dropped.count > 0 and lost.count > 0)
    daemon:signal "TERM"
    assert.equal(0, daemon:ended())
  end)
end)
