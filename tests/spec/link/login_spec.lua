-- Who is sent the secret, what the login holds, and what a server may answer to it.
local h = require "tests.spec.helper"

local BANNER = "line Asterisk Call Manager/9.0.0"
local NO_CHALLENGE = { BANNER, "action Challenge", [[send Response: Error\r\nActionID: $id\r\nMessage: Permission denied\r\n\r\n]],
  -- Whoever wants the secret answers everything well.
  "serve" }

describe("the login", function()
  after_each(h.cleanup)

  -- Each is a server that refuses the Challenge, as whoever listens on the port of a stopped Asterisk would.
  local ways = {
    ["on loopback"] = function() return h.peer(NO_CHALLENGE) end,
    ["with allow_plaintext"] = function() return h.peer(NO_CHALLENGE), { allow_plaintext = true } end,
    ["over TLS that is not checked"] = function()
      return h.peer_with({ "--tls", h.certificates() .. "/good.pem" }, NO_CHALLENGE), { tls = { enabled = true, verify = false } }
    end,
    ["over TLS that is checked"] = function()
      local folder = h.certificates()
      return h.peer_with({ "--tls", folder .. "/good.pem" }, NO_CHALLENGE),
        { tls = { enabled = true, ca = folder .. "/ca.pem", server_name = "pbx.example" } }
    end,
  }
  for way, start in pairs(ways) do
    it("Q40 by md5 never sends the secret to a server that refuses the Challenge, " .. way, function()
      local peer, options = start()
      local daemon = h.daemon { servers = { pbx1 = h.server(peer, options) } }
      local told = daemon:await { msg = "no session", server = "pbx1" }
      assert.equal("auth", told.reason)
      assert.truthy(told.error:find("refused the MD5 login (Permission denied)", 1, true), told.error)
      -- Q42: each try raises a security event there.
      assert.is_true(told.retry_in >= 15)
      assert.equal(0, daemon:stop())
      assert.truthy(peer.received():find("Action: Challenge", 1, true))
      assert.falsy(peer.received():find("Action: Login", 1, true), peer.received())
      assert.falsy(peer.received():find(h.SECRET, 1, true))
    end)
  end
end)
