local support = require "examples.spec.support"
local event = support.event

local function abandoned(at, number, waited)
  return event(at, "QueueCallerAbandon", { Queue = "support", CallerIDNum = number, HoldTime = waited, Uniqueid = "1.1" })
end

local function tick(at) return event(at, "Ping", {}) end

local function called(lines)
  local found = {}
  for _, line in ipairs(lines) do found[#found + 1] = line:match '"Channel":"([^"]+)"' end
  return found
end

describe("examples/callback.lua", function()
  local folder

  before_each(function() folder = support.folder { "examples/callback.lua" } end)
  after_each(function() folder:close() end)

  it("calls who gave up, after a while, into the queue", function()
    local lines = folder:replay { abandoned(0, "5551234", 20), tick(20), tick(40) }
    assert.same({ "Local/5551234@outbound/n" }, called(lines))
    for _, part in ipairs { '"Exten":"300"', '"Timeout":"25000"', '"Variable":"CALLBACK=5551234"', '"Async":"true"' } do
      assert.truthy(lines[1]:find(part, 1, true), part .. " in " .. lines[1])
    end
  end)

  it("calls nobody who waited only for a moment, has no number, or waits in another queue", function()
    assert.same({}, called(folder:replay { abandoned(0, "5551234", 3), abandoned(0, "<unknown>", 20), abandoned(0, "anonymous", 20),
      event(0, "QueueCallerAbandon", { Queue = "sales", CallerIDNum = "5551234", HoldTime = 20 }), tick(60) }))
  end)

  it("calls nobody who came back", function()
    assert.same({}, called(folder:replay { abandoned(0, "5551234", 20),
      event(10, "QueueCallerJoin", { Queue = "support", CallerIDNum = "5551234" }), tick(60) }))
  end)

  it("calls a number once an hour", function()
    local lines = folder:replay { abandoned(0, "5551234", 20), tick(40), abandoned(100, "5551234", 20), tick(200), abandoned(3700, "5551234", 20), tick(3800) }
    assert.equal(2, #called(lines))
  end)

  it("brings the caller to an agent", function()
    local port = folder:sim("asterisk", "--speed 5")
    -- Somebody calls the extension whose caller gives up after two seconds.
    folder:put("scripts/caller.lua", [[
      ami.on("server.ready", function(_, server)
        server:call { Action = "Originate", Channel = "Local/100@default/n", CallerID = "5551234", Context = "default", Exten = "303", Priority = 1 }
      end)]])
    folder:engine({ { "pbx1", port } }, "rules = { callback = { least_wait = 1, after = 0, channel = 'Local/%s@default/n' } }")
    assert.match('"number":"5551234"', folder:await("run", '"msg":"will call back"'))
    assert.match('"agent":"[^"]+"', folder:await("run", '"msg":"callback taken"'))
  end)
end)
