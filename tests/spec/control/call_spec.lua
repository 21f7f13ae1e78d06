local helper = require "tests.spec.helper"

describe("ctl call", function()
  after_each(helper.cleanup)

  local function simulated()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim()) } }
    d:ready "pbx1"
    return d
  end

  -- A server that plays this after the login.
  local function scripted(...)
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.peer(table.concat({ helper.LOGIN, ... }, "\n"))) } }
    d:ready "pbx1"
    return d
  end

  it("prints the answer", function()
    local code, out, err = simulated():ctl("call", "pbx1", "Action=Ping")
    assert.are.same({ 0, "" }, { code, err })
    assert.matches("^Success\nPing: Pong\nTimestamp: [%d.]+\n$", out)
  end)

  it("prints every item of a list, and how many there were", function()
    local d = scripted("action QueueStatus",
      [[send Response: Success\r\nActionID: $id\r\nEventList: start\r\nMessage: Queue status will follow\r\n\r\n]],
      [[send Event: QueueParams\r\nQueue: support\r\nCalls: 2\r\nActionID: $id\r\n\r\n]],
      [[send Event: QueueMember\r\nQueue: support\r\nName: Zo\xc3\xab\r\nActionID: $id\r\n\r\n]],
      [[send Event: QueueStatusComplete\r\nActionID: $id\r\nEventList: Complete\r\nListItems: 2\r\n\r\n]], "hold")
    local code, out = d:ctl("call", "pbx1", "Action=QueueStatus", "Queue=support")
    assert.are.equal(0, code)
    assert.are.equal([[
Success: Queue status will follow

QueueParams
  Queue: support
  Calls: 2

QueueMember
  Queue: support
  Name: Zoë

2 items
]], out)
  end)

  it("prints a Command's output as it is, unable to steer the terminal", function()
    local d = scripted("action Command",
      [[send Response: Success\r\nActionID: $id\r\nMessage: Command output follows\r\nOutput: one\r\nOutput: \x1b[2Jtwo\r\n\r\n]], "hold")
    local code, out = d:ctl("call", "pbx1", "Action=Command", "Command=core show uptime")
    assert.are.same({ 0, "one\n\\x1b[2Jtwo\n" }, { code, out })
  end)

  it("gives programs all of it as JSON", function()
    local d = simulated()
    local code, out = d:ctl("call", "pbx1", "Action=QueueSummary", "--json")
    assert.are.equal(0, code)
    local answer = helper.json(out)
    assert.are.same({ "pbx1", "QueueSummary", true }, { answer.server, answer.action, answer.success })
    assert.are.equal("Success", answer.response.Response)
    assert.are.equal(answer.action_id, answer.response.ActionID)
    assert.is_true(#answer.events > 0)
    assert.are.equal("QueueSummary", answer.events[1].Event)
    _, out = d:ctl("call", "pbx1", "Action=Command", "Command=core show version", "--json")
    assert.is_true(#helper.json(out).output > 0)
  end)

  it("exits 1 with the reason when the action fails", function()
    local d = simulated()
    local code, out, err = d:ctl("call", "pbx1", "Action=Hangup", "Channel=PJSIP/nobody-1")
    assert.are.same({ 1, "", "Hangup on pbx1: error: No such channel\n" }, { code, out, err })
    code, out, err = d:ctl("call", "pbx1", "--json", "Action=Hangup", "Channel=PJSIP/nobody-1")
    assert.are.same({ 1, "" }, { code, err })
    local answer = helper.json(out)
    assert.are.same({ false, "error", "No such channel" }, { answer.success, answer.code, answer.message })
    code, out, err = d:ctl("call", "nosuch", "Action=Ping", "--json")
    assert.are.same({ 1, "" }, { code, err })
    answer = helper.json(out)
    assert.are.same({ "nosuch", "Ping", false, require("cjson").null }, { answer.server, answer.action, answer.success, answer.action_id })
    assert.matches("no server 'nosuch'", answer.message)
  end)

  it("refuses the session's own actions, and what it cannot send", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim()), dead = helper.server(helper.dead_port()) } }
    d:ready "pbx1"
    for _, name in ipairs { "Login", "logoff", "Challenge", "Events", "Filter" } do
      local code, _, err = d:ctl("call", "pbx1", "Action=" .. name)
      assert.are.equal(1, code, name)
      assert.matches("denied: .*own action", err)
    end
    for _, case in ipairs {
      { 1, "no server 'nosuch'", "nosuch", "Action=Ping" },
      { 1, "not_ready", "dead", "Action=Ping" },
      { 2, "no Action=NAME", "pbx1", "Channel=x" },
      { 2, "NAME=VALUE", "pbx1", "Action" },
      { 2, "ActionID", "pbx1", "Action=Ping", "ActionID=7" },
      { 2, "usage: call", "pbx1" },
    } do
      local code, out, err = d:ctl("call", table.unpack(case, 3))
      assert.are.same({ case[1], "" }, { code, out })
      assert.is_truthy(err:find(case[2], 1, true), err)
    end
  end)

  it("may send what rules may not", function()
    local code, out = simulated():ctl("call", "pbx1", "Action=Originate", "Channel=PJSIP/100", "Application=Echo", "Async=true")
    assert.is_nil(out:find "denied")
    assert.is_true(code == 0 or code == 1)
  end)

  it("hides secrets of the answer by name, by value and inside variables", function()
    local d = scripted("action Getvar", ([[send Response: Success\r\nActionID: $id\r\nVariable: SIP_PASSWORD\r\nValue: hidden-1\r\n]] ..
      [[Secret: hidden-2\r\nChanVariable: api_token=hidden-3\r\nNote: it is %s.\r\n\r\n]]):format(helper.SECRET),
      "action Getvar", ([[send Response: Error\r\nActionID: $id\r\nMessage: not %s\r\n\r\n]]):format(helper.SECRET), "hold")
    local code, out = d:ctl("call", "pbx1", "Action=Getvar", "Variable=SIP_PASSWORD")
    assert.are.equal(0, code)
    assert.is_nil(out:find "hidden")
    assert.is_nil(out:find(helper.SECRET, 1, true))
    assert.matches("Note: it is %[redacted%]%.", out)
    local _, _, err = d:ctl("call", "pbx1", "Action=Getvar", "Variable=x")
    assert.matches("not %[redacted%]", err)
    assert.is_nil(helper.read(d.err):find(helper.SECRET, 1, true))
  end)

  it("ends as lost when the session does", function()
    local code, _, err = scripted("action Status"):ctl("call", "pbx1", "Action=Status")
    assert.are.equal(1, code)
    assert.matches("^Status on pbx1: lost: ", err)
  end)

  it("takes as many at once as there are clients, each with its own answer", function()
    local d = simulated()
    local waiting = {}
    for i = 1, 20 do
      waiting[i] = helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "call", "pbx1", "Action=DBPut", "Family=f",
        "Key=k" .. i, "Val=" .. i })
    end
    for i = 1, 20 do assert.are.equal(0, waiting[i]:ended(), waiting[i]:tail()) end
  end)
