local support = require "examples.spec.support"
local event = support.event

local function miss(at, agent)
  return event(at, "AgentRingNoAnswer", { Queue = "support", Interface = agent or "PJSIP/102", MemberName = "Bob", RingTime = 5000 })
end

local function pauses(lines)
  local found = {}
  for _, line in ipairs(lines) do
    found[#found + 1] = line:match '"Interface":"([^"]+)"' .. " " .. line:match '"Paused":"([^"]+)"'
  end
  return found
end

describe("examples/pause_agents.lua", function()
  local folder

  before_each(function() folder = support.folder { "examples/pause_agents.lua" } end)
  after_each(function() folder:close() end)

  it("pauses an agent at the third miss and ends the pause after a minute", function()
    local lines, log = folder:replay({ miss(0), miss(20), miss(40), event(99, "Ping", {}), event(102, "Ping", {}) }, "--answer success")
    assert.same({ "PJSIP/102 true", "PJSIP/102 false" }, pauses(lines))
    assert.match('"msg":"agent paused".*"seconds":60', log)
    assert.match('"msg":"agent back"', log)
  end)

  it("keeps agents apart and forgets misses after a while", function()
    local lines = folder:replay({ miss(0), miss(1, "PJSIP/101"), miss(2), miss(901), miss(902, "PJSIP/101"), miss(903) }, "--answer success")
    assert.same({}, pauses(lines))
  end)

  it("forgets misses when the agent answers", function()
    local lines = folder:replay({ miss(0), miss(1), event(2, "AgentConnect", { Queue = "support", Interface = "PJSIP/102" }), miss(3), miss(4) })
    assert.same({}, pauses(lines))
  end)

  it("pauses for longer the second time", function()
    local _, log = folder:replay({ miss(0), miss(1), miss(2), event(100, "Ping", {}), miss(101), miss(102), miss(103), event(110, "Ping", {}) }, "--answer success")
    assert.match('"seconds":60.*"seconds":300', (log:gsub("\n", " ")))
  end)

  it("leaves alone whom somebody brought back by hand", function()
    local lines = folder:replay({ miss(0), miss(1), miss(2),
      event(10, "QueueMemberPause", { Queue = "support", Interface = "PJSIP/102", Paused = 0 }), event(100, "Ping", {}) }, "--answer success")
    assert.same({ "PJSIP/102 true" }, pauses(lines))
  end)

  -- Whom the simulated Asterisk has as a paused member of a queue.
  local WITNESS = [[
    timer.every(0.2, function()
      local server = ami.server "pbx1"
      if not server.ready then return end
      for _, item in ipairs((server:call { Action = "QueueStatus", Queue = "support" } or { events = {} }).events) do
        if item.Event == "QueueMember" then log.info("member", { name = item.Location .. " " .. item.Paused }) end
      end
    end)]]

  for how, signal in pairs { ["a restart"] = "TERM", ["kill -9"] = "KILL" } do
    it("ends a pause that began before " .. how, function()
      local port = folder:sim("asterisk", "--calls-per-second 5")
      folder:put("scripts/witness.lua", WITNESS)
      folder:engine({ { "pbx1", port } }, "persist = { file = 'state.db' }, rules = { pause_agents = { misses = 1, pauses = { 4 } } }")
      local who = folder:await("run", '"msg":"agent paused"'):match '"agent":"([^"]+)"'
      folder:await("run", ('"name":"%s 1"'):format(who))
      folder:restart(signal)
      folder:await("run", ('"name":"%s 1"'):format(who))
      folder:await("run", ('"msg":"agent back".*"agent":"%s"'):format(who))
      folder:await("run", ('"name":"%s 0"'):format(who))
    end)
  end

  it("ends a pause in its time though the wall clock goes back by a day", function()
    local port = folder:sim("asterisk", "--calls-per-second 5")
    local jump = folder:wallclock()
    folder:engine({ { "pbx1", port } }, "persist = { file = 'state.db' }, rules = { pause_agents = { misses = 1, pauses = { 3 } } }")
    local who = folder:await("run", '"msg":"agent paused"'):match '"agent":"([^"]+)"'
    jump(-86400)
    folder:await("run", ('"msg":"agent back".*"agent":"%s"'):format(who))
  end)

  it("takes its numbers from the configuration", function()
    local lines = folder:replay({ miss(0), event(1, "Ping", {}) }, "--answer success", "pause_agents = { misses = 1 }")
    assert.same({ "PJSIP/102 true" }, pauses(lines))
  end)
end)
