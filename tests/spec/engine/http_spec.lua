-- `http` of rules through the real program, against a real web server (tests/tools/httpd.c).
local h = require "tests.spec.helper"
local cjson = require "cjson"

-- Makes the request that an event describes, in JSON, and logs what came.
local RULE = [[
ami.on("test.http", function(ev)
  local options = json.decode(ev.Request)
  if ev.Bytes then options.body = ("x"):rep(math.tointeger(ev.Bytes)) end
  local function ended(res, err)
    log.info("ended", { id = ev.Id, status = res and res.status, ok = res and res.ok, size = res and #res.body, body = res and res.body:sub(1, 200),
      url = res and res.url, echo = res and res.headers["x-ECHO"], code = err and err.code, text = err and err.message })
  end
  if ev.Callback then log.info("begun", { id = ev.Id, result = http.request(options, ended) }) else ended(http.request(options)) end
end)
ami.on("test.open", function(ev)
  local closed <close> = setmetatable({}, { __close = function() log.info("closed", { id = ev.Id }) end })
  http.get(ev.Url)
end)
]]

local number = 0

local function ask(daemon, request, ...)
  number = number + 1
  local id = "n" .. number
  daemon:emit("test.http", "Id=" .. id, "Request=" .. cjson.encode(type(request) == "table" and request or { url = request }), ...)
  return id
end

-- The log record of a request's end.
local function get(daemon, request, ...)
  return daemon:await { msg = "ended", id = ask(daemon, request, ...) }
end

local function options(allowed, more)
  local config = { policy = { http = allowed } }
  for key, value in pairs(more or {}) do config[key] = value end
  return { rules = { ["asks.lua"] = RULE }, config = config }
end

-- A daemon whose rules may ask that server.
local function start(server, more, allowed)
  return h.daemon(h.project(options(allowed or { server.url .. "/" }, more)))
end

