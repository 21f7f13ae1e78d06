local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"
local session, frame = support.session, support.frame

local function names(reply)
  local list = {}
  for i, event in ipairs(reply.events) do list[i] = event.name end
  return list
end

describe("a list", function()
  it("Q25 starts with EventList and ends with the event that says Complete", function()
    for _, start in ipairs { "start", "Start", "START" } do
      for _, complete in ipairs { "Complete", "complete" } do
        local s = session()
        local id = s.ask("FAXSessions", { tag = 5 })
        assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "EventList: " .. start, "Message: x will follow")))
        assert.equal("taken", (s.answer("Event: FAXSessionsEntry", "ActionID: " .. id, "Channel: a")))
        assert.equal("taken", (s.answer("Event: FAXSessionsEntry", "ActionID: " .. id, "Channel: b")))
        local what, reply = s.answer("Event: FAXSessionsComplete", "ActionID: " .. id, "EventList: " .. complete, "ListItems: 2")
        assert.same({ "completed", "none", true, 5 }, { what, reply.code, reply.is_list, reply.tag })
        assert.same({ "FAXSessionsEntry", "FAXSessionsEntry" }, names(reply))
        assert.same({ "a", "b" }, { support.value(reply.events[1], "Channel"), support.value(reply.events[2], "Channel") })
        assert.equal("x will follow", support.value(reply.response, "Message"))
      end
    end
  end)

  it("Q25 ends by the header for an action that the catalogue does not know", function()
    local s = session()
    local id = s.ask "SomeModulesList"
    s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
    s.answer("Event: Whatever", "ActionID: " .. id)
    local what, reply = s.answer("Event: Odd", "EventList: Complete", "ActionID: " .. id, "ListItems: 1")
    assert.same({ "completed", "none", { "Whatever" } }, { what, reply.code, names(reply) })
  end)

  it("Q25 may be empty", function()
    local s = session()
    local id = s.ask "CoreShowChannels"
    s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
    local _, reply = s.answer("Event: CoreShowChannelsComplete", "ActionID: " .. id, "EventList: Complete", "ListItems: 0")
    assert.same({ "none", true, {} }, { reply.code, reply.is_list, reply.events })
  end)

  it("Q25 that Asterisk cancels is an error", function()
    local s = session()
    local id = s.ask "PJSIPShowEndpoints"
    s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
    local what, reply = s.answer("Event: EndpointListComplete", "ActionID: " .. id, "EventList: Cancelled")
    assert.same({ "completed", "error" }, { what, reply.code })
  end)

  it("Q25 is the same in any pieces, beside live events and a second list", function()
    local function collect(size)
      local s = session()
      local first, second = s.ask("QueueStatus", { tag = 1 }), s.ask("Status", { tag = 2 })
      local bytes = frame("Event: Hangup", "Privilege: call,all") ..
        frame("Response: Success", "ActionID: " .. first, "EventList: start") .. frame("Event: QueueParams", "ActionID: " .. first) ..
        frame("Event: QueueMember", "ActionID: " .. first) ..
        frame("Event: QueueStatusComplete", "ActionID: " .. first, "EventList: Complete") ..
        frame("Event: Newchannel", "Privilege: call,all") ..
        frame("Response: Success", "ActionID: " .. second, "EventList: start") .. frame("Event: Status", "ActionID: " .. second) ..
        frame("Event: StatusComplete", "ActionID: " .. second, "EventList: Complete")
      local short = {}
      for i, r in ipairs(support.feed(s.pending, bytes, size)) do
        short[i] = r[1] .. (r[2] and ":" .. r[2].tag .. ":" .. table.concat(names(r[2]), "+") or "")
      end
      return short
    end
    local expected = { "not_ours", "taken", "taken", "taken", "completed:1:QueueParams+QueueMember", "not_ours", "taken", "taken",
      "completed:2:Status" }
    for _, way in ipairs(support.WAYS) do assert.same(expected, collect(way[2]), way[1]) end
  end)

  describe("below AMI 2.6", function()
    local terminal = {
      Status = "StatusComplete", QueueStatus = "QueueStatusComplete", QueueSummary = "QueueSummaryComplete",
      ParkedCalls = "ParkedCallsComplete", Parkinglots = "ParkinglotsComplete", Agents = "AgentsComplete",
      DAHDIShowChannels = "DAHDIShowChannelsComplete", PRIShowSpans = "PRIShowSpansComplete",
      VoicemailUsersList = "VoicemailUserEntryComplete", IAXpeerlist = "PeerlistComplete", SIPpeerstatus = "SIPpeerstatusComplete",
      DBGet = "DBGetComplete",
    }

    it("Q26 needs no EventList: the table gives each its last event", function()
      for action, last in pairs(terminal) do
        local s = session(nil, "1.3")
        local id = s.ask(action)
        assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "Message: … will follow")), action)
        assert.equal("taken", (s.answer("Event: Item", "ActionID: " .. id)), action)
        local what, reply = s.answer("Event: " .. last, "ActionID: " .. id)
        assert.same({ "completed", "none", { "Item" } }, { what, reply.code, names(reply) }, action)
        assert.is_true(reply.is_list)
      end
    end)

    it("Q26 uses the table only there: a newer peer without EventList has answered", function()
      for _, version in ipairs { "2.6", "2.10.6", "13.0.0" } do
        for action in pairs(terminal) do
          local s = session(nil, version)
          local what, reply = s.answer("Response: Success", "ActionID: " .. s.ask(action))
          assert.same({ "completed", "none", false }, { what, reply.code, reply.is_list }, action .. " " .. version)
        end
      end
    end)

    it("Q26 knows which versions are below 2.6", function()
      local version = hookswitch.catalogue.ami_version
      for _, old in ipairs { "1.1", "1.2", "1.3", "2.5" } do assert.is_true(version(old) < version "2.6", old) end
      for _, new in ipairs { "2.6", "2.10", "2.10.6", "3.2", "13.0.0", "10.0" } do assert.is_true(version(new) >= version "2.6", new) end
      assert.equal(0, version "odd")
    end)

    it("Q26 takes EventList there too, where a list has it", function()
      local s = session(nil, "1.3")
      local id = s.ask "CoreShowChannels"
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      local what = s.answer("Event: CoreShowChannelsComplete", "EventList: Complete", "ListItems: 0", "ActionID: " .. id)
      assert.equal("completed", what)
    end)
  end)

  it("Q27 ends with a name that does not follow from the action's", function()
    local terminal = {
      SIPpeers = "PeerlistComplete", IAXpeers = "PeerlistComplete", IAXpeerlist = "PeerlistComplete",
      SIPshowregistry = "RegistrationsComplete", IAXregistry = "RegistrationsComplete",
      VoicemailUsersList = "VoicemailUserEntryComplete", PJSIPShowEndpoint = "EndpointDetailComplete",
      PJSIPShowRegistrationsOutbound = "OutboundRegistrationDetailComplete", Hangup = "ChannelsHungupListComplete",
      WaitEvent = "WaitEventComplete",
    }
    for action, last in pairs(terminal) do
      assert.equal(last, hookswitch.catalogue.action(action).terminal)
      local s = session(nil, "1.3")
      local id = s.ask(action)
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      local what, reply = s.answer("Event: " .. last, "ActionID: " .. id)
      assert.same({ "completed", "none", true }, { what, reply.code, reply.is_list }, action)
    end
  end)

  it("Q27 Hangup is a list with a regex and none with a plain name", function()
    local s = session()
    local id = s.ask { Action = "Hangup", Channel = "/^Local/" }
    s.answer("Response: Success", "ActionID: " .. id, "EventList: start", "Message: Channels hung up will follow")
    s.answer("Event: ChannelHungup", "ActionID: " .. id, "Channel: Local/1")
    local what, reply = s.answer("Event: ChannelsHungupListComplete", "ActionID: " .. id, "EventList: Complete", "ListItems: 1")
    assert.same({ "completed", true, 1 }, { what, reply.is_list, #reply.events })
    what, reply = s.answer("Response: Success", "ActionID: " .. s.ask { Action = "Hangup", Channel = "Local/2" }, "Message: Channel Hungup")
    assert.same({ "completed", false, "none" }, { what, reply.is_list, reply.code })
  end)

  it("Q27 WaitEvent ends with its Complete; its events have no ActionID and go to the rules", function()
    for _, version in ipairs { "1.3", "13.0.0" } do
      local s = session(nil, version)
      local id = s.ask "WaitEvent"
      assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "Message: Waiting for Event completed.")))
      assert.equal("not_ours", (s.answer("Event: Newchannel", "Channel: a")))
      local what, reply = s.answer("Event: WaitEventComplete", "ActionID: " .. id)
      assert.same({ "completed", "none", {} }, { what, reply.code, reply.events })
    end
  end)

  it("Q28 a Message that says 'follow' is no sign of one", function()
    local s = session()
    for action, message in pairs { Command = "Command output follows", Nonsense = "Things will follow", FAXStats = "Nothing is known" } do
      local id = s.ask(action)
      local what, reply = s.answer("Response: Success", "ActionID: " .. id, "Message: " .. message)
      assert.same({ "completed", "none", false }, { what, reply.code, reply.is_list }, action)
    end
    assert.equal(0, s.pending:count())
  end)

  it("Q74 of FAXStats and FAXSession is one event of that name, with nothing behind it", function()
    for _, action in ipairs { "FAXStats", "FAXSession" } do
      local s = session()
      local id = s.ask(action)
      assert.equal("taken", (s.answer("Response: Success", "ActionID: " .. id, "Message: " .. action .. " event will follow")))
      local what, reply = s.answer("Event: " .. action, "ActionID: " .. id, "CurrentSessions: 0")
      assert.same({ "completed", "none", true, { action } }, { what, reply.code, reply.is_list, names(reply) })
      assert.equal("0", support.value(reply.events[1], "CurrentSessions"))
    end
  end)

  it("Q78 an event that an action makes for everybody goes to the rules and is no late answer", function()
    local s = session()
    local id = s.ask "SIPqualifypeer"
    s.answer("Response: Success", "ActionID: " .. id, "Message: SIP peer found - will qualify")
    assert.equal("not_ours", (s.answer("Event: SIPQualifyPeerDone", "Privilege: call,all", "ActionID: " .. id)))
    assert.equal(0, s.pending:stats().late)
  end)

  it("Q22 whose frames have no ActionID goes by order; live events, which have a Privilege, stay the rules'", function()
    local s = session()
    s.ask("BridgeTechnologyList", { tag = 1 })
    s.ask("Ping", { tag = 2 })
    assert.equal("taken", (s.answer("Response: Success", "EventList: start", "Message: Bridge technology listing will follow")))
    assert.equal("taken", (s.answer("Event: BridgeTechnologyListItem", "BridgeTechnology: holding_bridge")))
    assert.equal("not_ours", (s.answer("Event: Newchannel", "Privilege: call,all", "Channel: a")))
    local what, reply = s.answer("Event: BridgeTechnologyListComplete", "EventList: Complete", "ListItems: 1")
    assert.same({ "completed", "none", 1, { "BridgeTechnologyListItem" } }, { what, reply.code, reply.tag, names(reply) })
    assert.equal("not_ours", (s.answer("Event: Odd", "Key: behind the list")))
    what, reply = s.answer("Response: Success", "Ping: Pong")
    assert.same({ "completed", 2 }, { what, reply.tag })
  end)

  it("Q22 whose frames have no ActionID may time out: what still comes of it is nobody's answer", function()
    local s = session()
    s.ask("BridgeTechnologyList", { deadline = 5 })
    s.answer("Response: Success", "EventList: start")
    assert.equal("timeout", s.pending:expire(5)[1].code)
    assert.equal("not_ours", (s.answer("Event: BridgeTechnologyListItem", "BridgeTechnology: holding_bridge")))
  end)

  describe("that is empty", function()
    it("Q29 may come as an Error that says No …, and is a success", function()
      for action, message in pairs { ConfbridgeList = "No active conferences.", ConfbridgeListRooms = "No active conferences.",
        MeetmeList = "No active conferences.", PJSIPShowEndpoints = "No endpoints found", PJSIPShowContacts = "No Contacts found",
        PJSIPShowRegistrationsOutbound = "No outbound registrations found", ExtensionStateList = "No dialplan hints are available",
        PJSIPShowAors = "No AORs found\n", PJSIPShowResourceLists = "No resource lists found\n" } do
        local s = session()
        local what, reply = s.answer("Response: Error", "ActionID: " .. s.ask(action), "Message: " .. message)
        assert.same({ "completed", "none", "", true, {} }, { what, reply.code, reply.text, reply.is_list, reply.events }, action)
        assert.equal("Error", reply.response.name)
      end
    end)

    it("Q29 is still an error when another thing was wrong", function()
      for action, message in pairs { ConfbridgeList = "No Conference by that name found.", MeetmeListRooms = "Permission denied", PJSIPShowEndpoint = "Unable to retrieve endpoint x",
        Hangup = "No such channel", DBGet = "Database entry not found", MeetmeList = "Nothing of that kind",
        ExtensionStateList = "No such thing", PJSIPShowContacts = "No luck" } do
        local s = session()
        local what, reply = s.answer("Response: Error", "ActionID: " .. s.ask(action), "Message: " .. message)
        assert.same({ "completed", "error", message, false }, { what, reply.code, reply.text, reply.is_list }, action)
      end
    end)

    it("Q29 VoicemailUsersList says so with Success and no Complete, old and new", function()
      for _, version in ipairs { "1.1", "1.3", "2.10.6", "13.0.0" } do
        local s = session(nil, version)
        local what, reply = s.answer("Response: Success", "ActionID: " .. s.ask "VoicemailUsersList",
          "Message: There are no voicemail users currently defined.")
        assert.same({ "completed", "none", true, {} }, { what, reply.code, reply.is_list, reply.events }, version)
      end
    end)
  end)

  describe("bounds", function()
    it("P2 fails as overflow at the limit of events, and what comes behind is late", function()
      local s = session { max_list_events = 3 }
      local id = s.ask "Status"
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      for _ = 1, 3 do assert.equal("taken", (s.answer("Event: Status", "ActionID: " .. id))) end
      local what, reply = s.answer("Event: Status", "ActionID: " .. id)
      assert.same({ "completed", "overflow", 3 }, { what, reply.code, #reply.events })
      assert.equal("stray", (s.answer("Event: Status", "ActionID: " .. id)))
      assert.equal("stray", (s.answer("Event: StatusComplete", "ActionID: " .. id, "EventList: Complete")))
      assert.equal(2, s.pending:stats().late)
    end)

    it("P2 fails as overflow at the limit of bytes", function()
      local s = session { max_list_bytes = 5000 }
      local id = s.ask "Status"
      s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
      local what, reply
      for _ = 1, 10 do
        what, reply = s.answer("Event: Status", "ActionID: " .. id, "Data: " .. ("x"):rep(1000))
        if reply then break end
      end
      assert.same({ "completed", "overflow" }, { what, reply.code })
      assert.is_true(#reply.events < 5)
    end)

    it("P2 fails the action that an oversize answer or list item is for", function()
      local s = session { max_frame = 1024 }
      for _, way in ipairs(support.WAYS) do
        local id = s.ask("GetConfigJSON", { tag = 4 })
        local r = support.feed(s.pending, frame("Response: Success", "ActionID: " .. id, "JSON: " .. ("x"):rep(3000)), way[2])
        assert.same({ "oversize", "overflow", 4 }, { r[1][1], r[1][2].code, r[1][2].tag }, way[1])
        id = s.ask("Status", { tag = 5 })
        s.answer("Response: Success", "ActionID: " .. id, "EventList: start")
        r = support.feed(s.pending, frame("Event: Status", "ActionID: " .. id, "X: " .. ("x"):rep(3000)), way[2])
        assert.same({ "oversize", "overflow", 5 }, { r[1][1], r[1][2].code, r[1][2].tag }, way[1])
      end
      assert.equal(0, s.pending:count())
    end)

    it("P2 an oversize answer without ActionID is the oldest action's, an oversize event nobody's", function()
      local s = session { max_frame = 1024 }
      s.ask("Ping", { tag = 1 })
      local r = s.pending:feed(frame("Event: Newchannel", "X: " .. ("x"):rep(3000)))
      assert.same({ "oversize" }, { r[1][1], r[1][2] })
      r = s.pending:feed(frame("Response: Success", "X: " .. ("x"):rep(3000)))
      assert.same({ "oversize", "overflow", 1 }, { r[1][1], r[1][2].code, r[1][2].tag })
    end)
  end)
end)
