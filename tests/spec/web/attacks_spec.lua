-- Requests that hide in requests, by raw sockets: no form of them executes a second one, and each ends its connection.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

local TOKEN = "Authorization: Bearer " .. support.READ .. "\r\n"
local HOST = "Host: localhost\r\n"
local HIDDEN = "GET /api/status HTTP/1.1\r\n" .. HOST .. TOKEN .. "\r\n"

local function request(line, headers, body)
  return line .. " HTTP/1.1\r\n" .. headers .. TOKEN .. "\r\n" .. (body or "")
end

local FORMS = {
  ["a length and an encoding"] = request("POST /api/status", HOST .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["an encoding and a length"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n" .. HIDDEN),
  ["two lengths"] = request("POST /api/status", HOST .. "Content-Length: 0\r\nContent-Length: " .. #HIDDEN .. "\r\n", HIDDEN),
  ["a list of lengths"] = request("POST /api/status", HOST .. "Content-Length: 0, 0\r\n", HIDDEN),
  ["a blank before the colon"] = request("POST /api/status", HOST .. "Content-Length : " .. #HIDDEN .. "\r\n", HIDDEN),
  ["a tab before the colon"] = request("POST /api/status", HOST .. "Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a negative length"] = request("POST /api/status", HOST .. "Content-Length: -1\r\n", HIDDEN),
  ["a signed length"] = request("POST /api/status", HOST .. "Content-Length: +0\r\n", HIDDEN),
  ["an unknown encoding"] = request("POST /api/status", HOST .. "Transfer-Encoding: x, chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["an encoding with a control character"] = request("POST /api/status", HOST .. "Transfer-Encoding: \11chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a folded line"] = request("POST /api/status", HOST .. "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a bare LF"] = "GET /api/status HTTP/1.1\n" .. HOST .. TOKEN .. "\r\n" .. HIDDEN,
  ["a bare LF at the end"] = "GET /api/status HTTP/1.1\r\n" .. HOST .. "X: y\n\r\n" .. HIDDEN,
  ["a bare LF in a header"] = request("GET /api/status", HOST .. "X: y\nContent-Length: 9\r\n", HIDDEN),
  ["a bare CR"] = request("GET /api/status", HOST .. "X: y\rContent-Length: 9\r\n", HIDDEN),
  ["a chunk extension with a line end"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "1;\na\r\nb\r\n0\r\n\r\n" .. HIDDEN),
  ["a chunk with a bare LF"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "1\nb\n0\n\n" .. HIDDEN),
  ["trailers"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "0\r\nHost: x\r\n\r\n" .. HIDDEN),
  ["two Hosts"] = request("GET /api/status", HOST .. "Host: evil.example\r\n", HIDDEN),
  ["no Host"] = request("GET /api/status", "", HIDDEN),
  ["NUL in Host"] = request("GET /api/status", "Host: localhost\0.evil.example\r\n", HIDDEN),
  ["a target of another host"] = request("GET http://evil.example/api/status", HOST, HIDDEN),
  ["dot segments"] = request("GET /board/../api/status", HOST, HIDDEN),
  ["encoded dot segments"] = request("GET /board/%2e%2E/api/status", HOST, HIDDEN),
  ["an encoded slash"] = request("GET /api%2fstatus", HOST, HIDDEN),
  ["an encoded NUL"] = request("GET /api/status%00", HOST, HIDDEN),
  ["an encoded line end"] = request("GET /api/status%0d%0aX:%20y", HOST, HIDDEN),
  ["a length in HTTP/1.0 with an encoding"] = ("POST /api/status HTTP/1.0\r\n" .. HOST .. TOKEN .. "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" .. HIDDEN),
}

describe("a request that hides another", function()
  after_each(helper.cleanup)

  it("is refused, alone on its connection, and counted", function()
    local d = support.daemon(nil, { requests_per_second = 1000 })
    local count = 0
    for name, bytes in pairs(FORMS) do
      local answer, closed = support.raw(d.web_port, bytes)
      assert.is_true(closed, name)
      local codes = {}
      for code in answer:gmatch "HTTP/1%.1 (%d+)" do codes[#codes + 1] = code end
      assert.are.equal(1, #codes, name .. "\n" .. answer)
      assert.matches("^[45]0", codes[1], name)
      assert.matches("\r\nConnection: close\r\n", answer, name)
      assert.is_nil(answer:find("uptime", 1, true), name)
      count = count + 1
    end
    assert.are.equal(count, d:metric("hookswitch_web_dropped_total", { reason = "malformed" }))
    assert.are.equal(0, d:metric("hookswitch_web_requests_total", { status = "200" }) or 0)
    d:await { msg = "web connection dropped", reason = "malformed", error = "more than one Host", address = "127.0.0.1" }
    assert.are.equal(200, (support.ask(d, "/api/status")))
  end)

  it("is told from requests that follow each other on one connection", function()
    local d = support.daemon()
    local chunked = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n0\r\n\r\n")
    local answer = support.raw(d.web_port, HIDDEN .. chunked .. HIDDEN .. support.bytes { path = "/api/servers", token = support.READ })
    local codes = {}
    for code in answer:gmatch "HTTP/1%.1 (%d+)" do codes[#codes + 1] = code end
    assert.are.same({ "200", "405", "200", "200" }, codes)
  end)

  -- Behind a proxy that reads HTTP in its own way.
  it("comes to nothing behind nginx either", function()
    if not os.execute "command -v nginx >/dev/null 2>&1" then return pending "nginx is not installed (Debian: nginx-light)" end
    local d = support.daemon(nil, { requests_per_second = 1000 })
    local folder, port = helper.folder(), helper.dead_port()
    helper.write_file(folder .. "/nginx.conf", ([[
daemon off; master_process off; pid %s/pid; error_log %s/error.log;
events {}
http { access_log off; client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 0; lingering_close off;
  client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
  upstream engine { server 127.0.0.1:%d; keepalive 4; }
  server { listen 127.0.0.1:%d;
    location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost; } } }
]]):format(folder, folder, folder, folder, folder, folder, folder, d.web_port, port))
    helper.start("nginx", { "-c", folder .. "/nginx.conf", "-e", folder .. "/error.log" })
    helper.wait_for(function()
      local listens, answer = pcall(support.raw, port, support.bytes { path = "/api/status", token = support.READ })
      return listens and answer:find("HTTP/1.1 200", 1, true)
    end)
    for name, bytes in pairs(FORMS) do
      local before = d:metric("hookswitch_web_requests_total", { status = "200" })
      local answer = support.raw(port, (bytes:gsub("HTTP/1%.1\r\n", "HTTP/1.1\r\nX-Form: 1\r\n", 1)))
      local answers = select(2, answer:gsub("HTTP/1%.1 %d%d%d", ""))
      local served = d:metric("hookswitch_web_requests_total", { status = "200" }) - before
      -- What nginx itself takes for a second request it answers as one; nothing runs that it does not know of.
      assert.is_true(served <= answers, name .. "\n" .. answer)
    end
  end)
end)

describe("a client that is slow or sends too much", function()
  after_each(helper.cleanup)

  it("is dropped in its head, in its body and between requests, each in time", function()
    local d = support.daemon(nil, { timeout = 0.5 })
    local head = helper.client(d.web_port, "pieces 1 60 " .. ("GET /api/status HTTP/1.1 "):rep(20) .. "\nhold")
    assert.are.equal("", head)
    d:await { msg = "web connection dropped", reason = "slow" }
    local body = helper.client(d.web_port, "send " .. support.escape(request("POST /api/emit/crm.x", HOST .. "Content-Length: 60\r\n")) .. "\npieces 1 60 "
      .. ("x"):rep(50) .. "\nhold")
    assert.are.equal("", body)
    d:await({ msg = "web connection dropped", reason = "slow" }, { count = 2 })
    -- Who only waits between two requests is let go without a word.
    local idle, closed = support.raw(d.web_port, HIDDEN)
    assert.matches("^HTTP/1.1 200 ", idle)
    assert.is_true(closed)
    assert.are.equal(2, d:metric("hookswitch_web_dropped_total", { reason = "slow" }))
  end)

  it("is refused a body or a head that is too large", function()
    local d = support.daemon(nil, { body = 1024 })
    local function status(bytes) return (support.parse((support.raw(d.web_port, bytes)))) end
    assert.are.equal(413, status(request("POST /api/status", HOST .. "Content-Length: 1025\r\n", ("x"):rep(1025))))
    assert.are.equal(413, status(request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "401\r\n" .. ("x"):rep(1025))))
    assert.are.equal(405, status(request("POST /api/status", HOST .. "Connection: close\r\nContent-Length: 1024\r\n", ("x"):rep(1024))))
    assert.are.equal(431, status(request("GET /api/status", HOST .. "X: " .. ("x"):rep(16384) .. "\r\n")))
    assert.are.equal(414, status("GET /" .. ("x"):rep(20000)))
  end)

  it("is turned away beyond the connections that there may be", function()
    local d = support.daemon(nil, { connections = 2, streams = 2, timeout = 60 })
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send GET /\nsay in\nwait " .. folder .. "/go")
    for i = 1, 2 do
      local client = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received" .. i, d.web_port })
      helper.wait_for(function() return client:stdout():find("in\n", 1, true) end)
    end
    helper.wait_for(function() return support.raw(d.web_port, HIDDEN) == "" end)
    d:await { msg = "web connection dropped", reason = "connections", address = "127.0.0.1" }
    assert.are.equal(2, d:metric "hookswitch_web_connections")
    helper.write_file(folder .. "/go", "")
    helper.wait_for(function() return support.raw(d.web_port, support.bytes { path = "/api/status", token = support.READ }):find("200 OK", 1, true) end)
  end)
end)
