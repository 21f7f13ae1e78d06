-- How long a session waits: for the answers to actions, and before it asks a silent server whether it is there.
local h = require "tests.spec.helper"

describe("a session", function()
  after_each(h.cleanup)

  it("gives an action without a timeout that of its server, and Originate its own Timeout and 5 s", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(h.LOGIN .. "\nhold"), { timeouts = { action = 100, drain = 0.2 } }) },
      rules = { ["probe.lua"] = [[
        ami.on("server.ready", function(_, server)
          server:send { Action = "Getvar", Variable = "X" }
          server:send({ Action = "Getvar", Variable = "X" }, { timeout = 200 })
          local call = { Action = "Originate", Channel = "Local/1@x", Context = "default", Exten = "1", Priority = 1 }
          server:send(call)
          call.Timeout = 300000
          server:send(call)
          log.info "sent"
        end)]] } }
    daemon:await { msg = "sent" }
    local code, out = daemon:ctl("pending", "--json")
    assert.equal(0, code)
    local deadlines = {}
    for i, action in ipairs(h.json(out).pending) do deadlines[i] = action.age + action.deadline_in end
    table.sort(deadlines)
    -- Asterisk's own default Timeout is 30 s.
    for i, seconds in ipairs { 35, 100, 200, 305 } do assert.is_true(math.abs(deadlines[i] - seconds) < 0.5, deadlines[i]) end
  end)

  it("sends the next Ping an interval behind the last answer, however long an answer may take", function()
    local pong = "action Ping\nsend Response: Success\\r\\nActionID: $id\\r\\nPing: Pong\\r\\n\\r\\n\n"
    local peer = h.peer(h.LOGIN .. "\n" .. pong:rep(3) .. "say three\nhold")
    h.daemon { servers = { pbx1 = h.server(peer, { timeouts = { heartbeat_interval = 0.05, heartbeat = 300, read = 600 } }) } }
    h.wait_for(function() return peer:stdout():find "three" end, nil, "three Pings")
  end)

  it("that ended for want of a Pong leaves its Ping to nobody: the next one asks anew, and lasts", function()
    local pong = "action Ping\nsend Response: Success\\r\\nActionID: $id\\r\\nPing: Pong\\r\\n\\r\\n\n"
    local peer = h.peer(h.LOGIN .. "\nhold", h.LOGIN .. "\n" .. pong:rep(3) .. "say three\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { timeouts = { heartbeat_interval = 0.1, heartbeat = 0.5, read = 600, drain = 0.1 },
      reconnect = { first = 0.01, max = 0.01 } }) } }
    assert.equal("heartbeat", daemon:await({ msg = "session lost", server = "pbx1" }).reason)
    h.wait_for(function() return peer:stdout():find "three" end, nil, "three Pings")
    assert.equal(2, daemon:metric("hookswitch_server_sessions_total", { server = "pbx1" }))
  end)

  it("that hears something late, but no Pong, gives the Pong as much time again", function()
    local folder = h.folder()
    local pong = "send Response: Success\\r\\nActionID: $id\\r\\nPing: Pong\\r\\n\\r\\n\n"
    local peer = h.peer(h.LOGIN .. "\naction Ping\nsay asked\nwait " .. folder .. "/event\nsend Event: Late\\r\\n\\r\\n\nsay sent\nwait " .. folder
      .. "/pong\n" .. pong .. "action Ping\n" .. pong .. "say again\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { timeouts = { heartbeat_interval = 0.1, heartbeat = 1, read = 600 } }) },
      rules = { ["probe.lua"] = [[ami.on("Late", function() log.info "late" end)]] } }
    h.wait_for(function() return peer:stdout():find "asked" end, nil, "a Ping")
    local from = h.now()
    daemon:signal "STOP"
    h.write_file(folder .. "/event", "")
    h.wait_for(function() return peer:stdout():find "sent" and h.now() > from + 1.2 end)
    daemon:signal "CONT"
    daemon:await { msg = "late" }
    h.write_file(folder .. "/pong", "")
    h.wait_for(function() return peer:stdout():find "again" end, nil, "the next Ping")
    assert.equal(0, #daemon:find { msg = "session lost" })
  end)
end)
