-- The live picture and the engine over the API.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"
local ask = support.ask

describe("lists over the API", function()
  after_each(helper.cleanup)

  it("are what ctl shows", function()
    local d = support.live()
    local function keys(object)
      local names = {}
      for name in pairs(object) do names[#names + 1] = name end
      table.sort(names)
      return names
    end
    for _, kind in ipairs { "calls", "queues", "agents", "endpoints" } do
      local status, headers, body = helper.wait_for(function()
        local code, head, answer = ask(d, "/api/" .. kind)
        return code == 200 and answer.total > 0 and code, head, answer
      end)
      assert.are.equal(200, status)
      assert.are.equal("no-cache", headers["cache-control"])
      local code, out = d:ctl(kind, "--json")
      assert.are.equal(0, code)
      local shown = helper.json(out)
      assert.are.same(keys(shown), keys(body))
      assert.are.same(keys(shown[kind][1]), keys(body[kind][1]))
      assert.are.equal("pbx1", body.servers[1].name)
    end
    local _, _, servers = ask(d, "/api/servers")
    assert.are.equal("ready", servers.servers[1].state)
    local _, _, rules = ask(d, "/api/rules")
    assert.is_table(rules.rules)
    local _, _, status = ask(d, "/api/status")
    assert.are.equal(1, status.generation)
  end)

  it("are narrowed by parameters, and say which there are", function()
    local d = support.live()
    helper.wait_for(function()
      local _, _, body = ask(d, "/api/queues?name=support")
      return body.total == 1 and body.queues[1].name == "support"
    end)
    local _, _, none = ask(d, "/api/queues?name=no+such%20queue")
    assert.are.same({ 0, 0 }, { none.total, #none.queues })
    local _, _, one = ask(d, "/api/queues?limit=1&server=pbx1")
    assert.are.same({ 2, 1 }, { one.total, #one.queues })
    for fault, path in pairs {
      ["there is no parameter 'nonsense'; there are limit, server, name, "] = "/api/queues?nonsense=1",
      ["state is never 'talkng'; it can be new, ringing, queued, up, held, parked, conference, ended"] = "/api/calls?queue=support&state=talkng",
      ["state is never 'freee' (did you mean free?); it can be free, "] = "/api/agents?state=freee",
      ["members is a list, and a filter compares single values"] = "/api/queues?members=1",
      ["limit is a number from 1 to 10000"] = "/api/queues?limit=0",
      ["the query is badly encoded"] = "/api/queues?name=%zz",
      ["at most 8 conditions"] = "/api/queues?" .. ("name=a&"):rep(9),
      ["this path has no parameters"] = "/api/status?a=b",
    } do
      local status, _, body = ask(d, path)
      assert.are.equal(400, status)
      assert.truthy(body.error:find(fault, 1, true), body.error)
    end
  end)

  it("need not be sent again when nothing has changed", function()
    local d = support.daemon { config = { live = { enabled = true } } }
    local _, headers = ask(d, "/api/queues")
    local again = { path = "/api/queues", token = support.READ, headers = { ["If-None-Match"] = headers.etag } }
    local status, _, body = ask(d, again)
    assert.are.same({ 304, "" }, { status, body })
    for _, tags in ipairs { "W/" .. headers.etag, '"other", W/"x",' .. headers.etag, "*" } do
      again.headers["If-None-Match"] = tags
      assert.are.equal(304, (ask(d, again)), tags)
    end
    again.headers["If-None-Match"] = '"other"'
    assert.are.equal(200, (ask(d, again)))
    again.method = "HEAD"
    status, headers, body = ask(d, again)
    assert.are.same({ 200, "" }, { status, body })
    assert.is_true(tonumber(headers["content-length"]) > 0)
  end)

  it("show a token what it may see, and nothing beside", function()
    local d = support.live()
    local function see(path, token)
      local status, _, body = ask(d, { path = path, token = token })
      return status, body
    end
    helper.wait_for(function()
      local _, calls = see("/api/calls", support.READ)
      local queues = {}
      for _, call in ipairs(calls.calls) do queues[tostring(call.queue)] = true end
      return queues.sales and queues.support
    end)
    local _, queues = see("/api/queues", support.WALL)
    assert.are.same({ 1, "support" }, { queues.total, queues.queues[1].name })
    local _, calls = see("/api/calls", support.WALL)
    for _, call in ipairs(calls.calls) do
      local was = call.queue == "support"
      for _, wait in ipairs(call.waits) do was = was or wait.queue == "support" end
      assert.is_true(was)
    end
    assert.are.equal(calls.total, #calls.calls)
    local _, agents = see("/api/agents", support.WALL)
    for _, agent in ipairs(agents.agents) do assert.truthy(table.concat(agent.queues, " "):find "support") end
    local _, endpoints = see("/api/endpoints", support.WALL)
    assert.are.equal(0, endpoints.total)
    local status, refusal = see("/api/rules", support.WALL)
    assert.are.equal(403, status)
    assert.matches("limited to servers or queues", refusal.error)
    assert.are.equal(403, (see("/api/status", support.WALL)))
  end)

  it("say when the picture is off", function()
    local d = support.daemon { config = { live = { enabled = false } } }
    local status, _, body = ask(d, "/api/calls")
    assert.are.equal(503, status)
    assert.matches("live%.enabled", body.error)
  end)
end)
