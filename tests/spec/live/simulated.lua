-- A picture that watches a simulated exchange, in the exchange's own time: what it hears, what it asks, what it misses, and how
-- it differs from what is true. All by chance from a seed; the same seed gives the same run.
local cjson = require "cjson"
local hookswitch = require "hookswitch"

local support = dofile "tests/spec/live/support.lua"

local VERSION = "13.0.0"
local RESYNC, GRACE = 5, 2
-- After a disturbance: the snapshot may have to wait for its turn, what it lacks is asked for again after `grace`.
local CALM = RESYNC + 2 * GRACE + 3

local Run = {}
Run.__index = Run

-- Options as of hookswitch.sim.new(); `lists = false`: what only lists tell is not compared. LIVE_RECORD=FILE writes what the
-- session received to FILE.
local function new(seed, options)
  options = options or {}
  local run = setmetatable({ seed = seed, faults = {}, ended = {}, truths = {}, alive = {}, incomplete = 0, agents = {}, asked = 0, asked_before = 0, checks = 0, compared = 0, counts = {}, options = options }, Run)
  run.lag = options.lag or 0.4
  run.sim = hookswitch.sim.new {
    seed = seed, calls_per_second = options.calls or 0.2, features = true, lag = run.lag, ami_version = VERSION,
    read = options.read, write = options.write,
  }
  run.live = hookswitch.live.new { resync_every = RESYNC, grace = GRACE }
  run.live:server "pbx"
  run.record = os.getenv "LIVE_RECORD" and assert(io.open(os.getenv "LIVE_RECORD", "wb"))
  run.state = seed
  run.calm_at = 0
  return run
end

