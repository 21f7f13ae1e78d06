-- Changes of the live picture as events of rules, in the daemon.
local helper = require "tests.spec.helper"

describe("events of the live picture", function()
  after_each(helper.cleanup)

  it("are heard in order, with numbers, tables and the server's handle", function()
    local daemon = helper.daemon {
      servers = { pbx1 = helper.server(helper.sim("--calls-per-second=20", "--speed=20")) },
      rules = { ["ears.lua"] = [[
        local done = false
        ami.on("call.ended", { where = { result = "answered", queue = { "support", "sales" } } }, function(call, server)
          if done or call.incomplete then return end -- one that began before the engine came
          done = true
          local copy = ami.table(call)
          log.info("ended", {
            server = server.name, named = call.server, talk = math.type(call.talk), started = math.type(call.started),
            waits = type(call.waits), queue = call.waits[1].queue, waited = math.type(call.waits[1].wait), incomplete = call.incomplete,
            gone = call.no_such_field == nil, event = copy.Event, copied = type(copy.waits), text = tostring(call):sub(1, 10),
            late = timer.now() and math.abs(ami.time(call) - os.time()) < 5,
          })
        end)
      ]] },
    }
    local record = daemon:await { msg = "ended" }
    assert.same({ "pbx1", "pbx1", "float", "float", "table", "float", false, true, "call.ended", "table", "call.ended", true },
      { record.server, record.named, record.talk, record.started, record.waits, record.waited, record.incomplete, record.gone,
        record.event, record.copied, record.text, record.late })
    assert.is_true(record.queue == "support" or record.queue == "sales")
  end)

  it("and objects are there for rules that load on the loader's thread, while the loop goes on", function()
    local servers = { pbx1 = helper.server(helper.sim("--calls-per-second=100", "--speed=2")) }
    local daemon = helper.daemon { servers = servers, rules = { ["ears.lua"] = [[ami.on("call.ended", function() end)]] } }
    helper.wait_for(function() return (daemon:metric("hookswitch_live_calls", { state = "up" }) or 0) > 20 end)
    daemon.project.rule("late.lua", [[
      local seen, fields, kept = 0, 0, {}
      for call in live.calls { server = "pbx1" } do
        seen = seen + 1
        kept[seen] = call
        for _ in pairs(call) do fields = fields + 1 end
        assert(call.state and call.channels)
      end
      assert(live.count "calls" > 0 and live.queue("pbx1", "support").strategy)
      log.info("loaded", { seen = seen, fields = fields > seen * 10 })
      timer.every(0.1, function()
        for _, call in ipairs(kept) do if call.state == "ended" and call.result and call.from then log.info "one ended" end end
      end)]])
    assert.is_true(daemon:reload())
    local record = daemon:await { msg = "loaded" }
    assert.is_true(record.seen > 20)
    assert.is_true(record.fields)
    daemon:await({ msg = "one ended" }, { timeout = 60 })
    -- A file that fails gives back what it held.
    daemon.project.rule("late.lua", [[local kept = {} for call in live.calls() do kept[#kept + 1] = call end error "no"]])
    assert.is_false((daemon:reload()))
    assert.equal(0, daemon:stop())
  end)

  it("and objects of a picture that is turned off know nothing any more", function()
    local servers = { pbx1 = helper.server(helper.sim("--calls-per-second=50", "--speed=2")) }
    local daemon = helper.daemon { servers = servers, rules = { ["holder.lua"] = [[
      local call, each
      timer.every(0.05, function()
        if not each then
          each = live.calls()
          call = each()
          if not call then each = nil return end
          log.info("held", { state = call.state })
        elseif not call.state then
          log.info("nothing", { from = tostring(call.from), copy = tostring(next(ami.table(call))), next = tostring(each()), count = live.count "calls",
            state = (live.state "pbx1") })
        end
      end)]] } }
    daemon:await { msg = "held" }
    daemon.project.write { servers = servers, config = { live = { enabled = false } } }
    assert.is_true(daemon:reload())
    local record = daemon:await { msg = "nothing" }
    assert.same({ "nil", "nil", "nil", 0, "none" }, { record.from, record.copy, record.next, record.count, record.state })
    -- On again: an iterator of the old picture has ended, the object is what it was.
    daemon.project.write { servers = servers }
    assert.is_true(daemon:reload())
    helper.wait_for(function() return (daemon:find { msg = "nothing", next = "nil", state = "full" })[1] or (daemon:find { msg = "nothing", next = "nil", state = "partial" })[1] end)
    assert.equal(0, daemon:stop())
  end)
end)
