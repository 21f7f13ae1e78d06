-- `http` of rules in virtual time; tests/spec/engine/http_spec.lua has real servers.
local support = require "tests.spec.rules.support"

local POLICY = { http = { "https://crm.example.net/api/" } }

local function run(text, options)
  options = options or {}
  options.policy = options.policy or POLICY
  return support.run(text, options)
end

-- A rule whose listener of Hangup runs `text`.
local function on_hangup(text, options)
  return run('ami.on("Hangup", function(ev) ' .. text .. " end)", options)
end

local function hangup(t)
  t:event "Hangup"
  t:advance()
  return t:said()
end

describe("http", function()
  after_each(support.cleanup)

  it("waits for the answer, which has status, headers, body and url", function()
    local t = on_hangup [[
      local res, err = http.get("https://crm.example.net/api/x", { query = { number = ev.Number or "+49 1" }, timeout = 3 })
      note(res.ok, res.status, res.body, res.headers["content-type"], res.headers["CONTENT-type"], res.headers.none, res.url, res:json().name, err)]]
    assert.same({}, hangup(t))
    local request = t:requests()[1]
    assert.same({ "rule", "GET", "https://crm.example.net/api/x?number=%2B49%201", false, 3, 5 },
      { request.rule, request.method, request.url, request.answered, request.timeout, request.follow })
    t:respond(1, { status = 201, headers = { ["Content-Type"] = "a/b" }, json = { name = "Ann" } })
    assert.same({}, t:said())
    t:advance()
    assert.same({ 'true 201 {"name":"Ann"} a/b a/b nil https://crm.example.net/api/x?number=%2B49%201 Ann nil' }, t:said())
    assert.is_true(t:requests()[1].answered)
  end)

  it("gives nil and the error when there is no answer; a 4xx or 5xx is an answer", function()
    local t = on_hangup [[
      local res, err = http.post("https://crm.example.net/api/", { a = 1 })
      note(res and res.status, res and res.ok, err and err.code, tostring(err))]]
    for _, code in ipairs { "timeout", "refused", "resolve", "tls", "lost", "overflow", "cancelled" } do
      hangup(t)
      t:respond(-1, { code = code, text = "why" })
      t:advance()
      assert.same({ ("nil nil %s %s: why"):format(code, code) }, t:said())
    end
    hangup(t)
    t:respond(-1, { status = 500, body = "no" })
    t:advance()
    assert.same({ "500 false nil nil" }, t:said())
  end)

  it("calls a function instead of waiting", function()
    local t = on_hangup [[note(http.get("https://crm.example.net/api/", function(res, err) note("got", res and res.status, err and err.code) end), "began")]]
    assert.same({ "true began" }, hangup(t))
    t:respond(1, { status = 204 })
    t:advance()
    assert.same({ "got 204 nil" }, t:said())
    hangup(t)
    t:respond(2, { code = "timeout" })
    t:advance()
    assert.same({ "got nil timeout" }, t:said())
  end)

  it("sends body, JSON or a form, always in the same order", function()
    local t = on_hangup [[
      local url, none = "https://crm.example.net/api/", function() end
      http.request({ method = "put", url = url, body = "text", headers = { b = "2", a = 1, ["Content-Type"] = "t/x" } }, none)
      http.request({ url = url, method = "POST", form = { b = "x y", a = { 1, true } } }, none)
      http.request({ url = url, method = "PATCH", json = json.array() }, none)
      http.post(url, { list = { 1, 2 } }, { query = { z = 1, y = 2.0 } }, none)
      http.post(url, "raw", none)]]
    hangup(t)
    local seen = {}
    for _, r in ipairs(t:requests()) do seen[#seen + 1] = table.concat({ r.method, r.url:match "api/(.*)", r.headers["Content-Type"] or "-", r.body }, " ") end
    assert.same({ "PUT  t/x text", "POST  application/x-www-form-urlencoded a=1&a=true&b=x%20y", "PATCH  application/json []",
      "POST ?y=2&z=1 application/json {\"list\":[1,2]}", "POST  - raw" }, seen)
    assert.same({ a = "1", b = "2", ["Content-Type"] = "t/x" }, t:requests()[1].headers)
  end)

  it("is not possible while the rules load, and cannot wait where nothing can", function()
    assert.matches("http.get is not possible while the rules are loading", support.faults [[http.get "https://crm.example.net/api/"]])
    assert.matches("http.post is not possible while", support.faults [[http.post("https://a/", {}, function() end)]])
    local t = on_hangup [[note(pcall(table.sort, { 1, 2 }, function() http.get "https://crm.example.net/api/" end))]]
    assert.matches("http.get cannot wait here", hangup(t)[1])
  end)

  it("raises for wrong arguments, and names the right ones", function()
    local t = on_hangup [[
      local url = "https://crm.example.net/api/"
      for _, args in ipairs {
        { http.get }, { http.get, 7 }, { http.get, url, 7 }, { http.get, url, {}, 7 }, { http.get, url, { body = "x" } }, { http.get, url, { tiemout = 1 } },
        { http.get, url, { timeout = -1 } }, { http.get, url, { timeout = 1e9 } }, { http.get, url, { headers = "x" } }, { http.get, url, { headers = { a = {{}} } } },
        { http.get, url, { headers = { [1] = "x" } } }, { http.get, url, { query = { a = print } } }, { http.get, url, { follow = 21 } }, { http.get, url, { follow = "yes" } },
        { http.post, url }, { http.post, url, 7 }, { http.request }, { http.request, {} }, { http.request, { url = url, body = "x", json = 1 } },
        { http.request, { url = url, method = 7 } }, { http.request, { url = url, method = ("x"):rep(16) } }, { http.request, { url = url, method = "G\0" } }, { http.request, { url = url, body = 7 } },
      } do note((select(2, pcall(table.unpack(args))))) end]]
    local said = hangup(t)
    for i, part in ipairs { "url is a text", "url is a text", "options %(a table%) or a callback", "a callback %(a function%)", "unknown option 'body'", "unknown option 'tiemout'",
      "timeout is a number of seconds", "timeout is a number", "headers is a table of names", "the value of 'a' is a text", "a key is a number", "the value of 'a'",
      "follow is true, false or the number", "follow is", "a body is expected", "a body is expected", "options %(a table with url%)", "url is missing", "one of body, json and form",
      "method is a text", "method is one such as", "method is one such as", "body is a text" } do
      assert.matches(part, said[i])
    end
    assert.equal(23, #said)
    assert.same({}, t:requests())
  end)

  it("refuses what would forge a request: line ends, NUL and the client's own headers", function()
    local t = on_hangup [[
      local function try(options)
        options.url = options.url or "https://crm.example.net/api/"
        local res, err = http.request(options)
        note(res, err.code)
      end
      for _, bad in ipairs { "a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "\127", "a\1b" } do
        try { headers = { ["X-Ok"] = bad } }
        try { headers = { [bad] = "x" } }
        try { headers = { ["X-Ok"] = { "fine", bad } } }
        try { url = "https://crm.example.net/api/" .. bad }
        try { url = "https://crm.example.net" .. bad .. "/api/" }
        if not bad:find "\0" then try { method = bad } end
      end
      for _, name in ipairs { "Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Expect", "Upgrade", "Proxy-Authorization", "Accept-Encoding", "", "a b", "a:b", "ä" } do
        try { headers = { [name] = "x" } }
      end
      for _, url in ipairs { "https://crm.example.net/api/ x", "https://crm.example.net/api/ä", "https://crm.example.net\\@evil.example/api/", "https://[::1", "" } do try { url = url } end
      for _, method in ipairs { "CONNECT", "trace", "GET / HTTP" } do try { method = method } end]]
    local said = hangup(t)
    assert.equal(6 * 6 - 1 + 13 + 5 + 3, #said)
    for i, line in ipairs(said) do assert.equal("nil invalid", line, i) end
    assert.same({}, t:requests())
    -- A query does not get lost behind a fragment.
    t = on_hangup [[http.get("https://crm.example.net/api/#top", { query = { n = 1 } }, function() end)]]
    hangup(t)
    assert.equal("https://crm.example.net/api/?n=1", t:requests()[1].url)
    -- In values of query and form they are encoded.
    t = on_hangup [[http.get("https://crm.example.net/api/", { query = { ["a\r\n"] = "b\0 \r\nX: y" } }, function() end)]]
    hangup(t)
    assert.equal("https://crm.example.net/api/?a%0D%0A=b%00%20%0D%0AX%3A%20y", t:requests()[1].url)
  end)

  it("is denied unless the policy allows it, which is counted and logged", function()
    local t = on_hangup([[
      for _, url in ipairs { "https://crm.example.net/", "http://crm.example.net/api/", "https://crm.example.net:8443/api/", "https://crm.example.net.evil/api/",
        "https://CRM.example.net:443/api/%2e%2e/x", "https://evil.example/?https://crm.example.net/api/", "https://127.0.0.1/api/", "https://pbx.example/x" } do
        note((select(2, http.get(url))).code)
      end]], { policy = { http = POLICY.http, rules = { other = { http = { "https://pbx.example/" } } } } })
    local said
    local records = support.logged(function() said = hangup(t) end)
    assert.same({ "denied", "denied", "denied", "denied", "invalid", "denied", "denied", "denied" }, said)
    local record = support.record(records, "http request refused")
    assert.same({ "rule", "GET https://crm.example.net/", "denied" }, { record.rule, record.request, record.reason })
    assert.equal(7, t:metric 'hookswitch_rules_http_refused_total{rule="rule",reason="denied"}')
    t = run({ ["other.lua"] = 'ami.on("Hangup", function() http.get("https://PBX.example:443/x", function() end) end)' },
      { policy = { rules = { other = { http = { "https://pbx.example/" } } } } })
    hangup(t)
    assert.equal(1, #t:requests())
  end)

  it("may have so many requests without an answer; a loop around one more leaves the others served", function()
    local t = run({ ["rule.lua"] = [[
      ami.on("Newchannel", function() for i = 1, 4 do http.get("https://crm.example.net/api/", function() end) end end)
      ami.on("Hangup", function()
        local n = 0
        repeat local res, err = http.get "https://crm.example.net/api/" n = n + 1 until not err or err.code ~= "backpressure" or n == 100
        note(n)
      end)]], ["other.lua"] = 'ami.on("Hangup", function() note("other") end)' }, { limits = { http_pending = 3 } })
    t:event "Newchannel"
    t:advance()
    assert.equal(3, #t:requests())
    t:event "Hangup"
    assert.same({ "other" }, t:said())
    t:advance()
    assert.same({ "100" }, t:said())
    assert.is_true(t:metric 'hookswitch_rules_http_refused_total{rule="rule",reason="backpressure"}' >= 100)
  end)

  it("shows what waits", function()
    local t = on_hangup [[http.get("https://crm.example.net/api/x", { query = { token = "wombat" } })]]
    hangup(t)
    assert.matches("^the answer to GET https://crm.example.net/api/x%?… %(listener", t:rule().waits[1])
  end)

  it("goes on in a rule that was replaced, until its drain is over", function()
    local text = [[
      ami.on("Hangup", function()
        local closed <close> = setmetatable({}, { __close = function() note("closed") end })
        note(http.get("https://crm.example.net/api/").status)
      end)
      ami.on("Newchannel", function() http.get("https://crm.example.net/api/", function(res, err) note("callback", err and err.code) end) end)]]
    local t = run(text, { limits = { drain = 10 } })
    hangup(t)
    t:put("rule.lua", text .. "\n--")
    assert.is_true((t:reload {}))
    t:advance(5)
    t:respond(1, { status = 200 })
    t:advance()
    assert.same({ "200", "closed" }, t:said())
    assert.equal(0, #t:draining())
    hangup(t)
    t:event "Newchannel"
    t:put("rule.lua", text .. "\n----")
    assert.is_true((t:reload {}))
    t:advance(11)
    assert.same({ "closed", "callback cancelled" }, t:said())
    -- What comes later finds nobody.
    t:respond(2, { status = 200 })
    t:respond(3, { status = 200 })
    t:advance()
    assert.same({}, t:said())
  end)

  it("ends with its task, and as cancelled when the engine stops", function()
    local t = on_hangup [[http.get("https://crm.example.net/api/", function(res, err) note(err.code) note(pcall(http.get, "https://crm.example.net/api/", print)) end)]]
    hangup(t)
    t:stop()
    local said = t:said()
    assert.equal("cancelled", said[1])
    assert.matches("^true nil cancelled", said[2])
  end)

  it("reads an answer's JSON, and says what is wrong with it", function()
    local t = on_hangup [[
      local res = http.get "https://crm.example.net/api/"
      local value, err = res:json()
      note(value, err and err.code)
      note(pcall(res.json, 7))]]
    hangup(t)
    t:respond(1, { body = "<html>" })
    t:advance()
    local said = t:said()
    assert.equal("nil invalid", said[1])
    assert.matches("^false", said[2])
  end)

  it("is charged to the rule: an answer that does not fit ends as overflow", function()
    local t = on_hangup([[local res, err = http.get "https://crm.example.net/api/" note(res and #res.body, err and err.code)]], { limits = { rule_memory = 1000000 } })
    hangup(t)
    t:respond(1, { body = ("x"):rep(300000) })
    t:advance()
    assert.same({ "300000 nil" }, t:said())
    hangup(t)
    t:respond(2, { body = ("x"):rep(2000000) })
    t:advance()
    assert.same({ "nil overflow" }, t:said())
  end)

  it("leaks nothing in a million calls that fail, nor in calls that are answered", function()
    local t = on_hangup([[
      local function none() end
      for i = 1, 1000 do
        http.get("https://evil.example/" .. i, none)
        http.request({ url = "https://crm.example.net/api/", headers = { a = "\n" } }, none)
        pcall(http.get, "https://crm.example.net/api/", { timeout = -1 })
        pcall(http.post, "https://crm.example.net/api/", { print }, none)
      end]], { limits = { deadline = 10 } })
    local before
    support.logged(function()
      for round = 1, 250 do
        hangup(t)
        if round == 20 then before = t:rule().memory end
      end
    end, "error")
    assert.is_true(t:rule().memory < before * 1.5 + 20000)
    assert.same({}, t:requests())
    t = on_hangup [[local res = http.get "https://crm.example.net/api/"]]
    for round = 1, 300 do
      hangup(t)
      t:respond(-1, { body = ("x"):rep(10000) })
      t:advance()
      if round == 50 then before = t:rule().memory end
    end
    assert.is_true(t:rule().memory < before + 3000000)
    assert.equal(0, t:rule().waiting)
  end)

  it("stands allocations that fail at any place", function()
    local t = on_hangup [[
      local ok, res, err = pcall(http.post, "https://crm.example.net/api/", { a = { 1, 2, 3 } }, { headers = { a = "b", c = { 1, 2 } }, query = { q = 1 } })
      if ok and res then local _ = res.headers["X-A"] local _ = res:json() end]]
    support.logged(function()
      for n = 1, 60 do
        t:starve(n)
        t:event "Hangup"
        t:starve(0)
        t:advance()
        local requests = t:requests()
        if #requests > 0 and not requests[#requests].answered then
          t:starve(n)
          t:respond(-1, { headers = { ["X-A"] = "1" }, json = { x = 1 } })
          t:turn()
          t:starve(0)
        end
        t:advance(3600)
      end
    end, "error")
    t:advance(7200)
    assert.equal(0, t:rule().waiting)
  end)

  it("costs a rule that does not use it nothing", function()
    local t = run { ["raw:rule.lua"] = "local f = 1" }
    assert.is_true(t:rule().memory < 48 * 1024)
  end)
end)

describe("lib/README.md", function()
  after_each(support.cleanup)

  it("has an example of requests that runs as it stands", function()
    local file = assert(io.open "lib/README.md")
    local chapter = file:read("a"):match "\n## Requests to the web\n(.-)\n## Settings\n"
    file:close()
    local t = support.run({ ["raw:example.lua"] = chapter:match "```lua\n(.-)\n```", ["heard.lua"] = 'ami.on("crm.found", function(ev) note(ev.number, ev.name) end)' },
      { policy = POLICY })
    t:event("QueueCallerAbandon", { Queue = "support", Uniqueid = "1.2" })
    t:emit("crm.look_up", { { "number", "4711" } })
    t:advance()
    local asked = t:requests()
    assert.same({ "POST", "GET" }, { asked[1].method, asked[2].method })
    local records = support.logged(function()
      t:respond(1, { status = 500 })
      t:respond(2, { json = { name = "Ann" } })
      t:advance()
    end)
    assert.equal(500, support.record(records, "the CRM refused a call").status)
    assert.same({ "4711 Ann" }, t:said())
    assert.equal("", t:rule("example").last_error)
    for _, code in ipairs { "timeout", "refused", "resolve", "tls", "lost", "overflow", "denied", "backpressure", "invalid", "cancelled" } do
      assert.truthy(chapter:find("`" .. code .. "`", 1, true), code)
    end
  end)
end)
