-- What is counted: every family of the engine by name, type and labels, on a daemon with two servers and rules.
local helper = require "tests.spec.helper"

describe("metrics", function()
  after_each(helper.cleanup)

  -- name = { type, labels, "every": a series for each server or rule from the start on }
  local FAMILIES = {
    -- the loop: turn duration, wait, lag
    loop_turn_seconds = { "histogram", "" }, loop_turns_total = { "counter", "" }, loop_wait_seconds_total = { "counter", "" },
    loop_lag_seconds = { "gauge", "" }, loop_longest_turn_seconds = { "gauge", "" },
    -- each server: state, bytes and frames in and out, events by fate, malformed, pending, action latency, outcomes by code, late and
    -- unmatched answers, connects, failures by reason, breaker state, heartbeat round trip, backlog bytes
    server_state = { "gauge", "server", "every" }, server_ready = { "gauge", "server", "every" },
    server_bytes_in_total = { "counter", "server", "every" }, server_bytes_out_total = { "counter", "server", "every" },
    server_frames_total = { "counter", "server", "every" }, server_frames_out_total = { "counter", "server", "every" },
    server_events_total = { "counter", "fate,server", "every" }, server_shed_total = { "counter", "event,server" },
    server_malformed_total = { "counter", "server", "every" }, server_oversized_total = { "counter", "server", "every" },
    server_cut_frames_total = { "counter", "server", "every" }, server_lines_without_colon_total = { "counter", "server", "every" },
    server_other_frames_total = { "counter", "server", "every" },
    server_pending = { "gauge", "server", "every" }, server_action_seconds = { "histogram", "action,server" },
    server_actions_total = { "counter", "action,outcome,server" }, server_answers_late_total = { "counter", "server", "every" },
    server_answers_unmatched_total = { "counter", "server", "every" }, server_answers_idless_total = { "counter", "server", "every" },
    server_connects_total = { "counter", "server", "every" }, server_sessions_total = { "counter", "server", "every" },
    server_failures_total = { "counter", "reason,server" }, server_breaker_state = { "gauge", "server", "every" },
    server_heartbeat_seconds = { "gauge", "server" }, server_backlog_bytes = { "gauge", "server", "every" },
    server_backlog_events = { "gauge", "server", "every" }, server_certificate_days = { "gauge", "server" },
    -- rules: calls, errors by kind, time, quarantined, timers, memory
    rules_calls_total = { "counter", "rule", "every" }, rules_errors_total = { "counter", "kind,rule", "every" },
    rules_call_seconds = { "histogram", "rule", "every" }, rules_slow_calls_total = { "counter", "rule", "every" },
    rules_cpu_seconds_total = { "counter", "rule", "every" }, rules_quarantined_total = { "counter", "rule", "every" },
    rules_quarantined_listeners = { "gauge", "rule", "every" }, rules_timers = { "gauge", "rule", "every" },
    rules_longest_lag_seconds = { "gauge", "rule", "every" },
    rules_down = { "gauge", "rule", "every" }, rules_listeners = { "gauge", "rule", "every" }, rules_waiting = { "gauge", "rule", "every" },
    rules_memory_bytes = { "gauge", "rule", "every" }, rules_events_skipped_total = { "counter", "rule", "every" },
    rules_log_dropped_total = { "counter", "rule", "every" }, rules_actions_refused_total = { "counter", "reason,rule" },
    rules_answers_dropped_total = { "counter", "rule", "every" }, rules_http_refused_total = { "counter", "reason,rule" },
    -- requests to the web
    http_client_requests_total = { "counter", "host,outcome" }, http_client_seconds = { "histogram", "host" },
    http_client_bytes_total = { "counter", "direction,host" }, http_client_in_flight = { "gauge", "host" },
    http_client_waiting = { "gauge", "" }, http_client_held_bytes = { "gauge", "" },
    -- the live picture
    live_calls = { "gauge", "server,state", "every" }, live_queue_waiting = { "gauge", "queue,server" },
    live_queue_longest_wait_seconds = { "gauge", "queue,server" }, live_queue_members = { "gauge", "queue,server,state" },
    live_agents = { "gauge", "server,state" }, live_endpoints = { "gauge", "server,state" }, live_full = { "gauge", "server", "every" },
    live_events_total = { "counter", "server", "every" }, live_snapshots_total = { "counter", "server", "every" },
    live_snapshot_seconds = { "gauge", "server", "every" }, live_contradictions_total = { "counter", "server", "every" },
    live_doubts_total = { "counter", "server", "every" }, live_unseen_total = { "counter", "server", "every" },
    live_overflows_total = { "counter", "kind,server", "every" },
    -- jobs: queue lengths, running, dead, tries, latency
    jobs_waiting = { "gauge", "queue" }, jobs_running = { "gauge", "queue" }, jobs_dead = { "gauge", "queue" },
    jobs_oldest_seconds = { "gauge", "queue" }, jobs_served = { "gauge", "queue" }, jobs_total = { "counter", "fate,queue" },
    jobs_wait_seconds = { "histogram", "queue" }, jobs_run_seconds = { "histogram", "queue" },
    -- log lines and drops, and every other loss
    log_records_total = { "counter", "level" }, log_lost_total = { "counter", "reason" }, sink_lines_total = { "counter", "fate" },
    engine_events_dropped_total = { "counter", "" }, metric_series_refused_total = { "counter", "" },
    console_dropped_total = { "counter", "reason" }, console_requests_total = { "counter", "" }, console_refused_total = { "counter", "" },
    http_dropped_total = { "counter", "reason" }, http_requests_total = { "counter", "path" },
    web_connections = { "gauge", "" }, web_dropped_total = { "counter", "reason" }, web_refused_total = { "counter", "reason" },
    web_requests_total = { "counter", "status" }, web_streams = { "gauge", "" }, web_changes_total = { "counter", "" },
    web_stream_restarts_total = { "counter", "" }, web_streams_dropped_total = { "counter", "" }, web_events_missed_total = { "counter", "" },
    -- the process
    memory_shortages_total = { "counter", "" },
    process_cpu_seconds_total = { "counter", "" }, process_resident_memory_bytes = { "gauge", "" },
    process_virtual_memory_bytes = { "gauge", "" }, process_open_fds = { "gauge", "" }, process_max_fds = { "gauge", "" },
    process_start_time_seconds = { "gauge", "" },
    reload_success_timestamp_seconds = { "gauge", "" }, reload_failure_timestamp_seconds = { "gauge", "" },
    build_info = { "gauge", "version" }, generation = { "gauge", "" }, rules_draining = { "gauge", "" },
  }

  local function daemon()
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.sim()), dead = helper.server(helper.dead_port()) },
      rules = {
        ["good.lua"] = [[
          ami.on("crm.go", function() ami.server("pbx1"):call { Action = "CoreStatus" }; ami.server("pbx1"):send { Action = "Login" } end)
          ami.on("crm.slow", function() timer.sleep(600) end)
        ]],
        ["bad.lua"] = [[
          timer.every(600, function() end)
          ami.on("crm.bad", function() error "no" end)
        ]],
      },
      config = { http = { listen = "127.0.0.1:0" }, web = { listen = "127.0.0.2:0" } },
    }
    d:ready "pbx1"
    d:await { msg = "no session", server = "dead" }
    return d
  end

  local function families(d)
    local code, out, err = d:ctl("metrics", "--json")
    assert.are.equal(0, code, err)
    return helper.json(out)
  end

  local function names(labels)
    local list = {}
    for name in pairs(labels) do list[#list + 1] = name end
    table.sort(list)
    return table.concat(list, ",")
  end

  it("are these, each with a help text, a unit in its name and few labels", function()
    local d = daemon()
    d:emit "crm.go"
    helper.wait_for(function() return d:metric("hookswitch_server_actions_total", { outcome = "success" }) end)
    local all = families(d)
    for name, family in pairs(all) do
      local wanted = FAMILIES[name:gsub("^hookswitch_", "")]
      assert.is_truthy(wanted, name .. " is not in this list")
      assert.are.equal(wanted[1], family.type, name)
      assert.is_true(#family.help > 5, name)
      assert.are.equal(family.type == "counter", name:find "_total$" ~= nil, name)
      local seen = {}
      for _, series in ipairs(family.series) do
        assert.are.equal(wanted[2], names(series.labels), name)
        if wanted[3] then seen[series.labels.server or series.labels.rule] = true end
      end
      if wanted[3] then assert.are.equal((name:find "_server_" or name:find "_live_") and "dead,pbx1" or "bad,good", names(seen), name) end
    end
    for name in pairs(FAMILIES) do assert.is_truthy(all[name:find "^process_" and name or "hookswitch_" .. name], name .. " is not there") end
  end)

  it("of what goes wrong are there, as 0, before it does", function()
    local d = daemon()
    for _, kind in ipairs { "error", "deadline", "memory" } do
      assert.are.equal(0, d:metric("hookswitch_rules_errors_total", { rule = "bad", kind = kind }))
    end
    assert.are.equal(0, d:metric("hookswitch_rules_quarantined_total", { rule = "bad" }))
    for _, fate in ipairs { "dispatched", "unmatched", "shed" } do
      assert.is_number(d:metric("hookswitch_server_events_total", { server = "dead", fate = fate }))
    end
    for _ = 1, 20 do d:emit "crm.bad" end
    d:await { msg = "listener quarantined" }
    assert.is_true(d:metric("hookswitch_rules_errors_total", { rule = "bad", kind = "error" }) > 0)
    assert.are.equal(1, d:metric("hookswitch_rules_quarantined_total", { rule = "bad" }))
    assert.are.equal(1, d:metric("hookswitch_rules_quarantined_listeners", { rule = "bad" }))
    assert.is_true(d:metric("hookswitch_rules_events_skipped_total", { rule = "bad" }) > 0)
    assert.are.equal(0, d:metric("hookswitch_rules_quarantined_listeners", { rule = "good" }))
    assert.are.equal(1, d:metric("hookswitch_rules_timers", { rule = "bad" }))
    d:emit "crm.slow"
    assert.are.equal(1, d:metric("hookswitch_rules_waiting", { rule = "good" }))
  end)

  it("of the process are what the kernel says", function()
    local d = daemon()
    local function value(name) return d:metric("process_" .. name) end
    local pages = helper.read("/proc/" .. d.pid .. "/statm"):match "^%d+ (%d+)"
    assert.is_true(math.abs(value "resident_memory_bytes" - pages * 4096) < 8 * 1024 * 1024)
    assert.is_true(value "virtual_memory_bytes" >= value "resident_memory_bytes")
    assert.is_true(math.abs(value "start_time_seconds" - os.time()) < 60)
    local soft = helper.read("/proc/" .. d.pid .. "/limits"):match "Max open files%s+(%d+)"
    assert.are.equal(tonumber(soft), value "max_fds")
    local _, listed = helper.run("-c", "ls /proc/" .. d.pid .. "/fd | wc -l", { program = "sh" })
    assert.is_true(math.abs(value "open_fds" - tonumber(listed)) <= 3) -- the console's client comes and goes
    local before = value "cpu_seconds_total"
    for _ = 1, 30 do d:ctl "status" end
    assert.is_true(before > 0 and value "cpu_seconds_total" > before)
  end)

  it("show when the last reload succeeded and when one failed", function()
    local d = daemon()
    local function at(which) return d:metric("hookswitch_reload_" .. which .. "_timestamp_seconds") end
    local started = at "success"
    assert.is_true(math.abs(started - os.time()) < 60)
    assert.are.equal(0, at "failure")
    d.project.rule("wrong.lua", "x = = 1")
    assert.is_false((d:reload()))
    assert.is_true(at "failure" > started)
    assert.are.equal(started, at "success")
    d.project.rule "wrong.lua"
    assert.is_true((d:reload()))
    assert.is_true(at "success" > at "failure")
  end)

  it("count each event of a server by what became of it", function()
    local peer = helper.peer(helper.LOGIN .. "\n" .. [[
send Event: Heard\r\nN: 1\r\n\r\nEvent: Unheard\r\n\r\nEvent: Heard\r\nN: 2\r\n\r\nEvent: Heard\r\nN: 3\r\n\r\nEvent: Unheard\r\n\r\n
hold]])
    local d = helper.daemon { servers = { pbx1 = helper.server(peer) }, rules = { ["hears.lua"] = [[ami.on("Heard", function(ev) log.info("heard", { n = ev.N }) end)]] } }
    d:await { msg = "heard", n = "3" }
    local function fate(name) return d:metric("hookswitch_server_events_total", { server = "pbx1", fate = name }) end
    helper.wait_for(function() return fate "unmatched" == 2 end)
    assert.are.same({ 3, 0 }, { fate "dispatched", fate "shed" })
  end)

  it("count the log's records by level, and the lines of sinks", function()
    local d = helper.daemon { config = { sinks = { cdr = { file = "cdr.jsonl" } } }, rules = { ["writes.lua"] = [[
      local cdr = sink.open "cdr"
      ami.on("crm.write", function() for n = 1, 3 do cdr:write { n = n } end log.warn "one" log.warn "two" log.error "bad" end)]] } }
    local function records(level) return d:metric("hookswitch_log_records_total", { level = level }) end
    local before = { warn = records "warn", error = records "error" }
    d:emit "crm.write"
    d:await { msg = "bad" }
    assert.same({ before.warn + 2, before.error + 1 }, { records "warn", records "error" })
    assert.is_true(records "info" > 0)
    helper.wait_for(function() return d:metric("hookswitch_sink_lines_total", { fate = "written" }) == 3 end)
    for _, reason in ipairs { "throttled", "queue", "write" } do assert.equal(0, d:metric("hookswitch_log_lost_total", { reason = reason })) end
    assert.equal(0, d:metric("hookswitch_sink_lines_total", { fate = "dropped" }))
  end)

  it("show the longest turn of the last minute or two", function()
    local d = daemon()
    assert.is_true(d:metric "hookswitch_loop_longest_turn_seconds" < 1)
    d.project.rule("busy.lua", "ami.on('crm.busy', function() local t = os.clock() while os.clock() - t < 0.03 do end end)")
    assert.is_true((d:reload()))
    d:emit "crm.busy"
    helper.wait_for(function() return d:metric "hookswitch_loop_longest_turn_seconds" >= 0.03 end)
  end)

  -- Of the families that have no labels: name -> value, and the seconds of a clock that never jumps.
  local function loop_times(d)
    local _, text = d:ctl "metrics"
    local values = { at = helper.now() }
    for name, value in text:gmatch "\nhookswitch_loop_([%w_]+) (%S+)" do values[name] = tonumber(value) end
    return values
  end

  it("divide the loop's time into turns and waits", function()
    local d = helper.daemon { rules = { ["busy.lua"] = [[
      ami.on("crm.busy", function() local t = os.clock() while os.clock() - t < 0.03 do end log.info "worked" end)]] } }
    local before = loop_times(d)
    for n = 1, 3 do
      d:emit "crm.busy"
      d:await({ msg = "worked" }, { count = n })
    end
    helper.wait_for(function() return helper.now() - before.at > 0.5 end)
    local after = loop_times(d)
    local turns, waits = after.turn_seconds_sum - before.turn_seconds_sum, after.wait_seconds_total - before.wait_seconds_total
    assert.is_true(after.turns_total >= before.turns_total + 3)
    assert.are.equal(after.turns_total, after.turn_seconds_count)
    assert.is_true(turns >= 0.09, turns)
    assert.is_true(waits > 0, waits)
    -- Nothing is left out and nothing counts twice, but the turns in which the two were asked for.
    assert.is_true(math.abs(turns + waits - (after.at - before.at)) < 0.1, ("%g s of turns, %g s of waits in %g s"):format(turns, waits, after.at - before.at))
  end)

  it("show how late a timer of the loop was: the process was suspended", function()
    local d = helper.daemon { rules = { ["late.lua"] = [[
      ami.on("crm.soon", function() timer.after(0.1, function() log.info "fired" end) log.info "armed" end)]] } }
    d:emit "crm.soon"
    d:await { msg = "armed" }
    d:signal "STOP"
    local till = helper.now() + 0.5
    helper.wait_for(function() return helper.now() >= till end)
    d:signal "CONT"
    d:await { msg = "fired" }
    local lag = d:metric "hookswitch_loop_lag_seconds"
    assert.is_true(lag > 0.2 and lag < 10, lag)
  end)

  it("count Originate apart: a callee who is busy is no failure of the server", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--speed", "50"), { live = false }) }, rules = { ["dial.lua"] = [[
      ami.on("crm.dial", function()
        local pbx = ami.server "pbx1"
        pbx:call { Action = "originate", Channel = "Local/102@default", Exten = "100", Context = "default", Priority = 1, Async = true }
        pbx:call { Action = "CoreStatus" }
        log.info "done"
      end)]] } }
    d:ready "pbx1"
    d:emit "crm.dial"
    d:await { msg = "done" }
    local name = "hookswitch_server_actions_total"
    assert.are.equal(1, d:metric(name, { action = "Originate", outcome = "error" }))
    assert.is_nil(d:metric(name, { action = "other", outcome = "error" }))
    assert.are.equal(1, d:metric(name, { action = "other", outcome = "success" }))
  end)

  it("show how long a server's certificate lasts, also of one that has expired", function()
    local folder = helper.certificates()
    local script = { "line Asterisk Call Manager/9.0.0", "action Login", [[send Response: Success\r\nActionID: $id\r\n\r\n]], "serve" }
    local function server(name) return helper.server(helper.peer_with({ "--tls", folder .. "/" .. name .. ".pem" }, script), { auth = "plain", tls = { enabled = true, verify = false } }) end
    local servers = { good = server "good", expired = server "expired", plain = helper.server(helper.sim()) }
    local d = helper.daemon { servers = servers }
    for name in pairs(servers) do d:ready(name) end
    local function days(name) return d:metric("hookswitch_server_certificate_days", { server = name }) end
    assert.is_true(days "good" > 29 and days "good" <= 30, days "good")
    assert.is_true(days "expired" < -1999 and days "expired" > -2002, days "expired")
    assert.is_nil(days "plain")
    -- The server goes without TLS from now on, and takes the number with it.
    servers.good = helper.server(helper.sim())
    d.project.write { servers = servers }
    assert.is_true((d:reload()))
    helper.wait_for(function() return not days "good" end)
  end)

  it("count the event that a full subscription could not take, and it is logged", function()
    local d = helper.daemon {
      rules = { ["sub.lua"] = [[
        local sub = ami.subscribe "crm.x"
        ami.on("crm.done", function() while sub:next(0) do end; local _, err = sub:next(0); log.info("ended", { code = err.code }) end)
      ]] },
      config = { limits = { subscription_events = 1 } },
    }
    for _ = 1, 2 do d:emit "crm.x" end
    d:emit "crm.done"
    d:await { msg = "ended", code = "overflow" }
    d:await { msg = "event not given to a rule", rule = "sub", reason = "subscription" }
    assert.are.equal(1, d:metric("hookswitch_rules_events_skipped_total", { rule = "sub" }))
  end)
end)
