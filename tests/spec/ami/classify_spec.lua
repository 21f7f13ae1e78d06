local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"
local frame, each_way, summary, session = support.frame, support.each_way, support.summary, support.session

describe("which frame is what", function()
  it("Q20 goes by the presence of Event first, then of Response", function()
    local bytes = frame("Event: OriginateResponse", "ActionID: 1", "Response: Failure") ..
      frame("Event: ChallengeResponseFailed", "Response: x") .. frame("ActionID: 2", "Event: Third") ..
      frame("Response: Success", "ActionID: 3", "Event: Late") .. frame("ActionID: 4", "Response: Success") ..
      frame("support has 0 calls (max unlimited), W:0", "   No Members")
    each_way(bytes, nil, function(r)
      assert.same({ "frame event OriginateResponse", "frame event ChallengeResponseFailed", "frame event Third", "frame event Late",
        "frame response Success", "frame other " }, summary(r))
      assert.same({ "1", "", "2", "3", "4", "" },
        { r[1].action_id, r[2].action_id, r[3].action_id, r[4].action_id, r[5].action_id, r[6].action_id })
    end)
  end)

  it("Q20 answers an action by a response that has its ActionID first", function()
    local s = session()
    local id = s.ask "Ping"
    local what, reply = s.answer("ActionID: " .. id, "Response: Success", "Ping: Pong")
    assert.equal("completed", what)
    assert.equal("none", reply.code)
  end)

  describe("ActionIDs", function()
    it("Q21 leaves events with an id that this connection did not make to the rules", function()
      local s = session { prefix = "abc" }
      local id = s.ask { Action = "Originate", Channel = "Local/1", Async = "true" }
      s.answer("Response: Success", "ActionID: " .. id)
      for _, foreign in ipairs { "other-0-1", "abc-1-1", "abc-0-2", "abc-0-01", "abc-0-", "abc-0-1x", "ABC-0-1", "abc-0-1 ",
        "abc-0-99999999999999999999", "abc-0--1", "", "abc" } do
        local what, reply = s.answer("Event: OriginateResponse", "ActionID: " .. foreign, "Response: Success")
        assert.equal("not_ours", what, foreign)
        assert.is_nil(reply)
      end
      assert.equal(1, s.pending:count())
      assert.equal("completed_event", (s.answer("Event: OriginateResponse", "ActionID: " .. id, "Response: Success")))
    end)

    it("Q79 to Q86 say in words why an Originate failed", function()
      local words = {
        ["0"] = "no channel could be made, the number is unknown, or the call was declined", ["1"] = "hung up before it was answered",
        ["2"] = "rings at this end", ["3"] = "not answered in time", ["4"] = "answered", ["5"] = "busy",
        ["8"] = "congestion: no free circuit, or the network rejected the call", ["14"] = "early media",
      }
      for number = 0, 40 do
        local s = session()
        local id = s.ask { Action = "Originate", Channel = "Local/1", Async = "true" }
        s.answer("Response: Success", "ActionID: " .. id)
        local what, reply = s.answer("Event: OriginateResponse", "ActionID: " .. id, "Response: Failure", "Reason: " .. number)
        assert.same({ "completed_event", "error" }, { what, reply.code })
        local meaning = words[tostring(number)]
        assert.equal("originate failed, reason " .. number .. (meaning and ": " .. meaning or ""), reply.text)
      end
      for _, odd in ipairs { "", "05", "busy", "-1", ("9"):rep(100) } do
        local s = session()
        local id = s.ask { Action = "Originate", Channel = "Local/1", Async = "true" }
        s.answer("Response: Success", "ActionID: " .. id)
        local _, reply = s.answer("Event: OriginateResponse", "ActionID: " .. id, "Response: Failure", "Reason: " .. odd)
        assert.equal("originate failed, reason " .. (#odd < 20 and odd or "unknown"), reply.text)
      end
    end)

    it("Q21 takes no UserEvent that echoes the id for an answer", function()
      local s = session()
      local id = s.ask { Action = "UserEvent", UserEvent = "Mine" }
      assert.equal("not_ours", (s.answer("Event: UserEvent", "ActionID: " .. id, "Response: Success", "EventList: Complete")))
      assert.equal(1, s.pending:count())
      assert.equal("completed", (s.answer("Response: Success", "ActionID: " .. id, "Message: Event Sent")))
      assert.equal("not_ours", (s.answer("Event: UserEvent", "ActionID: " .. id, "UserEvent: Mine")))
      assert.same({ late = 0, unmatched = 0, idless = 0 }, s.pending:stats())
    end)

    it("Q21 takes no UserEvent inside a list for an item", function()
      local s = session()
      local id = s.ask "QueueStatus"
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      assert.equal("not_ours", (s.answer("Event: UserEvent", "ActionID: " .. id)))
      assert.equal("taken", (s.answer("Event: QueueParams", "ActionID: " .. id)))
      local what, reply = s.answer("Event: QueueStatusComplete", "ActionID: " .. id, "EventList: Complete", "ListItems: 1")
      assert.equal("completed", what)
      assert.equal(1, #reply.events)
    end)

    it("Q21 makes ids of a prefix, the connection's number and a sequence", function()
      local p = hookswitch.pending.new { prefix = "k7Q" }
      assert.equal("k7Q-0-1", (p:add { Action = "Ping" }))
      assert.equal("k7Q-0-2", (p:add { Action = "Ping" }))
      p:reset()
      assert.equal("k7Q-1-3", (p:add { Action = "Ping" }))
    end)

    it("Q21 matches no id of an earlier session", function()
      local s = session()
      local old = s.ask "Ping"
      s.pending:fail_next(10, "the link fell")
      s.pending:reset()
      local new = s.ask("Ping", { offset = 0 })
      assert.equal("stray", (s.answer("Response: Success", "ActionID: " .. old)))
      assert.equal(1, s.pending:stats().unmatched)
      assert.equal("completed", (s.answer("Response: Success", "ActionID: " .. new)))
    end)
  end)

  describe("answers without an ActionID", function()
    it("Q22 belong to the oldest action written and not answered, and are counted", function()
      local s = session()
      s.ask("Ping", { tag = 1 })
      s.ask("CoreStatus", { tag = 2 })
      local what, reply = s.answer("Response: Success", "Ping: Pong")
      assert.same({ "completed", 1 }, { what, reply.tag })
      what, reply = s.answer("Response: Success")
      assert.same({ "completed", 2 }, { what, reply.tag })
      assert.equal(2, s.pending:stats().idless)
      assert.equal("stray", (s.answer("Response: Success")))
      assert.equal(1, s.pending:stats().unmatched)
    end)

    it("Q22 are nobody's while nothing was written", function()
      local s = session()
      s.ask("Ping", { unwritten = true })
      assert.equal("stray", (s.answer("Response: Error", "Message: Too many lines in message or allocation failure")))
      assert.equal(1, s.pending:count())
      s.pending:written(1)
      local what, reply = s.answer("Response: Error", "Message: Failed to parse message: line too long")
      assert.same({ "completed", "error", "Failed to parse message: line too long" }, { what, reply.code, reply.text })
    end)

    it("Q22 pass by an action that has its response and waits for more", function()
      local s = session()
      local list = s.ask "QueueStatus"
      local originate = s.ask { Action = "Originate", Async = "yes" }
      s.ask("Ping", { tag = 3 })
      s.answer("Response: Success", "ActionID: " .. list, "EventList: start")
      s.answer("Response: Success", "ActionID: " .. originate)
      local what, reply = s.answer("Response: Success", "Ping: Pong")
      assert.same({ "completed", 3 }, { what, reply.tag })
    end)
  end)

  it("Q23 late and second answers are counted and hurt nobody", function()
    local s = session()
    local first, second = s.ask "JabberSend", s.ask "Ping"
    assert.equal("completed", (s.answer("Response: Success", "ActionID: " .. first)))
    local what, reply = s.answer("Response: Error", "ActionID: " .. first, "Message: a result")
    assert.same({ "stray" }, { what, reply })
    s.pending:cancel(second)
    assert.equal("stray", (s.answer("Response: Success", "ActionID: " .. second)))
    assert.same({ late = 2, unmatched = 0, idless = 0 }, s.pending:stats())
  end)

  it("Q23 a second response inside a list is late and does not end it", function()
    local s = session()
    local id = s.ask "Status"
    s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
    assert.equal("stray", (s.answer("Response: Error", "ActionID: " .. id, "Message: x")))
    local what, reply = s.answer("Event: StatusComplete", "ActionID: " .. id, "EventList: Complete")
    assert.same({ "completed", "none" }, { what, reply.code })
    assert.equal(1, s.pending:stats().late)
  end)

  it("Q24 raw text is no answer: Queues ends by its deadline, and the answers behind it find their own", function()
    local s = session(nil, "1.3")
    s.ask("Queues", { deadline = 100, tag = 1 })
    s.ask("Ping", { deadline = 200, tag = 2 })
    local text = "support has 0 calls (max unlimited) in 'rrmemory' strategy\r\n   Members: \r\n      Bob\r\n\r\nsales has 0 calls\r\n\r\n\r\n\r\n"
    for _, way in ipairs(support.WAYS) do
      local results = support.feed(s.pending, text, way[2])
      assert.same({ "not_ours", "not_ours" }, { results[1][1], results[2][1] }, way[1])
      assert.equal("other", results[1].kind)
    end
    local what, reply = s.answer("Response: Success", "Ping: Pong")
    assert.same({ "completed", 2 }, { what, reply.tag })
    assert.same({}, s.pending:expire(99))
    local expired = s.pending:expire(100)
    assert.same({ 1, "timeout", 1 }, { #expired, expired[1].code, expired[1].tag })
  end)
end)
