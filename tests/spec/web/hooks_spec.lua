-- Endpoints that rules serve over HTTP.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"
local cjson = require "cjson"

describe("an endpoint of a rule", function()
  after_each(helper.cleanup)

  local function post(d, path, body, more)
    local request = { method = "POST", path = path, token = support.ALL, headers = { ["Content-Type"] = "application/json" },
      body = type(body) == "table" and cjson.encode(body) or body }
    for key, value in pairs(more or {}) do request[key] = value end
    return support.ask(d, request)
  end

  local function daemon(rule, web, more)
    local options = more or {}
    options.rules = { ["r.lua"] = rule }
    return support.daemon(options, web)
  end

  it("gets the request and its answer is the response", function()
    local d = daemon [[
      web.on("POST", "/hooks/echo", function(req)
        return 201, { method = req.method, path = req.path, query = req.query.a, header = req.headers["x-a"], auth = req.headers.authorization,
          body = #req.body, json = req.json.n, null = req.json.none == nil, token = req.token, remote = req.remote }, { ["X-B"] = "c" }
      end)
      web.on("GET", "/hooks/text", function() return 200, "plain <b>" end)
      web.on("GET", "/hooks/html", function() return 200, "<b>", { ["Content-Type"] = "text/html" } end)
      web.on("DELETE", "/hooks/nothing", function() end)
      web.on("GET", "/hooks/waits", function() timer.sleep(0.05) return 200, { 1, 2 } end)
    ]]
    local status, headers, body = post(d, "/hooks/echo?a=b%20c&a=d", '{"n":[1,{"x":2}],"none":null}', { headers = { ["X-A"] = "v", ["Content-Type"] = "application/json" } })
    assert.are.equal(201, status)
    assert.are.equal("c", headers["x-b"])
    assert.are.same({ method = "POST", path = "/hooks/echo", query = "b c", header = "v", body = 29, json = { 1, { x = 2 } }, null = true, token = "all",
      remote = "127.0.0.1" }, body)
    local function get(path, method) return support.ask(d, { path = path, method = method, token = support.ALL }) end
    status, headers, body = get "/hooks/text"
    assert.are.same({ 200, "text/plain; charset=utf-8", "plain <b>" }, { status, headers["content-type"], body })
    assert.are.equal("text/html", (select(2, get "/hooks/html"))["content-type"])
    assert.are.same({ 204, {}, "" }, { (get("/hooks/nothing", "DELETE")), {}, (select(3, get("/hooks/nothing", "DELETE"))) })
    assert.are.same({ 1, 2 }, (select(3, get "/hooks/waits")))
    assert.are.equal(404, (get "/hooks/none"))
    status, headers = get "/hooks/echo"
    assert.are.same({ 405, "POST" }, { status, headers.allow })
    assert.are.equal(400, (post(d, "/hooks/echo", "nonsense")))
  end)

  it("asks for the token that it names, and the scope", function()
    local tokens = support.tokens()
    tokens.crm = { secret = "crm-secret-0123456789", scopes = { "hooks" } }
    local d = daemon([[
      web.on("GET", "/hooks/crm", { token = "crm" }, function() return 200, "crm" end)
      web.on("GET", "/hooks/any", function() return 200, "any" end)
    ]], { tokens = tokens })
    local function get(path, token) return (support.ask(d, { path = path, token = token })) end
    assert.are.equal(200, get("/hooks/crm", "crm-secret-0123456789"))
    assert.are.equal(403, get("/hooks/crm", support.ALL))
    assert.are.equal(200, get("/hooks/any", support.ALL))
    assert.are.equal(403, get("/hooks/any", support.READ))
    -- No hint whether a path exists.
    for _, path in ipairs { "/hooks/crm", "/hooks/none" } do assert.are.equal(401, get(path)) end
    assert.are.equal(403, get("/hooks/none", support.READ))
    assert.are.equal(404, get("/hooks/none", support.ALL))
  end)

  it("takes a signature instead, of the very bytes", function()
    local d = daemon([[
      web.on("POST", "/hooks/signed", { auth = "hmac", header = "X-Signature", prefix = "sha256=", secret = "it-is-a-secret" },
        function(req) return 200, { body = req.body, token = req.token == nil } end)
    ]], { failures = 3 })
    local _, digest = helper.run("-c", "printf 'hello' | openssl dgst -sha256 -hmac it-is-a-secret -r | cut -d' ' -f1", { program = "sh" })
    digest = digest:match "%x+"
    local function send(body, signature, token)
      return support.ask(d, { method = "POST", path = "/hooks/signed", body = body, token = token, headers = signature and { ["X-Signature"] = signature } or {} })
    end
    local status, _, body = send("hello", "sha256=" .. digest)
    assert.are.same({ 200, { body = "hello", token = true } }, { status, body })
    assert.are.equal(200, (send("hello", "sha256=" .. digest:upper())))
    assert.are.equal(401, (send("hellp", "sha256=" .. digest)))
    assert.are.equal(401, (send("hello", digest)))
    assert.are.equal(401, (send("hello", nil, support.ALL)))
    assert.are.equal(429, (send("hello", "sha256=" .. digest)))
  end)

  it("takes nothing but a JSON object where it asks for one", function()
    local d = daemon([[
      web.on("POST", "/hooks/x", { json = true }, function(req) return 200, { n = req.json.n, fields = next(req.json) ~= nil } end)
      web.on("POST", "/hooks/any", function(req) return 200, { type = type(req.json) } end)
    ]], { requests_per_second = 1000 })
    for body, fault in pairs { ["5"] = "must be a JSON object", ["null"] = "must be a JSON object", ['"x"'] = "must be a JSON object", ["true"] = "must be a JSON object",
      ["[1]"] = "must be a JSON object", ["{"] = "not JSON", [""] = "not JSON" } do
      local status, _, answer = post(d, "/hooks/x", body)
      assert.are.equal(400, status, body)
      assert.truthy(answer.error:find(fault, 1, true), body .. ": " .. answer.error)
    end
    assert.are.equal(415, (post(d, "/hooks/x", "n=1", { headers = { ["Content-Type"] = "text/plain" } })))
    assert.are.same({ n = 1, fields = true }, (select(3, post(d, "/hooks/x", '{"n":1}'))))
    assert.are.same({ fields = false }, (select(3, post(d, "/hooks/x", "{}", { headers = {} }))))
    for body, kind in pairs { ["5"] = "number", ["null"] = "nil", ['"x"'] = "string", ["[1]"] = "table" } do
      assert.are.same({ type = kind }, (select(3, post(d, "/hooks/any", body))))
    end
  end)

  it("has an example in lib/README.md that answers no body with 500", function()
    local chapter = helper.read "lib/README.md":match "\n## Endpoints for the web\n(.-)\n## "
    local tokens = support.tokens()
    tokens.crm = { secret = "crm-secret-0123456789", scopes = { "hooks" } }
    local d = daemon(chapter:match "```lua\n(.-)\n```", { tokens = tokens, requests_per_second = 1000 }, { servers = { pbx1 = helper.server(helper.sim()) } })
    d:ready "pbx1"
    local function dial(body) return (post(d, "/hooks/dial", body, { token = "crm-secret-0123456789" })) end
    for _, body in ipairs { "5", "null", '"alice"', "true", "[]", "[5]", "{}", '{"user":"alice"}', '{"user":5,"number":"1"}', '{"user":{},"number":"1"}',
      '{"user":"alice","number":5}', '{"user":"alice","number":{}}', '{"user":"alice","number":null}', '{"user":"alice","number":"1;x"}', '{"user":null,"number":"1"}' } do
      local status = dial(body)
      assert.is_true(status == 400 or status == 422, body .. " " .. status)
    end
    assert.are.equal(202, dial '{"user":"alice","number":"100"}')
  end)

  it("answers exactly once, whatever its rule does", function()
    local d = daemon([[
      web.on("GET", "/hooks/fails", function() error "no" end)
      web.on("GET", "/hooks/late", function() timer.sleep(1) log.info "done late" return 200 end)
      web.on("GET", "/hooks/spins", function() while true do end end)
      web.on("GET", "/hooks/status", function() return "200" end)
      web.on("GET", "/hooks/low", function() return 100 end)
      web.on("GET", "/hooks/function", function() return 200, print end)
      web.on("GET", "/hooks/cycle", function() local t = {} t.t = t return 200, t end)
      web.on("GET", "/hooks/large", function() return 200, ("x"):rep(2000000) end)
      web.on("GET", "/hooks/split", function() return 200, "x", { ["X-A"] = "b\r\nSet-Cookie: c" } end)
      web.on("GET", "/hooks/length", function() return 200, "x", { ["Content-Length"] = "0" } end)
    ]], { timeout = 0.5, requests_per_second = 1000 })
    local function get(path) return support.ask(d, { path = "/hooks/" .. path, token = support.ALL }) end
    local status, _, body = get "fails"
    assert.are.equal(500, status)
    local id = body.error:match "the log has it as request (%x+)$"
    d:await { level = "error", request = id, endpoint = "GET /hooks/fails" }
    assert.is_nil(body.error:find("r.lua", 1, true))
    assert.are.equal(504, (get "late"))
    d:await { msg = "web endpoint does not answer", endpoint = "/hooks/late" }
    d:await { msg = "done late" }
    for _, path in ipairs { "status", "low", "function", "cycle", "large", "split", "length" } do assert.are.equal(500, (get(path)), path) end
    assert.are.equal(500, (get "spins"))
  end)

  it("gets no part of a query: one that is badly encoded or has too many parameters is refused", function()
    local d = daemon [[
      web.on("GET", "/hooks/query", function(req)
        local count = 0
        for _ in pairs(req.query) do count = count + 1 end
        return 200, { count = count }
      end)
    ]]
    local function ask(query)
      local status, _, body = support.ask(d, { path = "/hooks/query?" .. query, token = support.ALL })
      return status, body.error or body.count
    end
    local function names(count)
      local list = {}
      for i = 1, count do list[i] = "name" .. i end
      return table.concat(list, "&")
    end
    assert.are.same({ 200, 64 }, { ask(names(64)) })
    assert.are.same({ 200, 64 }, { ask(names(64) .. "&" .. names(64)) })
    assert.are.same({ 400, "a query has at most 64 parameters" }, { ask(names(65)) })
    assert.are.same({ 400, "a query has at most 64 parameters" }, { ask(names(1500)) })
    for _, query in ipairs { "user=%zz&admin=1", "a=1&b=%4", "%00" } do assert.are.same({ 400, "the query is badly encoded" }, { ask(query) }) end
  end)

  it("answers 503 to who waits when the engine stops", function()
    local d = daemon [[
      web.on("GET", "/hooks/slow", function() log.info("began") timer.sleep(5) return 200 end)
    ]]
    local client = helper.start("curl", { "-s", "-H", "Authorization: Bearer " .. support.ALL, "-w", " %{http_code}", ("http://127.0.0.1:%d/hooks/slow"):format(d.web_port) })
    d:await { msg = "began" }
    assert.are.equal(0, d:stop())
    assert.are.equal(0, client:ended())
    assert.are.equal('{"error":"the engine stops"}\n 503', client:stdout())
    d:await { msg = "web endpoint does not answer", endpoint = "GET /hooks/slow" }
  end)

  it("has no body where a status has none, which would be taken for the next answer", function()
    local d = daemon [[
      web.on("POST", "/hooks/bare", function(req) return tonumber(req.query.status), req.body, { ["X-A"] = "b" } end)
    ]]
    local function answers(status, body)
      local request = { method = "POST", path = "/hooks/bare" .. status, token = support.ALL, body = body, connection = "keep-alive" }
      local codes, bytes = {}, support.raw(d.web_port, support.bytes(request) .. support.bytes { path = "/api/nothing", token = support.ALL })
      for code in bytes:gmatch "HTTP/1%.1 (%d+)" do codes[#codes + 1] = code end
      return codes
    end
    for _, status in ipairs { "", "?status=204", "?status=205", "?status=304" } do
      assert.are.same({ "500", "404" }, answers(status, "HTTP/1.1 299 Hidden\r\nContent-Length: 0\r\n\r\n"))
      assert.are.same({ status:match "%d+" or "204", "404" }, answers(status, ""))
    end
    d:await { level = "error", endpoint = "POST /hooks/bare", msg = "web.on: an answer with the status 304 has no body" }
  end)

  it("answers 503 while its rule is quarantined or disabled", function()
    local d = daemon([[
      web.on("GET", "/hooks/x", function() while true do end end)
    ]], { requests_per_second = 1000 })
    local function get() return support.ask(d, { path = "/hooks/x", token = support.ALL }) end
    helper.wait_for(function() return get() == 503 end)
    d:await { msg = "rule quarantined", rule = "r" }
    assert.are.equal("30", (select(2, get()))["retry-after"])
    d.project.rule("r.lua", "web.on('GET', '/hooks/x', function() return 200 end)")
    assert.is_true(d:reload())
    assert.are.equal(200, (get()))
    assert.are.equal(0, (d:ctl("disable", "r")))
    assert.are.equal(503, (get()))
  end)

  it("goes on through a reload: what was begun is answered by the old rule, what comes by the new one", function()
    local d = daemon("web.on('GET', '/hooks/x', function() timer.sleep(0.4) return 200, 'old' end)")
    local bytes = support.bytes { path = "/hooks/x", token = support.ALL }
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send " .. support.escape(bytes) .. "\nsay in\nhold")
    local client = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received", d.web_port })
    helper.wait_for(function() return d:metric("hookswitch_rules_waiting", { rule = "r" }) == 1 end)
    d.project.rule("r.lua", "web.on('GET', '/hooks/x', function() return 200, 'new' end)")
    assert.is_true(d:reload())
    assert.are.equal("new", (select(3, support.ask(d, { path = "/hooks/x", token = support.ALL }))))
    client:ended()
    assert.matches("old$", helper.read(folder .. "/received"))
  end)

  it("ends as unavailable when its rule cannot finish it", function()
    local d = daemon("web.on('GET', '/hooks/x', function() timer.sleep(60) return 200, 'old' end)", { timeout = 60 }, { config = { scripts = { drain = 0.2 } } })
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send " .. support.escape(support.bytes { path = "/hooks/x", token = support.ALL }) .. "\nhold")
    local client = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received", d.web_port })
    helper.wait_for(function() return d:metric("hookswitch_rules_waiting", { rule = "r" }) == 1 end)
    d.project.rule("r.lua", "web.on('GET', '/hooks/y', function() end)")
    assert.is_true(d:reload())
    client:ended()
    assert.matches("^HTTP/1.1 503 ", helper.read(folder .. "/received"))
    assert.are.equal(404, (support.ask(d, { path = "/hooks/x", token = support.ALL })))
    -- A client that leaves takes nothing with it.
    helper.write_file(folder .. "/leave", "send " .. support.escape(support.bytes { path = "/hooks/y", token = support.ALL }))
    helper.run(folder .. "/leave", folder .. "/received2", d.web_port, { program = helper.peer_binary })
    assert.are.equal(200, (support.ask(d, "/api/status")))
  end)

  it("is answered for a rule that gives its memory back, and refused until that begins anew", function()
    local d = daemon([[
      web.on("GET", "/hooks/x", function() timer.sleep(60) return 200 end)
      web.on("POST", "/hooks/signed", { auth = "hmac", header = "X-Signature", secret = "it-is-a-secret" }, function() return 200 end)
      ami.on("crm.eat", function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)
    ]], { timeout = 60 }, { config = { limits = { rule_memory = 2 * 1024 * 1024 } } })
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send " .. support.escape(support.bytes { path = "/hooks/x", token = support.ALL }) .. "\nhold")
    local client = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received", d.web_port })
    helper.wait_for(function() return d:metric("hookswitch_rules_waiting", { rule = "r" }) == 1 end)
    for _ = 1, 3 do d:emit "crm.eat" end
    client:ended()
    assert.matches("^HTTP/1.1 503 ", helper.read(folder .. "/received"))
    local status, headers = support.ask(d, { path = "/hooks/x", token = support.ALL })
    assert.are.same({ 503, "30" }, { status, headers["retry-after"] })
    -- Who signs is told the same, and is no address that fails; who does not sign still gets no hint.
    local _, digest = helper.run("-c", "printf 'hello' | openssl dgst -sha256 -hmac it-is-a-secret -r | cut -d' ' -f1", { program = "sh" })
    local function signed(signature)
      return (support.ask(d, { method = "POST", path = "/hooks/signed", body = "hello", headers = { ["X-Signature"] = signature } }))
    end
    assert.are.equal(503, signed(digest:gsub("%s", "")))
    assert.are.equal(0, d:metric("hookswitch_web_refused_total", { reason = "token" }))
    assert.are.equal(401, signed(("0"):rep(64)))
  end)

  it("has one rule, and is declared while that is loading", function()
    local function check(rules)
      local code, out, err = helper.run("check", "-c", helper.project { rules = rules }.config)
      return code, out .. err
    end
    for fault, rules in pairs {
      ["scripts/b%.lua: GET /hooks/x is served by scripts/a%.lua already %(web%.on%); one rule serves an endpoint"] = {
        ["a.lua"] = "web.on('GET', '/hooks/x', function() end)", ["b.lua"] = "web.on('GET', '/hooks/x', function() end)" },
      ["this rule serves GET /hooks/x already"] = { ["a.lua"] = "for i = 1, 2 do web.on('GET', '/hooks/x', function() end) end" },
      ["web%.on: json is true or false"] = { ["a.lua"] = "web.on('GET', '/hooks/x', { json = 'object' }, function() end)" },
      ["a path is /hooks/ and a name"] = { ["a.lua"] = "web.on('GET', '/api/x', function() end)" },
      ["unknown option 'tokn' of web%.on"] = { ["a.lua"] = "web.on('GET', '/hooks/x', { tokn = 'a' }, function() end)" },
      ["auth = \"hmac\" needs a header and a secret"] = { ["a.lua"] = "web.on('GET', '/hooks/x', { auth = 'hmac', header = 'X' }, function() end)" },
      ["a function is expected"] = { ["a.lua"] = "web.on('GET', '/hooks/x', {})" },
      ["invalid option 'TRACE'"] = { ["a.lua"] = "web.on('TRACE', '/hooks/x', function() end)" },
    } do
      local code, text = check(rules)
      assert.are.equal(1, code, fault)
      assert.matches(fault, text)
    end
    assert.are.equal(1, (check { ["a.lua"] = "web.on('GET', '/hooks/../x', function() end)" }))
    local d = daemon [[ami.on("crm.go", function() web.on("GET", "/hooks/x", function() end) end)]]
    d:emit "crm.go"
    d:await { level = "error", rule = "r" }
    assert.are.equal(404, (support.ask(d, { path = "/hooks/x", token = support.ALL })))
  end)
end)
