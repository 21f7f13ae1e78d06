-- The API behind nginx, with the configuration that examples/web.md gives: what nginx and the engine make of the same bytes, whose
-- address the engine sees, and streams.
local helper = require "tests.spec.helper"
local guide = require "tests.spec.web.guide"
local forms = require "tests.spec.web.forms"
local support = require "tests.spec.web.support"

local PART = "TLS behind nginx"

describe("the API behind nginx", function()
  after_each(helper.cleanup)

  -- A daemon with nginx before it: `port`, forwarded() is what nginx has sent on, lines of method, path and the engine's status.
  local function start(replace)
    local sim = helper.sim("--calls-per-second", "3", "--seed", "3")
    local d = guide.daemon(PART, { servers = { pbx1 = helper.server(sim) }, env = { BOARD_TOKEN = support.READ }, replace = replace })
    d:ready "pbx1"
    local folder, certificates = helper.folder(), helper.certificates()
    d.port = helper.dead_port()
    local site = guide.block(PART, "/etc/nginx/sites-enabled/hookswitch")
    for what, with in pairs { ["127%.0%.0%.1:8080"] = "127.0.0.1:" .. d.web_port, ["listen 443 "] = "listen 127.0.0.1:" .. d.port .. " ",
      ["/etc/ssl/private/board%.pbx%.example%.pem"] = certificates .. "/wildcard.pem" } do
      local count
      site, count = site:gsub(what, with)
      assert(count > 0, what)
    end
    helper.write_file(folder .. "/site", site)
    -- What Debian's nginx.conf is around the site, for an nginx of our own that is quick to close.
    helper.write_file(folder .. "/nginx.conf", ([[
daemon off; master_process off; worker_priority 0; pid %s/pid; error_log %s/error.log;
events {}
http {
  log_format forwarded '$request_method $uri $upstream_status'; access_log %s/access.log forwarded;
  client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 300ms; lingering_close off;
  client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
  include %s/site;
}
]]):gsub("%%s", folder))
    d.nginx = helper.start("nginx", { "-p", folder, "-c", folder .. "/nginx.conf", "-e", folder .. "/error.log" })
    function d.forwarded()
      return helper.lines(helper.exists(folder .. "/access.log") and helper.read(folder .. "/access.log") or "")
    end
    -- The guide's name leads here for every curl, and nginx's certificate is checked.
    helper.write_file(folder .. "/.curlrc", ('silent\nshow-error\ncacert = "%s/ca.pem"\nconnect-to = "board.pbx.example:443:127.0.0.1:%d"\n'):format(certificates, d.port))
    d.env = { HOME = folder, BOARD_TOKEN = support.READ, LD_PRELOAD = "" }
    function d.curl(words, url, token)
      return helper.start("curl", { "-N", "-H", "Authorization: Bearer " .. (token or support.READ), "https://board.pbx.example" .. url, table.unpack(words) }, { env = d.env })
    end
    -- Sends the bytes as they are through TLS; what came back until nginx closed.
    function d.raw(bytes)
      local path = helper.write_file(helper.folder() .. "/bytes", bytes)
      local _, answer = helper.run("-c", ('exec openssl s_client -quiet -verify_quiet -connect 127.0.0.1:%d -servername board.pbx.example <"$0"'):format(d.port), path,
        { program = "sh", env = { LD_PRELOAD = "" }, timeout = 20 })
      return answer
    end
    helper.wait_for(function() return d.raw(forms.request("GET /api/status", "Host: board.pbx.example\r\nConnection: close\r\n")):find("HTTP/1.1 200", 1, true) end)
    return d
  end

  -- Answers that the engine has given, all of them or those with a status.
  local function answered(d, status)
    local _, out = d:ctl("metrics", "--json")
    local sum = 0
    for _, series in ipairs(helper.json(out).hookswitch_web_requests_total.series or {}) do
      if not status or series.labels.status == status then sum = sum + series.value end
    end
    return sum + (not status and d:metric("hookswitch_web_dropped_total", { reason = "malformed" }) or 0)
  end

  -- What nginx knows to have sent on: how many answers it has seen, all of them or those with a status.
  local function known(d, status)
    local sum = 0
    for _, line in ipairs(d.forwarded()) do
      for code in line:match "%S+$":gmatch "%d+" do sum = sum + ((not status or code == status) and 1 or 0) end
    end
    return sum
  end

  it("runs no request that nginx does not know of, and gives each client its own answer", function()
    local d = start { { "listen =", "requests_per_second = 10000, listen =" } }
    local whole = forms.request("GET /api/servers", "Host: board.pbx.example\r\nConnection: close\r\n")
    for name, bytes in pairs(forms.all) do
      d.raw((bytes:gsub("Host: localhost", "Host: board.pbx.example")))
      -- An answer to a hidden request would be the next client's: nginx uses its connections to the engine again.
      assert.matches('"servers":', d.raw(whole), name)
    end
    helper.wait_for(function() return known(d) == answered(d) and known(d, "200") == answered(d, "200") end, nil, function()
      return ("nginx knows of %d requests (200: %d), the engine answered %d (200: %d)\n%s"):format(known(d), known(d, "200"), answered(d), answered(d, "200"),
        table.concat(d.forwarded(), "\n"))
    end)
    assert.is_true(known(d, "400") > 0) -- nginx lets some forms through
  end)

  it("sees the client's own address, whatever the client claims", function()
    local d = start()
    for claim, address in pairs { ["203.0.113.9"] = "127.0.0.2", ["127.0.0.1"] = "127.0.0.3" } do
      local client = d.curl({ "--interface", address, "-H", "X-Forwarded-For: " .. claim }, "/api/status", "wrong-secret-0123456789")
      assert.are.equal(0, client:ended(), client:tail())
      d:await { msg = "web request refused", reason = "token", address = address }
    end
    assert.are.same({}, d:find { msg = "web request refused", address = "127.0.0.1" })
    assert.are.same({}, d:find { msg = "web request refused", address = "203.0.113.9" })
  end)

  it("passes each event of a stream on at once, and both sides notice its end", function()
    local d = start()
    for _, version in ipairs { "--http1.1", "--http2" } do
      local live = d.curl({ version }, "/api/live")
      helper.wait_for(function() return live:stdout():find("event: call.started", 1, true) end)
      -- Smaller than any buffer, and nothing comes behind it.
      local few = d.curl({ version }, "/api/events?name=Hangup&where=Cause:999")
      helper.wait_for(function() return few:stdout():find(":", 1, true) end)
      helper.wait_for(function() return d:metric "hookswitch_web_streams" == 2 end)
      live:signal "TERM"
      few:signal "TERM"
      helper.wait_for(function() return d:metric "hookswitch_web_streams" == 0 end)
    end
    local last = d.curl({}, "/api/live")
    helper.wait_for(function() return last:stdout():find("event: call.started", 1, true) end)
    d:stop()
    last:ended()
  end)

  it("works as the guide says", function()
    local d = start()
    local commands = helper.lines(guide.blocks(PART, "sh"))
    local code, out, err = helper.run("-c", commands[1], { program = "sh", env = d.env })
    assert.are.equal(0, code, err)
    assert.is_number(helper.json(out).uptime)
    local stream = helper.start("sh", { "-c", "exec " .. commands[2] }, { env = d.env })
    helper.wait_for(function() return stream:stdout():find("event: snapshot", 1, true) end, nil, function() return stream:tail() end)
    -- The name is the only one.
    assert.matches("^HTTP/1.1 421 ", d.raw(forms.request("GET /api/status", "Host: evil.example\r\nConnection: close\r\n")))
  end)
end)
