-- Who gets an answer from the API, and who does not.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"
local ask = support.ask

describe("the API", function()
  after_each(helper.cleanup)

  it("is not there unless the configuration names an address", function()
    local d = helper.daemon { config = { web = { tokens = support.tokens() } } }
    for _, record in ipairs(d:log()) do assert.are_not.equal("the API is served", record.msg) end
  end)

  it("answers who has a token, and 401 to everybody else, whatever the path", function()
    local d = support.daemon()
    local status, headers, body = ask(d, "/api/status")
    assert.are.equal(200, status)
    assert.are.equal("application/json", headers["content-type"])
    assert.are.equal("nosniff", headers["x-content-type-options"])
    assert.is_number(body.uptime)
    local refusals = {}
    for _, path in ipairs { "/api/status", "/api/nonsense", "/x", "/hooks/x", "/metrics" } do
      for _, token in ipairs { false, "wrong-secret-0123456789", support.READ .. "x", support.READ:sub(1, -2) } do
        local code, head, answer = ask(d, { path = path, token = token or nil })
        assert.are.equal(401, code)
        assert.are.equal("Bearer", head["www-authenticate"])
        refusals[answer.error .. head["content-length"]] = true
        d.project.write { config = { web = { listen = "127.0.0.1:0", failures = 1000, tokens = support.tokens() } } }
      end
      assert.is_true(d:reload())
    end
    assert.is_string(next(refusals))
    assert.is_nil(next(refusals, (next(refusals))), "all refusals are the same")
    assert.are.equal(404, (ask(d, "/api/nonsense")))
    assert.are.equal(405, (ask(d, { path = "/api/status", method = "POST", token = support.READ, body = "{}" })))
    d:await { msg = "web request refused", reason = "token", address = "127.0.0.1" }
    assert.are.equal(20, d:metric("hookswitch_web_refused_total", { reason = "token" }))
    assert.are.equal(20, d:metric("hookswitch_web_requests_total", { status = "401" }))
  end)

  it("takes a token by one Authorization header alone", function()
    local d = support.daemon()
    for _, header in ipairs { "Basic " .. support.READ, support.READ, "Bearer", "Bearer " .. support.READ .. " x" } do
      assert.are.equal(401, (ask(d, { path = "/api/status", headers = { Authorization = header } })), header)
    end
    local status, _, body = ask(d, { path = "/api/status?token=" .. support.READ })
    assert.are.same({ 401, "a valid token is missing: the header Authorization is the word Bearer, a blank and the token" }, { status, body.error })
    local twice = support.bytes { path = "/api/status", token = support.READ, headers = { authorization = "Bearer " .. support.READ } }
    assert.matches("^HTTP/1.1 401 ", (support.raw(d.web_port, twice)))
    assert.are.equal(200, (ask(d, { path = "/api/status", headers = { authorization = "bearer " .. support.READ } })))
  end)

  it("blocks an address with too many failures, whatever it sends then", function()
    local d = support.daemon(nil, { failures = 3 })
    for _ = 1, 3 do assert.are.equal(401, (ask(d, { path = "/api/status", token = "wrong-secret-0123456789" }))) end
    local status, headers = ask(d, "/api/status")
    assert.are.equal(429, status)
    assert.are.equal("60", headers["retry-after"])
    d:await { msg = "web request refused", reason = "failures", address = "127.0.0.1" }
    assert.are.equal(1, d:metric("hookswitch_web_refused_total", { reason = "failures" }))
    -- A reload forgives nothing.
    assert.is_true(d:reload())
    assert.are.equal(429, (ask(d, "/api/status")))
  end)

  it("believes a proxy that it trusts, and nobody else, what the client's address is", function()
    local d = support.daemon(nil, { failures = 2, trusted_proxies = { "127.0.0.0/8", "10.0.0.7" } })
    local function wrong(forwarded)
      return (ask(d, { path = "/x", token = "wrong-secret-0123456789", headers = { ["X-Forwarded-For"] = forwarded } }))
    end
    for _ = 1, 2 do assert.are.equal(401, wrong "192.0.2.1, 203.0.113.9, 10.0.0.7") end
    d:await { msg = "web request refused", reason = "token", address = "203.0.113.9" }
    assert.are.equal(429, wrong "203.0.113.9")
    assert.are.equal(401, wrong "192.0.2.1")
    assert.are.equal(200, (ask(d, "/api/status")))
    local direct = support.daemon(nil, { failures = 2 })
    for i = 1, 3 do
      local status = ask(direct, { path = "/x", token = "wrong-secret-0123456789", headers = { ["X-Forwarded-For"] = "192.0.2." .. i } })
      assert.are.equal(i < 3 and 401 or 429, status)
    end
  end)

  it("bounds the requests of a token, not of others", function()
    local d = support.daemon(nil, { requests_per_second = 2 })
    local many = support.bytes { path = "/api/status", token = support.READ, connection = "keep-alive" }
    local answer = support.raw(d.web_port, many:rep(3) .. support.bytes { path = "/api/status", token = support.READ })
    local codes = {}
    for code in answer:gmatch "HTTP/1.1 (%d+)" do codes[#codes + 1] = code end
    assert.are.same({ "200", "200", "429", "429" }, codes)
    assert.are.equal(200, (ask(d, { path = "/api/status", token = support.ALL })))
    d:await { msg = "web request refused", reason = "rate", client = "reader" }
    assert.are.equal(2, d:metric("hookswitch_web_refused_total", { reason = "rate" }))
    helper.wait_for(function() return ask(d, "/api/status") == 200 end)
  end)

  it("serves its own hosts only", function()
    local d = support.daemon()
    for _, host in ipairs { "localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:80" } do
      assert.are.equal(200, (ask(d, { path = "/api/status", token = support.READ, host = host })), host)
    end
    for _, host in ipairs { "evil.example", "localhost.evil.example", "127.0.0.1.evil.example" } do
      assert.are.equal(421, (ask(d, { path = "/api/status", token = support.READ, host = host })), host)
    end
    d:await { msg = "web request refused", reason = "host" }
    assert.are.equal(3, d:metric("hookswitch_web_refused_total", { reason = "host" }))
    local named = support.daemon(nil, { hosts = { "board.example.net" } })
    assert.are.equal(200, (ask(named, { path = "/api/status", token = support.READ, host = "Board.example.net:443" })))
    assert.are.equal(421, (ask(named, "/api/status")))
  end)

  it("lets pages of listed origins in, and no others", function()
    local d = support.daemon(nil, { origins = { "https://crm.example.net" } })
    local preflight = { Origin = "https://crm.example.net", ["Access-Control-Request-Method"] = "POST" }
    local status, headers = ask(d, { path = "/api/emit/crm.x", method = "OPTIONS", headers = preflight })
    assert.are.equal(204, status)
    assert.are.equal("https://crm.example.net", headers["access-control-allow-origin"])
    assert.matches("Authorization", headers["access-control-allow-headers"])
    assert.is_nil(headers["access-control-allow-credentials"])
    status, headers = ask(d, { path = "/api/status", token = support.READ, headers = { Origin = "https://crm.example.net" } })
    assert.are.same({ 200, "https://crm.example.net", "Origin" }, { status, headers["access-control-allow-origin"], headers.vary })
    -- A refusal can be read by the page too.
    status, headers = ask(d, { path = "/api/status", headers = { Origin = "https://crm.example.net" } })
    assert.are.same({ 401, "https://crm.example.net" }, { status, headers["access-control-allow-origin"] })
    for _, origin in ipairs { "https://evil.example", "http://crm.example.net", "https://crm.example.net.evil.example", "null", "x" } do
      preflight.Origin = origin
      local code, answer = ask(d, { path = "/api/status", method = "OPTIONS", headers = preflight })
      assert.are.same({ 403 }, { code, answer["access-control-allow-origin"] }, origin)
      assert.are.equal(403, (ask(d, { path = "/api/status", token = support.READ, headers = { Origin = origin } })), origin)
    end
    d:await { msg = "web request refused", reason = "origin" }
    -- The page that it serves itself.
    assert.are.equal(200, (ask(d, { path = "/api/status", token = support.READ, headers = { Origin = "http://localhost:8080" } })))
  end)

  it("follows the tokens of a reload, with two secrets while one is replaced", function()
    local d = support.daemon()
    local function reload(tokens)
      d.project.write { config = { web = { listen = "127.0.0.1:0", tokens = tokens } } }
      assert.is_true(d:reload())
    end
    reload { reader = { secret = "new-secret-0123456789", old_secret = support.READ, scopes = { "read" } } }
    assert.are.equal(200, (ask(d, "/api/status")))
    assert.are.equal(200, (ask(d, { path = "/api/status", token = "new-secret-0123456789" })))
    assert.are.equal(401, (ask(d, { path = "/api/status", token = support.ALL })))
    reload { reader = { secret = "new-secret-0123456789", scopes = { "emit" } } }
    assert.are.equal(401, (ask(d, "/api/status")))
    local status, _, body = ask(d, { path = "/api/status", token = "new-secret-0123456789" })
    assert.are.same({ 403, "this token has not the scope read" }, { status, body.error })
    d:await { msg = "web request refused", reason = "scope", client = "reader" }
  end)

  it("shares one address with monitoring", function()
    local port = helper.dead_port()
    local address = "127.0.0.1:" .. port
    local d = support.daemon({ config = { http = { listen = address } } }, { listen = address })
    assert.matches("^HTTP/1.1 200 .*hookswitch_", (support.raw(port, support.bytes { path = "/metrics" })))
    assert.matches("^HTTP/1.1 200 .*ok\n$", (support.raw(port, support.bytes { path = "/healthz" })))
    assert.are.equal(421, (ask(d, { path = "/metrics", host = "evil.example" })))
    assert.are.equal(401, (ask(d, { path = "/api/status" })))
  end)

  it("is served over TLS, with a certificate that a reload replaces", function()
    local certificates = helper.certificates()
    local folder = helper.folder()
    local function install(name)
      helper.write_file(folder .. "/web.pem", helper.read(certificates .. "/" .. name .. ".pem"))
    end
    install "good"
    local d = support.daemon(nil, { hosts = { "pbx.example" }, tls = { cert = folder .. "/web.pem", key = folder .. "/web.pem" } })
    local function get()
      local code, out = helper.run("-s", "--cacert", certificates .. "/ca.pem", "--max-time", "10", "-H", "Authorization: Bearer " .. support.READ,
        "--resolve", ("pbx.example:%d:127.0.0.1"):format(d.web_port), "-w", "%{http_code} %{ssl_verify_result}", "-o", "/dev/null",
        ("https://pbx.example:%d/api/status"):format(d.web_port), { program = "curl" })
      return code, out
    end
    assert.are.same({ 0, "200 0" }, { get() })
    install "self-signed"
    assert.is_true(d:reload())
    assert.are_not.equal(0, (get()))
    install "good"
    assert.is_true(d:reload())
    assert.are.same({ 0, "200 0" }, { get() })
    -- One that cannot be read changes nothing.
    helper.write_file(folder .. "/web.pem", "nonsense")
    local ok, why = d:reload()
    assert.is_falsy(ok)
    assert.are.same({ 0, "200 0" }, { get() })
    -- Who does not speak TLS is dropped, and that is counted.
    support.raw(d.web_port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    local dropped = d:await { msg = "web connection dropped", reason = "tls" }
    assert.matches("^the client does not trust the certificate", dropped.error)
    assert.are.equal("127.0.0.1", dropped.address)
    assert.are.equal(1, d:metric("hookswitch_web_dropped_total", { reason = "tls" }) - 1)
    assert.is_nil(why and why:find(support.READ, 1, true))
  end)

  it("checks what the configuration says", function()
    local function check(web)
      local code, out, err = helper.run("check", "-c", helper.project { config = { web = web } }.config)
      return code, out .. err
    end
    local function token(more)
      local t = { secret = support.READ, scopes = { "read" } }
      for key, value in pairs(more) do t[key] = value end
      return { listen = "127.0.0.1:0", tokens = { a = t } }
    end
    for fault, web in pairs {
      ["web%.listen: 0%.0%.0%.0:8080 is open to other machines, and tokens would cross the network readable; give web%.tls with cert and key"] = { listen = "0.0.0.0:8080" },
      ["web%.tls: cert and key go together, and there is no key"] = { listen = "0.0.0.0:8080", tls = { cert = "x.pem" } },
      ["web%.tls%.cert: cannot read a certificate from .*/x%.pem"] = { listen = "0.0.0.0:8080", tls = { cert = "x.pem", key = "x.pem" } },
      ["web%.tokens%.a%.secret: must be 16 to 256 bytes long"] = token { secret = "short" },
      ["web%.tokens%.a%.secret: must be printable ASCII without blanks"] = token { secret = "0123456789 abcdef" },
      ["web%.tokens%.a%.scopes: must be of read, emit, act, hooks"] = token { scopes = { "admin" } },
      ["web%.tokens%.a%.servers: the configuration has no server \"pbx9\""] = token { servers = { "pbx9" } },
      ["web%.tokens%.a%.emit: means nothing without the scope emit"] = token { emit = { "crm.*" } },
      ["web%.tokens%.b%.secret: the same as that of a"] = { tokens = { a = token({}).tokens.a, b = token({}).tokens.a } },
      ["web%.origins: must be an origin"] = { origins = { "crm.example.net" } },
      ["web%.trusted_proxies: must be an IP address or a network"] = { trusted_proxies = { "10.0.0.0/33" } },
      ["web%.streams: must be at most connections"] = { connections = 2, streams = 3 },
      ["web%.tokens%.a%.scopes: missing"] = { tokens = { a = { secret = support.READ } } },
    } do
      local code, text = check(web)
      assert.are.equal(1, code, fault)
      assert.matches(fault, text)
      assert.is_nil(text:find(support.READ, 1, true))
    end
    assert.are.equal(0, (check { listen = "0.0.0.0:8080", allow_plaintext = true, tokens = support.tokens() }))
  end)

  it("keeps secrets out of its log", function()
    local d = support.daemon()
    ask(d, "/api/status")
    ask(d, { path = "/api/" .. support.READ })
    ask(d, { path = "/api/" .. support.READ, token = support.READ })
    local _, _, body = ask(d, "/api/status?" .. support.READ)
    assert.is_nil((body.error or ""):find(support.READ, 1, true))
    assert.is_nil(helper.read(d.err):find(support.READ, 1, true))
  end)
end)
