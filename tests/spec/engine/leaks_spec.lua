-- Actions whose rules are reloaded away while they wait for answers leave nothing behind. Built with AddressSanitizer the process
-- proves it: stop() fails when memory was leaked.
local h = require "tests.spec.helper"

-- Four requests at a time: a task that waits in call(), two callbacks, and one whose answer nobody wants.
local EACH = 4
local ASKER = [[
  local function ask(server)
    local function report(kind)
      return function(res, err) log.info("ended", { kind = kind, server = server.name, code = err and err.code or "good" }) end
    end
    server:send({ Action = "Getvar", Variable = "A" }, { timeout = 60 }, report "callback")
    server:send({ Action = "Getvar", Variable = "B" }, { timeout = 60 }, report "callback")
    server:send({ Action = "Getvar", Variable = "C" }, { timeout = 60 })
    local guard <close> = setmetatable({}, { __close = function() log.info("closed", { server = server.name }) end })
    report "call" (server:call({ Action = "Getvar", Variable = "D" }, { timeout = 60 }))
  end
  ami.on("server.ready", function(ev, server) if ev.reason == "connected" then ask(server) end end)
  ami.on("asker.again", function(ev) ask(ami.server(ev.name)) end)
]]
local STUCK = [[ami.on("asker.stick", function() local t = {} for k = 1, 131073 do t[k * 262143] = true end end)]]

-- A server that answers nothing.
local function mute()
  return h.peer(h.LOGIN .. "\nhold")
end

-- One that answers when it has got `count` actions: all of them, in any order.
local function late(count)
  return h.peer(h.LOGIN .. ("\nshuffle %d 0\nhold"):format(count))
end

describe("actions that wait while their rule is reloaded away", function()
  after_each(h.cleanup)

  -- A daemon whose rule waits for the answers of these servers.
  local function waiting(peers, drain, more)
    local servers = {}
    for name, peer in pairs(peers) do servers[name] = h.server(peer, { timeouts = { drain = 0.2 } }) end
    local project = h.project { servers = servers, rules = { ["asker.lua"] = ASKER .. (more or "") }, config = { scripts = { drain = drain } } }
    local daemon = h.daemon(project)
    for _, peer in pairs(peers) do
      h.wait_for(function() return select(2, peer.received():gsub("Action: Getvar", "")) == EACH end)
    end
    return daemon, project
  end

  local function await_drained(daemon)
    h.wait_for(function() return #daemon:status().draining_rules == 0 end, nil, "the end of the drain")
  end

  -- How often an action of that kind ended so.
  local function ended(daemon, kind, code, server)
    return #daemon:find { msg = "ended", kind = kind, code = code, server = server }
  end

  local function stop(daemon)
    assert.equal(0, daemon:metric("hookswitch_rules_errors_total", { rule = "asker", kind = "error" }) or 0)
    assert.equal(0, daemon:stop())
  end

  it("leave nothing when their answers come after the drain", function()
    local peer = late(2 * EACH)
    local daemon = waiting({ pbx1 = peer }, 0.1)
    assert.is_true(daemon:reload_all())
    daemon:await { msg = "closed" }
    await_drained(daemon)
    assert.equal(2, ended(daemon, "callback", "cancelled"))
    daemon:emit("asker.again", "name=pbx1")
    daemon:await({ msg = "ended", code = "good" }, { count = 3 })
    assert.equal(1, ended(daemon, "call", "good"), "the new rule's own")
    assert.equal(2, ended(daemon, "callback", "good"), "the new rule's own")
    stop(daemon)
    assert.equal(5, #daemon:find { msg = "ended" })
  end)

  it("leave nothing when their answers come during the drain", function()
    local daemon = waiting({ pbx1 = late(2 * EACH) }, 60)
    assert.is_true(daemon:reload_all())
    local waits = "the answer to Getvar from pbx1 (listener scripts/asker.lua:11: server.ready)"
    local _, shown = daemon:ctl "scripts"
    assert.matches("\nasker of generation 1 [^\n]+ finishes what it began[^\n]*\n  the answer to Getvar from pbx1 ", shown)
    assert.is_truthy(shown:find("\n  " .. waits .. "\n", 1, true))
    assert.same({ waits }, daemon:status().draining_rules[1].waits)
    daemon:emit("asker.again", "name=pbx1")
    daemon:await({ msg = "ended", code = "good" }, { count = 6 })
    await_drained(daemon)
    stop(daemon)
    assert.equal(6, #daemon:find { msg = "ended" })
  end)

  it("leave nothing when no answer comes, and the end comes after the drain", function()
    local daemon = waiting({ pbx1 = mute(), pbx2 = mute() }, 0.1)
    assert.is_true(daemon:reload_all())
    daemon:await({ msg = "closed" }, { count = 2 })
    await_drained(daemon)
    stop(daemon)
    assert.equal(4, ended(daemon, "callback", "cancelled"))
    assert.equal(4, #daemon:find { msg = "ended" })
  end)

  it("leave nothing when the end comes in the drain of many states", function()
    local daemon = waiting({ pbx1 = mute() }, 60)
    for times = 1, 6 do
      assert.is_true(daemon:reload_all())
      daemon:emit("asker.again", "name=pbx1")
      h.wait_for(function() return daemon:status().servers[1].pending == (times + 1) * EACH end)
    end
    assert.equal(4, #daemon:status().draining_rules)
    stop(daemon)
    -- Two tasks were closed when more than four states drained; those of the others heard of the end.
    assert.equal(14, ended(daemon, "callback", "cancelled"))
    assert.equal(5, ended(daemon, "call", "cancelled"))
    assert.equal(7, #daemon:find { msg = "closed" })
  end)

  it("leave nothing when their rule and their server are removed", function()
    local daemon, project = waiting({ pbx1 = mute(), pbx2 = mute() }, 60)
    project.rule "asker.lua"
    project.write { servers = {}, config = { scripts = { drain = 60 } } }
    assert.is_true(daemon:reload())
    await_drained(daemon)
    assert.equal(0, daemon:stop())
    assert.equal(6, #daemon:find { msg = "ended" })
    assert.equal(2, #daemon:find { msg = "closed" })
  end)

  it("leave nothing when their rule is killed, and their answers come later", function()
    local daemon = waiting({ pbx1 = late(2 * EACH) }, 60, STUCK)
    daemon:emit "asker.stick"
    daemon:await({ msg = h.has "rule killed" }, { timeout = 30 })
    assert.is_true(daemon:reload_all())
    daemon:emit("asker.again", "name=pbx1")
    daemon:await({ msg = "ended", code = "good" }, { count = 3 })
    stop(daemon)
    assert.equal(3, #daemon:find { msg = "ended" })
    assert.equal(1, #daemon:find { msg = "closed" })
  end)
end)