end)

describe("ctl pending", function()
  after_each(helper.cleanup)

  it("shows what waits for its answer, and who sent it", function()
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.peer(helper.LOGIN .. "\nhold")) },
      rules = { ["ask.lua"] = [[
        ami.on("server.ready", function(_, server) server:send({ Action = "CoreStatus" }, { timeout = 600 }, function() end) end)
      ]] },
    }
    d:ready "pbx1"
    local operator = helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "call", "pbx1", "Action=Status" })
    local rows = helper.wait_for(function()
      local _, out = d:ctl("pending", "--json")
      local pending = helper.json(out).pending
      return #pending == 2 and pending
    end)
    assert.are.same({ "pbx1", "CoreStatus", "rule", "ask" }, { rows[1].server, rows[1].action, rows[1].sent_by, rows[1].rule })
    assert.are.same({ "pbx1", "Status", "console" }, { rows[2].server, rows[2].action, rows[2].sent_by })
    assert.is_true(rows[1].deadline_in > 500 and rows[1].age >= 0)
    local _, out = d:ctl "pending"
    assert.matches("\npbx1 +CoreStatus +rule +ask +[%d.]+ s +9 m", out)
    -- The operator leaves; the answer is nobody's then, and the daemon goes on.
    operator:signal "TERM"
    operator:ended()
    assert.are.equal(0, (d:ctl "status"))
  end)

  it("shows an answer that waits behind earlier events of a slow rule; it overtakes them at its deadline, and the console never waits", function()
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.sim("--events", "600", "--rate", "2000")) },
      rules = { ["slow.lua"] = [[
        local asked
        ami.on("*", function(ev, server)
          if ev.Event == "FullyBooted" then return end
          local e = os.clock() + 0.02
          while os.clock() < e do end
          if asked then return end
          asked = true
          server:send({ Action = "Ping" }, { timeout = 4 }, function(res) log.info("answered", { success = res and true or false }) end)
        end)]] },
    }
    local row = helper.wait_for(function()
      local _, out = d:ctl("pending", "--json")
      for _, pending in ipairs(helper.json(out).pending) do
        if pending.answered then return pending end
      end
    end, 10)
    assert.are.same({ "pbx1", "Ping", "rule", "slow" }, { row.server, row.action, row.sent_by, row.rule })
    assert.matches("\npbx1 +Ping +rule +slow +.* answered, not delivered\n", (select(2, d:ctl "pending")))
    local began = helper.now()
    assert.are.equal(0, (d:ctl("call", "pbx1", "Action=Ping")))
    assert.is_true(helper.now() - began < 2)
    assert.is_true(d:await({ rule = "slow", msg = "answered" }, { timeout = 10 }).success)
    -- Events that came before it are still there.
    assert.is_true(d:status().servers[1].backlog_events > 0)
  end)

  it("says so when there is none", function()
    local code, out = helper.daemon({}):ctl "pending"
    assert.are.same({ 0, "no action is pending\n" }, { code, out })
  end)
end)
