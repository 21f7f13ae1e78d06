-- No allocation of Lua whose failure ends more than the call that asked for it: each of them fails once, on the paths that
-- every rule takes.
local support = require "tests.spec.rules.support"

local RULE = [[
  local kept, s = {}, store.open "s"
  local m = metric.counter("starved", "x", { "a" })
  ami.on("Hangup", { where = { Channel = ami.prefix "PJSIP" }, label = "l" }, function(ev, server)
    kept[#kept + 1] = ev.Channel .. #kept
    local t = ami.table(ev)
    for name, value in pairs(ev) do t[name] = tostring(value) end
    s:set("key", t) s:incr "n"
    m:inc { "b" }
    log.info("text", { ev = ev, n = #kept })
    local co = coroutine.wrap(function(a) local b = coroutine.yield(a) return b end)
    co(1) co(2)
    xpcall(error, function(e) return e .. "!" end, "x")
    table.sort(kept) table.concat(kept, ",") string.gsub(("x"):rep(100), "x", "y") string.format("%d %s", 1, "x")
    json.decode(json.encode { a = { 1, 2 } })
    server:send({ Action = "Ping" }, function(res, err) kept.answer = res and res.message end)
    local res = server:call { Action = "CoreSettings" }
    kept.res = res and tostring(res)
    timer.sleep(0.01)
    local sub <close> = ami.subscribe("Newstate", { server = server })
    kept.sub = sub:next(0.01)
    ami.emit("own.event", { a = 1, b = "x" })
    ami.once("own.other", function() end)
  end)
  ami.on("own.event", function(ev) kept.own = ev.a end)
  timer.every(0.005, function() kept.tick = { os.time() } end)
  ami.on("Alive", function() note "alive" end)
]]

local function drive(t)
  t:event("Hangup", { Channel = "PJSIP/1", Variable = { "a", "b" } })
  t:turn()
  for _, entry in ipairs(t:pending()) do t:answer(entry.id, { Response = "Success", Message = "x" }) end
  t:turn()
  t:advance(0.012)
  t:event("Newstate", { Channel = "PJSIP/1" })
  t:advance(0.02)
end

describe("an allocation that fails", function()
  after_each(support.cleanup)

  it("while rules run ends that call, and nothing else", function()
    local n = 0
    repeat
      n = n + 1
      local t = support.run(RULE)
      t:ready "pbx1"
      t:turn()
      drive(t)
      t:starve(n)
      drive(t)
      local unused = t:starve(0) > 1
      t:advance(4000) -- past a quarantine
      t:said()
      t:event "Alive"
      assert.same({ "alive" }, t:said(), n)
      support.cleanup()
    until unused
    assert.is_true(n > 70, n)
  end)

  it("while rules load fails the load, and the old rules go on", function()
    local t = support.run(RULE)
    local failed, bytes = 0, 1000
    repeat
      local good, faults = t:reload { limits = { rule_memory = bytes } }
      if not good then
        failed = failed + 1
        assert.is_true(#faults > 0)
        t:said()
        t:event "Alive"
        assert.same({ "alive" }, t:said(), bytes)
      end
      bytes = bytes + 1024
    until good
    assert.is_true(failed > 30, failed)
  end)
end)