local function requests_of(server, path)
  local count = 0
  for _, request in ipairs(server.requests()) do count = count + (request.path:sub(1, #path) == path and 1 or 0) end
  return count
end

describe("a request of a rule", function()
  after_each(h.cleanup)

  it("brings status, headers without regard to case, body and URL", function()
    local server = h.httpd()
    local daemon = start(server)
    local res = get(daemon, { method = "post", url = server.url .. "/echo?a=1", query = { b = "x y&", list = { 1, true } }, headers = { ["X-One"] = "1" },
      json = { n = 1 } })
    assert.same({ 200, true, '{"n":1}', "One, Two" }, { res.status, res.ok, res.body, res.echo })
    local seen = server.requests()[1]
    assert.same({ "POST", "/echo?a=1&b=x%20y%26&list=1&list=true", "1", "application/json" },
      { seen.method, seen.path, seen.headers["X-One"], seen.headers["Content-Type"] })
    assert.matches("^hookswitch/", seen.headers["User-Agent"])
    assert.is_nil(seen.headers.Expect)
    res = get(daemon, server.url .. "/status/503")
    assert.same({ 503, false, "status 503" }, { res.status, res.ok, res.body })
    assert.is_true(get(daemon, { url = server.url .. "/json" }, "Callback=1").ok)
    assert.is_true(daemon:find({ msg = "begun" })[1].result)
  end)

  it("sends forms, empty bodies and methods as they are given", function()
    local server = h.httpd()
    local daemon = start(server)
    get(daemon, { method = "PUT", url = server.url .. "/echo", form = { a = "ä&", b = { 1, 2 } } })
    get(daemon, { method = "POST", url = server.url .. "/echo" })
    get(daemon, { method = "DELETE", url = server.url .. "/echo" })
    assert.equal(200, get(daemon, { method = "HEAD", url = server.url .. "/nobody" }).status == 404 and 200)
    local seen = server.requests()
    assert.same({ "PUT", "a=%C3%A4%26&b=1&b=2", "application/x-www-form-urlencoded" }, { seen[1].method, seen[1].body, seen[1].headers["Content-Type"] })
    assert.same({ "POST", "", "0" }, { seen[2].method, seen[2].body, seen[2].headers["Content-Length"] })
    assert.is_nil(seen[2].headers["Content-Type"])
    assert.same({ "DELETE", "HEAD" }, { seen[3].method, seen[4].method })
  end)

  it("uses a connection again", function()
    local server = h.httpd()
    local daemon = start(server)
    for _ = 1, 5 do get(daemon, server.url .. "/json") end
    for _, request in ipairs(server.requests()) do assert.equal(1, request.connection) end
  end)

  it("ends as timeout when the server is slow or drips, and the loop goes on meanwhile", function()
    local server = h.httpd()
    local daemon = start(server)
    for _, path in ipairs { "/slow?ms=5000", "/drip?ms=100&n=100" } do
      local id = ask(daemon, { url = server.url .. path, timeout = 0.5 })
      assert.equal(200, get(daemon, server.url .. "/json").status)
      local res = daemon:await { msg = "ended", id = id }
      assert.equal("timeout", res.code)
      assert.matches("no whole answer in 0.5 s", res.text)
    end
    assert.is_truthy(daemon:await { msg = "http request failed", reason = "timeout", rule = "asks", url = server.url .. "/slow?…" })
    assert.equal(2, daemon:metric("hookswitch_http_client_requests_total", { outcome = "timeout" }))
    assert.equal(200, get(daemon, { url = server.url .. "/slow?ms=300", timeout = 5 }).status)
  end)

  it("gets what came while the process stood still, also when its time is over meanwhile", function()
    local server = h.httpd()
    local daemon = start(server)
    local id = ask(daemon, { url = server.url .. "/slow?ms=400", timeout = 1 })
    h.wait_for(function() return requests_of(server, "/slow") == 1 end)
    daemon:signal "STOP"
    local stopped = h.now()
    h.wait_for(function() return h.now() - stopped > 1.5 end)
    daemon:signal "CONT"
    assert.equal(200, daemon:await({ msg = "ended", id = id }).status)
  end)

  it("ends as lost when the answer is not whole, and never gets a part of it", function()
    local server = h.httpd()
    local daemon = start(server)
    for _, path in ipairs { "/short", "/close" } do assert.equal("lost", get(daemon, server.url .. path).code) end
    assert.equal("lost", get(daemon, server.url .. "/garbage").code)
    local res = get(daemon, server.url .. "/long")
    assert.same({ 200, "01234" }, { res.status, res.body })
    assert.equal(200, get(daemon, server.url .. "/json").status)
  end)

  it("ends as overflow when the answer is too large, unpacked too, or has too many headers", function()
    local server = h.httpd()
    local daemon = start(server, { http_client = { response_bytes = 100000, request_bytes = 50000 } })
    assert.equal(90000, get(daemon, server.url .. "/size?n=90000").size)
    os.execute(("head -c 30000000 /dev/zero | gzip >%s/bomb; head -c 50000 /dev/zero | gzip >%s/small"):format(server.folder, server.folder))
    assert.equal(50000, get(daemon, server.url .. "/file?name=small").size)
    for _, path in ipairs { "/size?n=110000", "/endless", "/file?name=bomb", "/headers?n=200000" } do
      assert.equal("overflow", get(daemon, server.url .. path).code)
    end
    assert.equal("overflow", get(daemon, { method = "POST", url = server.url .. "/echo" }, "Bytes=60000").code)
    -- A single line that libcurl takes for a lack of memory.
    assert.equal("overflow", get(start(server), server.url .. "/line?n=150000").code)
  end)

  it("ends as refused or resolve when there is nobody", function()
    local dead = "http://127.0.0.1:" .. h.dead_port()
    local daemon = start({ url = dead }, {}, { dead .. "/", "http://no-such-host.invalid/" })
    assert.equal("refused", get(daemon, dead .. "/").code)
    assert.equal("resolve", get(daemon, { url = "http://no-such-host.invalid/", timeout = 30 }).code)
  end)

  it("is never sent twice by itself when it is no repeatable one", function()
    local server = h.httpd()
    for _, case in ipairs { { "GET", nil, 2 }, { "POST", "lost", 1 } } do
      local daemon = start(server)
      assert.equal(200, get(daemon, { method = case[1], url = server.url .. "/once" }).status)
      -- The server closes the connection on which the second comes, after it has read it.
      local before = requests_of(server, "/once")
      assert.equal(case[2], get(daemon, { method = case[1], url = server.url .. "/once" }).code)
      assert.equal(case[3], requests_of(server, "/once") - before)
      daemon:stop()
    end
  end)

  it("trusts no certificate that it cannot verify, and shows its own", function()
    local folder = h.certificates()
    for _, name in ipairs { "good", "other", "expired", "self-signed" } do
      local server = h.httpd { "--tls", folder .. "/" .. name .. ".pem" }
      -- None of them is for an address.
      local daemon = start(server, { http_client = { ca = folder .. "/ca.pem" } })
      assert.equal("tls", get(daemon, server.url .. "/json").code)
      assert.same({}, server.requests())
      daemon:stop()
    end
  end)
end)

describe("the policy of requests", function()
  after_each(h.cleanup)

  it("denies what it does not name, says what would allow it, counts and logs it", function()
    local server = h.httpd()
    local daemon = start(server, {}, { server.url .. "/api/", server.url .. "/json", "http://crm.example.net" })
    local denied = { "/", "/apix", "/api", "/api/../status/200", "/api/%2e%2e/x", "/api/..%2fx", "/api/%252e%252e/x", "/api/..;/x", "/API/x", "/jsonx", "/jso" }
    for _, path in ipairs(denied) do assert.is_truthy(({ denied = 1, invalid = 1 })[get(daemon, server.url .. path).code], path) end
    local port = server.url:match "%d+$"
    for _, url in ipairs { "http://127.0.0.2:" .. port .. "/api/", "https://127.0.0.1:" .. port .. "/api/", "http://127.0.0.1:1/api/", "http://2130706433:" .. port .. "/x",
      "ftp://127.0.0.1/api/", "file:///etc/passwd", "http://user:pw@127.0.0.1:" .. port .. "/api/", "gopher://x", "", "http://", "http://a b/" } do
      assert.is_truthy(({ denied = 1, invalid = 1 })[get(daemon, url).code], url)
    end
    assert.same({}, server.requests())
    local res = get(daemon, server.url .. "/other")
    assert.matches('policy.rules%["asks"%].http = { "http://127.0.0.1:%d+/" }', res.text)
    assert.is_truthy(daemon:await { msg = "http request refused", rule = "asks", reason = "denied", request = "GET " .. server.url .. "/other" })
    assert.is_true(daemon:metric("hookswitch_rules_http_refused_total", { rule = "asks", reason = "denied" }) > 5)
    assert.equal(404, get(daemon, server.url .. "/api/x").status)
    for path, status in pairs { ["/json"] = 200, ["/json/x"] = 404, ["/json?a=/../b"] = 200 } do assert.equal(status, get(daemon, server.url .. path).status) end
    -- The same address, written in another way.
    assert.equal(404, get(daemon, ("http://0x7f.1:%s/api/x"):format(port)).status)
  end)

  it("denies everything without a word in the configuration, and names faults in it", function()
    local daemon = start({}, {}, {})
    assert.equal("denied", get(daemon, "http://crm.example.net/").code)
    daemon:stop()
    for bad, why in pairs { ["ftp://x/"] = "must be URLs of http or https", ["http://"] = "policy.http: item 1: ", ["https://a/?x=1"] = "a query cannot be required",
      ["https://me:pw@a/"] = "names no user" } do
      local project = h.project(options { bad })
      local code, _, err = h.run("check", "-c", project.config)
      assert.equal(1, code)
      assert.matches(why, err, 1, true)
    end
  end)

  it("changes with a reload at once, without a rule being loaded anew", function()
    local server = h.httpd()
    local project = h.project(options { server.url .. "/" })
    local daemon = h.daemon(project)
    assert.equal(200, get(daemon, server.url .. "/json").status)
    project.write(options { server.url .. "/status/" })
    assert.is_true((daemon:reload()))
    assert.equal("denied", get(daemon, server.url .. "/json").code)
    assert.equal(200, get(daemon, server.url .. "/status/200").status)
    project.write(options { "http://" })
    local applied, why = daemon:reload()
    assert.is_false(applied)
    assert.matches("policy.http: item 1", why)
    assert.equal(200, get(daemon, server.url .. "/status/200").status)
  end)

  it("is asked at each redirect, and what is secret stays with its origin", function()
    local server, other = h.httpd(), h.httpd()
    local daemon = start(server, {}, { server.url .. "/", other.url .. "/echo", other.url .. "/json" })
    local secret = { Authorization = "Bearer s3cret-token", ["X-Api-Key"] = "k3y-of-api", Cookie = "c=1", Accept = "text/x" }
    local function to(url, more) return server.url .. "/redirect?to=" .. url .. (more or "") end
    local res = get(daemon, { url = to(other.url .. "/json"), headers = secret })
    assert.same({ 200, other.url .. "/json" }, { res.status, res.url })
    assert.same({ "Bearer s3cret-token" }, { server.requests()[1].headers.Authorization })
    local seen = other.requests()[1].headers
    assert.same({ nil, nil, nil, "text/x" }, { seen.Authorization, seen["X-Api-Key"], seen.Cookie, seen.Accept })
    -- Within the origin they go along.
    assert.equal(200, get(daemon, { url = to("/echo"), headers = secret }).status)
    assert.equal("Bearer s3cret-token", server.requests()[3].headers.Authorization)
    assert.equal("denied", get(daemon, to(other.url .. "/status/200")).code)
    assert.equal("denied", get(daemon, to "http://169.254.169.254/latest").code)
    assert.is_truthy(({ invalid = 1, denied = 1 })[get(daemon, to "file:///etc/passwd").code])
    res = get(daemon, { url = to "/json", follow = false })
    assert.same({ 302, false }, { res.status, res.ok })
    -- 303 makes a GET of a POST, 307 keeps it.
    get(daemon, { method = "POST", url = to("/echo", "&status=303"), body = "x" })
    get(daemon, { method = "POST", url = to("/echo", "&status=307"), body = "y" })
    local all = server.requests()
    assert.same({ "GET", "", "POST", "y" }, { all[#all - 2].method, all[#all - 2].body, all[#all].method, all[#all].body })
    -- Nothing of the secrets is in the log.
    for _, record in ipairs(daemon:log()) do
      for _, value in pairs(record) do assert.is_nil(tostring(value):find("s3cret-token", 1, true)) end
    end
  end)

  it("stops redirects that lead round", function()
    local server = h.httpd()
    local daemon = start(server)
    local url = server.url .. "/redirect?to=" .. server.url .. "/redirect%3Fto=/redirect%253Fto=/json"
    assert.equal("invalid", get(daemon, { url = url, follow = 1 }).code)
    assert.equal(200, get(daemon, { url = url, follow = 3 }).status)
  end)

  it("takes no proxy from the environment", function()
    local server, proxy = h.httpd(), h.httpd()
    local project = h.project(options { server.url .. "/" })
    local env = {}
    for _, name in ipairs { "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY" } do env[name] = proxy.url end
    local daemon = h.daemon(project, { env = env })
    assert.equal(200, get(daemon, server.url .. "/json").status)
    assert.same({}, proxy.requests())
  end)

  it("keeps the engine's own port closed, on every address of this machine", function()
    local port = h.dead_port()
    local daemon = start({}, { http = { listen = "127.0.0.1:" .. port } }, { "http://127.0.0.1:" .. port .. "/", "http://localhost:" .. port .. "/" })
    for _, host in ipairs { "127.0.0.1", "localhost" } do
      local res = get(daemon, ("http://%s:%d/metrics"):format(host, port))
      assert.equal("denied", res.code)
      assert.matches("is the engine's own", res.text)
    end
  end)
end)

-- Names need a resolv.conf of the daemon's own: a mount namespace and port 53, which take root.
local can = os.execute "test $(id -u) = 0 && unshare -m true 2>/dev/null"

-- A name server with that table; gives a function that changes the table, and one that starts a daemon that asks it.
local function names(table_text)
  local folder = h.folder()
  local tools = h.binary:gsub("[^/]*$", "tests/")
  local address = ("127.%d.%d.%d"):format(math.random(1, 250), math.random(1, 250), math.random(2, 250))
  h.write_file(folder .. "/table", table_text)
  local server = h.start(tools .. "nameserver", { address, folder .. "/table" })
  h.wait_for(function() return server:stdout():find "listening" end)
  h.write_file(folder .. "/resolv", "nameserver " .. address .. "\n")
  h.write_file(folder .. "/hosts", "127.0.0.1 localhost\n")
  h.write_file(folder .. "/hookswitch", ("#!/bin/sh\nif [ -z \"$INSIDE\" ]; then INSIDE=1 exec unshare -m \"$0\" \"$@\"; fi\n" ..
    "mount --bind %s/resolv /etc/resolv.conf && mount --bind %s/hosts /etc/hosts || exit 1\nexec %s \"$@\"\n"):format(folder, folder, h.binary))
  os.execute("chmod +x " .. folder .. "/hookswitch")
  return function(text) h.write_file(folder .. "/table", text) end, function(project, more)
    local binary = h.binary
    h.binary = folder .. "/hookswitch"
    local good, daemon = pcall(h.daemon, project, more)
    h.binary = binary
    return assert(good and daemon, daemon)
  end
end

describe("names in requests", function()
  after_each(h.cleanup)
  if not can then return pending "need root" end

  it("lead to no address of this machine or its network unless the policy names it", function()
    local server = h.httpd()
    local port = server.url:match "%d+$"
    local closed = { "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::",
      "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "fe80::1", "fd00::1", "ff02::1", "2002:7f00:1::1" }
    local text = { "named.test 127.0.0.1\nother.test 127.0.0.1\nmixed.test 10.1.2.3 127.0.0.1\n" }
    local allowed = { "http://named.test:" .. port .. "/", "http://mixed.test:" .. port .. "/", "http://127.0.0.1:" .. port .. "/json" }
    for i, address in ipairs(closed) do
      text[#text + 1] = ("n%d.test %s\n"):format(i, address)
      allowed[#allowed + 1] = ("http://n%d.test:9/"):format(i)
    end
    local _, start_named = names(table.concat(text))
    local daemon = start_named(h.project(options(allowed)))
    for i, address in ipairs(closed) do
      local res = get(daemon, ("http://n%d.test:9/"):format(i))
      assert.equal("denied", res.code, address .. ": " .. tostring(res.code))
    end
    assert.equal(200, get(daemon, "http://named.test:" .. port .. "/json").status)
    -- Of several addresses only those that are open are tried.
    assert.equal(200, get(daemon, "http://mixed.test:" .. port .. "/json").status)
    assert.equal("denied", get(daemon, "http://other.test:" .. port .. "/json").code)
  end)

  it("are checked against the certificate, and a client's certificate is shown", function()
    local folder = h.certificates()
    local _, start_named = names "pbx.example 127.0.0.1\n"
    for _, case in ipairs { { "good", true }, { "good", true, "client" }, { "other" }, { "expired" }, { "self-signed" }, { "good", false, "none" } } do
      local words = { "--tls", folder .. "/" .. case[1] .. ".pem" }
      if case[3] then words[3], words[4] = "--ca", folder .. "/ca.pem" end
      local server = h.httpd(words)
      local port = server.url:match "%d+$"
      local url = "https://pbx.example:" .. port .. "/"
      local client = { ca = folder .. "/ca.pem" }
      if case[3] == "client" then client.cert, client.key = folder .. "/client.pem", folder .. "/client.pem" end
      local daemon = start_named(h.project(options({ url, "https://127.0.0.1:" .. port .. "/" }, { http_client = client })))
      local res = get(daemon, url .. "json")
      if case[2] then
        assert.equal(200, res.status, res.text)
      else
        assert.is_truthy(({ tls = 1, lost = 1 })[res.code], tostring(res.code) .. tostring(res.text))
        assert.same({}, server.requests())
      end
      daemon:stop()
    end
  end)

  it("are spoken to in HTTP/2 where the other side can; an answer that comes before the body was read is one", function()
    local folder, back, port = h.certificates(), h.httpd(), h.dead_port()
    h.write_file(folder .. "/nginx.conf", ([[
      daemon off; master_process off; pid %s/pid; error_log %s/err; events {}
      http {
        log_format protocol "$server_protocol $connection $request_method $uri $status"; access_log %s/access protocol;
        client_body_temp_path %s/1; proxy_temp_path %s/2; fastcgi_temp_path %s/3; uwsgi_temp_path %s/4; scgi_temp_path %s/5;
        server {
          listen 127.0.0.1:PORT ssl http2; ssl_certificate good.pem; ssl_certificate_key good.pem;
          location / { proxy_pass BACK; }
          location /early { return 413 "too large"; }
        }
      }]]):gsub("%%s", folder):gsub("PORT", tostring(port)):gsub("BACK", back.url))
    local nginx = h.start("/usr/sbin/nginx", { "-p", folder, "-c", folder .. "/nginx.conf" })
    h.wait_for(function() return h.exists(folder .. "/pid") or not nginx:running() end)
    local _, start_named = names "pbx.example 127.0.0.1\n"
    local url = "https://pbx.example:" .. port .. "/"
    local daemon = start_named(h.project(options({ url, "https://127.0.0.1:" .. port .. "/" }, { http_client = { ca = folder .. "/ca.pem" } })))
    for n = 1, 5 do
      local res = get(daemon, { method = "POST", url = url .. "echo" }, "Bytes=" .. 10000 * n)
      assert.same({ 200, 10000 * n }, { res.status, res.size }, res.text)
    end
    local res = get(daemon, { method = "POST", url = url .. "early" }, "Bytes=200000")
    assert.same({ 413, "too large" }, { res.status, res.body }, res.text)
    local seen = h.lines(h.read(folder .. "/access"))
    for n = 1, 5 do assert.matches("^HTTP/2.0 1 POST /echo 200", seen[n]) end
  end)

  it("are asked again after a while, and the answer is checked again (rebinding)", function()
    local server = h.httpd()
    local port = server.url:match "%d+$"
    local change, start_named = names "moves.test 127.0.0.1\n"
    local url = "http://moves.test:" .. port .. "/"
    local project = h.project(options { url, "http://127.0.0.1:" .. port .. "/" })
    local daemon = start_named(project)
    assert.equal(200, get(daemon, url .. "json").status)
    change "moves.test 127.0.0.2\n"
    -- Nothing that was allowed before counts: neither the connection that stands nor the address that was found.
    project.write(options { url })
    assert.is_true((daemon:reload()))
    assert.equal("denied", get(daemon, url .. "json").code)
    assert.equal(1, #server.requests())
  end)
end)

describe("requests under way", function()
  after_each(h.cleanup)

  it("are bounded for each rule and each host, wait for a place, and show what they wait for", function()
    local server = h.httpd()
    local daemon = start(server, { limits = { http_pending = 5 }, http_client = { per_host = 2, timeout = 20 } })
    local slow = h.binary:find("sanitize", 1, true) and 6 or 3 -- all are asked before the second one ends
    local first = ask(daemon, server.url .. "/slow?ms=" .. 1500 * slow)
    local others = {}
    for i = 1, 4 do others[i] = ask(daemon, server.url .. "/slow?ms=" .. 500 * slow) end
    local one = daemon:await { msg = "ended", id = ask(daemon, server.url .. "/json") }
    assert.equal("backpressure", one.code)
    assert.matches("limits.http_pending", one.text)
    local code, out = daemon:ctl("scripts", "--json")
    assert.equal(0, code)
    assert.matches("the answer to GET " .. server.url .. "/slow?…", out:gsub("\\/", "/"), 1, true)
    for _, id in ipairs(others) do assert.equal(200, daemon:await({ msg = "ended", id = id }).status) end
    assert.equal(200, daemon:await({ msg = "ended", id = first }).status)
    assert.equal(0, daemon:metric "hookswitch_http_client_held_bytes")
    assert.equal(0, daemon:metric "hookswitch_http_client_in_flight")
  end)

  it("leave a place to other rules", function()
    local server = h.httpd()
    local project = h.project(options({ server.url .. "/" }, { http_client = { per_host = 4 } }))
    project.rule("other.lua", (RULE:gsub("test%.http", "test.other")))
    local daemon = h.daemon(project)
    for _ = 1, 6 do ask(daemon, server.url .. "/slow?ms=3000") end
    local began = h.now()
    daemon:emit("test.other", "Id=other", "Request=" .. cjson.encode { url = server.url .. "/json" })
    assert.equal(200, daemon:await({ msg = "ended", id = "other" }).status)
    assert.is_true(h.now() - began < 2)
  end)

  it("end as cancelled when the daemon stops, and `<close>` runs; those of a replaced rule go on until its drain is over", function()
    local server = h.httpd()
    local short = options({ server.url .. "/" }, { scripts = { drain = 0.3 } })
    local project = h.project(short)
    local daemon = h.daemon(project)
    daemon:emit("test.open", "Id=drains", "Url=" .. server.url .. "/slow?ms=8000")
    local callback = ask(daemon, server.url .. "/slow?ms=8000", "Callback=1")
    daemon:await { msg = "begun", id = callback }
    project.rule("asks.lua", RULE .. "\n-- changed")
    assert.is_true((daemon:reload()))
    daemon:await { msg = "closed", id = "drains" }
    assert.equal("cancelled", daemon:await({ msg = "ended", id = callback }).code)
    daemon:emit("test.open", "Id=stops", "Url=" .. server.url .. "/slow?ms=8000")
    h.wait_for(function() return requests_of(server, "/slow") == 3 end)
    assert.equal(0, daemon:stop())
    daemon:await { msg = "closed", id = "stops" }
  end)

  it("outlive a rule that is killed", function()
    local server = h.httpd()
    local daemon = start(server)
    local id = ask(daemon, server.url .. "/slow?ms=700", "Callback=1")
    daemon:await { msg = "begun", id = id }
    daemon.project.rule("stuck.lua", 'ami.on("test.stuck", function() local t = {} for k = 1, 131073 do t[k * 262143] = true end end)\n' .. RULE:gsub("test%.http", "test.third"))
    assert.is_true((daemon:reload()))
    daemon:emit("test.third", "Id=lost", "Callback=1", "Request=" .. cjson.encode { url = server.url .. "/slow?ms=700" })
    daemon:await { msg = "begun", id = "lost" }
    daemon:emit "test.stuck"
    daemon:await { msg = "rule killed: a call was stuck in one instruction" }
    assert.equal(200, daemon:await({ msg = "ended", id = id }).status)
    h.wait_for(function() return daemon:metric "hookswitch_http_client_in_flight" == 0 end)
    assert.same({}, daemon:find { msg = "ended", id = "lost" })
    assert.equal(0, daemon:stop())
  end)
end)
