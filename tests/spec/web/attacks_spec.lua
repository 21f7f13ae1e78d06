-- Requests that hide in requests, by raw sockets: no form of them executes a second one, and each ends its connection.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

local forms = require "tests.spec.web.forms"

local HOST, HIDDEN, request = forms.HOST, forms.HIDDEN, forms.request

describe("a request that hides another", function()
  after_each(helper.cleanup)

  it("is refused, alone on its connection, and counted", function()
    local d = support.daemon(nil, { requests_per_second = 1000 })
    local count = 0
    for name, bytes in pairs(forms.all) do
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
