-- Certificates, good and bad, and servers that speak something else.
local support = require "scenarios.support"
local session = support.session

local SLOWLY = { first = 60, max = 60 } -- one try is enough to see

return {
  {
    name = "TLS with an authority of our own",
    must = "a good certificate gives a session, with a client certificate where the server wants one; the secret is sent only in it",
    play = function(t)
      local folder = support.certificates()
      local plain = support.peer_with({ "--tls", folder .. "/good.pem" }, { "line Asterisk Call Manager/9.0.0", "action Login",
        [[send Response: Success\r\nActionID: $id\r\n\r\n]], "times 2000 Event: Over\\r\\nN: $n\\r\\n\\r\\n", "serve" })
      local mutual = support.peer_with({ "--tls", folder .. "/good.pem", "--client-ca", folder .. "/ca.pem" },
        { "line Asterisk Call Manager/9.0.0", "action Login", [[send Response: Success\r\nActionID: $id\r\n\r\n]], "serve" })
      local tls = { enabled = true, ca = folder .. "/ca.pem", server_name = "pbx.example" }
      local with_client = { enabled = true, ca = tls.ca, server_name = tls.server_name, cert = folder .. "/client.pem", key = folder .. "/client.pem" }
      local daemon = t:daemon { servers = { plain = support.at(plain, { tls = tls, auth = "plain" }), mutual = support.at(mutual, { tls = with_client, auth = "plain" }) },
        rules = { support.COUNT, support.SEND } }
      assert(daemon:ready "plain".tls == true and daemon:ready "mutual".tls == true)
      support.await_metric(daemon, "hookswitch_rule_heard_total", { server = "plain" }, 2000)
      daemon:emit("please.send", "server=mutual", "action=Getvar")
      assert(daemon:await { msg = "done" }.code == "success")
      t.daemons[1]:stop()
      t.daemons = {}
      assert(not daemon:stderr():find(support.SECRET, 1, true))
    end,
  },
  {
    name = "bad certificates and handshakes",
    must = "expired, self-signed, wrong name, unknown authority, a client certificate not given, a plain peer and a cut handshake each end as "
      .. "tls, with words that say what to do, and never send the secret",
    play = function(t)
      local folder = support.certificates()
      local function peer(name, ...) return support.peer_with({ "--tls", folder .. "/" .. name .. ".pem", ... }, session "serve") end
      local ca, name = folder .. "/ca.pem", "pbx.example"
      local cases = {
        expired = { peer "expired", { ca = ca, server_name = name }, "has expired" },
        self_signed = { peer "self-signed", { ca = ca, server_name = name }, "self-signed" },
        wrong_name = { peer "other", { ca = ca, server_name = name }, "for another name than pbx.example (it says other.example)" },
        wrong_address = { peer "good", { ca = ca }, "for another name than 127.0.0.1" },
        unknown = { peer "good", { server_name = name }, "unknown authority" },
        plain = { support.peer(session "serve"), { ca = ca, server_name = name }, "does not speak TLS" },
        cut = { support.peer { "expect \\x16\\x03\\x01" }, { ca = ca, server_name = name }, "in the TLS handshake" },
        reset = { support.peer { "expect \\x16\\x03\\x01", "rst" }, { ca = ca, server_name = name }, "" },
      }
      local servers = {}
      for key, case in pairs(cases) do
        case[2].enabled = true
        servers[key] = support.at(case[1], { tls = case[2], reconnect = SLOWLY })
      end
      local mutual = peer("good", "--client-ca", ca)
      servers.no_client = support.at(mutual, { tls = { enabled = true, ca = ca, server_name = name }, reconnect = SLOWLY })
      local daemon = t:daemon { servers = servers, rules = {} }
      for key, case in pairs(cases) do
        local record = daemon:await { msg = "no session", server = key }
        t:report("%s: %s", key, record.error)
        assert(record.reason == "tls", key .. ": " .. record.reason)
        assert(record.error:find(case[3], 1, true), record.error)
        local received = case[1].folder .. "/received"
        assert(not support.exists(received) or not support.read(received):find("Login", 1, true))
      end
      -- With TLS 1.3 the server's refusal comes after the handshake.
      local record = daemon:await { server = "no_client", error = support.has "client certificate" }
      t:report("no_client: %s: %s", record.reason, record.error)
      assert(record.reason == "tls")
    end,
  },
  {
    name = "plain login beyond this machine",
    must = "the configuration is refused before a byte is sent, unless allow_plaintext says otherwise",
    play = function(t)
      local project = support.project { servers = { pbx = { host = "192.0.2.1", username = "u", secret = "not-told-4711", auth = "plain" } } }
      local code, out, err = support.run("check", "-c", project.config)
      t:report("%s", (out .. err):match "[^\n]*plain[^\n]*" or "")
      assert(code == 1 and (out .. err):find("allow_plaintext", 1, true), out .. err)
      assert(not (out .. err):find("not-told-4711", 1, true))
    end,
  },
}
