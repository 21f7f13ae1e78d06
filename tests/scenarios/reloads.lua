-- What comes again and again must leave nothing behind: SIGHUPs under load, sessions that end. RELOADS (20) and RECONNECTS (10) say
-- how often; `make reloads` plays the long form.
local support = require "scenarios.support"

local RELOADS = tonumber(os.getenv "RELOADS" or "20")
local RECONNECTS = tonumber(os.getenv "RECONNECTS" or "10")
local LIMIT = 1 << 20 -- bytes that resident memory may grow from the second quarter of a run to the last

-- Hears numbered events and compares each number with the last one, which a store keeps over reloads. Every hundredth event
-- sends an action. The version stands in the text only: another one makes a changed rule.
local COUNT = [[
-- version %d
local rule = %q
local seen = store.open(rule)
local heard = metric.counter(rule .. "_heard_total", "Events heard.")
local again = metric.counter(rule .. "_again_total", "Events heard that had been heard before.")
local missing = metric.counter(rule .. "_missing_total", "Numbers that were passed over.")
local gaps = metric.counter(rule .. "_gaps_total", "Events that gaps reported.")
local sent = metric.counter(rule .. "_sent_total", "Actions sent.")
local ends = metric.counter(rule .. "_ends_total", "Ends of actions.", { "code" })
ami.on("Tick", function(ev)
  local number, last = (tonumber(ev.Batch) - 1) * 100 + tonumber(ev.N), seen:get("last", 0)
  heard:inc()
  if number <= last then again:inc() elseif number > last + 1 then missing:inc(number - last - 1) end
  seen:set("last", number)
  if number %% 100 ~= 0 then return end
  local id, err = ami.server "other":send({ Action = "Ping" }, function(_, why) ends:inc { why and why.code or "success" } end)
  assert(id, err)
  sent:inc()
end)
ami.on("server.gap", { server = "pbx" }, function(ev) gaps:inc(tonumber(ev.count)) end)
-- So that a replaced state is still there while its successor hears.
ami.on("script.loaded", function() timer.sleep(0.2) end)
]]

-- How many descriptors and threads a process has.
local function handles(pid)
  local counts = {}
  for _, kind in ipairs { "fd", "task" } do
    counts[kind] = 0
    for name in require "lfs".dir(("/proc/%s/%s"):format(pid, kind)) do counts[kind] = counts[kind] + (name:match "^%d" and 1 or 0) end
  end
  return counts
end

-- Waits until nothing waits any more, then compares with what there was.
local function at_rest(daemon, before)
  support.wait_for(function()
    local status = daemon:status()
    for _, server in ipairs(status.servers) do
      if server.pending > 0 or server.backlog_events > 0 then return false end
    end
    return #status.draining_rules == 0
  end, 60, "no action pending, no event waiting, no rule draining")
  support.wait_for(function()
    local now = handles(daemon.pid)
    return now.fd <= before.fd and now.task <= before.task
  end, 20, function() return ("%s before, now %s"):format(support.source(before), support.source(handles(daemon.pid))) end)
end

