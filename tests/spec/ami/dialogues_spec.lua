-- Both sides of three recorded sessions, through the correlator with the ids exchanged: what each of the 43 actions must
-- end with was written down from AMI.md and the bytes.
local cjson = require "cjson"
local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"

local SECOND = 1000000000
local TIMEOUT = 5 * SECOND

local function unknown(action)
  return { code = "error", text = "Invalid/unknown command: " .. action .. ". Use Action: ListCommands to show available commands." }
end
local function list(...) return { list = { ... } } end
local function many(name, n)
  local items = {}
  for i = 1, n do items[i] = name end
  return { list = items }
end
local function failed(text, more)
  local outcome = { code = "error", text = text }
  for k, v in pairs(more or {}) do outcome[k] = v end
  return outcome
end
local GOOD = {}

-- By number: the action, and how it ends; `[version]` where it is another there. Fields: code ("none"), text, list (names
-- of its items, none: no list), output = { count, first, last }, header = { name, value } of the response, event (name of
-- the event that is its response).
local EXPECTED = {
  { "Login", { header = { "Message", "Authentication accepted" } } },
  { "Ping", { header = { "Ping", "Pong" } } }, -- Q44
  { "CoreSettings", { header = { "SystemName", "" } } }, -- Q06
  { "CoreShowChannels", list() },
  { "QueueStatus", list("QueueParams", "QueueMember", "QueueMember", "QueueParams"), -- Q25, Q26
    master = list("QueueParams", "QueueMember", "QueueMember", "QueueParams") },
  { "QueueSummary", list("QueueSummary", "QueueSummary") },
  { "Status", list() },
  { "ParkedCalls", list() },
  { "VoicemailUsersList", list() }, -- Q29: Success and no Complete
  { "ConfbridgeListRooms", list() }, -- Q29: an Error, "No active conferences."
  { "DAHDIShowChannels", unknown "DAHDIShowChannels" },
  { "Agents", unknown "Agents" },
  { "Queues", { code = "timeout" }, master = unknown "Queues" }, -- Q24
  { "FAXSessions", list(), ["11"] = unknown "FAXSessions" }, -- Q25: `Start`
  { "FAXStats", list "FAXStats", ["11"] = unknown "FAXStats" }, -- Q74
  { "Nope", unknown "Nope" },
  { "ModuleCheck", failed "Module not loaded" },
  { "SIPpeers", unknown "SIPpeers" },
  { "ShowDialPlan", many("ListDialplan", 65), ["13"] = many("ListDialplan", 64), ["11"] = many("ListDialplan", 36) },
  { "DeviceStateList", many("DeviceStateChange", 9), ["13"] = many("DeviceStateChange", 7), ["11"] = unknown "DeviceStateList" },
  { "BridgeList", list "BridgeListItem", ["11"] = unknown "BridgeList" },
  { "Command", { output = { 1, "^Asterisk GIT%-master", "UTC$" } }, -- Q12, Q13
    ["13"] = { output = { 1, "^Asterisk GIT%-13", "UTC$" } }, ["11"] = { output = { 1, "^Asterisk GIT%-11", "UTC$" } } },
  { "Command", { output = { 10, "^support has 0 calls", "^$" } }, master = { output = { 10, "^sales has 0 calls", "^$" } } },
  { "Command", { output = { 1, "^No such command 'nonsense'", "commands%)$" } }, -- Follows says nothing of failure
    master = failed("Command output follows", { output = { 1, "^No such command 'nonsense'", "commands%)$" } }) },
  { "Command", { output = { 17, "^$", "^Not available$" } }, master = { output = { 24, "^$", "^$" } } },
  { "Command", { output = { 36, "^%[ Context 'default'", "^%-= 15 extensions %(33 priorities%)" } } },
  { "DBPut", { header = { "Message", "Updated database successfully" } } },
  { "DBGet", list "DBGetResponse" },
  { "DBGet", failed "Database entry not found" },
  { "Getvar", { header = { "Value", "" } } },
  { "UserEvent", { header = { "Message", "Event Sent" } } }, -- Q21: its echo is no answer
  { "Originate", { event = "OriginateResponse", header = { "Reason", "4" } } }, -- Q46
  { "Ping", GOOD },
  { "CoreShowChannels", list("CoreShowChannel", "CoreShowChannel"), master = list() },
  { "Originate", { code = "error", event = "OriginateResponse", header = { "Reason", "5" } } },
  { "Originate", failed "Originate failed" }, -- Q45: synchronous
  { "Ping", GOOD },
  { "Status", list() },
  { "Hangup", list() }, -- Q27: with a regex
  { "Hangup", failed "No such channel" },
  { "QueuePause", { header = { "Message", "Interface paused successfully" } } },
  { "QueuePause", failed "Interface not found" },
  { "Logoff", { header = { "Message", "Thanks for all the fish." } } }, -- Q47: Goodbye
}
-- Events for the rules: all that are no list item.
local LIVE = { master = 104, ["13"] = 106, ["11"] = 87 }

