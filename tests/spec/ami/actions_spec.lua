-- Every action of Asterisk 13 and master, as recorded: sent to a full exchange, without and with events, to an empty one, behind a
-- filter, by a user with few rights. Through the correlator with the ids exchanged, each must end as an independent reader of the
-- recordings wrote down (the truth files).
local cjson = require "cjson"
local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"

local FOLDER = support.CAPTURES .. "actions/"
local SECOND = 1000000000
local SUCCESS = { Success = true, Goodbye = true, Follows = true }
-- Q75: errors that say that a list is empty; other errors of the same actions say that what was asked for is not there.
local EMPTY = { ["No active conferences."] = true, ["No dialplan hints are available"] = true, ["No endpoints found\n"] = true,
  ["No AORs found\n"] = true, ["No Auths found\n"] = true, ["No Contacts found\n"] = true, ["No resource lists found\n"] = true }

local function unpacked(name)
  local pipe = assert(io.popen("gzip -dc " .. FOLDER .. name .. ".gz", "r"))
  local text = pipe:read "a"
  assert(pipe:close(), name)
  return text
end

local function present(value)
  if value == cjson.null then return nil end
  return value
end

-- The actions in what a client wrote: { headers, id }.
local function parse_actions(bytes)
  local actions = {}
  for block in bytes:gmatch "(.-)\r\n\r\n" do
    local headers, id = {}, nil
    for name, value in (block .. "\r\n"):gmatch "([^:\r\n]+): ?([^\r\n]*)\r\n" do
      if name == "ActionID" then id = value else headers[#headers + 1] = { name, value } end
    end
    actions[#actions + 1] = { headers = headers, id = id }
  end
  return actions
end

-- Plays a session: its actions by the line they were written in, each with `reply`, or `refused` and why.
local function play(session, size)
  local p = hookswitch.pending.new { banner = true, prefix = "act" }
  local by_line, by_tag, by_id, order, live, strays = {}, {}, {}, {}, {}, {}
  local offset, carry, line, no_call_events = 0, "", 0, false

  local function take(reply)
    local action = assert(by_tag[reply.tag], "a completion of nobody's")
    assert(not action.reply, "a second completion")
    action.reply = reply
    order[#order + 1] = action.id
  end
  local function send(action)
    local tag = #by_tag + 1
    for _, header in ipairs(action.headers) do
      if header[1] == "Events" then no_call_events = not hookswitch.event_mask.hears(header[2], "call") end
    end
    by_tag[tag] = action
    local id, code, text = p:add(action.headers, { now = 0, deadline = 600 * SECOND, offset = offset, tag = tag, no_call_events = no_call_events })
    if not id then
      action.refused, action.why = code, text
      return
    end
    assert(hookswitch.action.serialize(action.headers, id))
    if action.id then by_id[action.id] = id end
  end
  for text in unpacked(session):gmatch "[^\n]+" do
    line = line + 1
    local piece = cjson.decode(text)
    -- JSON holds Latin-1: each character was a byte.
    local bytes = piece.bytes:gsub(utf8.charpattern, function(c) return string.char(utf8.codepoint(c)) end)
    if piece.from == "client" then
      by_line[line] = parse_actions(bytes)
      for _, action in ipairs(by_line[line]) do
        send(action)
        offset = offset + 10
        p:written(offset)
      end
    else
      -- Only whole lines, so that an id is not cut before it is exchanged.
      local whole = (carry .. bytes):match "^.*\n" or ""
      carry = (carry .. bytes):sub(#whole + 1)
      whole = whole:gsub("ActionID: ([^\r\n]*)\r\n", function(id) return by_id[id] and "ActionID: " .. by_id[id] .. "\r\n" end)
      for _, r in ipairs(support.feed(p, whole, size)) do
        assert(r[1] ~= "malformed" and r[1] ~= "oversize", r[1])
        if r[2] then take(r[2]) end
        if (r[1] == "not_ours" or r[1] == "completed_event") and r.kind == "event" then
          live[r.name] = (live[r.name] or 0) + 1
          -- What is broadcast says who may hear it, the item of a list does not.
          if not support.value(r, "Privilege") then strays[#strays + 1] = r.name end
        end
      end
    end
  end
  assert(carry == "")
  for _, reply in ipairs(p:expire(600 * SECOND)) do take(reply) end
  assert(p:count() == 0)
  return { by_line = by_line, order = order, live = live, strays = strays, pending = p, no_call_events = no_call_events }
end

-- How our action must end that ended so there: { code, text, is_list, items }.
local function expected(truth, no_call_events)
  local message = present(truth.message) or ""
  if truth.arguments.Async == "true" and no_call_events then return { "invalid" } end -- Q46, Q78: nobody would hear its end
  if truth.action == "Originate" and truth.kind == "async" then
    if truth.ends_with ~= "OriginateResponse" then return { "timeout" } end -- Q60: behind a filter
    return { truth.outcome.Response == "Success" and "none" or "error", nil, false, 0 }
  end
  if not present(truth.response) then return { "timeout" } end -- Q24: Queues in raw text
  if truth.kind == "list" then return { "none", "", true, truth.items } end
  if truth.success_without_list then return { "none", "", true, 0 } end
  if SUCCESS[truth.response] then return { "none", "", false, 0 } end
  if present(truth.empty_as_error) and EMPTY[message] then return { "none", "", true, 0 } end
  return { "error", message, false, 0 }
end

local function check(truth, action, no_call_events, where)
  local want = expected(truth, no_call_events)
  if want[1] == "invalid" then
    assert.equal("invalid", action.refused, where)
    assert.truthy(action.why:find("class call", 1, true), where)
    return
  end
  local reply = assert(action.reply, where .. " did not end")
  assert.equal(want[1], reply.code, where .. ": " .. reply.text)
  if want[1] == "timeout" then return end
  assert.equal(truth.action, reply.action, where)
  if want[2] then assert.equal(want[2], reply.text, where) end
  assert.equal(want[3], reply.is_list, where)
  assert.equal(want[4], #reply.events, where)
  if truth.outcome then
    assert.equal("OriginateResponse", reply.response.name, where)
    for name, value in pairs(truth.outcome) do assert.equal(value, support.value(reply.response, name), where) end
    return
  end
  assert.equal(truth.response, reply.response.name, where)
  assert.equal(present(truth.message), support.value(reply.response, "Message"), where)
  local names, seen = {}, {}
  for _, event in ipairs(reply.events) do
    if not seen[event.name] then names[#names + 1] = event.name end
    seen[event.name] = true
  end
  table.sort(names)
  assert.same(present(truth.item_events) or {}, names, where)
  if truth.kind == "command" and truth.response ~= "Follows" then assert.equal(truth.items, #reply.output, where) end
  assert.equal(truth.kind == "command", reply.output ~= nil, where)
end

local VERSIONS = { ["13"] = 808, master = 965 }

for version, count in pairs(VERSIONS) do
  local truth = cjson.decode(unpacked("all-actions-" .. version .. ".truth.json")).actions
  local sessions = {}
  for _, one in ipairs(truth) do
    sessions[one.session] = sessions[one.session] or {}
    table.insert(sessions[one.session], one)
  end

  describe("every action of Asterisk " .. version, function()
    it("was written down", function() assert.equal(count, #truth) end)

    for session, all in pairs(sessions) do
      for _, way in ipairs { { "as it came" }, { "by 61 bytes", 61 } } do
        it(("Q74 to Q78 ends as it ended there, in %s, %s"):format(session, way[1]), function()
          local played = play(session, way[2])
          for _, one in ipairs(all) do
            local actions = assert(played.by_line[one.line], one.line)
            if one.action_ids then
              -- Five in one write: answered in order, never mixed.
              assert.equal(#one.action_ids, #actions)
              local place
              for i, id in ipairs(played.order) do
                if id == one.action_ids[1] then place = i end
              end
              for i, id in ipairs(one.answers_in_order) do
                assert.equal(id, played.order[place + i - 1])
                assert.equal("none", actions[i].reply.code)
              end
            else
              check(one, actions[1], played.no_call_events, ("%s:%d %s"):format(session, one.line, one.action))
            end
          end
          local stats = played.pending:stats()
          assert.equal(0, stats.late)
          if not played.no_call_events then assert.equal(0, stats.unmatched) end
          -- Q78: rules get what is broadcast, and no item of a list.
          assert.same({}, played.strays)
          for _, one in ipairs(all) do
            if one.event_with_action_id then assert.is_true(played.live[one.event_with_action_id] > 0, one.action) end
          end
        end)
      end
    end
  end)
end
