-- The API's description is what is served and what the documents say.
local cjson = require "cjson"
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

describe("the description of the API", function()
  after_each(helper.cleanup)

  it("names every route, and each answers", function()
    local d = support.daemon { servers = { pbx1 = helper.server(helper.dead_port()) } }
    local status, _, api = support.ask(d, "/api/openapi.json")
    assert.are.same({ 200, "3.1.0" }, { status, api.openapi })
    local documented = helper.read "lib/README.md"
    local count = 0
    for path, methods in pairs(api.paths) do
      for method, operation in pairs(methods) do
        count = count + 1
        local asked = path:gsub("{name}", path:find "servers" and "pbx1" or "crm.x")
        assert.truthy(documented:find("`" .. path:gsub("{name}", "NAME"), 1, true) or documented:find(method:upper() .. " " .. path:gsub("{name}", "NAME"), 1, true),
          path .. " is not in lib/README.md")
        -- The other method is not allowed, so the path is there.
        local other = method == "get" and "POST" or "GET"
        local code, headers = support.ask(d, { method = other, path = asked, token = support.ALL, body = other == "POST" and "{}" or nil })
        assert.are.equal(405, code, path)
        assert.truthy(headers.allow:find(method:upper(), 1, true), path)
        -- Without the scope it is refused, by its name.
        if operation["x-scope"] and operation["x-scope"] ~= "read" then
          local _, _, refusal = support.ask(d, { method = method:upper(), path = asked, token = support.READ, body = method == "post" and "{}" or nil })
          assert.are.equal("this token has not the scope " .. operation["x-scope"], refusal.error)
        end
      end
    end
    local source = helper.read "src/web/web_routes.c"
    local routes = select(2, source:gsub('\n\t{ "%u+", "/api/', ""))
    assert.are.equal(routes, count)
  end)

  it("has the parameters that there are, and the fields of what comes", function()
    local d = support.live()
    local _, _, api = support.ask(d, "/api/openapi.json")
    for _, plural in ipairs { "calls", "queues", "agents", "endpoints" } do
      local worded = 0
      for _, parameter in ipairs(api.paths["/api/" .. plural].get.parameters) do
        local words = parameter.schema.examples or { parameter.name == "limit" and "1" or "x" }
        for _, word in ipairs(words) do
          assert.are.equal(200, (support.ask(d, ("/api/%s?%s=%s"):format(plural, parameter.name, word))), parameter.name)
        end
        if parameter.schema.examples then
          worded = worded + 1
          assert.are.equal(400, (support.ask(d, ("/api/%s?%s=%s"):format(plural, parameter.name, "no_such_word"))), parameter.name)
        end
      end
      assert.are.equal(plural ~= "queues", worded > 0, plural)
    end
    assert.is_nil(cjson.encode(api.paths["/api/queues"].get.parameters):find('"waiting"', 1, true))
    local queue = helper.wait_for(function() return (select(3, support.ask(d, "/api/queues"))).queues[1] end)
    for name in pairs(queue) do assert.is_table(api.components.schemas.queue.properties[name], name) end
  end)

  it("says which fields are lists and which are tables by name, and they are everywhere, also when they are empty", function()
    local d = support.live()
    local _, _, api = support.ask(d, "/api/openapi.json")
    local stream = helper.start("curl", { "-sN", "-H", "Authorization: Bearer " .. support.READ, ("http://127.0.0.1:%d/api/live"):format(d.web_port) })
    local function frames(event)
      local all = {}
      for data in stream:stdout():gmatch("event: " .. event:gsub("%p", "%%%0") .. "\n.-data: ([^\n]*)\n") do all[#all + 1] = data end
      return table.concat(all, "\n")
    end
    helper.wait_for(function() return frames("agent.changed"):find('"pauses":{}', 1, true) and frames("call.ended") ~= "" end, nil, function() return frames "agent.changed" end)
    -- As bytes: once they are read, an empty list and an empty table are the same.
    local texts = { stream:stdout() }
    local seen = 0
    for plural, kind in pairs { calls = "call", queues = "queue", agents = "agent", endpoints = "endpoint" } do
      local path = "/api/" .. plural
      texts[#texts + 1] = support.raw(d.web_port, support.bytes { path = path, token = support.READ })
      for _, item in ipairs((select(3, support.ask(d, path)))[plural]) do
        seen = seen + 1
        for name, value in pairs(item) do
          local wanted = api.components.schemas[kind].properties[name].type
          assert.are.equal(type(value) == "table", wanted == "array" or wanted == "object", kind .. "." .. name)
        end
      end
    end
    assert.is_true(seen > 0)
    for _, text in ipairs(texts) do
      assert.truthy(text:find('"pauses":{', 1, true) or not text:find('"pauses"', 1, true))
      for _, schema in pairs(api.components.schemas) do
        for name, field in pairs(schema.properties) do
          local never = field.type == "array" and "{" or field.type == "object" and "["
          if never then assert.is_nil(text:find(('"%s":%s'):format(name, never), 1, true), name) end
        end
      end
    end
  end)
end)
