-- `web.on` in a test: what a rule does with requests, without a daemon.
local cjson = require "cjson"
local rules = require "hookswitch".rules

describe("web.on in a test", function()
  local folder

  local function put(text)
    local file = io.open(folder .. "/r.lua", "w")
    file:write(text)
    file:close()
  end

  before_each(function()
    local pipe = io.popen "mktemp -d"
    folder = pipe:read "l"
    pipe:close()
  end)

  after_each(function() os.execute("rm -r " .. folder) end)

  local function harness(text, options)
    put(text)
    options = options or {}
    options.rules, options.lib, options.servers = folder, folder, { "pbx1" }
    local h, faults = rules.new(options)
    assert(h, type(faults) == "table" and table.concat(faults, "\n") or faults)
    return h
  end

  it("answers, at once or after a wait", function()
    local h <close> = harness [[
      web.on("POST", "/hooks/now", function(req) return 201, { got = req.json.n, who = req.token, from = req.remote }, { ["X-A"] = "b" } end)
      web.on("GET", "/hooks/later", function(req) timer.sleep(5) return 200, "late " .. req.query.q end)
    ]]
    local now = h:http_in("POST", "/hooks/now", { json = { n = 7 }, token = "crm" })
    assert.is_nil(h:http_out(now))
    h:turn()
    local answer = h:http_out(now)
    assert.same({ 201, "application/json", { ["X-A"] = "b" } }, { answer.status, answer.type, answer.headers })
    assert.same({ from = "192.0.2.1", got = 7, who = "crm" }, cjson.decode(answer.body))
    local later = h:http_in("GET", "/hooks/later", { query = { q = "x" } })
    h:turn()
    assert.is_nil(h:http_out(later))
    h:advance(5)
    assert.same({ 200, "late x" }, { h:http_out(-1).status, h:http_out(later).body })
    assert.has_error(function() h:http_in("GET", "/hooks/none") end, "no rule serves this path")
  end)

  it("does not keep events of other rules waiting when it is slow", function()
    local h <close> = harness([[
      web.on("POST", "/hooks/slow", function()
        local e = os.clock() + 0.03
        while os.clock() < e do end
        return 200
      end)
      local heard = 0
      ami.on("crm.heard", function(ev) heard = heard + 1 end)
      web.on("GET", "/hooks/heard", function() return 200, tostring(heard) end)
    ]], { limits = { turn_rules = 0.01, deadline = 1 } })
    for _ = 1, 4 do h:http_in("POST", "/hooks/slow") end
    h:emit "crm.heard"
    h:turn()
    h:turn()
    local seen = h:http_in("GET", "/hooks/heard")
    h:advance(0)
    assert.equal("1", h:http_out(seen).body)
  end)

  it("answers for a rule that fails or goes", function()
    local h <close> = harness [[
      web.on("GET", "/hooks/fails", function() error "no" end)
      web.on("GET", "/hooks/waits", function() timer.sleep(60) return 200 end)
    ]]
    h:http_in("GET", "/hooks/fails")
    h:turn()
    assert.same({ 500, "the rule has failed" }, { h:http_out(1).status, h:http_out(1).error })
    h:http_in("GET", "/hooks/waits")
    h:turn()
    h:stop()
    assert.equal(503, h:http_out(2).status)
    assert.has_error(function() h:http_in("GET", "/hooks/waits") end, "no rule serves this path")
    -- One that is still open when the test ends.
    local open <close> = harness [[ web.on("GET", "/hooks/waits", function() timer.sleep(60) end) ]]
    open:http_in("GET", "/hooks/waits")
    open:turn()
    open:http_in("GET", "/hooks/waits")
  end)

  it("is answered by the new state of a rule that was killed, also before the killed one is freed", function()
    local h <close> = harness([[
      web.on("GET", "/hooks/x", function() timer.sleep(60) return 200, "old" end)
      ami.on("crm.eat", function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)
    ]], { limits = { rule_memory = 2e6 } })
    h:http_in("GET", "/hooks/x")
    h:turn()
    -- It goes at the third one: its memory is used up, again and again.
    for _ = 1, 3 do
      h:emit "crm.eat"
      h:turn()
    end
    assert.same({ 503, "its rule is gone" }, { h:http_out(1).status, h:http_out(1).error })
    put [[ web.on("GET", "/hooks/x", function() return 200, "new" end) ]]
    assert(h:reload())
    local new = h:http_in("GET", "/hooks/x")
    h:turn()
    assert.same({ 200, "new" }, { h:http_out(new).status, h:http_out(new).body })
  end)

  it("takes nothing but a JSON object where it asks for one", function()
    local h <close> = harness [[ web.on("POST", "/hooks/x", { json = true }, function(req) return 200, tostring(req.json.n) end) ]]
    for _, request in ipairs { {}, { json = 5 }, { json = "x" }, { json = { 1, 2 } }, { json = true } } do
      assert.error_matches(function() h:http_in("POST", "/hooks/x", request) end, "takes JSON objects only")
    end
    for _, request in ipairs { { json = {} }, { json = { n = 1 } } } do
      local given = h:http_in("POST", "/hooks/x", request)
      h:turn()
      assert.same({ 200, tostring(request.json.n) }, { h:http_out(given).status, h:http_out(given).body })
    end
  end)
end)
