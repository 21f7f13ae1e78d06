-- The guides of examples/web.md on the real engine and a simulated Asterisk; that of nginx is in nginx_spec.lua.
local browser = require "tests.spec.board.browser"
local guide = require "tests.spec.web.guide"
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

local function simulated(...)
  return { pbx1 = helper.server(helper.sim("--calls-per-second", "5", "--seed", "3", ...)) }
end

describe("the guide of the screen pop", function()
  after_each(helper.cleanup)

  local PART = "A screen pop in a CRM"

  local function start(crm, rule)
    return guide.daemon(PART, { servers = simulated(), rules = { ["screen_pop.lua"] = rule or guide.block(PART, "scripts/screen_pop.lua") },
      env = { CRM_TOKEN = "Bearer crm-secret", CRM_HMAC = "wombat" },
      replace = { { "https://crm.example.net/calls", crm.url .. "/sink" }, { "hmac =", "retry_first = 0.05, retry_max = 0.1, hmac =" },
        { "sinks =", "http_client = { breaker_open = 0.1 }, sinks =" } } })
  end

  it("sends the CRM what it says, signed", function()
    local crm = helper.httpd()
    start(crm)
    local request = helper.wait_for(function() return crm.requests()[1] end)
    -- The tool writes each byte as a character.
    local bytes = request.body:gsub(utf8.charpattern, function(c) return string.char(utf8.codepoint(c)) end)
    local shown, sent = helper.json(guide.blocks(PART, "json")), helper.json(bytes)
    for key, value in pairs(shown) do assert.are.equal(type(value), type(sent[key]), key) end
    for key in pairs(sent) do assert.is_truthy(shown[key], key) end
    assert.are.equal("Bearer crm-secret", request.headers.Authorization)
    local code, out = helper.run("-c", guide.blocks(PART, "sh"), { program = "sh",
      env = { KEY = request.headers["Idempotency-Key"], BODY = bytes, CRM_HMAC = "wombat", LD_PRELOAD = "" } })
    assert.are.equal(0, code)
    assert.are.equal(request.headers["X-Signature-256"], "sha256=" .. out:match "(%x+)%s*$")
  end)

  it("repeats it under the same key while the CRM is down, and drops it when its time is over", function()
    local crm = helper.httpd()
    crm.mode "503"
    local rule, count = guide.block(PART, "scripts/screen_pop.lua"):gsub("ttl = 30", "ttl = 1")
    assert.are.equal(1, count)
    local d = start(crm, rule)
    helper.wait_for(function() return #crm.requests() >= 2 end)
    local requests = crm.requests()
    assert.are.equal(requests[1].headers["Idempotency-Key"], requests[2].headers["Idempotency-Key"])
    helper.wait_for(function() return (d:metric("hookswitch_spool_lines_total", { fate = "expired" }) or 0) > 0 end)
    crm.mode "200"
    local first = requests[1].headers["Idempotency-Key"]
    helper.wait_for(function()
      for _, request in ipairs(crm.requests()) do
        if request.mode == "200" then
          assert.are_not.equal(first, request.headers["Idempotency-Key"])
          return true
        end
      end
    end)
  end)
end)

describe("the guide of click-to-call", function()
  local PART = "Click-to-call from a web page"
  local d, b, page

  local function start()
    local folder = helper.folder()
    local port = helper.dead_port()
    d = guide.daemon(PART, { servers = simulated(), rules = { ["dial.lua"] = guide.block(PART, "scripts/dial.lua") }, env = { CRM_TOKEN = support.ALL },
      replace = { { "https://crm.example.net", "http://127.0.0.1:" .. port }, { '"board.pbx.example"', '"127.0.0.1"' } } })
    d:ready "pbx1"
    -- The CRM, as far as the browser can say.
    helper.write_file(folder .. "/call.html", (guide.block(PART, "call.html"):gsub("TOKEN", support.ALL)))
    helper.write_file(folder .. "/call.js", (guide.block(PART, "call.js"):gsub("https://board%.pbx%.example", "http://127.0.0.1:" .. d.web_port)))
    helper.write_file(folder .. "/nginx.conf", ([[
daemon off; master_process off; pid %s/pid; error_log %s/error.log; events {}
http { types { text/html html; text/javascript js; } access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f;
  uwsgi_temp_path %s/u; scgi_temp_path %s/s; server { listen 127.0.0.1:PORT; root %s; } }
]]):gsub("%%s", folder):gsub("PORT", tostring(port)))
    os.execute("chmod -R a+rX " .. folder)
    helper.start("nginx", { "-p", folder, "-c", folder .. "/nginx.conf", "-e", folder .. "/error.log" })
    page = "http://127.0.0.1:" .. port .. "/call.html"
  end

  after_each(function()
    if b then b:quit() end
    b = nil
    helper.cleanup()
  end)

  it("rings the user's phone when he clicks", function()
    start()
    b = browser.start()
    helper.wait_for(function() return pcall(b.open, b, page) end)
    b:click "button"
    b:await "return document.querySelector('output').textContent === 'PJSIP/101 rings'"
    local record = d:await { msg = "click-to-call", user = "alice", phone = "PJSIP/101", number = "5551392" }
    assert.is_true(record.ok)
    for _, line in ipairs(b:console()) do assert.is_nil(line:find("call.js", 1, true), line) end
    d:stop()
    b:click "button"
    b:await "return document.querySelector('output').textContent === 'The PBX cannot be reached'"
  end)

  it("lets nobody choose phone, context or a number that is none, and limits how often", function()
    start()
    local function dial(body, more)
      local request = { method = "POST", path = "/hooks/dial", token = support.ALL, body = body, headers = { ["Content-Type"] = "application/json" }, host = "127.0.0.1" }
      for key, value in pairs(more or {}) do request[key] = value end
      return (support.ask(d, request))
    end
    for _, body in ipairs { '{"user":"mallory","number":"1"}', '{"user":"alice","number":"1;x"}', '{"user":"alice","number":"1234567890123456"}', '{"user":"alice"}',
      '{"user":{},"number":[]}', '{"user":"alice","number":1}', '{}' } do
      assert.are.equal(422, dial(body), body)
    end
    assert.are.equal(415, dial("user=alice", { headers = { ["Content-Type"] = "text/plain" } }))
    for _, body in ipairs { "{", "[5]", '"alice"', "1" } do assert.are.equal(400, dial(body), body) end
    assert.are.equal(401, dial('{"user":"alice","number":"1"}', { token = "wrong-secret-0123456789" }))
    assert.are.equal(403, dial('{"user":"alice","number":"1"}', { headers = { Origin = "https://evil.example", ["Content-Type"] = "application/json" } }))
    for _ = 1, 6 do assert.are.equal(202, dial '{"user":"alice","number":"200","phone":"PJSIP/999","context":"trunk"}') end
    assert.are.equal(429, dial '{"user":"alice","number":"200"}')
    assert.are.equal(202, dial '{"user":"bob","number":"200"}')
    assert.are.same({}, d:find { msg = "click-to-call", phone = "PJSIP/999" })
  end)
end)

describe("the guide of the wallboard", function()
  after_each(helper.cleanup)

  it("serves the page, whose token sees its queue only and cannot act", function()
    local PART = "A wallboard on a television"
    local d = guide.daemon(PART, { servers = simulated(), env = { WALL_TOKEN = support.WALL },
      replace = { { "web = {", ('scripts = { rules = "scripts", lib = %q },\nweb = {'):format(helper.root .. "/lib") } } })
    d:ready "pbx1"
    local path = guide.blocks(PART, "text"):match "https://board.pbx.example(/[^#]*)#token=SECRET\n"
    local function ask(request)
      request.host = "board.pbx.example"
      return support.ask(d, request)
    end
    local status, headers = ask { path = path }
    assert.are.same({ 307, "/board/?wall&queue=support" }, { status, headers.location })
    local body
    status, headers, body = ask { path = headers.location }
    assert.are.equal(200, status)
    assert.matches("<script [^>]*src=", body)
    for file in body:gmatch 'src="([^"]+)"' do assert.are.equal(200, (ask { path = "/board/" .. file:gsub("^/board/", ""):gsub("^%./", "") }), file) end
    helper.wait_for(function()
      local _, _, queues = ask { path = "/api/queues", token = support.WALL }
      return queues.total == 1 and queues.queues[1].name == "support"
    end)
    assert.are.equal(403, (ask { path = "/api/live?queue=sales", token = support.WALL }))
    assert.are.equal(403, (ask { method = "POST", path = "/api/servers/pbx1/actions", token = support.WALL, body = '{"Action":"Ping"}' }))
    assert.are.equal(403, (ask { method = "POST", path = "/api/emit/crm.x", token = support.WALL, body = "{}" }))
  end)
end)
