local support = require "tests.spec.rules.support"

describe("order", function()
  after_each(support.cleanup)

  it("is that of the wire: every listener of an event begins before the next event's", function()
    local t = support.run {
      ["a.lua"] = [[ami.on("*", function(ev) note("a", ev.N) end)]],
      ["b.lua"] = [[ami.on({ "Newstate", "Hangup" }, function(ev) note("b", ev.N) timer.sleep(0) end)]],
    }
    t:feed(("Event: Newstate\r\nN: 1\r\n\r\nEvent: Hangup\r\nN: 2\r\n\r\nEvent: Newstate\r\nN: 3\r\n\r\n"))
    assert.same({ "a 1", "b 1", "a 2", "b 2", "a 3", "b 3" }, t:said())
  end)

  it("a completion resumes its coroutine before the next frame is dispatched", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server) server:call { Action = "Ping" } note "completed" end)
      ami.on("Newstate", function() note "event" end)]]
    t:event "Hangup"
    t:answer(1, { Response = "Success" })
    t:event "Newstate"
    assert.same({ "completed", "event" }, t:said())
  end)

  it("a callback runs when its answer comes, before the next frame", function()
    local t = support.run [[
      ami.on("Hangup", function(ev, server) server:send({ Action = "Ping" }, function() note "completed" end) end)
      ami.on("Newstate", function() note "event" end)]]
    t:event "Hangup"
    t:answer(1, { Response = "Success" })
    t:event "Newstate"
    assert.same({ "completed", "event" }, t:said())
  end)

  it("servers do not mix: the same Uniqueid on two servers is two calls", function()
    local t = support.run([[
      local seen = {}
      ami.on("Newchannel", function(ev, server)
        local key = server.name .. ev.Uniqueid
        seen[key] = (seen[key] or 0) + 1
        note(key, seen[key])
      end)]], { servers = { "a", "b" } })
    t:event("Newchannel", { Uniqueid = "1" }, { server = "a" })
    t:event("Newchannel", { Uniqueid = "1" }, { server = "b" })
    assert.same({ "a1 1", "b1 1" }, t:said())
  end)
end)
