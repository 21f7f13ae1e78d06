local support = require "examples.spec.support"
local rules = require "hookswitch".rules
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
    local lines = folder:replay_jobs { abandoned(0, "5551234", 20), tick(20), tick(40) }
    assert.same({ "Local/5551234@outbound/n" }, called(lines))
    for _, part in ipairs { '"Exten":"300"', '"Timeout":"25000"', '"Variable":"CALLBACK=5551234"', '"Async":"true"' } do
      assert.truthy(lines[1]:find(part, 1, true), part .. " in " .. lines[1])
    end
  end)

  it("calls nobody who waited only for a moment, has no number, or waits in another queue", function()
    assert.same({}, called(folder:replay_jobs { abandoned(0, "5551234", 3), abandoned(0, "<unknown>", 20), abandoned(0, "anonymous", 20),
      event(0, "QueueCallerAbandon", { Queue = "sales", CallerIDNum = "5551234", HoldTime = 20 }), tick(60) }))
  end)

  it("calls nobody who came back", function()
    assert.same({}, called(folder:replay_jobs { abandoned(0, "5551234", 20),
      event(10, "QueueCallerJoin", { Queue = "support", CallerIDNum = "5551234" }), tick(60) }))
  end)

  it("calls a number once an hour", function()
    local lines = folder:replay_jobs { abandoned(0, "5551234", 20), tick(40), abandoned(100, "5551234", 20), tick(200), abandoned(3700, "5551234", 20), tick(3800) }
    assert.equal(2, #called(lines))
  end)

  it("brings the caller to an agent", function()
    local port = folder:sim("asterisk", "--speed 5")
    -- Somebody calls the extension whose caller gives up after two seconds.
    folder:put("scripts/caller.lua", [[
      ami.on("server.ready", function(_, server)
        server:call { Action = "Originate", Channel = "Local/100@default/n", CallerID = "5551234", Context = "default", Exten = "303", Priority = 1 }
      end)]])
    folder:engine({ { "pbx1", port } }, "persist = { file = 'state.db' }, rules = { callback = { least_wait = 1, after = 0, channel = 'Local/%s@default/n' } }")
    assert.match('"number":"5551234"', folder:await("run", '"msg":"will call back"'))
    assert.match('"agent":"[^"]+"', folder:await("run", '"msg":"callback taken"'))
  end)

  -- The rule on `rules.new` while it waits for a disk that takes a second: the call may be made once the disk has answered.
  local function about_to_call()
    local text, slow = folder:read("scripts/callback.lua"):gsub("return wanted:sync%(%)", "timer.sleep(1) %0")
    assert.equal(1, slow)
    folder:put("scripts/callback.lua", text)
    local h = assert(rules.new { rules = folder.path .. "/scripts", lib = "lib", servers = { "pbx1" } })
    h:ready "pbx1"
    h:event("QueueCallerAbandon", { Queue = "support", CallerIDNum = "5551234", HoldTime = 20 })
    h:advance(31)
    assert.equal(1, h:work())
    assert.same({}, h:store("callback.wanted", true))
    assert.same({ ["5551234"] = "pbx1" }, h:store("callback.ringing", true))
    assert.same({}, h:sent())
    return h
  end

  it("calls later whom a stop has kept it from calling", function()
    local h <close> = about_to_call()
    h:stop()
    assert.same({}, h:sent())
    assert.same({ ["5551234"] = true }, h:store("callback.wanted", true))
    assert.same({}, h:store("callback.called", true))
    assert.same({}, h:store("callback.ringing", true))
  end)

  it("calls again when nothing was sent, and never when nobody knows", function()
    for code, again in pairs { not_ready = true, backpressure = true, lost = false, timeout = false, error = false } do
      folder:put("scripts/callback.lua", (folder:read "scripts/callback.lua":gsub("timer.sleep%(1%) ", "")))
      local h <close> = about_to_call()
      h:advance(1)
      assert.equal("Originate", h:sent()[1].action.Action)
      h:answer(1, code == "error" and { Response = "Error", Message = "no such channel" } or { code = code })
      h:advance()
      assert.equal(again or nil, h:store("callback.wanted", true)["5551234"], code)
      assert.equal(again and 1 or 0, #h:jobs "callback.pbx1", code)
      -- What may still ring keeps its place until it cannot ring any more.
      assert.equal((code == "lost" or code == "timeout") and "pbx1" or nil, h:store("callback.ringing", true)["5551234"], code)
      h:advance(30)
      assert.same({}, h:store("callback.ringing", true))
      h:work()
      h:advance(1)
      assert.equal(again and 2 or 1, #h:sent(), code)
    end
  end)

  -- ---- whatever happens to the daemon ----

  local CALLS, AT_ONCE = 12, 3

  -- CALLS callers give up, 555001 and so on; the engine has a callback for each when this returns.
  local function give_up()
    local port = folder:sim "asterisk"
    folder:put("scripts/caller.lua", ([[
      local begun = store.open("caller", { persistent = true })
      ami.on("server.ready", function(_, server)
        if begun:incr "n" > 1 then return end
        for i = 1, %d do
          server:send { Action = "Originate", Channel = "Local/100@default/n", CallerID = ("555%%03d"):format(i), Context = "default", Exten = "303", Priority = 1 }
        end
      end)]]):format(CALLS))
    folder:engine({ { "pbx1", port } }, ([[persist = { file = 'state.db' },
      rules = { callback = { least_wait = 1, after = 2, ring = 2, at_once = %d, channel = 'Local/%%s@default/n' } }]]):format(AT_ONCE))
    folder:start("record", ("record pbx1 -c %s/hookswitch.lua -o %s/capture"):format(folder.path, folder.path))
    folder:until_true(function() return select(2, folder:read("run.log"):gsub('"msg":"will call back"', "")) == CALLS end)
  end

  -- Until no callback is left; how often each number was called, and how many calls rang at the same time at most.
  local function calls_made()
    folder:until_true(function()
      local out = folder:ctl "work callback.pbx1 --json"
      return out:find('"waiting":0', 1, true) and out:find('"running":0', 1, true) and out:find('"dead":0', 1, true)
    end)
    folder:stop("record", "INT")
    local made, ringing, most, numbers = {}, {}, 0, 0
    for frame in folder:read("capture"):gmatch "(.-)\r\n\r\n" do
      local function header(name) return frame:match("%f[^\n\0]" .. name .. ": ([^\r]*)") end
      local event = header "Event"
      if event == "Newchannel" and (header "Exten"):match "^555%d%d%d$" and (header "Channel"):match ";1$" then -- a half of each call
        local number = header "Exten"
        made[number] = (made[number] or 0) + 1
        ringing[header "Uniqueid"] = true
        numbers = numbers + 1
      elseif event == "DialEnd" then
        ringing[header "DestUniqueid"] = nil
      end
      local now = 0
      for _ in pairs(ringing) do now = now + 1 end
      most = math.max(most, now)
    end
    return made, most, numbers
  end

  it("calls everybody once over reloads and restarts, never more than at_once at a time", function()
    give_up()
    local text = folder:read "scripts/callback.lua"
    for round = 1, 2 do
      os.execute "sleep 1.3"
      folder:put("scripts/callback.lua", text .. "\n-- changed " .. round)
      folder:ctl "reload"
      os.execute "sleep 0.7"
      folder:restart()
    end
    local made, most, numbers = calls_made()
    assert.equal(CALLS, numbers)
    for number, times in pairs(made) do assert.equal(1, times, number) end
    assert.equal(AT_ONCE, most)
  end)

  it("calls nobody twice over kill -9, and everybody whose call was not about to be made", function()
    give_up()
    local kills = 3
    for _ = 1, kills do
      os.execute(("sleep %.2f"):format(0.5 + 2 * math.random()))
      folder:restart "KILL"
    end
    local made, most, numbers = calls_made()
    for number, times in pairs(made) do assert.equal(1, times, number) end
    assert.is_true(numbers >= CALLS - kills * AT_ONCE, numbers)
    assert.is_true(most <= AT_ONCE, most)
  end)
end)
