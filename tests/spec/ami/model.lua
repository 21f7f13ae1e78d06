-- The simplest correct correlator: a list that is searched from its front. What AMI.md says, and no thought for speed.
local model = {}
model.__index = model

local TERMINAL = { QueueStatus = "QueueStatusComplete", VoicemailUsersList = "VoicemailUserEntryComplete",
  ConfbridgeList = "ConfbridgeListComplete", WaitEvent = "WaitEventComplete", Hangup = "ChannelsHungupListComplete" }
local OLD_LIST = { QueueStatus = true, VoicemailUsersList = true } -- Q26
local EMPTY_AS_ERROR = { ConfbridgeList = true }                   -- Q29
local HOLDS_LINE = { Command = true, WaitEvent = true, Originate = true } -- Q45
local ONE_EVENT = { FAXStats = true }                              -- Q74
local SUCCESS = { Success = true, Goodbye = true, Follows = true, Pong = true }

function model.new(limits)
  return setmetatable({ limits = limits, open = {}, made = {}, last = 0, session = 0, written = 0, old = false,
    late = 0, unmatched = 0, idless = 0, completions = {} }, model)
end

function model:set_version(version)
  local major, minor = version:match "^(%d+)%.(%d+)"
  self.old = tonumber(major) * 1000 + tonumber(minor) < 2006
end

function model:written_to(offset)
  self.written = offset
end

-- action: { Action, Async }; returns the sequence or nil.
function model:add(action, options)
  local async = action.Action == "Originate" and action.Async == "true"
  if #self.open >= self.limits.max_actions or (async and options.no_call_events) then return nil end
  self.last = self.last + 1
  local a = { sequence = self.last, name = action.Action, deadline = options.deadline, offset = options.offset, tag = options.tag,
    stage = "sent", async = async, holds = HOLDS_LINE[action.Action] and not async or false, events = {} }
  self.open[#self.open + 1] = a
  self.made[self.last] = self.session
  return self.last
end

function model:find(sequence)
  for i, a in ipairs(self.open) do
    if a.sequence == sequence then return a, i end
  end
end

function model:complete(a, code)
  local _, i = self:find(a.sequence)
  table.remove(self.open, i)
  if self.idless_list == a then self.idless_list = nil end
  self.completions[a.sequence] = (self.completions[a.sequence] or 0) + 1
  return { sequence = a.sequence, tag = a.tag, code = code, is_list = a.stage == "list", events = #a.events }
end

-- Was this sequence made in this session?
function model:own(sequence)
  return sequence and self.made[sequence] == self.session
end

function model:oldest()
  for _, a in ipairs(self.open) do
    if a.stage == "sent" and a.offset < self.written and a.name ~= "Queues" then return a end
  end
end

-- m: { response = word or nil, event = name or nil, id = sequence, true (an id of nobody's) or nil, list = EventList,
-- message, result = Response of an event }
function model:message(m)
  if m.event then return self:event(m) end
  local a
  if m.id then
    if m.id == true or not self:own(m.id) then
      self.unmatched = self.unmatched + 1
      return "stray"
    end
    a = self:find(m.id)
    if not a or a.stage ~= "sent" then
      self.late = self.late + 1
      return "stray"
    end
  else
    a = self:oldest()
    if not a then
      self.unmatched = self.unmatched + 1
      return "stray"
    end
    self.idless = self.idless + 1
  end
  if not SUCCESS[m.response] then
    if EMPTY_AS_ERROR[a.name] and m.message and m.message:find "^No .* found" then
      a.stage = "list"
      return "completed", self:complete(a, "none")
    end
    return "completed", self:complete(a, "error")
  end
  if a.async then
    a.stage = "originate"
    return "taken"
  end
  local none = TERMINAL[a.name] and m.message and m.message:find "^There are no "
  local function open_list()
    a.stage = "list"
    if not m.id then self.idless_list = a end -- Q22
    return "taken"
  end
  if m.list then
    if m.list:lower() == "start" then return open_list() end
  elseif none then
    a.stage = "list"
    return "completed", self:complete(a, "none")
  elseif a.name == "WaitEvent" or (OLD_LIST[a.name] and self.old) or (ONE_EVENT[a.name] and m.message and m.message:find "event will follow") then
    return open_list()
  end
  return "completed", self:complete(a, "none")
end

function model:list_event(a, m)
  if m.list == "Cancelled" then return "completed", self:complete(a, "error") end
  if m.list == "Complete" or m.event == TERMINAL[a.name] then return "completed", self:complete(a, "none") end
  if #a.events >= self.limits.max_list_events then return "completed", self:complete(a, "overflow") end
  a.events[#a.events + 1] = m.event
  if ONE_EVENT[a.name] then return "completed", self:complete(a, "none") end
  return "taken"
end

function model:event(m)
  if not m.id and self.idless_list and not m.privilege then return self:list_event(self.idless_list, m) end
  if not m.id or m.id == true or not self:own(m.id) then return "not_ours" end
  local a = self:find(m.id)
  if m.event == "UserEvent" then return "not_ours" end
  if m.event == "OriginateResponse" then
    if a and a.stage == "originate" then
      return "completed_event", self:complete(a, m.result == "Success" and "none" or "error")
    end
    return "not_ours"
  end
  if not a then
    self.late = self.late + 1
    return "stray"
  end
  if a.stage ~= "list" then return "not_ours" end
  return self:list_event(a, m)
end

-- All that are due, in any order.
function model:expire(now)
  local ended = {}
  for i = #self.open, 1, -1 do
    if self.open[i].deadline <= now then ended[#ended + 1] = self:complete(self.open[i], "timeout") end
  end
  return ended
end

function model:next_deadline()
  local nearest
  for _, a in ipairs(self.open) do
    if not nearest or a.deadline < nearest then nearest = a.deadline end
  end
  return nearest
end

function model:cancel(sequence)
  local a = self:find(sequence)
  return a and self:complete(a, "cancelled")
end

function model:overflow(sequence)
  local a = self:own(sequence) and self:find(sequence)
  return a and self:complete(a, "overflow") or nil
end

function model:forget(sequence)
  local a, i = self:find(sequence)
  if a then table.remove(self.open, i) end
  if a and self.idless_list == a then self.idless_list = nil end
end

function model:fail_next()
  local a = self.open[1]
  return a and self:complete(a, a.offset < self.written and "lost" or "not_ready")
end

function model:reset()
  self.session, self.written, self.old = self.session + 1, 0, false
end

function model:line_held()
  for _, a in ipairs(self.open) do
    if a.holds and a.offset < self.written then return true end
  end
  return false
end

return model
