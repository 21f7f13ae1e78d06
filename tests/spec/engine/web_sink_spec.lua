-- Sinks with a URL through the real program: what is written arrives, in order and under one key, whatever the other side, the disk and
-- the daemon do.
local h = require "tests.spec.helper"
local cjson = require "cjson"

local RULE = [[
local crm = sink.open "crm"
ami.on("test.write", function(ev)
  for n = math.tointeger(ev.From), math.tointeger(ev.To or ev.From) do
    local ok, err = crm:write(ev.Text and ev.Text .. n or { n = n }, { ttl = tonumber(ev.Ttl), sync = ev.Sync == "1" })
    log.info("wrote", { n = n, ok = ok, code = err and err.code, text = err and err.message })
  end
end)]]

local QUICK = { retry_first = 0.05, retry_max = 0.2 }

-- `sink`: options of crm besides its URL; `more`: sections of the configuration.
local function options(server, sink, more)
  local crm = { url = server.url .. "/sink" }
  for _, from in ipairs { QUICK, sink or {} } do
    for key, value in pairs(from) do crm[key] = value end
  end
  local config = { persist = { file = "state.db" }, sinks = { crm = crm }, http_client = { breaker_open = 0.1 } }
  for key, value in pairs(more or {}) do config[key] = value end
  return { rules = { ["writes.lua"] = RULE }, config = config }
end

local function write(daemon, from, to, ...)
  local mark = daemon:mark()
  daemon:emit("test.write", "From=" .. from, "To=" .. (to or from), ...)
  return daemon:await({ msg = "wrote", n = to or from }, { from = mark })
end

