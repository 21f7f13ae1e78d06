-- Feeds captures of real traffic to the live picture and compares it with what was true (tests/fixtures/captures/live).
local cjson = require "cjson"
local hookswitch = require "hookswitch"

local support = {}
local folder = (os.getenv "LIVE_CAPTURES" or "tests/fixtures/captures/live") .. "/"

-- The text of a file of that folder, which may be compressed.
function support.read(name)
  local file = io.open(folder .. name, "rb")
  if not file then
    file = assert(io.popen("gzip -dc '" .. folder .. name .. ".gz'", "r"))
  end
  local text = file:read "a"
  file:close()
  assert(#text > 0, name .. " cannot be read")
  return text
end

function support.truth(name)
  return cjson.decode(support.read(name .. ".truth.json"))
end

local function header(fields, name)
  for _, pair in ipairs(fields.headers) do
    if pair[1]:lower() == name:lower() then return pair[2] end
  end
end
support.header = header

-- Headers of list items, made of what a mark says that lists told.
local function items_of(mark)
  local items = {}
  local function add(action, event, headers) items[#items + 1] = { action, event, headers } end
  for _, queue in ipairs(mark.queues) do
    add("QueueStatus", "QueueParams", { Queue = queue.name, Strategy = queue.strategy, Max = 0 })
    for _, m in ipairs(queue.members) do
      add("QueueStatus", "QueueMember", {
        Queue = queue.name, Name = m.name, Location = m.interface, StateInterface = m.interface, Membership = "static",
        Penalty = math.tointeger(m.penalty), CallsTaken = math.tointeger(m.calls), LastCall = 0,
        InCall = m.in_call and 1 or 0, Status = math.tointeger(m.status),
        Paused = m.paused and 1 or 0,
      })
    end
  end
  for device, state in pairs(mark.devices) do
    add("DeviceStateList", "DeviceStateChange", { Device = device, State = state })
  end
  return items
end

-- What only lists tell comes from the first mark, the idle exchange, as a snapshot would have brought it.
local function prime(l, mark)
  local action
  for _, item in ipairs(items_of(mark)) do
    if item[1] ~= action then
      if action then l:answer("pbx", "answered", {}) end
      action = item[1]
      assert(l:begin("pbx", action))
    end
    l:item("pbx", item[2], item[3])
  end
  if action then l:answer("pbx", "answered", {}) end
end

-- Feeds a capture in pieces of `chunk` bytes (nil: whole) and calls at_mark(l, mark) at the end of each mark that is valid.
-- Returns all changes.
function support.play(l, name, truth, chunk, at_mark, options)
  local bytes = support.read(name .. ".ami")
  local first = true
  support.was_reset = false
  options = options or {}
  if options.bytes then bytes = options.bytes(bytes) end
  local function decide(fields)
    if fields.kind == "event" and fields.name == "UserEvent" then
      local what, number = header(fields, "UserEvent"), header(fields, "N")
      local mark = truth.marks[number or ""]
      support.was_reset = support.was_reset or number == (options.reset or "")
      if what == "LiveMark" and mark and mark.valid and first and options.prime ~= false then
        first = false
        prime(l, mark)
      elseif what == "LiveMarkEnd" and mark and mark.valid then
        at_mark(l, mark, number)
      end
      return nil
    end
    if options.decide then return options.decide(fields) end
    return nil
  end
  if chunk then
    for i = 1, #bytes, chunk do l:feed("pbx", bytes:sub(i, i + chunk - 1), decide) end
  else
    l:feed("pbx", bytes, decide)
  end
end

-- ---- comparing ----

local function plain(value)
  if value == nil or value == cjson.null then return "nil" end
  return tostring(math.tointeger(value) or value)
end

-- Adds to `faults` what differs between the picture and a mark.
function support.compare(l, mark, number, faults)
  local function fault(...) faults[#faults + 1] = ("mark %s (%s): "):format(number, mark.label) .. string.format(...) end
  local function same(what, want, have)
    if plain(want) ~= plain(have) then fault("%s is %s, not %s", what, plain(have), plain(want)) end
  end

  local channels = {}
  for _, c in ipairs(l:walk "channel") do channels[c.uniqueid] = c end
  for _, want in ipairs(mark.channels) do
    local have = channels[want.uniqueid]
    channels[want.uniqueid] = nil
    if not have then
      fault("no channel %s", want.name)
    else
      same(want.name .. " name", want.name, have.name)
      same(want.name .. " state", want.state:lower(), have.state)
      same(want.name .. " bridge", want.bridge, have.bridge)
      same(want.name .. " linkedid", want.linkedid, have.linkedid)
    end
  end
  for _, c in pairs(channels) do fault("channel %s is there", c.name) end

  local bridges = {}
  for _, b in ipairs(l:walk "bridge") do bridges[b.id] = b end
  for _, want in ipairs(mark.bridges) do
    local have = bridges[want.id]
    bridges[want.id] = nil
    if not have then
      fault("no bridge %s", want.id)
    else
      local ids = {}
      for i, name in ipairs(have.channels) do ids[i] = l:find("pbx", "channel", name).uniqueid end
      table.sort(ids)
      table.sort(want.channels)
      same("channels of bridge " .. want.id, table.concat(want.channels, " "), table.concat(ids, " "))
      same("type of bridge " .. want.id, want.type, have.type)
    end
  end
  for id in pairs(bridges) do fault("bridge %s is there", id) end

  for _, want in ipairs(mark.queues) do
    local have = l:find("pbx", "queue", want.name)
    if not have then
      if #want.waiting > 0 or #want.members > 0 then fault("no queue %s", want.name) end
    else
      local a, b = {}, {}
      for i, w in ipairs(want.waiting) do a[i] = math.tointeger(w.position) .. ":" .. w.uniqueid end
      for i, w in ipairs(have.waiting) do b[i] = w.position .. ":" .. w.uniqueid end
      same("waiting in " .. want.name, table.concat(a, " "), table.concat(b, " "))
      local members = {}
      for _, m in ipairs(have.members) do members[m.interface] = m end
      for _, m in ipairs(want.members) do
        local mine = members[m.interface]
        members[m.interface] = nil
        if not mine then
          fault("no member %s of %s", m.interface, want.name)
        else
          local where = m.interface .. " in " .. want.name
          same(where .. " status", m.status, mine.status)
          same(where .. " paused", m.paused, mine.paused)
          same(where .. " name", m.name, mine.name)
          same(where .. " penalty", m.penalty, mine.penalty)
          -- No event tells InCall in every order, nor the counters after QueueReset; the last QueueMemberStatus can be one
          -- short of CallsTaken (Q72).
          local calls = math.tointeger(m.calls)
          if not support.was_reset and mine.calls ~= calls - 1 then same(where .. " calls", calls, mine.calls) end
        end
      end
      for interface in pairs(members) do fault("member %s of %s is there", interface, want.name) end
    end
  end

  local parked = {}
  for _, lot in ipairs(l:walk "lot") do
    for _, p in ipairs(lot.parked) do parked[p.uniqueid] = p end
  end
  for _, want in ipairs(mark.parked) do
    local have = parked[want.uniqueid]
    parked[want.uniqueid] = nil
    if not have then
      fault("%s is not parked", want.channel)
    else
      same(want.channel .. " lot", want.lot, have.lot)
      same(want.channel .. " space", want.space, have.space)
    end
  end
  for _, p in pairs(parked) do fault("%s is parked", p.channel) end

  local conferences = {}
  for _, c in ipairs(l:walk "conference") do conferences[c.name] = c end
  for _, want in ipairs(mark.conferences) do
    local have = conferences[want.name]
    conferences[want.name] = nil
    if not have then
      fault("no conference %s", want.name)
    else
      local members = {}
      for _, m in ipairs(have.members) do members[m.uniqueid] = m end
      for _, m in ipairs(want.members) do
        local mine = members[m.uniqueid]
        members[m.uniqueid] = nil
        if not mine then
          fault("%s is not in %s", m.channel, want.name)
        else
          same(m.channel .. " muted", m.muted == "Yes", mine.muted)
          same(m.channel .. " talking", m.talking == "Yes", mine.talking)
          same(m.channel .. " admin", m.admin == "Yes", mine.admin)
        end
      end
      for _, m in pairs(members) do fault("%s is in %s", m.channel, want.name) end
    end
  end
  for name in pairs(conferences) do fault("conference %s is there", name) end

  for device, state in pairs(mark.devices) do
    local have = l:find("pbx", "endpoint", device)
    same("device " .. device, state, have and have.device)
  end
end

-- "PJSIP/1001" -> "1001"
local function device(interface)
  return interface and (interface:match "^[^/]*/(.*)$" or interface)
end

local function near(a, b, by)
  return math.abs(a - b) <= (by or 1)
end

-- What differs between a call that ended and what the phones lived; nil: nothing.
function support.differences(have, want, merged)
  local faults = {}
  local function check(what, wanted, got)
    if wanted ~= nil and wanted ~= cjson.null and plain(wanted) ~= plain(got) then
      faults[#faults + 1] = ("%s is %s, not %s"):format(what, plain(got), plain(wanted))
    end
  end
  local function time(what, wanted, got)
    if wanted ~= nil and wanted ~= cjson.null and (got == nil or not near(wanted, got)) then
      faults[#faults + 1] = ("%s is %s s, not %s"):format(what, plain(got), plain(wanted))
    end
  end
  check("from", device(want.from), have.from)
  check("to", want.to, have.to)
  if have.result == "merged" then
    if not want.joined then faults[#faults + 1] = "it was merged" end
    return #faults > 0 and table.concat(faults, ", ") or nil
  end
  check("result", want.result, have.result)
  -- With two queues the call shows the latter, and its waits both.
  check("queue", want.queue2 or want.queue, have.queue)
  check("agent", want.agent2 or want.agent, device(have.agent))
  if want.queue2 then
    check("first queue", want.queue, have.waits[1] and have.waits[1].queue)
    check("first agent", want.agent, have.waits[1] and device(have.waits[1].agent))
  end
  check("transferred_from", want.transferred_from, device(have.transferred_from))
  check("transferred_to", want.transferred_to, device(have.transferred_to))
  check("forwarded_from", want.forwarded_from, device(have.forwarded_from))
  check("fetched_by", want.fetched_by, device(have.fetched_by))
  check("answered_by", want.answered_by, device(have.answered_by))
  if want.ended_by and want.ended_by ~= "first" then check("ended_by", want.ended_by, have.ended_by) end
  time("ring", want.ring, have.ring)
  time("wait", want.wait and want.wait + (want.wait2 or 0), have.wait or 0)
  time("hold", want.hold, have.hold)
  -- Of conferences the phones count the time in them, but for those who wait in one for its leader.
  local talk, conference = have.talk or 0, have.conference_time or 0
  time("talk", want.talk, want.talk_is and talk + conference or want.talk and want.talk ~= cjson.null and near(want.talk, talk) and talk or talk + conference)
  return #faults > 0 and table.concat(faults, ", ") or nil
end

-- A function channel(n, more) that gives the headers of PJSIP phone 1000 + n's channel; `more` overrides them, `defaults` do so for all.
-- Its ids begin with `prefix`. A default may be a function of n.
function support.channels(prefix, defaults)
  return function(n, more)
    local headers = {
      Channel = ("PJSIP/%d-%08x"):format(1000 + n, n), Uniqueid = prefix .. n, Linkedid = prefix .. n, ChannelState = 4,
      CallerIDNum = 1000 + n, CallerIDName = "<unknown>", Context = "phones", Exten = "500", AccountCode = "",
    }
    for name, value in pairs(defaults or {}) do headers[name] = type(value) == "function" and value(n) or value end
    for name, value in pairs(more or {}) do headers[name] = value end
    return headers
  end
end

function support.new(options)
  local l = hookswitch.live.new(options)
  l:server "pbx"
  return l
end

return support
