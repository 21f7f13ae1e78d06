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
          if done then return end
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
end)
