local helper = require "tests.spec.helper"

describe("http", function()
  after_each(helper.cleanup)

  -- A daemon that serves on a free port: `options` as for helper.daemon, `http` more of its section.
  local function daemon(options, http, more)
    options = options or {}
    options.config = options.config or {}
    options.config.http = { listen = "127.0.0.1:0" }
    for key, value in pairs(http or {}) do options.config.http[key] = value end
    local d = helper.daemon(options, more)
    d.http_port = math.tointeger(d:await({ msg = "metrics are served" }).port)
    return d
  end

  -- Status, head and body of the answer; the method is GET unless given.
  local function ask(d, path, method)
    local request = ("send %s %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"):format(method or "GET", path)
    local answer, closed = helper.client(d.http_port, request .. "\nhold")
    assert.is_true(closed, "the daemon closes after one answer")
    local head, body = answer:match "^(.-\r\n)\r\n(.*)$"
    return tonumber(head:match "^HTTP/1.1 (%d+)"), head, body
  end

  local function have(program)
    return os.execute("command -v " .. program .. " >/dev/null 2>&1")
  end

  -- The body as promtool reads it; its exit code and what it says.
  local function promtool(command, path)
    return helper.run("-c", ("promtool %s %s"):format(command, path), { program = "sh" })
  end

  it("serves the metrics as Prometheus text, what ctl shows", function()
    local sim = helper.sim()
    local d = daemon { servers = { pbx1 = helper.server(sim) } }
    d:ready "pbx1"
    local status, head, body = ask(d, "/metrics")
    assert.are.equal(200, status)
    assert.matches("\nContent%-Type: text/plain; version=0%.0%.4", (head:gsub("\r", "")))
    assert.are.equal(#body, tonumber(head:match "Content%-Length: (%d+)"))
    assert.matches('\nhookswitch_build_info{version="[%d.]+"} 1\n', body)
    local _, shown = d:ctl "metrics"
    local function families(text)
      local names = {}
      for name in text:gmatch "# TYPE (%S+)" do names[#names + 1] = name end
      return names
    end
    assert.are.same(families(shown), families(body))
  end)

  it("passes promtool's check", function()
    if not have "promtool" then return pending "promtool is not installed (Debian: prometheus)" end
    local sim = helper.sim()
    local d = daemon {
      servers = { pbx1 = helper.server(sim) },
      rules = { ["m.lua"] = [[
        local calls = metric.counter("calls_total", "Calls \\ seen", { "queue" })
        local waits = metric.histogram("wait_seconds", "Waits", {}, { 1, 5 })
        ami.on("server.ready", function() calls:inc({ 'sup"port\\\n' }) waits:observe(3) log.info "counted" end)
      ]] },
    }
    d:await { msg = "counted" }
    local _, _, body = ask(d, "/metrics")
    assert.matches("hookswitch_rule_", body)
    local path = helper.write_file(d.project.folder .. "/metrics", body)
    local code, out, err = promtool("check metrics <", path)
    assert.are.equal("", out .. err)
    assert.are.equal(0, code)
  end)

  it("is scraped by Prometheus itself", function()
    if not (have "prometheus" and have "promtool") then return pending "prometheus is not installed (Debian: prometheus)" end
    local sim = helper.sim()
    local d = daemon { servers = { pbx1 = helper.server(sim) } }
    d:ready "pbx1"
    local folder, port = helper.folder(), helper.dead_port()
    local rules = helper.write_file(folder .. "/alerts.yml", helper.read "conf/alerts.yml")
    helper.write_file(folder .. "/prometheus.yml", ([[
global: { scrape_interval: 1s, scrape_timeout: 1s }
rule_files: [%s]
scrape_configs: [{ job_name: hookswitch, static_configs: [{ targets: ["127.0.0.1:%d"] }] }]
]]):format(rules, d.http_port))
    local prometheus = helper.start("prometheus", { "--config.file=" .. folder .. "/prometheus.yml",
      "--storage.tsdb.path=" .. folder .. "/data", ("--web.listen-address=127.0.0.1:%d"):format(port) })
    local function query(text)
      local _, out = helper.run("query", "instant", ("http://127.0.0.1:%d"):format(port), text, { program = "promtool" })
      return tonumber(out:match "=> (%S+) @")
    end
    helper.wait_for(function() return query 'up{job="hookswitch"}' == 1 end, nil, function() return "a scrape:\n" .. prometheus:tail() end)
    assert.are.equal(1, query 'hookswitch_server_ready{server="pbx1"}')
    -- Each scrape is a connection of its own, and one more comes every second.
    helper.wait_for(function() return (query 'hookswitch_http_requests_total{path="/metrics"}' or 0) >= 3 end)
    assert.are.equal(1, query "scrape_samples_scraped > bool 50")
  end)

  it("answers /healthz while the loop turns", function()
    local status, _, body = ask(daemon(), "/healthz")
    assert.are.equal(200, status)
    assert.are.equal("ok\n", body)
  end)

  it("says ready when one server is, or only when all are", function()
    local sim = helper.sim()
    local servers = { pbx1 = helper.server(sim), dead = helper.server(helper.dead_port()) }
    local one = daemon { servers = servers }
    one:ready "pbx1"
    local status, _, body = ask(one, "/ready")
    assert.are.equal(200, status)
    assert.are.equal("1 of 2 servers ready\n", body)

    local all = daemon({ servers = servers }, { ready = "all" })
    all:ready "pbx1"
    assert.are.equal(503, (ask(all, "/ready")))
    servers.dead = nil
    all.project.write { servers = servers, config = { http = { listen = "127.0.0.1:0", ready = "all" } } }
    assert.is_true(all:reload())
    assert.are.equal(200, (ask(all, "/ready")))

    sim:signal "KILL"
    helper.wait_for(function() return ask(one, "/ready") == 503 end)
  end)

  it("knows no other path and no other method", function()
    local d = daemon()
    assert.are.equal(404, (ask(d, "/")))
    assert.are.equal(404, (ask(d, "/metrics/")))
    local status, head = ask(d, "/metrics", "POST")
    assert.are.equal(405, status)
    assert.matches("Allow: GET, HEAD\r\n", head)
    local head_status, _, body = ask(d, "/metrics", "HEAD")
    assert.are.equal(200, head_status)
    assert.are.equal("", body)
    assert.are.equal(1, d:metric("hookswitch_http_requests_total", { path = "/metrics" }) - 1)
    assert.are.equal(2, d:metric("hookswitch_http_requests_total", { path = "other" }))
  end)

  it("ends a connection that is slow, however busy it looks, and logs that", function()
    local d = daemon({}, { timeout = 0.5 })
    local got, closed = helper.client(d.http_port, "pieces 1 50 " .. ("GET /metrics HTTP/1.1 "):rep(20) .. "\nhold")
    assert.is_true(closed)
    assert.are.equal("", got)
    d:await { msg = "http connection dropped", reason = "slow" }
    assert.are.equal(1, d:metric("hookswitch_http_dropped_total", { reason = "slow" }))
    assert.are.equal(200, (ask(d, "/healthz")))
  end)

  it("refuses what could hide another request, closes, counts and logs that", function()
    local d = daemon()
    local hidden = "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
    local count = 0
    for _, form in ipairs {
      "POST /healthz HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
      "POST /healthz HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\nContent-Length: 44\\r\\n\\r\\n",
      "POST /healthz HTTP/1.1\\r\\nHost: x\\r\\nContent-Length : 44\\r\\n\\r\\n",
      "GET /healthz HTTP/1.1\\nHost: x\\n\\n",
      "GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nHost: y\\r\\n\\r\\n",
      "GET /healthz HTTP/1.1\\r\\nHost: x\\x00y\\r\\n\\r\\n",
      "GET /%2e%2e/metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
    } do
      local answer, closed = helper.client(d.http_port, "send " .. form .. hidden .. "\nhold")
      assert.is_true(closed, form)
      assert.matches("^HTTP/1.1 400 Bad Request\r\n", answer)
      assert.is_nil(answer:find("hookswitch_", 1, true), form)
      assert.are.equal(1, select(2, answer:gsub("HTTP/1%.1 %d%d%d", "")), form)
      count = count + 1
    end
    d:await({ msg = "http connection dropped", reason = "malformed", address = "127.0.0.1", error = "more than one Host" })
    assert.are.equal(count, d:metric("hookswitch_http_dropped_total", { reason = "malformed" }))
    assert.is_nil(d:metric("hookswitch_http_requests_total", { path = "/metrics" }) > 0 or nil)
    assert.are.equal(200, (ask(d, "/healthz")))
  end)

  it("measures times by a clock that does not jump", function()
    local clock = helper.wallclock()
    local d = daemon({}, { timeout = 1.5 }, { env = clock.env })
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send GET /met\nsay in\nhold")
    for n, days in ipairs { 1, -1 } do
      local began = helper.now()
      local slow = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received", d.http_port })
      helper.wait_for(function() return slow:stdout():find("in\n", 1, true) end)
      clock.jump(days * 86400)
      d:await({ msg = "http connection dropped", reason = "slow" }, { count = n })
      assert.is_true(helper.now() - began >= 1.5, "dropped too early")
      assert.are.equal(200, (ask(d, "/metrics")))
    end
    local up = d:status().uptime
    assert.is_true(up > 3 and up < 3600, "uptime " .. up)
  end)

  it("turns away the connections beyond its bound, and logs that", function()
    local d = daemon({}, { connections = 2, timeout = 60 })
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send GET /met\nsay in\nwait " .. folder .. "/go")
    local first = {}
    for i = 1, 2 do
      first[i] = helper.start(helper.peer_binary, { folder .. "/script", folder .. "/received" .. i, d.http_port })
      helper.wait_for(function() return first[i]:stdout():find("in\n", 1, true) end)
    end
    -- The kernel accepts before the daemon does.
    helper.wait_for(function()
      local got = helper.client(d.http_port, "send GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\nhold")
      return got == ""
    end)
    d:await { msg = "http connection dropped", reason = "connections" }
    helper.write_file(folder .. "/go", "")
    for i = 1, 2 do first[i]:ended() end
    helper.wait_for(function()
      return helper.client(d.http_port, "send GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\nhold"):find("200 OK", 1, true)
    end)
  end)

  it("does not start when its port is taken, and says what to do", function()
    local d = daemon()
    local code, _, err = helper.run("run", "--allow-root", "-c", helper.project {
      config = { http = { listen = "127.0.0.1:" .. d.http_port } },
    }.config)
    assert.are.equal(1, code)
    assert.matches("http%.listen 127%.0%.0%.1:%d+: in use; stop what listens there or choose another port", err)
  end)

  it("wants an address and a port", function()
    for _, wrong in ipairs { "9150", "localhost:9150", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "::1:80", "[::1:80", ":80" } do
      local code, _, err = helper.run("check", "-c", helper.project { config = { http = { listen = wrong } } }.config)
      assert.are.equal(1, code, wrong)
      assert.matches("http%.listen: must be an IP address and a port", err)
    end
  end)

  it("shows no secret", function()
    local d = daemon { servers = { [helper.SECRET] = helper.server(helper.dead_port()) } }
    local _, _, body = ask(d, "/metrics")
    assert.matches("hookswitch_", body)
    assert.is_nil(body:find(helper.SECRET, 1, true))
  end)

  it("has alert rules that promtool accepts, on metrics that exist", function()
    local alerts = helper.read "conf/alerts.yml"
    local dashboard = helper.read "conf/grafana.json"
    assert.is_table(helper.json(dashboard))
    local sim = helper.sim()
    local d = daemon { servers = { pbx1 = helper.server(sim) }, config = { persist = { file = "state.db" } } }
    d:ready "pbx1"
    local _, _, body = ask(d, "/metrics")
    for _, text in ipairs { alerts, dashboard } do
      for name in text:gmatch "hookswitch_[%w_]+" do
        local family = name:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
        assert.truthy(body:find("# TYPE " .. family .. " ", 1, true) or body:find("# TYPE " .. name .. " ", 1, true), name)
      end
    end
    if not have "promtool" then return pending "promtool is not installed (Debian: prometheus)" end
    local code, out, err = promtool("check rules", "conf/alerts.yml")
    assert.are.equal(0, code, out .. err)
  end)

  it("has alerts for every trouble, and none on an ordinary day", function()
    local trouble = helper.read "tests/fixtures/alerts/trouble.yml"
    for name in helper.read "conf/alerts.yml":gmatch "alert: (%w+)" do
      assert.truthy(trouble:find('alertname="' .. name .. '"', 1, true), name .. " is never seen to fire")
    end
    if not have "promtool" then return pending "promtool is not installed (Debian: prometheus)" end
    for _, name in ipairs { "trouble", "ordinary_day" } do
      local code, out, err = promtool("test rules", "tests/fixtures/alerts/" .. name .. ".yml")
      assert.are.equal(0, code, out .. err)
    end
  end)
end)