-- What the server was asked at /sink: { key, lines = { n … } } each.
local function batches(server)
  local all = {}
  for _, request in ipairs(server.requests()) do
    local body = request.body:match "^[%[{]" and cjson.decode(request.body) or { request.body }
    local lines = {}
    for _, line in ipairs(body.n and { body } or body) do lines[#lines + 1] = type(line) == "table" and math.tointeger(line.n) or line end
    all[#all + 1] = { key = request.headers["Idempotency-Key"], lines = lines, request = request }
  end
  return all
end

-- The lines in the order in which each came first.
local function arrived(server)
  local lines, seen = {}, {}
  for _, batch in ipairs(batches(server)) do
    for _, n in ipairs(batch.lines) do
      if not seen[n] then lines[#lines + 1] = n end
      seen[n] = true
    end
  end
  return lines
end

local function range(from, to)
  local list = {}
  for n = from, to do list[#list + 1] = n end
  return list
end

local function spool(daemon, ...)
  local code, out, err = daemon:ctl("spool", ...)
  assert.equal(0, code, err)
  return h.json(out)
end

local function crm(daemon)
  return spool(daemon, "crm", "--json")
end

local function await_empty(daemon)
  return h.wait_for(function()
    local state = crm(daemon)
    return state.lines == 0 and state
  end, nil, function() return "an empty spool: " .. cjson.encode(crm(daemon)) end)
end

describe("a sink with a url", function()
  after_each(h.cleanup)

  it("delivers each line, as a body of its own, in order", function()
    local server = h.httpd()
    local daemon = h.daemon(h.project(options(server, { headers = { Authorization = "Bearer wombat-4711", ["X-A"] = "b" } })))
    assert.is_true(write(daemon, 1, 20).ok)
    assert.is_true(write(daemon, 21, 21, "Sync=1").ok)
    write(daemon, 22, 22, "Text=line ")
    await_empty(daemon)
    local expected = range(1, 21)
    expected[22] = "line 22"
    assert.same(expected, arrived(server))
    local first, last = server.requests()[1], server.requests()[22]
    assert.same({ "POST", "application/json", "Bearer wombat-4711", "b", '{"n":1}' },
      { first.method, first.headers["Content-Type"], first.headers.Authorization, first.headers["X-A"], first.body })
    assert.same({ "text/plain; charset=utf-8", "line 22" }, { last.headers["Content-Type"], last.body })
    local keys = {}
    for _, batch in ipairs(batches(server)) do
      assert.matches("^%x+$", batch.key)
      assert.is_nil(keys[batch.key])
      keys[batch.key] = true
    end
    assert.equal(22, daemon:metric("hookswitch_spool_lines_total", { sink = "crm", fate = "delivered" }))
    assert.equal(0, daemon:metric("hookswitch_spool_failing", { sink = "crm" }))
    for _, record in ipairs(daemon:log()) do
      for _, value in pairs(record) do assert.is_nil(tostring(value):find("wombat-4711", 1, true)) end
    end
  end)

  it("delivers batches as JSON arrays, and waits for them to fill", function()
    local server = h.httpd()
    local daemon = h.daemon(h.project(options(server, { batch = 10, every = 0.4 })))
    write(daemon, 1, 25)
    write(daemon, 26, 26, "Text=x")
    await_empty(daemon)
    local sizes = {}
    for _, batch in ipairs(batches(server)) do sizes[#sizes + 1] = #batch.lines end
    assert.same({ 10, 10, 6 }, sizes)
    assert.equal("x26", arrived(server)[26])
    assert.equal("application/json", server.requests()[1].headers["Content-Type"])
  end)

  it("signs each request", function()
    local server = h.httpd()
    local daemon = h.daemon(h.project(options(server, { hmac = "wombat-4712" })))
    write(daemon, 1)
    await_empty(daemon)
    local request = server.requests()[1]
    local text = h.folder() .. "/text"
    h.write_file(text, request.headers["Idempotency-Key"] .. "." .. request.body)
    local pipe = io.popen("openssl dgst -sha256 -hmac wombat-4712 " .. text)
    local digest = pipe:read("a"):match "= (%x+)"
    pipe:close()
    assert.equal("sha256=" .. digest, request.headers["X-Signature-256"])
    assert.equal(0, daemon:stop())
  end)

  it("tries again under the same key while the other side is down, answers 500, or takes the body and says nothing", function()
    local dead = h.dead_port()
    local project = h.project(options({ url = "http://127.0.0.1:" .. dead }, { batch = 5 }))
    local daemon = h.daemon(project)
    write(daemon, 1, 7)
    daemon:await { msg = "a sink cannot deliver", sink = "crm" }
    h.wait_for(function() return crm(daemon).try >= 3 end)
    assert.same({ 7, "fails" }, { crm(daemon).lines, crm(daemon).state })
    assert.matches("refused", crm(daemon).error)
    assert.equal(1, daemon:metric("hookswitch_spool_failing", { sink = "crm" }))
    local server = h.httpd { "--port", tostring(dead) }
    await_empty(daemon)
    daemon:await { msg = "a sink delivers again", sink = "crm" }
    assert.equal("", crm(daemon).error)
    assert.same(range(1, 7), arrived(server))
    for i, mode in ipairs { "500", "503", "late", "408", "302", "401" } do
      local before = #server.requests()
      server.mode(mode)
      write(daemon, 10 * i, 10 * i + 3)
      h.wait_for(function() return #server.requests() >= before + 3 end)
      server.mode "200"
      await_empty(daemon)
      local of_lines = {}
      for k, batch in ipairs(batches(server)) do
        if k > before then
          for _, n in ipairs(batch.lines) do
            assert.is_true(of_lines[n] == nil or of_lines[n] == batch.key, "another key")
            of_lines[n] = batch.key
          end
        end
      end
    end
    assert.equal(0, crm(daemon).dead)
  end)

  it("waits as long as Retry-After says", function()
    local server = h.httpd()
    server.mode "429 2"
    local daemon = h.daemon(h.project(options(server)))
    write(daemon, 1)
    h.wait_for(function() return #server.requests() == 1 end)
    local began = h.now()
    server.mode "200"
    await_empty(daemon)
    assert.is_true(h.now() - began > 1.5)
    assert.equal(2, #server.requests())
  end)

  it("finds the bad line of a batch, keeps it as a dead letter, and delivers the others in order", function()
    local server = h.httpd()
    server.mode '400 "n":13}'
    local daemon = h.daemon(h.project(options(server, { batch = 50, every = 0.3 })))
    write(daemon, 1, 40)
    local state = await_empty(daemon)
    local expected = range(1, 40)
    table.remove(expected, 13)
    local delivered = {}
    for _, batch in ipairs(batches(server)) do
      if not batch.request.body:find('"n":13}', 1, true) then
        for _, n in ipairs(batch.lines) do delivered[#delivered + 1] = n end
      end
    end
    assert.same(expected, delivered)
    assert.same({ 1, '{"n":13}', "status 400" }, { state.dead, state.letters[1].line, state.letters[1].reason })
    daemon:await { msg = "line could not be delivered and is a dead letter now", spool = "crm" }
    assert.equal(39, daemon:metric("hookswitch_spool_lines_total", { fate = "delivered" }))
    assert.equal(1, daemon:metric("hookswitch_spool_lines_total", { fate = "died" }))
    -- It survives a restart, and is sent again when the operator says so.
    assert.equal(0, daemon:stop())
    daemon = h.daemon(daemon.project)
    local code, out = daemon:ctl("spool", "crm")
    assert.equal(0, code)
    assert.matches('0 lines wait, 1 dead letter\n.*status 400 +{"n":13}', out)
    assert.equal(1, (daemon:ctl("spool", "resend", "999999")))
    server.mode "200"
    assert.equal(0, (daemon:ctl("spool", "resend", tostring(math.tointeger(crm(daemon).letters[1].number)))))
    await_empty(daemon)
    local all = batches(server)
    assert.same({ 13 }, all[#all].lines)
    assert.equal(0, crm(daemon).dead)
  end)

  it("gives a line up after `tries`, and drops what an operator drops", function()
    local server = h.httpd()
    server.mode "500"
    local daemon = h.daemon(h.project(options(server, { tries = 3 })))
    write(daemon, 1, 2)
    local state = await_empty(daemon)
    assert.same({ 2, '{"n":1}', '{"n":2}' }, { state.dead, state.letters[1].line, state.letters[2].line })
    assert.equal(6, #server.requests())
    local code, out = daemon:ctl("spool", "drop", "crm", "--json")
    assert.equal(0, code)
    assert.equal(2, h.json(out).lines)
    assert.equal(0, crm(daemon).dead)
    assert.equal(2, daemon:metric("hookswitch_spool_lines_total", { fate = "dropped" }))
    assert.equal(1, (daemon:ctl("spool", "nobody")))
    assert.equal(2, (daemon:ctl("spool", "resend")))
  end)

  it("does not deliver what is older than its ttl", function()
    local server = h.httpd()
    server.mode "500"
    local daemon = h.daemon(h.project(options(server)))
    write(daemon, 1, 1)
    h.wait_for(function() return #server.requests() >= 1 end)
    write(daemon, 2, 2, "Ttl=0.3")
    write(daemon, 3, 3)
    daemon:await { msg = "wrote", n = 3 }
    local began = h.now()
    h.wait_for(function() return h.now() - began > 0.5 end)
    server.mode "200"
    await_empty(daemon)
    assert.same({ 1, 3 }, arrived(server))
    daemon:await { msg = "line expired before it was delivered" }
    assert.equal(1, daemon:metric("hookswitch_spool_lines_total", { fate = "expired" }))
  end)

  it("answers backpressure when the spool is full, and overflow for a line that no request may hold", function()
    local server = h.httpd()
    server.mode "500"
    local daemon = h.daemon(h.project(options(server, {}, { persist = { file = "state.db", spool_lines = 3 }, http_client = { request_bytes = 2000, breaker_open = 0.1 } })))
    write(daemon, 1, 3)
    local record = write(daemon, 4)
    assert.same({ "backpressure" }, { record.code })
    daemon:await { msg = "line refused: it cannot wait for its delivery", sink = "crm" }
    assert.equal(1, daemon:metric("hookswitch_spool_lines_total", { fate = "refused" }))
    assert.equal("overflow", write(daemon, 5, 5, "Text=" .. ("x"):rep(1500)).code)
    server.mode "200"
    await_empty(daemon)
    assert.same({ 1, 2, 3 }, arrived(server))
  end)

  it("leaves a host alone whose breaker is open", function()
    local server = h.httpd()
    server.mode "500"
    local daemon = h.daemon(h.project(options(server, { retry_first = 0.01, retry_max = 0.01 }, { http_client = { breaker_failures = 3, breaker_open = 600 } })))
    write(daemon, 1)
    h.wait_for(function() return #server.requests() == 3 end)
    local began = h.now()
    h.wait_for(function() return h.now() - began > 0.5 end)
    assert.equal(3, #server.requests())
    assert.is_true(crm(daemon).next > 500) -- and says until when
    -- A reload tries again at once.
    server.mode "200"
    assert.is_true((daemon:reload()))
    await_empty(daemon)
  end)

  it("keeps its lines when it is taken out of the configuration, and goes on when it is there again, with new settings", function()
    local server, other = h.httpd(), h.httpd()
    server.mode "500"
    local project = h.project(options(server))
    local daemon = h.daemon(project)
    write(daemon, 1, 3)
    h.wait_for(function() return #server.requests() >= 1 end)
    local without = options(server)
    without.config.sinks = { crm = { file = "crm.log" } }
    project.write(without)
    assert.is_true((daemon:reload()))
    daemon:await { msg = "lines of a sink wait that the configuration has no more", sink = "crm" }
    assert.equal("no sink", crm(daemon).state)
    assert.equal("invalid", write(daemon, 9, 9, "Ttl=5").code)
    assert.is_true(write(daemon, 10).ok)
    h.wait_for(function() return h.exists(project.folder .. "/crm.log") and h.read(project.folder .. "/crm.log") == '{"n":10}\n' end)
    project.write(options(other, { batch = 10 }))
    assert.is_true((daemon:reload()))
    await_empty(daemon)
    assert.same({ 1, 2, 3 }, arrived(other))
  end)

  it("is checked with the configuration", function()
    local good = { url = "http://127.0.0.1:1/sink" }
    for why, change in pairs {
      ["sinks.crm: has file and url"] = { file = "x" }, ["sinks.crm.url: must be URLs of http"] = { url = "ftp://x" },
      ["sinks.crm: no URL of http or https"] = { url = "http://" }, ["sinks.crm.batch: must be 1 to 10000"] = { batch = 0 }, ["sinks.crm: the header Host is the client's own"] = { headers = { Host = "x" } },
      ["sinks.crm: the header Idempotency-Key is the sink's own"] = { headers = { ["idempotency-key"] = "x" } },
      ["sinks.crm: the header X-Signature-256 is the sink's own"] = { headers = { ["X-Signature-256"] = "x" }, hmac = "a-secret-for-hmac" },
      ["sinks.crm.headers: must be texts"] = { headers = { A = 1 } }, ["sinks.crm.retry_max: must be at least"] = { retry_first = 50, retry_max = 1 },
      ["sinks.crm.url: its lines wait on disk: give persist.file too"] = "no persist",
    } do
      local all = options({ url = good.url:sub(1, -6) }, type(change) == "table" and change or {})
      if change == "no persist" then all.config.persist = nil end
      local code, _, err = h.run("check", "-c", h.project(all).config)
      assert.equal(1, code, why)
      assert.truthy(err:find(why, 1, true), why .. " is not in " .. err)
    end
    local all = options(good)
    all.config.sinks.crm = {}
    local code, _, err = h.run("check", "-c", h.project(all).config)
    assert.equal(1, code)
    assert.truthy(err:find("sinks.crm.file: missing; give the file that its lines go to, or the url", 1, true), err)
  end)
end)
