local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"
local Model = dofile "tests/spec/ami/model.lua"
local session, value = support.session, support.value

describe("the correlator", function()
  describe("a single answer", function()
    it("P3 completes its action once, with what Asterisk said", function()
      local s = session()
      local id, sequence = s.ask("Getvar", { tag = 42, now = 7 })
      local what, reply = s.answer("Response: Success", "ActionID: " .. id, "Variable: NOPE", "Value: ")
      assert.equal("completed", what)
      assert.same({ "none", "", "Getvar", 42, 7, sequence, false },
        { reply.code, reply.text, reply.action, reply.tag, reply.started, reply.sequence, reply.is_list })
      assert.equal("", value(reply.response, "Value"))
      assert.is_nil(reply.output)
      assert.equal(0, s.pending:count())
    end)

    it("P3 fails with Asterisk's own words", function()
      local s = session()
      local _, reply = s.answer("Response: Error", "ActionID: " .. s.ask "Hangup", "Message: No such channel")
      assert.same({ "error", "No such channel" }, { reply.code, reply.text })
      _, reply = s.answer("Response: Error", "ActionID: " .. s.ask "Hangup")
      assert.same({ "error", "" }, { reply.code, reply.text })
      _, reply = s.answer("Response: Odd", "ActionID: " .. s.ask "Hangup", "Message: " .. ("x"):rep(1000))
      assert.same({ "error", ("x"):rep(255) }, { reply.code, reply.text })
    end)

    it("Q44 takes Pong and Q47 Goodbye for success", function()
      local s = session()
      for word, action in pairs { Pong = "Ping", Goodbye = "Logoff", Success = "Ping", pong = "Ping" } do
        local _, reply = s.answer("Response: " .. word, "ActionID: " .. s.ask(action))
        assert.equal("none", reply.code, word)
      end
    end)
  end)

  describe("Command", function()
    it("Q12 gives the old form's text as lines", function()
      local s = session(nil, "2.10.6")
      for text, lines in pairs {
        ["one\ntwo\n"] = { "one", "two" }, ["one\n\ntwo"] = { "one", "", "two" }, [""] = {}, ["\n"] = { "" },
        ["a: b\r\nc\r\n"] = { "a: b", "c" }, ["x\n\n"] = { "x", "" },
      } do
        local id = s.ask { Action = "Command", Command = "x" }
        local bytes = "Response: Follows\r\nPrivilege: Command\r\nActionID: " .. id .. "\r\n" .. text .. "--END COMMAND--\r\n\r\n"
        local r = s.pending:feed(bytes)
        assert.same({ "completed", "none" }, { r[1][1], r[1][2].code })
        assert.same(lines, r[1][2].output)
      end
    end)

    it("Q13 gives the new form's headers as lines, empty ones too", function()
      local s = session()
      local _, reply = s.answer("Response: Success", "ActionID: " .. s.ask "Command", "Message: Command output follows", "Output: ",
        "Output: a: b", "output:  c")
      assert.same({ "", "a: b", " c" }, reply.output)
    end)

    it("Q13 keeps the output of a command that failed: it says why", function()
      local s = session()
      local _, reply = s.answer("Response: Error", "ActionID: " .. s.ask "Command", "Message: Command output follows",
        "Output: No such command 'x'")
      assert.same({ "error", { "No such command 'x'" } }, { reply.code, reply.output })
    end)
  end)

  describe("an asynchronous Originate", function()
    local originate = { Action = "Originate", Channel = "Local/1", Async = "true" }

    it("Q46 completes at its OriginateResponse, which listeners see too", function()
      local s = session()
      local id = s.ask(originate)
      assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "Message: Originate successfully queued")))
      local what, reply = s.answer("Event: OriginateResponse", "ActionID: " .. id, "Response: Success", "Reason: 4", "Uniqueid: 1.2")
      assert.same({ "completed_event", "none" }, { what, reply.code })
      assert.same({ "OriginateResponse", "1.2" }, { reply.response.name, value(reply.response, "Uniqueid") })
    end)

    it("Q46 fails with the reason of its OriginateResponse", function()
      local s = session()
      local id = s.ask(originate)
      s.answer("Response: Success", "ActionID: " .. id)
      local what, reply = s.answer("Event: OriginateResponse", "ActionID: " .. id, "Response: Failure", "Reason: 5")
      assert.same({ "completed_event", "error" }, { what, reply.code })
      assert.truthy(reply.text:find("5", 1, true))
      assert.equal("5", value(reply.response, "Reason"))
    end)

    it("Q46 completes at its response when it is not asynchronous", function()
      local s = session()
      for _, options in ipairs { {}, { no_call_events = true } } do
        local id = s.ask({ Action = "Originate", Async = "false" }, options)
        local what, reply = s.answer("Response: Success", "ActionID: " .. id)
        assert.same({ "completed", "none" }, { what, reply.code })
      end
    end)

    it("Q46 is refused where its end could not be heard", function()
      local s = session()
      for _, word in ipairs { "true", "TRUE", "yes", "on", "1", "t", "y" } do
        local id, code, text = s.ask({ Action = "originate", Async = word }, { no_call_events = true })
        assert.same({ nil, "invalid" }, { id, code }, word)
        assert.truthy(text:find("lack the class call", 1, true))
      end
      assert.equal(0, s.pending:count())
      assert.is_string(s.ask("Ping", { no_call_events = true }))
    end)

    it("Q46 fails at once when Asterisk refuses it", function()
      local s = session()
      local what, reply = s.answer("Response: Error", "ActionID: " .. s.ask(originate), "Message: Permission denied")
      assert.same({ "completed", "error", "Permission denied" }, { what, reply.code, reply.text })
    end)
  end)

  it("Q45 says while an action holds the line", function()
    local s = session()
    assert.is_false(s.pending:line_held())
    local sync = s.ask({ Action = "Originate" }, { unwritten = true })
    assert.is_false(s.pending:line_held())
    s.pending:written(1)
    assert.is_true(s.pending:line_held())
    s.answer("Response: Error", "ActionID: " .. sync)
    assert.is_false(s.pending:line_held())
    for _, action in ipairs { "Command", "Reload", "ModuleLoad", "WaitEvent" } do
      local id = s.ask(action)
      assert.is_true(s.pending:line_held(), action)
      s.answer("Response: Success", "ActionID: " .. id)
      if action == "WaitEvent" then
        assert.is_true(s.pending:line_held(), "WaitEvent holds it until its end")
        s.answer("Event: WaitEventComplete", "ActionID: " .. id)
      end
      assert.is_false(s.pending:line_held(), action)
    end
    for _, action in ipairs { "Ping", "QueueStatus", "Queues" } do s.ask(action) end
    s.ask { Action = "Originate", Async = "true" }
    assert.is_false(s.pending:line_held())
  end)

  it("hands out the items of a list that is streamed, however many, and keeps none", function()
    local s = session({ max_list_events = 2 })
    local id = s.ask("CoreShowChannels", { streams = true })
    assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "EventList: start")))
    for n = 1, 5 do assert.equal("item", (s.answer("Event: CoreShowChannel", "ActionID: " .. id, "Channel: " .. n))) end
    local what, reply = s.answer("Event: CoreShowChannelsComplete", "ActionID: " .. id, "EventList: Complete")
    assert.same({ "completed", "none", {} }, { what, reply.code, reply.events })
    assert.equal("stray", (s.answer("Event: CoreShowChannel", "ActionID: " .. id)))
  end)

  describe("ends without an answer", function()
    it("P3 times out each action at its own deadline, nearest first", function()
      local s = session()
      for i, deadline in ipairs { 500, 100, 300, 200, 400 } do s.ask("Ping", { deadline = deadline, tag = i }) end
      assert.equal(100, s.pending:next_deadline())
      assert.same({}, s.pending:expire(99))
      local tags = {}
      for _, reply in ipairs(s.pending:expire(300)) do
        assert.equal("timeout", reply.code)
        tags[#tags + 1] = reply.tag
      end
      assert.same({ 2, 4, 3 }, tags)
      assert.equal(400, s.pending:next_deadline())
      assert.equal(2, #s.pending:expire(1000))
      assert.is_nil(s.pending:next_deadline())
    end)

    it("P3 times out a list that never completes, with what came", function()
      local s = session()
      local id = s.ask("Status", { deadline = 10 })
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      s.answer("Event: Status", "ActionID: " .. id)
      local reply = s.pending:expire(10)[1]
      assert.same({ "timeout", 1 }, { reply.code, #reply.events })
      assert.equal("stray", (s.answer("Event: Status", "ActionID: " .. id)))
    end)

    it("P6 fails every action when the session ends: lost when any byte was written, else not_ready", function()
      local p = hookswitch.pending.new()
      for i = 0, 3 do p:add({ Action = "Ping" }, { offset = i * 100, tag = i }) end
      local codes = {}
      for i = 0, 3 do
        local reply = p:fail_next(101, "connection reset by the server")
        assert.same({ i, "connection reset by the server" }, { reply.tag, reply.text })
        codes[#codes + 1] = reply.code
      end
      assert.same({ "lost", "lost", "not_ready", "not_ready" }, codes)
      assert.is_nil(p:fail_next(101, "x"))
      assert.equal(0, p:count())
    end)

    it("P3 cancels one action and forgets one that was never written", function()
      local s = session()
      local first, sequence = s.ask "Ping"
      local _, forgotten = s.ask "Ping"
      assert.equal("cancelled", s.pending:cancel(first, "the rules were reloaded").code)
      assert.is_nil(s.pending:cancel(sequence))
      s.pending:forget(forgotten)
      assert.equal(0, s.pending:count())
    end)

    it("P2 refuses an action beyond the limit as backpressure, and takes one again when one has ended", function()
      local s = session { max_actions = 2 }
      local id = s.ask "Ping"
      s.ask "Ping"
      local none, code, text = s.ask "Ping"
      assert.is_nil(none)
      assert.equal("backpressure", code)
      assert.truthy(text:find("2", 1, true))
      s.answer("Response: Success", "ActionID: " .. id)
      assert.truthy((s.ask "Ping"))
    end)
  end)

  it("shows what is pending, oldest first", function()
    local s = session()
    s.ask("Ping", { now = 1, deadline = 50, tag = 9 })
    s.ask("QueueStatus", { now = 2, deadline = 40 })
    assert.same({ { sequence = 1, action = "Ping", started = 1, deadline = 50, tag = 9 },
      { sequence = 2, action = "QueueStatus", started = 2, deadline = 40, tag = 0 } }, s.pending:each())
  end)

  it("Q22 finds a thousand answers in any order, each once", function()
    local s, random = session(), support.random(7)
    local ids, seen = {}, {}
    for i = 1, 1000 do ids[i] = { s.ask("Ping", { tag = i, deadline = 10000 - i }), i } end
    for i = #ids, 2, -1 do
      local j = random(i)
      ids[i], ids[j] = ids[j], ids[i]
    end
    for i = 1, 900 do
      local what, reply = s.answer("Response: Success", "ActionID: " .. ids[i][1])
      assert.equal("completed", what)
      assert.is_nil(seen[reply.tag])
      seen[reply.tag] = true
      assert.equal("stray", (s.answer("Response: Success", "ActionID: " .. ids[i][1])))
    end
    for _, reply in ipairs(s.pending:expire(20000)) do
      assert.equal("timeout", reply.code)
      assert.is_nil(seen[reply.tag])
      seen[reply.tag] = true
    end
    assert.equal(1000, #seen)
    assert.equal(900, s.pending:stats().late)
  end)

  describe("random histories", function()
    local ACTIONS = { { Action = "Ping" }, { Action = "QueueStatus" }, { Action = "VoicemailUsersList" }, { Action = "ConfbridgeList" },
      { Action = "Originate", Async = "true" }, { Action = "Originate" }, { Action = "Command", Command = "x" }, { Action = "WaitEvent" },
      { Action = "Queues" }, { Action = "FAXStats" }, { Action = "Hangup", Channel = "/x/" }, { Action = "Odd" } }
    local LIMITS = { max_actions = 12, max_list_events = 4, prefix = "m" }
    local MESSAGES = {
      { response = "Success", message = "ok" }, { response = "Success", message = "ok" },
      { response = "Success", list = "start" }, { response = "Success", list = "Start" }, { response = "Success", list = "odd" },
      { response = "Error", message = "No such thing" }, { response = "Error", message = "No conferences found" }, { response = "Error", message = "Permission denied" },
      { response = "Success", message = "There are no voicemail users currently defined." }, { response = "Goodbye" },
      { response = "Success", message = "FAXStats event will follow" }, { event = "Newchannel", privilege = "call,all" },
      { response = "Follows" },
      { event = "Item" }, { event = "Item" }, { event = "Item" }, { event = "ItemComplete", list = "Complete" },
      { event = "Item", list = "Cancelled" }, { event = "QueueStatusComplete" }, { event = "VoicemailUserEntryComplete" },
      { event = "WaitEventComplete" }, { event = "OriginateResponse", result = "Success" },
      { event = "OriginateResponse", result = "Failure" }, { event = "UserEvent", result = "Success" },
    }

    local function bytes_of(m, id)
      local lines = { m.event and "Event: " .. m.event or "Response: " .. m.response }
      if m.response == "Follows" then lines[#lines + 1] = "Privilege: Command" end
      if m.privilege then lines[#lines + 1] = "Privilege: " .. m.privilege end
      if id then lines[#lines + 1] = "ActionID: " .. id end
      if m.list then lines[#lines + 1] = "EventList: " .. m.list end
      if m.message then lines[#lines + 1] = "Message: " .. m.message end
      if m.result then lines[#lines + 1] = "Response: " .. m.result end
      if m.response == "Follows" then return table.concat(lines, "\r\n") .. "\r\ntext\n--END COMMAND--\r\n\r\n" end
      return support.frame(table.unpack(lines))
    end

    -- One history of `steps` steps on both; an error says the seed, the step and what was done.
    local function live(seed, steps)
      local random = support.random(seed)
      local p, m = hookswitch.pending.new(LIMITS), Model.new(LIMITS)
      local ids, log, ended = {}, {}, {}
      local now, offset, written, forgotten = 0, 0, 0, 0

      local function note(...) log[#log + 1] = table.concat({ ... }, " ") end
      local function same(expected, got, what)
        if expected == got then return end
        error(("seed %d: %s: the model has %s, the correlator %s, after\n  %s"):format(seed, what, tostring(expected), tostring(got),
          table.concat(log, "\n  ", math.max(1, #log - 40))), 0)
      end
      local function same_reply(expected, reply)
        same(expected ~= nil, reply ~= nil, "a completion")
        if not reply then return end
        for _, key in ipairs { "sequence", "tag", "code", "is_list" } do same(expected[key], reply[key], key) end
        same(expected.events, #reply.events, "list items")
        ended[reply.sequence] = (ended[reply.sequence] or 0) + 1
      end
      local function by_sequence(a, b) return a.sequence < b.sequence end

      local function add()
        local action = ACTIONS[random(#ACTIONS)]
        local options = { now = now, deadline = now + random(60), offset = offset, tag = random(1000), no_call_events = random(5) == 1 }
        note("add", action.Action, action.Async or "", "deadline", options.deadline, "offset", offset, tostring(options.no_call_events))
        local id, sequence = p:add(action, options)
        same(m:add(action, options), id and sequence, "sequence")
        if not id then return end
        ids[sequence] = id
        offset = offset + 10
      end
      local function receive()
        local which = MESSAGES[random(#MESSAGES)]
        local message = setmetatable({}, { __index = which })
        local luck, id = random(10), nil
        if luck == 1 then
          message.id, id = true, "x-0-" .. random(5)
        elseif luck == 2 and m.last < 1000000 then
          message.id, id = true, "m-" .. m.session .. "-" .. (m.last + random(3)) -- not made yet
        elseif luck > 3 and m.last > 0 then
          message.id = math.max(1, m.last + 1 - random(10))
          id = ids[message.id]
        end
        local bytes = bytes_of(which, id)
        note("receive", (bytes:gsub("\r\n", " | ")))
        local r = support.feed(p, bytes, ({ false, 1, 7 })[random(3)])
        same(1, #r, "results")
        local what, expected = m:message(message)
        same(what, r[1][1], "result")
        same_reply(expected, r[1][2])
      end
      local function expire()
        now = now + random(20)
        note("expire", now)
        local expected, got = m:expire(now), p:expire(now)
        table.sort(expected, by_sequence)
        table.sort(got, by_sequence)
        same(#expected, #got, "timeouts")
        for i = 1, #got do same_reply(expected[i], got[i]) end
      end
      local function write()
        written = written + random(math.max(1, offset - written + 1)) - 1
        note("written", written)
        p:written(written)
        m:written_to(written)
      end
      local function pick_out()
        if m.last == 0 then return end
        local sequence, how = math.max(1, m.last + 1 - random(10)), random(3)
        note(({ "cancel", "overflow", "forget" })[how], sequence)
        if how == 1 then
          same_reply(m:cancel(sequence), p:cancel(sequence))
        elseif how == 2 then
          same_reply(m:overflow(sequence), p:overflow(ids[sequence], true))
        else
          if m:find(sequence) then forgotten = forgotten + 1 end
          m:forget(sequence)
          p:forget(sequence)
        end
      end
      local function end_session()
        note("session ends, written", written)
        repeat
          local expected, got = m:fail_next(), p:fail_next(written, "lost")
          same_reply(expected, got)
        until not got
        p:reset()
        m:reset()
        offset, written = 0, 0
        local version = ({ "1.3", "2.5", "2.6", "2.10.6", "13.0.0" })[random(5)]
        note("version", version)
        p:set_version(version)
        m:set_version(version)
      end

      for _ = 1, steps do
        local luck = random(100)
        if luck <= 30 then add()
        elseif luck <= 75 then receive()
        elseif luck <= 85 then write()
        elseif luck <= 91 then expire()
        elseif luck <= 97 then pick_out()
        elseif luck == 98 then end_session()
        end
        same(#m.open, p:count(), "count")
        same(m:next_deadline(), p:next_deadline(), "nearest deadline")
        same(m:line_held(), p:line_held(), "held line")
      end
      end_session()
      local stats = p:stats()
      for _, key in ipairs { "late", "unmatched", "idless" } do same(m[key], stats[key], key) end
      local completed = 0
      for sequence = 1, m.last do
        if ended[sequence] then
          same(1, ended[sequence], "completions of " .. sequence)
          completed = completed + 1
        end
      end
      same(m.last, completed + forgotten, "actions that completed or were forgotten")
      return completed
    end

    it("P3 agree with the simplest correct correlator: each action completes exactly once, with the same outcome", function()
      local completed = 0
      for seed = 1, 400 do completed = completed + live(seed, 250) end
      assert.is_true(completed > 20000)
    end)
  end)
end)
