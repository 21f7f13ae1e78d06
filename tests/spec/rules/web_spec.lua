-- `web.on` in a test: what a rule does with requests, without a daemon.
local cjson = require "cjson"
local rules = require "hookswitch".rules

describe("web.on in a test", function()
  local folder

  local function harness(text)
    local pipe = io.popen "mktemp -d"
    folder = pipe:read "l"
    pipe:close()
    local file = io.open(folder .. "/r.lua", "w")
    file:write(text)
    file:close()
    local h, faults = rules.new { rules = folder, lib = folder, servers = { "pbx1" } }
    os.execute("rm -r " .. folder)
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
    -- One that is still open when the test ends.
    local open <close> = harness [[ web.on("GET", "/hooks/waits", function() timer.sleep(60) end) ]]
    open:http_in("GET", "/hooks/waits")
    open:turn()
    open:http_in("GET", "/hooks/waits")
  end)
end)
