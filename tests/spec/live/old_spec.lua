-- Asterisk 11: no Linkedids, no bridges with ids, other header names. Local channels only, so nobody talks.
local support = dofile "tests/spec/live/support.lua"

local function play()
  local l = support.new()
  local file = assert(io.open("tests/fixtures/captures/asterisk-11.ami", "rb"))
  local bytes = file:read "a"
  file:close()
  l:session("pbx", "1.3", 1000)
  l:feed("pbx", bytes, function(fields)
    local own = fields.kind ~= "event" or (fields.action_id ~= "" and fields.name ~= "OriginateResponse" and fields.name ~= "UserEvent")
    return own and "skip" or nil
  end)
  return l, l:changes()
end

describe("the live picture of Asterisk 11", function()
  it("has one call for each that was originated, with who called whom and how it ended", function()
    local l, changes = play()
    local got, merged = {}, 0
    for _, change in ipairs(changes) do
      local call = change.object
      if change.kind == "call.ended" then
        got[#got + 1] = ("%s > %s %s"):format(call.from, call.to, call.result)
      elseif change.kind == "call.merged" then
        merged = merged + 1
      end
    end
    table.sort(got)
    assert.same({
      "102 > 100 busy", "104 > nil failed", "900 > 200 answered", "900 > 300 answered", "900 > 400 answered", "900 > 400 answered",
      "900 > 500 answered", "900 > 600 answered",
    }, got)
    assert.equal(0, merged) -- legs were never taken for calls of their own
    for _, kind in ipairs { "channel", "call", "bridge", "conference" } do assert.equal(0, l:count(kind)) end
    l:close()
  end)

  it("knows the queue, its member and who answered", function()
    local l, changes = play()
    local left, ended
    for _, change in ipairs(changes) do
      if change.kind == "queue.left" then left = change end
      if change.kind == "call.ended" and change.object.queue then ended = change.object end
    end
    assert.equal("answered", left.reason)
    assert.equal("support", left.object.queue)
    assert.equal("support", ended.queue)
    assert.equal("Local/101@default/n", ended.agent)
    assert.equal("Alice", ended.agent_name)
    assert.equal(1, #ended.waits)
    local agent = l:find("pbx", "agent", "Alice")
    assert.equal("free", agent.state)
    assert.equal(1, agent.calls)
    assert.equal(3, agent.talk)
    l:close()
  end)

  it("knows who is parked and who is in a conference", function()
    local l, changes = play()
    local parked, joined = 0, 0
    for _, change in ipairs(changes) do
      if change.kind == "call.parked" then
        parked = parked + 1
        assert.equal("parked", change.object.state)
      elseif change.kind == "conference.joined" then
        joined = joined + 1
        assert.equal("1000", change.object.conference)
      end
    end
    assert.equal(1, parked)
    assert.equal(2, joined)
    l:close()
  end)

  it("takes a Hold with the status Off for its end", function()
    local l = support.new()
    l:session("pbx", "1.3", 100)
    l:event("pbx", "Newchannel", { Channel = "SIP/1001-00000001", ChannelState = 4, CallerIDNum = 1001, Exten = "1002", Uniqueid = "7.1" }, 100)
    l:event("pbx", "Hold", { Channel = "SIP/1001-00000001", Uniqueid = "7.1", Status = "On" }, 101)
    assert.equal("held", l:find("pbx", "call", "7.1").state)
    l:event("pbx", "Hold", { Channel = "SIP/1001-00000001", Uniqueid = "7.1", Status = "Off" }, 103)
    local call = l:find("pbx", "call", "7.1", 109)
    assert.equal("new", call.state)
    assert.equal(2, call.hold)
    l:close()
  end)

  it("knows the caller by the channel that he has after an attended transfer", function()
    local l, now = support.new(), 100
    l:session("pbx", "1.3", now)
    local function channel(n, name, state) return { Channel = name, Uniqueid = "7." .. n, ChannelState = state, CallerIDNum = name:match "%d+" } end
    local function dials(a, b)
      l:event("pbx", "Newchannel", a, now)
      l:event("pbx", "Newchannel", b, now)
      l:event("pbx", "Dial", { SubEvent = "Begin", Channel = a.Channel, UniqueID = a.Uniqueid, Destination = b.Channel, DestUniqueID = b.Uniqueid }, now)
      for _, c in ipairs { b, a } do
        c.ChannelState = 6
        l:event("pbx", "Newstate", c, now)
      end
      l:event("pbx", "Bridge", { Bridgestate = "Link", Channel1 = a.Channel, Channel2 = b.Channel, Uniqueid1 = a.Uniqueid, Uniqueid2 = b.Uniqueid }, now)
    end
    local function renamed(n, from, to) l:event("pbx", "Rename", { Channel = from, Newname = to, Uniqueid = "7." .. n }, now) end
    dials(channel(1, "SIP/1001-01", 4), channel(2, "SIP/1002-02", 0))
    now = now + 5
    l:event("pbx", "Hold", { Channel = "SIP/1002-02", Uniqueid = "7.2", Status = "On" }, now)
    dials(channel(3, "SIP/1002-03", 4), channel(4, "SIP/1003-04", 0))
    now = now + 2
    l:event("pbx", "Masquerade", { Clone = "SIP/1001-01", CloneState = "Up", Original = "SIP/1002-03", OriginalState = "Up" }, now)
    renamed(1, "SIP/1001-01", "SIP/1001-01<MASQ>")
    renamed(3, "SIP/1002-03", "SIP/1001-01")
    renamed(1, "SIP/1001-01<MASQ>", "SIP/1002-03<ZOMBIE>")
    l:event("pbx", "Hangup", { Channel = "SIP/1002-03<ZOMBIE>", Uniqueid = "7.1", Cause = 16 }, now)
    l:event("pbx", "Hangup", { Channel = "SIP/1002-02", Uniqueid = "7.2", Cause = 16 }, now)
    now = now + 8
    local call = l:find("pbx", "call", "7.1", now)
    assert.same({ "up", "SIP/1001-01", "SIP/1003-04", 13 }, { call.state, call.caller, call.peer, call.talk })
    l:event("pbx", "HangupRequest", { Channel = "SIP/1001-01", Uniqueid = "7.3", Cause = 16 }, now)
    l:event("pbx", "Hangup", { Channel = "SIP/1003-04", Uniqueid = "7.4", Cause = 16 }, now)
    l:event("pbx", "Hangup", { Channel = "SIP/1001-01", Uniqueid = "7.3", Cause = 16 }, now)
    local changes = l:changes()
    assert.equal("caller", changes[#changes].object.ended_by)
    l:close()
  end)

  it("joins two phones by Dial and Bridge, and counts their talk", function()
    local l = support.new()
    l:session("pbx", "1.3", 100)
    local function newchannel(n, state, now)
      l:event("pbx", "Newchannel", { Channel = ("SIP/%d-0000000%d"):format(1000 + n, n), ChannelState = state, CallerIDNum = 1000 + n, Exten = n == 1 and "1002" or "",
                                     Context = "phones", Uniqueid = "7." .. n }, now)
    end
    local function link(what, now)
      l:event("pbx", "Bridge", { Bridgestate = what, Bridgetype = "core", Channel1 = "SIP/1001-00000001", Channel2 = "SIP/1002-00000002", Uniqueid1 = "7.1", Uniqueid2 = "7.2" }, now)
    end
    newchannel(1, 4, 100)
    newchannel(2, 0, 101)
    l:event("pbx", "Dial", { SubEvent = "Begin", Channel = "SIP/1001-00000001", Destination = "SIP/1002-00000002", UniqueID = "7.1", DestUniqueID = "7.2", Dialstring = "1002" }, 101)
    l:event("pbx", "Newstate", { Channel = "SIP/1002-00000002", ChannelState = 5, Uniqueid = "7.2" }, 101)
    assert.equal("ringing", l:find("pbx", "call", "7.2").state)
    l:event("pbx", "Newstate", { Channel = "SIP/1002-00000002", ChannelState = 6, Uniqueid = "7.2" }, 104)
    l:event("pbx", "Newstate", { Channel = "SIP/1001-00000001", ChannelState = 6, Uniqueid = "7.1" }, 104)
    link("Link", 104)
    local call = l:find("pbx", "call", "7.1", 110)
    assert.equal("up", call.state)
    assert.equal(6, call.talk)
    assert.equal(3, call.ring)
    assert.equal("SIP/1002-00000002", call.peer)
    assert.is_nil(l:find("pbx", "channel", "7.1").bridge) -- it has no id
    assert.same({}, l:walk "bridge")
    link("Unlink", 114)
    l:event("pbx", "Hangup", { Channel = "SIP/1002-00000002", Uniqueid = "7.2", Cause = 16 }, 114)
    l:event("pbx", "Dial", { SubEvent = "End", Channel = "SIP/1001-00000001", UniqueID = "7.1", DialStatus = "ANSWER" }, 114)
    l:event("pbx", "Hangup", { Channel = "SIP/1001-00000001", Uniqueid = "7.1", Cause = 16 }, 115)
    local changes = l:changes()
    local ended = changes[#changes]
    assert.equal("call.ended", ended.kind)
    assert.equal("answered", ended.object.result)
    assert.equal(10, ended.object.talk)
    assert.equal("SIP/1002", ended.object.answered_by)
    l:close()
  end)
end)
