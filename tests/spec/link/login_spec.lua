-- Who is sent the secret, what the login holds, and what a server may answer to it.
local h = require "tests.spec.helper"

local BANNER = "line Asterisk Call Manager/9.0.0"
local NO_CHALLENGE = { BANNER, "action Challenge", [[send Response: Error\r\nActionID: $id\r\nMessage: Permission denied\r\n\r\n]],
  -- Whoever wants the secret answers everything well.
  "serve" }

local OK = [[send Response: Success\r\nActionID: $id\r\n\r\n]]

local CHALLENGE = [[send Response: Success\r\nActionID: $id\r\nChallenge: 1\r\n\r\n]]
local REFUSED = { BANNER, "action Challenge", CHALLENGE, "action Login",
  [[send Response: Error\r\nActionID: $id\r\nMessage: Authentication failed\r\n\r\n]] }

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

  it("Q40 by md5 answers the challenge with lowercase hex, and asks for the events of the configuration", function()
    local peer = h.peer(h.LOGIN .. "\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { events = "call,agent" }) } }
    daemon:ready "pbx1"
    local pipe = io.popen("printf %s 123456789" .. h.SECRET .. " | md5sum")
    local key = pipe:read "l":match "^%x+"
    pipe:close()
    local login = peer.received():match "Action: Login\r\n.-\r\n\r\n"
    assert.truthy(login:find("AuthType: MD5\r\n", 1, true), login)
    assert.truthy(login:find("Username: " .. h.USER .. "\r\n", 1, true), login)
    assert.truthy(login:find("Key: " .. key .. "\r\n", 1, true), login)
    assert.truthy(login:find("Events: call,agent\r\n", 1, true), login)
    assert.falsy(peer.received():find(h.SECRET, 1, true))
  end)

  it("Q40 by plain sends the secret itself, and asks for the events of the configuration", function()
    local peer = h.peer { BANNER, "action Login", OK, "hold" }
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { auth = "plain", events = "call,agent" }) } }
    daemon:ready "pbx1"
    assert.truthy(peer.received():find("Secret: " .. h.SECRET .. "\r\n", 1, true))
    assert.truthy(peer.received():find("Events: call,agent\r\n", 1, true))
    assert.falsy(peer.received():find("Challenge", 1, true))
  end)

  -- 0.0.0.0 leads to this machine, and is no address of it.
  it("Q40 by plain goes to another machine over TLS, or where allow_plaintext says so", function()
    local script = { BANNER, "action Login", OK, "serve" }
    local folder = h.certificates()
    local secure, open = h.peer_with({ "--tls", folder .. "/good.pem" }, script), h.peer(script)
    local daemon = h.daemon { servers = {
      secure = h.server(secure, { host = "0.0.0.0", auth = "plain", tls = { enabled = true, ca = folder .. "/ca.pem", server_name = "pbx.example" } }),
      open = h.server(open, { host = "0.0.0.0", auth = "plain", allow_plaintext = true }) } }
    daemon:ready "secure"
    daemon:ready "open"
    for _, peer in ipairs { secure, open } do assert.truthy(peer.received():find("Secret: " .. h.SECRET .. "\r\n", 1, true)) end
  end)

  it("Q40 is good, too, when the server says that it was authenticated already", function()
    local peer = h.peer { BANNER, "action Challenge", CHALLENGE, "action Login",
      [[send Response: Success\r\nActionID: $id\r\nMessage: Already authenticated\r\n\r\n]], "serve" }
    h.daemon { servers = { pbx1 = h.server(peer) } }:ready "pbx1"
  end)

  it("Q41 makes the session ready: FullyBooted may never come, and is an event like any other", function()
    local go = h.folder() .. "/go"
    local peer = h.peer(h.LOGIN .. "\naction Getvar\n" .. OK .. "\nwait " .. go
      .. "\nsend Event: FullyBooted\\r\\nPrivilege: system,all\\r\\nUptime: 7\\r\\nLastReload: 5\\r\\n\\r\\n\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        log.info("answered", { good = server:call { Action = "Getvar", Variable = "X" } ~= nil })
      end)
      ami.on("FullyBooted", function(ev) log.info("booted", { uptime = ev.Uptime, reload = ev.LastReload }) end)]] } }
    assert.is_true(daemon:await({ msg = "answered" }).good)
    h.write_file(go, "")
    local booted = daemon:await { msg = "booted" }
    assert.same({ "7", "5" }, { booted.uptime, booted.reload })
    assert.equal(1, #daemon:find { msg = "session ready" })
  end)

  it("Q42 that is refused is tried on its own scale, again and again, and opens no circuit breaker", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(REFUSED), { reconnect = { first = 0.01, max = 0.01, auth_first = 0.1, auth_max = 0.3,
      breaker_failures = 2, breaker_open = 300 } }) } }
    daemon:await({ msg = "no session", reason = "auth" }, { count = 5 })
    for n, told in ipairs(daemon:find { msg = "no session" }) do
      -- 0.1 s, twice as much each time, at most 0.3; and never less than half of the first.
      assert.is_true(told.retry_in >= 0.049 and told.retry_in <= math.min(0.1 * 2 ^ (n - 1), 0.3) + 0.001, told.retry_in)
      assert.truthy(told.error:find("Authentication failed", 1, true))
    end
    assert.equal(0, #daemon:find { msg = "circuit breaker open: too many failures in a row" })
  end)

  it("Q42 that is refused begins that scale again once a session has lasted", function()
    local lasts = h.LOGIN .. "\nsleep 60\nsend Event: Reload\\r\\n\\r\\n"
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer(REFUSED, REFUSED, REFUSED, lasts, REFUSED), { reconnect = { first = 0.01, max = 0.01,
      auth_first = 0.1, auth_max = 30, success_after = 0.05 } }) } }
    daemon:ready "pbx1"
    local told = daemon:await({ msg = "no session", reason = "auth" }, { count = 4 })
    assert.is_true(told.retry_in <= 0.101, told.retry_in)
  end)

  it("Q42 that is refused takes the right secret from a reload at once", function()
    local sim = h.sim()
    local options = { servers = { pbx1 = h.server(sim, { secret = "not-the-secret" }) } }
    local project = h.project(options)
    local daemon = h.daemon(project)
    assert.is_true(daemon:await({ msg = "no session", reason = "auth" }).retry_in >= 15)
    options.servers.pbx1 = h.server(sim)
    project.write(options)
    assert.is_true(daemon:reload())
    daemon:ready "pbx1"
  end)

  it("Q43 fixes what a session hears: a reload of Asterisk leaves it as it is, other `events` need a new one", function()
    local peer = h.peer(h.LOGIN .. "\nsend Event: Reload\\r\\nPrivilege: system,all\\r\\nModule: manager\\r\\nStatus: 0\\r\\n\\r\\n\nserve", h.LOGIN .. "\nserve")
    local options = { servers = { pbx1 = h.server(peer, { events = "call,system" }) }, rules = { ["probe.lua"] = [[
      ami.on("Reload", function() log.info "reload heard" end)
      ami.on("server.lost", function(ev) log.info("lost", { reason = ev.reason }) end)]] } }
    local project = h.project(options)
    local daemon = h.daemon(project)
    daemon:await { msg = "reload heard" }
    assert.equal(0, #daemon:find { msg = "lost" })
    options.servers.pbx1.events = "call"
    project.write(options)
    assert.is_true(daemon:reload())
    assert.equal("reconfigured", daemon:await({ msg = "lost" }).reason)
    daemon:ready("pbx1", { count = 2 })
    local asked = {}
    for mask in peer.received():gmatch "Events: ([^\r]*)" do asked[#asked + 1] = mask end
    assert.same({ "call,system", "call" }, asked)
  end)

  it("Q48 goes to port 5039 with TLS and to 5038 without, unless a port is given", function()
    local function at(tls, port)
      return { host = "127.0.0.1", port = port, username = "u", secret = "s", tls = tls and { enabled = true } or nil }
    end
    local daemon = h.daemon { servers = { plain = at(false), tls = at(true), off = { host = "127.0.0.1", username = "u", secret = "s",
      tls = { enabled = false } }, own = at(true, 5) } }
    local ports = {}
    for _, server in ipairs(daemon:status().servers) do ports[server.name] = server.port end
    assert.same({ plain = 5038, tls = 5039, off = 5038, own = 5 }, ports)
  end)

  it("Q48 goes to port 5039, too, where `defaults` switch TLS on", function()
    local daemon = h.daemon { config = { defaults = { tls = { enabled = true, verify = false } } }, servers = {
      pbx1 = { host = "127.0.0.1", username = "u", secret = "s" },
      pbx2 = { host = "127.0.0.1", username = "u", secret = "s", tls = { enabled = false } } } }
    local ports = {}
    for _, server in ipairs(daemon:status().servers) do ports[server.name] = server.port end
    assert.same({ pbx1 = 5039, pbx2 = 5038 }, ports)
  end)
end)

describe("a mask of events", function()
  after_each(h.cleanup)

  -- Q62: OriginateResponse has the one class call.
  local HEARD = { "on", "yes", "true", "call", "call,agent", "agent,call", "all", "2", "6", "262146" }
  local UNHEARD = { "off", "no", "false", "0", "agent", "agent,user", "none", "1", "4", "CALL", "originate" }

  it("Q46 decides at once whether an asynchronous Originate may be sent, and it ends with its event", function()
    local script = h.LOGIN .. [[

action Originate
send Response: Success\r\nActionID: $id\r\nMessage: Originate successfully queued\r\n\r\n
send Event: OriginateResponse\r\nPrivilege: call,all\r\nActionID: $id\r\nResponse: Success\r\nReason: 4\r\n\r\n
serve]]
    local peers, servers = {}, {}
    for _, masks in ipairs { HEARD, UNHEARD } do
      for _, mask in ipairs(masks) do
        local name = (masks == HEARD and "heard-" or "unheard-") .. mask:gsub(",", "-")
        peers[name] = h.peer(script)
        servers[name] = h.server(peers[name], { events = mask })
      end
    end
    local daemon = h.daemon { servers = servers, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        local res, err = server:call { Action = "Originate", Channel = "Local/1@x", Context = "x", Exten = "1", Priority = 1 }
        log.info("ended", { server = server.name, reason = res and res.Reason, code = err and err.code, text = err and err.message })
        res, err = server:call { Action = "Originate", Channel = "Local/1@x", Context = "x", Exten = "1", Priority = 1, Async = false }
        log.info("synchronous", { server = server.name, code = err and err.code })
      end)]] } }
    for name in pairs(servers) do
      local ended = daemon:await { msg = "ended", server = name }
      assert.is_nil(daemon:await({ msg = "synchronous", server = name }).code, name)
      local sent = peers[name].received():find("Async: true", 1, true)
      if name:find "^heard" then
        assert.equal("4", ended.reason, name)
        assert.truthy(sent, name)
      else
        assert.equal("invalid", ended.code, name)
        assert.truthy(ended.text:find("`events` lack the class call", 1, true), ended.text)
        assert.falsy(sent, name)
      end
    end
  end)

  it("Q46 without the class call is a warning of check, and so is a word that is no class", function()
    local servers = {}
    for _, masks in ipairs { HEARD, UNHEARD } do
      for _, mask in ipairs(masks) do servers[(masks == HEARD and "heard-" or "unheard-") .. mask:gsub(",", "-")] = h.server(1, { events = mask }) end
    end
    servers["heard-odd"] = h.server(1, { events = "call,agents" })
    local project = h.project { servers = servers }
    local code, _, err = h.run("check", "-c", project.config)
    assert.equal(0, code)
    for name in pairs(servers) do
      local warned = err:find("servers." .. name .. ".events: \"" .. servers[name].events .. "\" lacks the class call;", 1, true)
      assert.equal(name:find "^unheard" ~= nil, warned ~= nil, name .. "\n" .. err)
    end
    assert.truthy(err:find([[warning: servers.heard-odd.events: "agents" is no class]], 1, true), err)
    assert.falsy(err:find([["agent" is no class]], 1, true))
  end)
end)

describe("a filter of events", function()
  after_each(h.cleanup)

  -- Q61: older servers take MatchCriteria for nothing and the Filter for a regular expression over the whole event.
  for number, action in pairs { Q60 = { Operation = "Add", Filter = "Event: Newchannel" },
    Q61 = { Operation = "Add", Filter = "hangup", MatchCriteria = "name(Hangup),method(exact)" } } do
    it(number .. " is not for rules or consoles: it lasts for the session, and can take the end of an Originate away", function()
      local sim = h.sim()
      action.Action = "Filter"
      local daemon = h.daemon { servers = { pbx1 = h.server(sim) }, rules = { ["probe.lua"] = ([[
        ami.on("server.ready", function(_, server)
          local res, err = server:call(%s)
          log.info("ended", { code = err and err.code })
        end)]]):format(h.source(action)) } }
      assert.equal("denied", daemon:await({ msg = "ended" }).code)
      local code, _, err = daemon:ctl("call", "pbx1", "Action=Filter", "Operation=Add", "Filter=" .. action.Filter)
      assert.not_equal(0, code)
      assert.truthy(err:find("denied", 1, true) or err:find("engine", 1, true), err)
    end)
  end
end)
