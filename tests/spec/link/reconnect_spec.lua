-- What follows when a session or a try has ended: waits, the circuit breaker, the budget of connects.
local h = require "tests.spec.helper"

local OPEN = "circuit breaker open: too many failures in a row"

describe("reconnecting", function()
  after_each(h.cleanup)

  local function pbx(peer, more)
    local options = { reconnect = { first = 0.01, max = 0.02, breaker_failures = 5, breaker_open = 60, success_after = 5 },
      timeouts = { read = 0.1, heartbeat_interval = 0, drain = 1 } }
    for key, value in pairs(more or {}) do options[key] = value end
    return h.server(peer, options)
  end

  for what, script in pairs { ["closes at once"] = h.LOGIN, ["says nothing more"] = h.LOGIN .. "\nhold",
    ["answers each Ping with half a line"] = h.LOGIN .. "\nsend Event: Ne\nhold" } do
    it("opens the circuit breaker for a server that takes each login and then " .. what, function()
      local daemon = h.daemon { servers = { pbx1 = pbx(h.peer(script)) } }
      assert.equal(5, daemon:await({ msg = OPEN, server = "pbx1" }).failures)
      assert.equal(5, #daemon:find { msg = "session ready" })
      assert.equal(5, daemon:metric("hookswitch_server_connects_total", { server = "pbx1" }))
      assert.equal(1, daemon:metric("hookswitch_server_breaker_state", { server = "pbx1" }))
    end)
  end

  it("counts no failure for the end of a session that has lasted", function()
    local lasts = h.LOGIN .. "\nsleep 60\nsend Event: FullyBooted\\r\\n\\r\\n"
    local daemon = h.daemon { servers = { pbx1 = pbx(h.peer(lasts), { reconnect = { first = 0.01, max = 0.02, breaker_failures = 2,
      breaker_open = 60, success_after = 0.05 } }) } }
    daemon:ready("pbx1", { count = 6 })
    assert.equal(0, #daemon:find { msg = OPEN })
    assert.equal(0, daemon:metric("hookswitch_server_breaker_state", { server = "pbx1" }))
  end)
end)