-- A whole number from 1 to n: a generator of its own, the same in every Lua.
function Run:chance(n)
  self.state = (self.state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
  return (self.state >> 33) % n + 1
end

function Run:seconds(low, high)
  return low + (high - low) * (self:chance(1000000) - 1) / 1e6
end

function Run:count(what)
  self.counts[what] = (self.counts[what] or 0) + 1
end

function Run:disturbed(what)
  self:count(what)
  self.calm_at = self.sim:now() + CALM
  self.blind = true
end

-- ---- the session ----

local function login(client)
  client:send "Action: Login\r\nActionID: login\r\nUsername: ops\r\nSecret: secret\r\n\r\n"
end

function Run:connect()
  self.client = self.sim:connect()
  if not self.client then return false end
  login(self.client)
  self.live:session("pbx", VERSION, self.sim:now())
  self:disturbed "session"
  return true
end

function Run:lost()
  if self.client then self.client:close() end
  self.client = nil
  self.live:lost("pbx", self.sim:now())
end

-- What arrived goes into the picture; with `id` an answer to what the picture asked is among it. False: the session ended.
function Run:hear(id)
  local bytes = self.client:receive()
  if not bytes then
    self:lost()
    return false
  end
  if self.record then self.record:write(bytes) end
  self.live:feed("pbx", bytes, function(fields)
    if fields.action_id ~= id or id == nil then return nil end
    if fields.kind == "response" then
      for _, pair in ipairs(fields.headers) do
        if pair[1] == "EventList" then return nil end
        if pair[1] == "Response" and pair[2] == "Error" then return "refused" end
      end
      return "answered"
    end
    return support.header(fields, "EventList") == "Complete" and "answered" or "item"
  end)
  return true
end

-- Asks whatever the picture wants to know. Now and then the answer takes its time, and the exchange goes on meanwhile.
function Run:ask()
  local request = self.client and self.live:request(self.sim:now())
  while request do
    self.asked = self.asked + 1
    local id = "list-" .. self.asked
    local action = { "Action: " .. request.action, "ActionID: " .. id }
    for name, value in pairs(request) do
      if name ~= "action" and name ~= "server" then action[#action + 1] = name .. ": " .. value end
    end
    self:count(request.action)
    self.client:send(table.concat(action, "\r\n") .. "\r\n\r\n")
    if self:chance(3) == 1 then self.sim:run(self:seconds(0, 0.5)) end
    if not self:hear(id) then return end
    request = self.live:request(self.sim:now())
  end
end

function Run:pump()
  if self.client and not self:hear() then return end
  self.live:tick(self.sim:now())
  self:ask()
end

-- ---- what happens to it ----

function Run:reconnect()
  self:lost()
  self.sim:run(self:seconds(0.05, 20))
  while not self:connect() do self.sim:run(1) end
end

-- As the engine sheds: events are thrown away, and the picture is told.
function Run:shed()
  self.sim:run(self:seconds(0.1, 15))
  self.sim:settle()
  if not self.client:receive() then return self:lost() end
  self.live:gap("pbx", self.sim:now())
  self:disturbed "gap"
end

function Run:restart()
  local clean = self:chance(2) == 1
  self.sim:restart(clean, self:seconds(2.5, 12))
  self:pump() -- what was said at the end
  if self.client then self:lost() end
  while not self:connect() do self.sim:run(1) end
  self:count(clean and "restart" or "kill")
end

-- To a phone, or through a Local channel that goes out of the way or stays; answered or not; then anywhere.
local CALLED = {
  "PJSIP/1003", "PJSIP/104", "Local/1004@default", "Local/1005@default", "Local/1006@default/n", "Local/1007@default/n", "Local/100@default", "Local/102@default",
  "Local/103@default/n", "Local/104@default", "Local/104@default/n",
}
local EXTENS = { "1010", "1012", "1111", "1213", "1314", "300", "301", "600", "900", "101", "200", "201", "202", "701" }

function Run:originate(boss)
  local channel, exten = CALLED[self:chance(#CALLED)], EXTENS[self:chance(#EXTENS)]
  self:count(channel:find "^Local" and "originate Local" or "originate")
  boss:send(("Action: Originate\r\nChannel: %s\r\nContext: default\r\nExten: %s\r\nPriority: 1\r\nAsync: true\r\nTimeout: %d\r\nChannelId: %s\r\n\r\n")
    :format(channel, exten, self:chance(20) * 1000, self:chance(2) == 1 and "" or "own-" .. self.state))
end

-- What supervisors do, by a session of their own.
function Run:supervise()
  local boss = self.sim:connect()
  if not boss then return end
  self:count "supervise"
  login(boss)
  local queue = self:chance(2) == 1 and "support" or "sales"
  local agent = ({ "PJSIP/105", "PJSIP/106", "Local/107@default", "Local/108@agents/n" })[self:chance(4)]
  local actions = {
    "Action: QueuePause\r\nInterface: PJSIP/10%d\r\nPaused: %s\r\nReason: lunch\r\n\r\n",
    "Action: QueueAdd\r\nQueue: %s\r\nInterface: %s\r\nMemberName: Extra\r\nPenalty: 1\r\n\r\n",
    "Action: QueueRemove\r\nQueue: %s\r\nInterface: %s\r\n\r\n",
  }
  local which = self:chance(5)
  if which > 3 then
    self:originate(boss)
  elseif which == 1 then
    boss:send(actions[1]:format(self:chance(4), self:chance(2) == 1 and "true" or "false"))
  else
    boss:send(actions[which]:format(queue, agent))
  end
  boss:receive()
  boss:close()
end

-- ---- comparing ----

function Run:fault(...)
  self.faults[#self.faults + 1] = ("seed %s at %.3f: "):format(self.seed, self.sim:now()) .. string.format(...)
end

-- Of a call of which something was missed a field may be unknown; who called whom is never wrong.
local NEVER_WRONG = { from = true, to = true }

function Run:same_call(want, have, field)
  local a, b = want[field], have[field]
  if a == b or (have.incomplete and (b == nil or not NEVER_WRONG[field])) then return end
  self:fault("%s of call %s is %s, not %s%s", field, want.id, tostring(b), tostring(a), have.incomplete and " (incomplete)" or "")
end

local CALL_FIELDS = { "from", "to", "queue", "agent", "answered_by", "transferred_from", "transferred_to", "forwarded_from", "fetched_by" }

function Run:compare_call(want, have)
  for _, field in ipairs(CALL_FIELDS) do self:same_call(want, have, field) end
end

local DEVICES = { [1] = "free", [2] = "busy", [3] = "busy", [4] = "away", [5] = "away", [6] = "ringing", [7] = "busy", [8] = "busy" }

-- By the queues' members: one agent for each interface, paused who is so in all his queues.
function Run:compare_agents(truth)
  local agents = {}
  for _, queue in ipairs(truth.queues) do
    for _, member in ipairs(queue.members) do
      local agent = agents[member.interface] or { paused = true }
      agents[member.interface] = agent
      agent.busy = agent.busy or member.in_call
      agent.paused = agent.paused and member.paused
      agent.device = DEVICES[member.status]
    end
  end
  for interface, agent in pairs(agents) do
    local state = agent.busy and "busy" or agent.device
    if state == "free" and agent.paused then state = "paused" end
    local have = self.live:find("pbx", "agent", interface)
    if not have or have.state ~= state then self:fault("agent %s is %s, not %s", interface, have and have.state, state) end
  end
end

function Run:compare(truth)
  local l = self.live
  local faults = {}
  truth.label = "now"
  if self.options.lists == false then
    truth.devices, truth.endpoints = {}, {}
    for _, queue in ipairs(truth.queues) do
      local known = l:find("pbx", "queue", queue.name)
      queue.members = known and known.members or {}
    end
  end
  support.compare(l, truth, "at " .. truth.now, faults)
  for _, text in ipairs(faults) do self:fault("%s", text) end
  if self.options.lists ~= false then self:compare_agents(truth) end
  local calls = {}
  for _, call in ipairs(l:walk "call") do calls[call.id] = call end
  for _, want in ipairs(truth.calls) do
    local have = calls[want.id]
    calls[want.id] = nil
    if not have then
      self:fault("no call %s from %s to %s, %s", want.id, want.from, want.to, want.state)
    else
      self:compare_call(want, have)
      -- A hold that began unseen no list tells.
      if want.state ~= have.state and not (have.incomplete and want.state == "held" and have.state == "up") then
        self:fault("call %s is %s, not %s", want.id, have.state, want.state)
      end
    end
  end
  for id, call in pairs(calls) do self:fault("call %s (%s, %s) is there", id, tostring(call.from), call.state) end
  for _, want in ipairs(truth.endpoints) do
    local have = l:find("pbx", "endpoint", want.interface)
    local registered = have and have.registered or false
    if want.phone and registered ~= want.registered then
      self:fault("%s is registered: %s", want.interface, tostring(registered))
    end
  end
end

-- What is reported comes in pairs: a beginning, what happens in between, one end.
local BEGINS = { ["call.started"] = "call", ["queue.joined"] = "caller", ["conference.joined"] = "participant" }
local ENDS = { ["call.ended"] = "call", ["queue.left"] = "caller", ["conference.left"] = "participant" }

function Run:pair(change)
  local kind, object = change.kind, change.object
  local what = BEGINS[kind] or ENDS[kind] or (kind:find "^call%." and "call")
  if not what then return end
  local id = what .. " " .. (object.id or object.uniqueid)
  if (self.alive[id] or false) ~= (BEGINS[kind] == nil) then
    self:fault("%s of %s, which is%s there", kind, id, self.alive[id] and "" or " not")
  end
  self.alive[id] = not ENDS[kind] or nil
end

-- Keeps what ended, on both sides, until both have told.
function Run:collect(truth)
  for _, story in ipairs(truth.ended) do
    if self.truths[story.id] then self:fault("call %s ended twice", story.id) end
    self.truths[story.id] = story
  end
  for _, change in ipairs(self.live:changes()) do
    self:pair(change)
    if change.kind == "call.ended" then
      local call = change.object
      if self.ended[call.id] then self:fault("call.ended of %s came twice", call.id) end
      self.ended[call.id] = call
      if call.incomplete then self.incomplete = self.incomplete + 1 end
      if (call.agent or ""):find "^Local/" then self.agents[call.agent] = true end
    end
  end
end

local DURATIONS = { "talk", "hold", "wait", "ring", "conference_time" }

-- Events that were on their way when the picture's clock went on count from then.
function Run:compare_durations(want, have)
  local tolerance = self.lag > 0 and 1 or 0.01
  for _, field in ipairs(DURATIONS) do
    local b = have[field] or 0
    if math.abs(want[field] - b) > tolerance then self:fault("%s of call %s is %.3f s, not %.3f", field, want.id, b, want[field]) end
  end
end

function Run:compare_ended()
  for id, want in pairs(self.truths) do
    local have = self.ended[id]
    if not have then
      -- It may have come and gone while nobody looked, or a list told of its channel as another call's before its events did.
      if not self.blind and not (want.result == "merged" and self.asked > self.asked_before) then self:fault("call %s did not end: %s", id, want.result) end
    elseif have.result ~= "unseen" and want.result ~= "unseen" then
      self:compare_call(want, have)
      self.compared = self.compared + 1
      if have.result ~= want.result and not have.incomplete then
        self:fault("result of call %s is %s, not %s", id, have.result, want.result)
      end
      if not have.incomplete and want.result ~= "merged" then self:compare_durations(want, have) end
    end
  end
  for id in pairs(self.ended) do
    if not self.truths[id] and not self.blind then self:fault("call %s ended", id) end
  end
  self.truths, self.ended, self.asked_before = {}, {}, self.asked
end

function Run:truth()
  return cjson.decode(self.sim:truth())
end

-- Is everything as it is? Only where nothing disturbed it a moment ago.
function Run:check()
  self.sim:settle()
  self:pump()
  local truth = self:truth()
  self:collect(truth)
  if not self.client or self.sim:now() < self.calm_at or truth.down then return end
  self.sim:settle()
  self:pump()
  truth = self:truth()
  self:collect(truth)
  self.checks = self.checks + 1
  self:compare(truth)
  local alive = 0
  for id in pairs(self.alive) do alive = alive + (id:find "^call " and 1 or 0) end
  if alive ~= self.live:count "call" then self:fault("%d calls were reported and have not ended, not %d", alive, self.live:count "call") end
  self:compare_ended()
  self.blind = false
end

function Run:close()
  if self.client then self.client:close() end
  self.live:close()
  self.sim:close()
end

-- How a picture of server "pbx", anything with walk(kind) and find(server, kind, key), differs from what is true: a list of texts.
local function differences(l, truth)
  local run = setmetatable({ live = l, faults = {}, options = {}, seed = "-", sim = { now = function() return truth.now end } }, Run)
  run:compare(truth)
  return run.faults
end

return { new = new, differences = differences }