local function parse_action(bytes)
  local headers, number = {}, nil
  for name, value in bytes:gmatch "([^:\r\n]+): ([^\r\n]*)\r\n" do
    if name == "ActionID" then number = tonumber(value:match "^d%-(%d+)$")
    else headers[#headers + 1] = { name, value } end
  end
  return headers, number
end

-- Plays one dialogue; replies by number, the order they came in, live events by name, and the correlator.
local function play(version, size)
  local p = hookswitch.pending.new { banner = true, prefix = "dlg" }
  local ids, replies, order, live, words = {}, {}, {}, {}, {}
  local offset, carry, now = 0, "", 0
  local count = 0

  local function take(reply)
    assert(not replies[reply.tag], "a second completion")
    replies[reply.tag] = reply
    order[#order + 1] = reply.tag
  end
  for line in io.lines(support.CAPTURES .. "dialogue-" .. version .. ".jsonl") do
    local piece = cjson.decode(line)
    now = math.floor(piece.at * SECOND)
    for _, reply in ipairs(p:expire(now)) do take(reply) end
    -- JSON holds Latin-1: each character was a byte.
    local bytes = piece.bytes:gsub(utf8.charpattern, function(c) return string.char(utf8.codepoint(c)) end)
    if piece.from == "client" then
      local headers, number = parse_action(bytes)
      ids[number] = assert(p:add(headers, { now = now, deadline = now + TIMEOUT, offset = offset, tag = number }))
      assert(hookswitch.action.serialize(headers, ids[number]))
      offset = offset + #bytes
      p:written(offset)
      count = count + 1
    else
      -- Only whole lines, so that an id is not cut before it is exchanged.
      local text = carry .. bytes
      local whole = text:match "^.*\n" or ""
      carry = text:sub(#whole + 1)
      whole = whole:gsub("ActionID: d%-(%d+)\r\n", function(n) return "ActionID: " .. ids[tonumber(n)] .. "\r\n" end)
      for _, r in ipairs(support.feed(p, whole, size)) do
        words[r[1]] = (words[r[1]] or 0) + 1
        if r[2] then take(r[2]) end
        if (r[1] == "not_ours" or r[1] == "completed_event") and r.kind == "event" then live[r.name] = (live[r.name] or 0) + 1 end
      end
    end
  end
  assert(carry == "")
  local still = p:count()
  for _, reply in ipairs(p:expire(now + TIMEOUT)) do take(reply) end
  return { replies = replies, order = order, live = live, words = words, still = still, count = count, pending = p }
end

local function check(number, version, reply)
  local want = EXPECTED[number][version] or EXPECTED[number][2]
  local where = "d-" .. number .. " " .. EXPECTED[number][1] .. " on " .. version
  assert(reply, where .. " did not complete")
  assert.equal(EXPECTED[number][1], reply.action, where)
  assert.equal(want.code or "none", reply.code, where)
  if want.text then assert.equal(want.text, reply.text, where) end
  if not want.code then assert.equal("", reply.text, where) end
  assert.equal(want.list ~= nil, reply.is_list, where)
  local items = {}
  for i, event in ipairs(reply.events) do items[i] = event.name end
  assert.same(want.list or {}, items, where)
  if want.output then
    assert.equal(want.output[1], #reply.output, where)
    assert.truthy(reply.output[1]:find(want.output[2]), where)
    assert.truthy(reply.output[#reply.output]:find(want.output[3]), where)
  else
    assert.is_nil(reply.output, where)
  end
  if want.header then assert.equal(want.header[2], support.value(reply.response, want.header[1]), where) end
  if want.event then assert.equal(want.event, reply.response.name, where) end
  if want.code == "timeout" then assert.is_nil(reply.response, where) end
end

describe("the recorded dialogue with Asterisk", function()
  for _, version in ipairs { "master", "13", "11" } do
    describe(version, function()
      for _, way in ipairs { { "as it came" }, { "byte by byte", 1 }, { "by 7 bytes", 7 } } do
        it("completes every action as AMI says, " .. way[1], function()
          local d = play(version, way[2])
          assert.equal(43, d.count)
          assert.equal(43, #d.order)
          for number = 1, 43 do check(number, version, d.replies[number]) end
          assert.equal(0, d.still)
          assert.equal(0, d.pending:count())
          assert.same({ late = 0, unmatched = 0, idless = 0 }, d.pending:stats())
          assert.is_nil(d.words.stray)
          assert.is_nil(d.words.malformed)
          assert.is_nil(d.words.oversize)
        end)
      end

      it("Q21 gives rules what is theirs: OriginateResponses, the UserEvent's echo, and no list item", function()
        local d = play(version)
        assert.equal(2, d.live.OriginateResponse)
        assert.equal(2, d.words.completed_event)
        assert.is_true(d.live.UserEvent >= 1)
        for _, name in ipairs { "QueueParams", "QueueMember", "ListDialplan", "CoreShowChannel", "DBGetResponse", "BridgeListItem", "FAXStats",
          "QueueStatusComplete", "StatusComplete" } do
          assert.is_nil(d.live[name], name)
        end
        local sum = 0
        for _, n in pairs(d.live) do sum = sum + n end
        assert.equal(LIVE[version], sum)
      end)

      it("Q22 completes in the order of the actions, but for what takes its time", function()
        local d, rest = play(version), {}
        for _, number in ipairs(d.order) do
          if number ~= 13 and number ~= 32 and number ~= 35 then rest[#rest + 1] = number end
        end
        for i = 2, #rest do assert.is_true(rest[i - 1] < rest[i]) end
      end)
    end)
  end

  it("Q24 ends Queues by its deadline where it answers in raw text", function()
    for _, version in ipairs { "13", "11" } do
      local d = play(version)
      local position = {}
      for i, number in ipairs(d.order) do position[number] = i end
      assert.is_true(position[13] > position[31], "while others were answered")
      assert.equal("timeout", d.replies[13].code)
    end
  end)
end)
