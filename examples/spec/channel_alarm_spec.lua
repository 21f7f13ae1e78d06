local support = require "examples.spec.support"
local event = support.event

local function new(at, id) return event(at, "Newchannel", { Channel = "PJSIP/101-" .. id, Uniqueid = "1." .. id }) end
local function gone(at, id) return event(at, "Hangup", { Channel = "PJSIP/101-" .. id, Uniqueid = "1." .. id, Cause = 16 }) end
local function tick(at) return event(at, "Ping", {}) end

local function alarms(log)
  local found = {}
  for word, channels, reason in log:gmatch '"msg":"heard (%a+) (%d+) ([^"]*)"' do
    found[#found + 1] = ("%s %s %s"):format(word, channels, reason)
  end
  return found
end

describe("examples/channel_alarm.lua", function()
  local folder
  local settings = "channel_alarm = { high = 3, low = 2, hold = 5, spike = 50 }"

  before_each(function()
    folder = support.folder({ "examples/channel_alarm.lua" }, { ["scripts/listen.lua"] = [[
      ami.on({ "alarm.raised", "alarm.cleared" }, function(ev)
        log.info(("heard %s %s %s"):format(ev.Event:match "%.(%a+)", ev.channels, ev.reason))
      end)]] })
  end)
  after_each(function() folder:close() end)

  it("raises after the count has stood for the hold time and clears the same way", function()
    local _, log = folder:replay({ new(0, 1), new(0, 2), new(0, 3), tick(10), gone(10, 1), gone(10, 2), tick(12), tick(20), tick(21) }, "", settings)
    assert.same({ "raised 3 3 channels or more", "cleared 1 fewer than 2 channels" }, alarms(log))
  end)

  it("says nothing of a short peak", function()
    local _, log = folder:replay({ new(0, 1), new(0, 2), new(0, 3), tick(3), gone(3, 3), tick(20) }, "", settings)
    assert.same({}, alarms(log))
  end)

  it("holds the alarm while the count is between low and high", function()
    local _, log = folder:replay({ new(0, 1), new(0, 2), new(0, 3), tick(10), gone(10, 1), tick(60) }, "", settings)
    assert.same({ "raised 3 3 channels or more" }, alarms(log))
  end)

  it("raises at once when too many channels come in a short time", function()
    local frames = {}
    for i = 1, 6 do
      frames[#frames + 1] = new(i / 10, i)
      frames[#frames + 1] = gone(i / 10 + 0.05, i)
    end
    frames[#frames + 1] = tick(3)
    local _, log = folder:replay(frames, "", "channel_alarm = { spike = 6, window = 10 }")
    assert.same({ "raised 0 6 new channels in 10 s" }, alarms(log))
  end)

  it("counts on a real capture down to no channel", function()
    local _, log = folder:replay(support.CAPTURES .. "load.ami", "", "channel_alarm = { high = 1, low = 0, spike = 1000, hold = 1 }")
    assert.match("raised %d+ 1 channels or more", table.concat(alarms(log)))
  end)
end)