-- The most bytes in each quarter of 1 … `count`: a function that takes number and bytes, and the list that it keeps.
local function quarters(count)
  local most = { 0, 0, 0, 0 }
  return function(n, bytes)
    local quarter = math.min(4, (n - 1) * 4 // count + 1)
    most[quarter] = math.max(most[quarter], bytes)
  end, most
end

local function check_memory(t, most)
  t:report("resident memory: %d KiB at most in the second quarter, %d KiB in the last", most[2] // 1024, most[4] // 1024)
  -- Under a sanitizer freed memory stays; that nothing leaks is then checked at the end of the process.
  assert(support.sanitized or most[4] <= most[2] + LIMIT, ("resident memory grew: %d KiB, then %d KiB"):format(most[2] // 1024, most[4] // 1024))
end


local function numbers_of(daemon, rule)
  local got = {}
  for _, name in ipairs { "heard", "again", "missing", "gaps", "sent", "ends" } do
    got[name] = daemon:metric(("hookswitch_rule_%s_%s_total"):format(rule, name)) or 0
  end
  return got
end

-- A session: an action of the rule comes, then numbered events, then the end without an answer.
local SHORT = support.session("action Getvar", [[times 100 Event: Tick\r\nN: $n\r\n\r\n]])

-- Four requests of every kind that a session's end must end: a callback, an action without one, a task in call(), one in ami.wait().
local ASK = [[
local heard = metric.counter("ticks_total", "Events heard.")
local ends = metric.counter("ends_total", "Ends.", { "kind", "code" })
local closed = metric.counter("closed_total", "Tasks that ended.")
ami.on("Tick", function() heard:inc() end)
ami.on("server.ready", function(_, server)
  local function report(kind) return function(_, err) ends:inc { kind, err and err.code or "success" } end end
  local guard <close> = setmetatable({}, { __close = function() closed:inc() end })
  server:send({ Action = "Getvar", Variable = "A" }, { timeout = 60 }, report "callback")
  server:send({ Action = "Getvar", Variable = "B" }, { timeout = 60 })
  local sub <close> = ami.subscribe("Never", { server = server })
  report "call" (server:call({ Action = "QueueStatus" }, { timeout = 60 }))
  report "next" (sub:next(0.001))
end)
]]

return {
  {
    name = "SIGHUPs under load",
    must = "no event is lost or heard twice, by a rule that changes each time or by one that stays; each action ends once; memory is flat, nothing stays open",
    play = function(t)
      local batches = RELOADS * 10 -- of 100 events, about every 10 ms: 0.1 s for each reload
      local events = batches * 100
      local go = support.signal_file()
      local script = { "wait " .. go }
      for n = 1, batches do
        script[#script + 1] = ([[times 100 Event: Tick\r\nBatch: %d\r\nN: $n\r\n\r\n]]):format(n)
        script[#script + 1] = "sleep 8"
      end
      script[#script + 1] = [[send Event: Over\r\n\r\n]]
      script[#script + 1] = "serve"
      local daemon = t:daemon { servers = { pbx = support.at(support.peer(support.session(table.unpack(script)))), other = support.at(support.sim()) },
        config = { scripts = { drain = 0.5 } },
        rules = { ["changes.lua"] = COUNT:format(0, "changes"), ["stays.lua"] = COUNT:format(0, "stays"),
          ["over.lua"] = [[ami.on("Over", function() log.info "over" end)]] } }
      daemon:ready "pbx"
      daemon:ready "other"
      local before, began = handles(daemon.pid), support.now()
      local note, most = quarters(RELOADS)
      support.touch(go)
      local reloads, from = 0, daemon:mark()
      repeat
        reloads = reloads + 1
        daemon.project.rule("changes.lua", COUNT:format(reloads, "changes"))
        assert(daemon:reload())
        note(reloads, support.memory(daemon.pid))
        local next_from = daemon:mark()
        local over = #daemon:find({ msg = "over" }, from) > 0
        from = next_from
      until over
      t:report("%d reloads, %.0f events a second", reloads, events / (support.now() - began))
      assert(reloads >= RELOADS, ("only %d reloads while events came"):format(reloads))
      at_rest(daemon, before)
      for _, rule in ipairs { "changes", "stays" } do
        local got = numbers_of(daemon, rule)
        t:report("%s heard %d of %d events and skipped %d; %d actions", rule, got.heard, events, got.gaps, got.sent)
        local words = rule .. ": " .. support.source(got)
        assert(got.heard + got.gaps == events and got.missing == got.gaps and got.again == 0, words)
        assert(got.sent > 0, words)
        local ended = 0
        for _, code in ipairs { "success", "cancelled" } do
          ended = ended + (daemon:metric(("hookswitch_rule_%s_ends_total"):format(rule), { code = code }) or 0)
        end
        assert(ended == got.sent, ("%s; %d ended"):format(words, ended))
      end
      check_memory(t, most)
    end,
  },
  {
    name = "reconnects leave nothing",
    must = "sessions that end with events and unanswered actions: each event is heard, each action ends once as lost, memory is flat, nothing stays open",
    play = function(t)
      local go = support.signal_file()
      local scripts = {}
      for n = 1, RECONNECTS do scripts[n] = SHORT:gsub("action Getvar", n == 1 and "%0\nwait " .. go or "%0") end
      scripts[RECONNECTS + 1] = support.session "serve"
      local daemon = t:daemon { servers = { pbx = support.at(support.peer(table.unpack(scripts)), { reconnect = { first = 0.01, max = 0.02, breaker_failures = 1000 } }) },
        rules = { ASK } }
      daemon:ready "pbx"
      local before = handles(daemon.pid)
      local note, most = quarters(RECONNECTS)
      support.touch(go)
      for n = 1, RECONNECTS do
        daemon:ready("pbx", { count = n + 1 })
        note(n, support.memory(daemon.pid))
      end
      at_rest(daemon, before)
      local function value(name, kind, code) return daemon:metric(name, { kind = kind, code = code }) or 0 end
      support.wait_for(function() return value "hookswitch_rule_closed_total" == RECONNECTS + 1 end, 20, "the end of each task")
      t:report("%d sessions ended", RECONNECTS)
      assert(value "hookswitch_rule_ticks_total" == RECONNECTS * 100, value "hookswitch_rule_ticks_total")
      for _, kind in ipairs { "callback", "call" } do
        assert(value("hookswitch_rule_ends_total", kind, "lost") == RECONNECTS, kind)
        assert(value("hookswitch_rule_ends_total", kind, "success") == 1, kind)
      end
      check_memory(t, most)
    end,
  },
}
