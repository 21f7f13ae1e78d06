local helper = require "tests.spec.helper"

-- Waits until that many events were shown or reported as missed; how many of each: missed, shown.
local function await_sum(t, sum)
  local missed, shown
  helper.wait_for(function()
    missed, shown = 0, 0
    for line in t:stdout():gmatch "([^\n]*)\n" do
      local record = helper.json(line)
      missed = missed + (record.missed or 0)
      shown = shown + (record.event and 1 or 0)
    end
    return missed + shown == sum
  end, 20, function() return ("%d events shown or missed, not %d and %d"):format(sum, shown, missed) end)
  return missed, shown
end

describe("ctl tail", function()
  after_each(helper.cleanup)

  -- A server that sends events when the file `name` appears in the folder; each is a list of headers.
  local function event(...)
    return "send " .. table.concat({ ... }, [[\r\n]]) .. [[\r\n\r\n]]
  end

  local function daemon(script, options)
    options = options or {}
    local go = helper.folder() .. "/go"
    local peer = helper.peer(helper.LOGIN .. "\nwait " .. go .. "\n" .. table.concat(script, "\n") .. "\nserve")
    -- A tail shows what rules may hear: nothing may be shed while the machine is busy with other things.
    options.servers = { pbx1 = helper.server(peer, { limits = { backlog_events = 100000, backlog_bytes = 64 << 20 } }), pbx2 = helper.server(helper.sim()) }
    local d = helper.daemon(options)
    d:ready "pbx1"
    d:ready "pbx2"
    return d, function() helper.write_file(go, "") end
  end

  local function tail(d, ...)
    local before = d:metric "hookswitch_console_requests_total"
    local process = helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "tail", ... })
    helper.wait_for(function() return d:metric "hookswitch_console_requests_total" > before + 1 or nil end)
    function process.lines(count)
      return helper.wait_for(function()
        local lines = helper.lines(process:stdout())
        return #lines >= count and lines
      end, 10, function() return count .. " lines:\n" .. process:tail() end)
    end
    return process
  end

  local CALLS = {
    event("Event: Newchannel", "Channel: PJSIP/100-1", "Exten:", "AccountCode: two words"),
    event("Event: VarSet", "Channel: PJSIP/100-1", "Variable: DB_PASSWORD", "Value: hidden-1"),
    event("Event: UserEvent", "UserEvent: x", "Secret: hidden-2", "Note: is " .. helper.SECRET, "ChanVariable: auth_token=hidden-3"),
    event("Event: Newchannel", "Channel: PJSIP/200-2", [[Note: \x1b[2J]], "Tag: a", "Tag: b"),
    event("Event: Hangup", "Channel: PJSIP/200-2"),
  }

  it("shows changes of the live picture, whether or not a rule listens, with numbers and lists as they are", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--calls-per-second", "20", "--speed", "20")) } }
    d:ready "pbx1"
    local text, json = tail(d, "--event", "call.ringing"), tail(d, "--event", "call.ringing", "--json")
    local call
    helper.wait_for(function()
      call = json:stdout():match "([^\n]*)\n"
      return call and text:stdout():find "\n"
    end)
    call = helper.json(call).headers
    assert.same({ "number", "boolean", "string", "table", "table" },
      { type(call.started), type(call.incomplete), type(call.from), type(call.waits), type(call.channels) })
    assert.is_true(#call.channels > 0)
    assert.matches('channels=%["[^"]+"', text:stdout())
  end)

  it("prints events as they come, for people, without secrets", function()
    local d, go = daemon(CALLS)
    local t = tail(d, "--server", "pbx1")
    go()
    local lines = t.lines(5)
    assert.matches('^%d%d:%d%d:%d%d%.%d%d%d pbx1 Newchannel Channel=PJSIP/100%-1 Exten="" AccountCode="two words"$', lines[1])
    assert.matches("VarSet .*Variable=DB_PASSWORD Value=%[redacted%]$", lines[2])
    assert.matches('Note="is %[redacted%]" ', lines[3])
    assert.matches("Note=\\x1b%[2J", lines[4])
    local all = t:stdout()
    assert.is_nil(all:find "hidden")
    assert.is_nil(all:find(helper.SECRET, 1, true))
  end)

  it("gives programs one JSON object a line", function()
    local d, go = daemon(CALLS)
    local t = tail(d, "--json", "--server=pbx1")
    go()
    local lines = t.lines(5)
    local first = helper.json(lines[1])
    assert.are.same({ "pbx1", "event", "Newchannel", "PJSIP/100-1" }, { first.server, first.type, first.event, first.headers.Channel })
    assert.is_true(math.abs(first.time - os.time()) < 60)
    assert.are.same({ "a", "b" }, helper.json(lines[4]).headers.Tag)
    assert.is_nil(t:stdout():find "hidden")
    assert.is_nil(t:stdout():find(helper.SECRET, 1, true))
  end)

  it("shows only what is asked for", function()
    local d, go = daemon(CALLS)
    local by_name = tail(d, "--event", "newCHANNEL", "--server", "pbx1")
    local by_glob = tail(d, "--event", "New*", "--event", "hang*", "--server", "pbx1")
    local by_header = tail(d, "--where", "channel=PJSIP/2*", "--where", "Tag=b")
    go()
    by_glob.lines(3)
    by_header.lines(1)
    by_name.lines(2)
    assert.are.equal(3, #helper.lines(by_glob:stdout()))
    assert.are.equal(1, #helper.lines(by_header:stdout()))
    assert.are.equal(2, #helper.lines(by_name:stdout()))
  end)

  it("shows actions and their answers, with who sent them", function()
    local d = daemon({}, { rules = { ["ask.lua"] = [[
      ami.on("crm.ask", function() ami.server("pbx2"):call { Action = "QueueStatus", Queue = "none" } end)
    ]] } })
    local t, j = tail(d, "--actions"), tail(d, "--actions", "--json")
    d:emit "crm.ask"
    t.lines(2)
    j.lines(2)
    d:ctl("call", "pbx2", "Action=Hangup", "Channel=none")
    local lines = t.lines(4)
    assert.matches(" pbx2 > QueueStatus %(ask%) Queue=none$", lines[1])
    assert.matches(" pbx2 < QueueStatus %(ask%) success after [%d.]+ ms.*, 0 items$", lines[2])
    assert.matches(" pbx2 > Hangup %(console%) Channel=none$", lines[3])
    assert.matches(" pbx2 < Hangup %(console%) error after [%d.]+ ms: No such channel$", lines[4])
    local sent, answer = helper.json(j.lines(4)[1]), helper.json(j.lines(4)[4])
    assert.are.same({ "action", "QueueStatus", "ask", "none" }, { sent.type, sent.action, sent.rule, sent.headers.Queue })
    assert.are.same({ "answer", "Hangup", "console", false, "error" },
      { answer.type, answer.action, answer.sent_by, answer.success, answer.code })
  end)

  it("shows the engine's own events", function()
    local d, go = daemon { "rst" }
    local t = tail(d, "--event", "server.*")
    go()
    assert.matches(" pbx1 %* server.lost reason=%l+$", t.lines(1)[1])
  end)

  it("shows events that rules and the console emit, with who did, and those about a rule", function()
    local d = daemon({}, { rules = { ["relay.lua"] = [[
      ami.on("crm.ask", function(ev) ami.emit("crm.answered", { who = ev.who, secret = "hidden-4" }) end)
    ]] } })
    local t, j = tail(d, "--event", "crm.*"), tail(d, "--json", "--event", "crm.*")
    local other = tail(d, "--server", "pbx1", "--event", "crm.*")
    d:emit("crm.ask", "who=alice")
    local lines = t.lines(2)
    assert.matches("^%d%d:%d%d:%d%d%.%d%d%d %* crm%.ask %(console%) who=alice$", lines[1])
    assert.matches("^%d%d:%d%d:%d%d%.%d%d%d %* crm%.answered %(relay%) secret=%[redacted%] who=alice$", lines[2])
    local asked, answered = helper.json(j.lines(2)[1]), helper.json(j.lines(2)[2])
    assert.are.same({ "emitted", "crm.ask", "console" }, { asked.type, asked.event, asked.sent_by })
    assert.are.same({ "emitted", "rule", "relay", "alice" }, { answered.type, answered.sent_by, answered.rule, answered.headers.who })
    assert.are.equal(require "cjson".null, asked.server)
    assert.are.equal("", other:stdout())
  end)

  it("reports to a slow reader how much it missed, and the daemon goes on", function()
    local d, go = daemon { event("Event: Before"), "times 30000 " .. event("Event: Flood", "Number: $n", "Text: " .. ("x"):rep(200)):sub(6),
      event("Event: After") }
    local t = tail(d, "--json", "--server", "pbx1")
    t:signal "STOP"
    go()
    helper.wait_for(function() return d:status().servers[1].events > 30000 or d:status().servers[2].events > 30000 end)
    t:signal "CONT"
    local missed = await_sum(t, 30002)
    assert.is_true(missed > 0)
    assert.are.equal(0, d:metric("hookswitch_console_dropped_total", { reason = "slow" }))
  end)

  it("shows of a flood at most 1,000 lines at once and 2,000 a second, and counts the rest", function()
    local d, go = daemon { "times 30000 " .. event("Event: Flood", "Number: $n"):sub(6), event("Event: After") }
    local t = tail(d, "--json", "--server", "pbx1")
    local began = helper.now()
    go()
    local _, shown = await_sum(t, 30001)
    assert.is_true(shown >= 1000)
    assert.is_true(shown <= 1200 + 2000 * (helper.now() - began), shown .. " shown")
  end)

  it("ends when the daemon does, and costs nothing when its client has gone", function()
    local d, go = daemon(CALLS)
    local gone, t = tail(d), tail(d)
    gone:signal "TERM"
    gone:ended()
    go()
    d:stop()
    assert.are.equal(3, t:ended())
    assert.matches("ended the stream", t:stderr())
  end)

  it("asks whether another event was meant when nobody knows the name", function()
    local d = daemon {}
    for name, meant in pairs { AgentConect = "; did you mean AgentConnect?", ["--event=Hangupp"] = "; did you mean Hangup?", Nothinglikeit = "",
      ["server.redy"] = "; did you mean server.ready?" } do
      local words = name:find "^%-%-" and { name } or { "--event", name }
      local t = tail(d, table.unpack(words))
      assert.are.equal(("hookswitch ctl: no event '%s' is known%s\n"):format(words[2] or "Hangupp", meant), t:stderr())
    end
    assert.are.equal("", tail(d, "--event", "agentconnect", "--event", "Agent*", "--event", "crm.x", "--event", "server.lost"):stderr())
    local _, _, err = d:ctl("call", "pbx2", "Action=QueueStauts")
    assert.matches("^hookswitch ctl: no action 'QueueStauts' is known; did you mean QueueStatus%?\n", err)
  end)

  it("refuses what it does not understand", function()
    local d = helper.daemon {}
    for _, case in ipairs {
      { 2, "'--nosuch'", "--nosuch" }, { 2, "'--where'", "--where", "x" }, { 2, "'--event'", "--event" }, { 2, "'Newchannel'", "Newchannel" },
      { 1, "no server 'pbx9'", "--server", "pbx9" },
    } do
      local code, out, err = d:ctl("tail", table.unpack(case, 3))
      assert.are.same({ case[1], "" }, { code, out })
      assert.is_truthy(err:find(case[2], 1, true), err)
    end
  end)
end)
