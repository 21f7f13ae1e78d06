-- The shipped rules, and the module that they use.
local support = require "examples.spec.support"
local event = support.event

-- A channel's event: PJSIP/NUMBER, Uniqueid 1.N, in the call 1.CALL.
local function channel(at, name, n, call, number, headers)
  local all = { Channel = ("PJSIP/%s-%08x"):format(number, n), Uniqueid = "1." .. n, Linkedid = "1." .. call, ChannelState = 4, CallerIDNum = number }
  for key, value in pairs(headers or {}) do all[key] = value end
  return event(at, name, all)
end

local function sentences(log)
  local found = {}
  for text in log:gmatch '"msg":"(call [^"]+)"' do found[#found + 1] = text end
  return found
end

describe("scripts/calls.lua", function()
  local folder

  before_each(function() folder = support.folder { "scripts/calls.lua" } end)
  after_each(function() folder:close() end)

  it("writes one line for each call of a real queue", function()
    local lines, log = folder:replay(support.CAPTURES .. "queue.ami")
    local journal = {}
    for _, line in ipairs(lines) do
      if line:find('"sink":"journal"', 1, true) then journal[#journal + 1] = line:gsub("\\", "") end
    end
    assert.equal(5, #journal)
    for _, part in ipairs { '"from":"900"', '"to":"300"', '"queue":"support"', '"with":"Alice"', '"result":"answered"', '"seconds":5', '"wait":1',
                            '"cause":"normal clearing"', '"server":"replay"', '"time":"2026-11-20T19:59:16Z"' } do
      assert.truthy(journal[1]:find(part, 1, true), part .. " in " .. journal[1])
    end
    assert.equal("call 900 -> 300: answered with Alice, 5 s, normal clearing", sentences(log)[1])
  end)

  it("logs why a call was not taken", function()
    local _, log = folder:replay(support.CAPTURES .. "dial.ami")
    local all = table.concat(sentences(log), "\n")
    for _, result in ipairs { "answered", "busy", "congestion", "no answer", "failed" } do assert.truthy(all:find(result, 1, true), result) end
  end)

  it("ends a call with its last channel, and says who talked for how long", function()
    local lines, log = folder:replay {
      channel(0, "Newchannel", 1, 1, "5551", { Exten = "100", Context = "phones" }),
      channel(1, "Newchannel", 2, 1, "100", { ChannelState = 0 }),
      channel(1, "DialBegin", 1, 1, "5551", { DestChannel = "PJSIP/100-00000002", DestUniqueid = "1.2", DestLinkedid = "1.1", DialString = "100" }),
      channel(4, "DialEnd", 1, 1, "5551", { DestChannel = "PJSIP/100-00000002", DestUniqueid = "1.2", DestLinkedid = "1.1", DestChannelState = 6, DialStatus = "ANSWER" }),
      channel(4, "BridgeEnter", 2, 1, "100", { ChannelState = 6, BridgeUniqueid = "b1" }),
      channel(4, "BridgeEnter", 1, 1, "5551", { ChannelState = 6, BridgeUniqueid = "b1" }),
      channel(30, "BridgeLeave", 1, 1, "5551", { ChannelState = 6, BridgeUniqueid = "b1" }),
      channel(30, "Hangup", 1, 1, "5551", { Cause = 16 }),
      channel(32, "Hangup", 2, 1, "100", { Cause = 16 }),
    }
    assert.same({ "call 5551 -> 100: answered with PJSIP/100, 32 s, normal clearing" }, sentences(log))
    assert.truthy(lines[1]:gsub("\\", ""):find('"talk":26', 1, true), lines[1])
  end)

  it("goes on without the sink", function()
    local _, log = folder:replay({ channel(0, "Newchannel", 1, 1, "5551", { Exten = "100" }), channel(1, "Hangup", 1, 1, "5551") }, "",
      'calls = { sink = "nowhere" }')
    assert.match("finished calls go to the log only", log)
    assert.match("^call 5551 %-> 100: %a+, 1 s$", sentences(log)[1])
  end)

  -- Who calls 900, which waits for a minute.
  local CALLER = [[
      local asked = store.open "caller"
      ami.on("server.ready", function(ev, server)
        if asked:get "yes" then return end
        asked:set("yes", true)
        local res = server:call { Action = "Originate", Channel = "Local/5551234@default/n", CallerID = "5551234", Context = "default", Exten = "900", Priority = 1 }
        log.info("call stands")
      end)]]
  local HANGUP = [[
      ami.on("server.ready", function(_, server)
        timer.sleep(0.5)
        for _, item in ipairs(server:call({ Action = "CoreShowChannels" }).events) do server:send { Action = "Hangup", Channel = item.Channel } end
      end)]]

  it("adopts calls that began before it", function()
    local port = folder:sim("asterisk", "--speed 2")
    local calls = folder:read "scripts/calls.lua"
    folder:put("scripts/calls.lua", "")
    folder:put("scripts/caller.lua", CALLER)
    folder:engine { { "pbx1", port } }
    folder:await("run", '"msg":"call stands"')
    folder:put("scripts/calls.lua", calls)
    folder:put("scripts/caller.lua", HANGUP)
    folder:ctl "reload"
    assert.match("call 5551234 %-> 900: answered", folder:await("run", '"msg":"call 5551234'))
  end)

  for how, change in pairs { ["a reload"] = function() folder:ctl "reload --all" end, ["a restart"] = function() folder:restart() end,
                             ["kill -9"] = function() folder:restart "KILL" end } do
    it("goes on where it was after " .. how .. ", and ends what ended meanwhile", function()
      local port = folder:sim "asterisk"
      folder:put("scripts/caller.lua", [[
        local began = store.open("caller", { persistent = true })
        ami.on("server.ready", function(ev, server)
          if began:incr "n" > 1 then return end
          for number, exten in pairs { ["5551"] = "900", ["5552"] = "900" } do
            server:call { Action = "Originate", Channel = "Local/" .. number .. "@default/n", CallerID = number, Context = "default", Exten = exten, Priority = 1 }
          end
          server:call { Action = "Originate", Channel = "Local/5553@default/n", CallerID = "5553", Context = "default", Exten = "300", Priority = 1 }
        end)
        ami.on("AgentConnect", function(ev) timer.sleep(1.2) log.info("connected", { agent = ev.MemberName }) end)]])
      folder:engine({ { "pbx1", port } }, "persist = { file = 'state.db' }")
      local agent = folder:await("run", '"msg":"connected"'):match '"agent":"([^"]+)"'
      change()
      folder:put("scripts/caller.lua", [[
        ami.on("server.ready", function(_, server)
          timer.sleep(0.5)
          for _, item in ipairs(server:call({ Action = "CoreShowChannels" }).events) do server:send { Action = "Hangup", Channel = item.Channel } end
        end)]])
      folder:ctl "reload"
      -- Who spoke with whom stands in no list of channels; that the call began before is in its length.
      local line = folder:await("run", '"msg":"call 5553')
      assert.truthy(line:find("call 5553 -> 300: answered with " .. agent, 1, true), line)
      for _, number in ipairs { "5551", "5552" } do
        local seconds = tonumber(folder:await("run", '"msg":"call ' .. number):match "answered, (%d+) s")
        assert.is_true(seconds >= 2, seconds)
      end
    end)
  end

  it("ends calls that ended while the daemon was down", function()
    local port = folder:sim "asterisk"
    folder:put("scripts/caller.lua", (CALLER:gsub("5551234", "5551"):gsub('"caller"', '("caller", { persistent = true })'):gsub("log.info", "asked:sync() %0")))
    folder:engine({ { "pbx1", port } }, "persist = { file = 'state.db' }")
    folder:await("run", '"msg":"call stands"')
    folder:stop("run", "KILL")
    folder:stop "asterisk"
    folder:start("asterisk", ("sim --listen 127.0.0.1:%d --duration 60"):format(port))
    folder:start("run", "run --allow-root --strict -c " .. folder.path .. "/hookswitch.lua")
    assert.match("call 5551 %-> %S+: unseen", folder:await("run", '"msg":"call 5551'))
  end)

  it("keeps no call of a server that the configuration no longer has", function()
    folder:put("scripts/before.lua", [[
      local standing = store.open "calls.standing"
      ami.on("script.loaded", function()
        for n = 1, 3 do standing:set("gone 1." .. n, { server = "gone", id = "1." .. n, started = 0 }) end
      end)
      ami.on("live.synced", function()
        timer.sleep(0.2)
        local left = 0
        for _ in pairs(standing) do left = left + 1 end
        log.info("left", { count = left })
      end)]])
    folder:engine { { "pbx1", folder:sim "asterisk" } }
    assert.match('"count":0', folder:await("run", '"msg":"left"'))
  end)
end)

describe("scripts/queues.lua", function()
  local folder

  before_each(function() folder = support.folder { "scripts/queues.lua" } end)
  after_each(function() folder:close() end)

  local function miss(at)
    return event(at, "AgentRingNoAnswer", { Queue = "support", Interface = "PJSIP/102", MemberName = "Bob" })
  end

  it("logs who gave up and who does not answer, and pauses nobody unless it is asked to", function()
    local lines, log = folder:replay { miss(0), miss(1), miss(2),
      channel(3, "Newchannel", 1, 1, "5551", { Exten = "300" }),
      channel(3, "QueueCallerJoin", 1, 1, "5551", { Queue = "support", Position = 1, Count = 1 }),
      channel(20, "HangupRequest", 1, 1, "5551"),
      channel(20, "QueueCallerAbandon", 1, 1, "5551", { Queue = "support", Position = 1, OriginalPosition = 1, HoldTime = 17 }),
      channel(20, "QueueCallerLeave", 1, 1, "5551", { Queue = "support", Position = 1, Count = 0 }),
      channel(20, "Hangup", 1, 1, "5551", { Cause = 16 }) }
    assert.same({}, lines)
    assert.match("queue support: Bob does not answer %(3%)", log)
    assert.match("queue support: 5551 waits, position 1", log)
    assert.match("queue support: 5551 gave up after 17 s", log)
  end)

  it("says who takes a caller of a real queue, and after how long", function()
    local _, log = folder:replay(support.CAPTURES .. "queue.ami")
    assert.match("queue support: %w+ waits, position 1", log)
    assert.match("queue support: Alice takes %w+ after 1 s", log)
  end)

  it("works with the names that Asterisk had before 12", function()
    local lines = folder:replay({ event(0, "AgentRingNoAnswer", { Queue = "support", Member = "SIP/102", MemberName = "Bob" }) }, "--answer success",
      "queues = { pause_after = 1 }")
    assert.truthy(lines[1]:find('"Interface":"SIP/102"', 1, true))
  end)

  it("pauses an agent after as many misses as the settings say", function()
    local lines, log = folder:replay({ miss(0), miss(1), miss(2) }, "--answer success", "queues = { pause_after = 2 }")
    assert.equal(1, #lines)
    assert.truthy(lines[1]:find('"Action":"QueuePause"', 1, true))
    assert.match("queue support: Bob is paused", log)
  end)

  it("hears only the queues of its settings", function()
    local _, log = folder:replay({ miss(0) }, "", 'queues = { queues = { "sales" } }')
    assert.is_nil(log:find("does not answer", 1, true))
  end)
end)

describe("scripts/links.lua", function()
  local folder

  before_each(function() folder = support.folder { "scripts/links.lua" } end)
  after_each(function() folder:close() end)

  it("knows over a restart and kill -9 since when a server is away", function()
    local port, other = folder:sim "asterisk", folder:sim "other"
    folder:engine({ { "pbx1", port }, { "pbx2", other } }, "persist = { file = 'state.db' }, rules = { links = { remind = 0.5 } }")
    folder:stop "asterisk"
    folder:await("run", '"msg":"pbx1: lost')
    folder:await("run", '"msg":"pbx1: away for 1 s')
    folder:restart()
    folder:await("run", '"msg":"pbx1: away for [2-9] s')
    folder:restart "KILL"
    folder:await("run", '"msg":"pbx1: away for ([3-9]|1[0-9]) s')
    folder:start("asterisk", ("sim --listen 127.0.0.1:%d --duration 60"):format(port))
    folder:await("run", '"msg":"pbx1: ready again after ([3-9]|1[0-9]) s')
  end)

  it("logs when a server comes, goes and comes back", function()
    local port = folder:sim "asterisk"
    folder:engine { { "pbx1", port } }
    folder:await("run", '"msg":"pbx1: ready; CoreSettings and CoreStatus say: Asterisk [0-9.]+, AMI 13.0.0')
    folder:stop "asterisk"
    folder:await("run", '"msg":"pbx1: lost')
    folder:start("asterisk", ("sim --listen 127.0.0.1:%d --duration 60"):format(port))
    folder:await("run", '"msg":"pbx1: ready again after [0-9]+ s')
  end)
end)

describe("lib/recent.lua", function()
  it("forgets the oldest beyond its number and its time", function()
    local folder = support.folder({}, { ["scripts/try.lua"] = [[
      local recent = require "recent"
      local told = {}
      local t = recent.new { cap = 3, ttl = 10, forgotten = function(key, value, why) told[#told + 1] = key .. value .. why end }
      ami.on("Step", function(ev)
        for i = 1, 4 do t:put("k" .. i, i) end
        log.info("count " .. t:count(), { k1 = tostring(t:get "k1"), k2 = tostring(t:get "k2") })
        t:put("k2", 22)
        local order = {}
        for key in t:each() do order[#order + 1] = key t:remove(key) end
        log.info("order " .. table.concat(order, " "), { left = t:count(), again = tostring(t:remove "k2") })
        t:put("x", "y")
        timer.sleep(11)
        log.info("late " .. tostring(t:get "x"))
        t:sweep()
        log.info("told " .. table.concat(told, " "))
        log.info("sealed " .. tostring(getmetatable(t)))
      end)]] })
    local _, log = folder:replay { event(0, "Step", {}), event(20, "Ping", {}) }
    folder:close()
    for _, text in ipairs { '"msg":"count 3","rule":"try"', '"k1":"nil"', '"k2":"2"', "order k3 k4 k2", '"left":0', '"again":"nil"', "late nil", "told k11cap xyttl",
                            "sealed false" } do
      assert.truthy(log:find(text, 1, true), text .. " in " .. log)
    end
  end)
end)
