-- What a server does not read yet waits, whole and in order.
local h = require "tests.spec.helper"

describe("a server that reads late", function()
  after_each(h.cleanup)

  it("gets every action in the same session, and each is answered", function()
    local go = h.folder() .. "/go"
    local peer = h.peer_with({ "--receive", "65536" }, h.LOGIN .. "\nwait " .. go .. "\nserve")
    -- More than the socket's buffers hold.
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { pending = 10000, write_buffer = 16 * 1024 * 1024 } }) },
      config = { limits = { actions_per_second = 0, pending = 10000, deadline = 5, load_deadline = 5, stuck = 60, load_stuck = 60 } }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        local good, ended = 0, 0
        for n = 1, 8000 do
          server:send({ Action = "Getvar", Variable = n .. ("v"):rep(900) }, { timeout = 60 }, function(res)
            good, ended = good + (res and 1 or 0), ended + 1
            if ended == 8000 then log.info("over", { good = good }) end
          end)
        end
        log.info "sent"
      end)]] } }
    daemon:await { msg = "sent" }
    h.wait_for(function() return (daemon:metric("hookswitch_server_bytes_out_total", { server = "pbx1" }) or 0) > 1000 end)
    h.write_file(go, "")
    assert.equal(8000, daemon:await({ msg = "over" }, { timeout = 60 }).good)
    assert.equal(1, #daemon:find { msg = "session ready" })
    local n = 0
    for number in peer.received():gmatch "Variable: (%d+)v" do
      n = n + 1
      assert.equal(n, tonumber(number))
    end
    assert.equal(8000, n)
  end)
end)
