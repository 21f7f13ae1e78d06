-- The daemon's live picture against the state of the simulated exchange that it is connected to. The exchange's time stands still
-- while they are compared, so that what differs is no matter of moments: it becomes right, or it is wrong.
local helper = require "tests.spec.helper"
local simulated = dofile "tests/spec/live/simulated.lua"

-- Writes the picture as a rule sees it, an object a line.
local RULE = [[
local out = sink.open "pictures"
local kinds = { "calls", "channels", "bridges", "queues", "agents", "conferences", "lots", "endpoints" }
ami.on("picture.please", function(ev)
  for _, kind in ipairs(kinds) do
    for object in live[kind]() do
      local copy = ami.table(object)
      copy.n, copy.kind = ev.n, kind
      out:write(json.encode(copy))
    end
  end
  out:write(json.encode { n = ev.n, kind = "end", state = (live.state "pbx") })
end)
]]

local SINGULAR = { calls = "call", channels = "channel", bridges = "bridge", queues = "queue", agents = "agent", conferences = "conference", lots = "lot",
                   endpoints = "endpoint" }

describe("the daemon's live picture of a simulated exchange", function()
  after_each(helper.cleanup)

  local daemon, socket, pictures, asked

  local function ask(...)
    local code, out, err = helper.run("sim", "--ask", socket, ...)
    assert(code == 0, err)
    return helper.json(out)
  end

  -- JSON knows no integers.
  local function whole(value)
    if type(value) ~= "table" then return math.type(value) == "float" and math.tointeger(value) or value end
    for key, item in pairs(value) do value[key] = whole(item) end
    return value
  end

  -- What the rule says now, in the form of the specs of the picture itself.
  local function picture()
    asked = asked + 1
    local n = tostring(asked)
    daemon:emit("picture.please", "n=" .. n)
    local kinds = {}
    local state = helper.wait_for(function()
      kinds = {}
      for _, line in ipairs(helper.exists(pictures) and helper.lines(helper.read(pictures)) or {}) do
        local good, object = pcall(helper.json, line)
        if good and object.n == n then
          if object.kind == "end" then return object.state end
          local kind = SINGULAR[object.kind]
          kinds[kind] = kinds[kind] or {}
          table.insert(kinds[kind], whole(object))
        end
      end
    end)
    return {
      state = state,
      walk = function(_, kind) return kinds[kind] or {} end,
      find = function(_, _, kind, key)
        for _, object in ipairs(kinds[kind] or {}) do
          if object.name == key or object.interface == key or object.uniqueid == key or object.id == key then return object end
        end
      end,
    }
  end

  local function becomes_true(what)
    ask "settle"
    local truth = ask "state"
    local faults
    helper.wait_for(function()
      local l = picture()
      faults = l.state == "full" and simulated.differences(l, truth) or { "it is " .. l.state }
      return #faults == 0
    end, 15, function() return ("the picture to be true %s:\n%s"):format(what, table.concat(faults, "\n")) end)
    return truth
  end

  it("becomes true after traffic, a reload, a lost session, a shutdown and a kill with other calls", function()
    socket = helper.folder() .. "/truth"
    local sim = helper.sim("--truth", socket, "--step", "--features", "--calls-per-second", "0.5", "--lag", "0.3", "--seed", "11")
    local project = helper.project {
      servers = { pbx = helper.server(sim) }, rules = { ["pictures.lua"] = RULE },
      config = { live = { grace = 0.2, resync_every = 1 }, sinks = { pictures = { file = "pictures" } },
                 policy = { rules = { pictures = { allow = {} } } } },
    }
    daemon, pictures, asked = helper.daemon(project), project.folder .. "/pictures", 0
    daemon:ready "pbx"
    becomes_true "of an idle exchange"
    local begun = 0
    for _, seconds in ipairs { 40, 5, 20, 3, 60, 15 } do
      ask("run", tostring(seconds))
      begun = becomes_true("after " .. seconds .. " s of traffic").begun
    end
    assert.is_true(begun > 50)

    -- A reload that replaces the rule changes nothing of what it sees; calls go on meanwhile.
    project.rule("pictures.lua", RULE .. "\n-- changed\n")
    ask("run", "10")
    assert.is_true(daemon:reload())
    becomes_true "after a reload"

    -- Its own network was gone: calls ended and began unseen.
    local from = daemon:mark()
    ask "cut"
    ask("run", "45")
    daemon:ready("pbx", { from = from })
    becomes_true "after a lost session"

    for _, how in ipairs { "clean", "kill" } do
      local before = ask "state"
      ask("restart", how, "3")
      ask("run", "30")
      local truth = becomes_true("after " .. how)
      assert.equal(before.boots + 1, truth.boots)
      assert.is_true(#truth.calls > 0)
    end
    assert.equal(0, daemon:stop())
  end)
end)
