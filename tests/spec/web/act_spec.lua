-- What changes something over the API: events for rules, actions for servers.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"
local cjson = require "cjson"

local function post(d, path, body, more)
  local request = { method = "POST", path = path, token = support.ALL, body = type(body) == "string" and body or cjson.encode(body) }
  for key, value in pairs(more or {}) do request[key] = value end
  return support.ask(d, request)
end

describe("an event over the API", function()
  after_each(helper.cleanup)

  local RULE = { ["r.lua"] = [[
    ami.on("crm.*", function() end)
    ami.on("crm.answered", function(ev) log.info("heard", { ticket = ev.ticket, ok = ev.ok, number = ev.number, none = ev.none }) end)
  ]] }

  it("is heard by rules, and the answer says by how many", function()
    local d = support.daemon { rules = RULE }
    local status, _, body = post(d, "/api/emit/crm.answered", { ticket = "T 1\r\nX: y", ok = true, number = 12, none = cjson.null })
    assert.are.same({ 200, { listeners = 1 } }, { status, body })
    d:await { msg = "heard", ticket = "T 1\r\nX: y", ok = "true", number = "12" }
    d:await { msg = "web emit", client = "all", address = "127.0.0.1", event = "crm.answered", outcome = "success", listeners = 1 }
    assert.are.same({ 200, { listeners = 0 } }, { post(d, "/api/emit/crm.unheard", {}), select(3, post(d, "/api/emit/crm.unheard", {})) })
  end)

  it("is one that the token may emit", function()
    local d = support.daemon { rules = RULE }
    assert.are.equal(403, (post(d, "/api/emit/other.answered", {})))
    d:await { msg = "web emit", client = "all", event = "other.answered", outcome = "denied" }
    local status, _, body = post(d, "/api/emit/crm.answered", {}, { token = support.READ })
    assert.are.same({ 403, "this token has not the scope emit" }, { status, body.error })
  end)

  it("is a JSON object of texts, numbers and booleans", function()
    local d = support.daemon { rules = RULE }
    local many = {}
    for i = 1, 65 do many["f" .. i] = i end
    for body, fault in pairs {
      ["nonsense"] = "cannot be read: not JSON", ["{"] = "cannot be read: not JSON", [""] = "cannot be read: not JSON", ["[1]"] = "must be a JSON object",
      ["1"] = "must be a JSON object", ["null"] = "must be a JSON object", ['{"a":{}}'] = "field 'a': a text", ['{"a":[1]}'] = "field 'a': a text",
      ['{"":1}'] = "a name of 1 to 255 bytes", [cjson.encode(many)] = "at most 64 fields", [("["):rep(300)] = "cannot be read: JSON nested too deep",
      ['{"a":' .. ("9"):rep(400) .. "}"] = "cannot be read: ",
    } do
      local status, _, answer = post(d, "/api/emit/crm.answered", body)
      assert.are.equal(400, status, body)
      assert.truthy(answer.error:find(fault, 1, true), body .. ": " .. answer.error)
    end
    assert.are.equal(415, (post(d, "/api/emit/crm.answered", "a=b", { headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } })))
    assert.are.equal(403, (post(d, "/api/emit/crm", {})))
  end)
end)

describe("an action over the API", function()
  after_each(helper.cleanup)

  it("is sent, and the answer says what Asterisk did", function()
    local d = support.live()
    local status, _, body = post(d, "/api/servers/pbx1/actions", { Action = "QueuePause", Queue = "support", Interface = "PJSIP/101", Paused = true })
    assert.are.equal(200, status)
    assert.are.same({ "pbx1", "QueuePause", true, cjson.null }, { body.server, body.action, body.success, body.code })
    d:await { msg = "web action", client = "all", address = "127.0.0.1", server = "pbx1", action = "QueuePause", target = "PJSIP/101 support", outcome = "success",
      action_id = body.action_id }
    status, _, body = post(d, "/api/servers/pbx1/actions", { Action = "CoreShowChannels" })
    assert.are.equal(200, status)
    assert.is_table(body.events)
    status, _, body = post(d, "/api/servers/pbx1/actions", { Action = "Hangup", Channel = "PJSIP/none-00000001" })
    assert.are.same({ 409, false, "error" }, { status, body.success, body.code })
    d:await { msg = "web action", action = "Hangup", target = "PJSIP/none-00000001", outcome = "error" }
    status, _, body = post(d, "/api/servers/pbx1/actions?timeout=20",
      { Action = "Originate", Channel = "PJSIP/1001", Exten = "900", Context = "default", Priority = 1, Variable = { A = "1,2", B = true } })
    assert.are.equal(200, status)
    assert.is_true(body.success)
  end)

  it("is what policy.web allows, whatever rules may", function()
    local d = support.live(nil, { config = { policy = { allow = { "Command" }, web = { deny = { "Hangup" }, originate = { "ChanSpy" } } } } })
    local status, _, body = post(d, "/api/servers/pbx1/actions", { Action = "Command", Command = "core show version" })
    assert.are.same({ 403, "denied" }, { status, body.code })
    assert.matches('policy%.web%.allow = { "Command" }', body.message)
    d:await { msg = "web action", action = "Command", outcome = "denied" }
    assert.are.equal(403, (post(d, "/api/servers/pbx1/actions", { Action = "Hangup", Channel = "PJSIP/1-1" })))
    assert.are.equal(403, (post(d, "/api/servers/pbx1/actions", { Action = "Logoff" })))
    local originate = { Action = "Originate", Channel = "PJSIP/1001", Application = "System", Data = "x" }
    status, _, body = post(d, "/api/servers/pbx1/actions", originate)
    assert.are.equal(403, status)
    assert.matches('policy%.web%.originate = { "System" }', body.message)
    originate.Application = "ChanSpy"
    assert.are_not.equal(403, (post(d, "/api/servers/pbx1/actions", originate)))
    assert.are.equal(403, (post(d, "/api/servers/pbx1/actions", { Action = "Hangup" }, { token = support.READ })))
  end)

  it("cannot be made into another one", function()
    local d = support.live()
    for body, fault in pairs {
      ['{"Action":"Ping","X":"a\\r\\nAction: Logoff"}'] = "line", ['{"Action":"Ping","X\\r\\nAction":"Logoff"}'] = "name",
      ['{"Action":" Ping"}'] = "blank", ['{"Action":["Ping","Logoff"]}'] = "more than one name", ['{"Action":"Ping","action":"Logoff"}'] = "more than one name",
      ['{}'] = "has no name", ['{"Action":""}'] = "has no name", ['{"Action":"Ping","ActionID":"1"}'] = "ActionID", ['{"Action":"Ping","X":{"a":1}}'] = "list is expected",
      ['{"Action":"Ping","X":[{}]}'] = "is expected",
    } do
      local status, _, answer = post(d, "/api/servers/pbx1/actions", body)
      assert.are.equal(400, status, body)
      assert.truthy(answer.error:find(fault, 1, true), body .. ": " .. answer.error)
    end
    for _, path in ipairs { "/api/servers/pbx9/actions", "/api/servers/pbx1/actions/x", "/api/servers//actions" } do
      local status = post(d, path, { Action = "Ping" })
      assert.is_true(status == 404 or status == 400, path)
    end
    assert.are.equal(400, (post(d, "/api/servers/pbx1/actions?timeout=0", { Action = "Ping" })))
    assert.are.equal(400, (post(d, "/api/servers/pbx1/actions?x=1", { Action = "Ping" })))
  end)

  it("of a token with queues touches nothing else", function()
    local tokens = support.tokens()
    tokens.desk = { secret = "desk-secret-0123456789", scopes = { "act", "read" }, queues = { "support" } }
    tokens.far = { secret = "far-secret-01234567890", scopes = { "act" }, servers = { "dead" } }
    local sim = helper.sim("--calls-per-second", "3", "--seed", "3")
    local d = support.daemon({ servers = { pbx1 = helper.server(sim), dead = helper.server(helper.dead_port()) } }, { tokens = tokens })
    d:ready "pbx1"
    local function act(action, token)
      return (post(d, "/api/servers/pbx1/actions", action, { token = token or "desk-secret-0123456789" }))
    end
    assert.are.equal(200, act { Action = "QueuePause", Queue = "support", Interface = "PJSIP/101", Paused = true })
    assert.are.equal(403, act { Action = "QueuePause", Queue = "sales", Interface = "PJSIP/101", Paused = true })
    assert.are.equal(403, act { Action = "QueuePause", Interface = "PJSIP/101", Paused = true })
    assert.are.equal(403, act { Action = "QueuePause", Queue = { "support", "sales" }, Interface = "PJSIP/101", Paused = true })
    assert.are.equal(403, act { Action = "Originate", Channel = "PJSIP/1001", Exten = "900", Context = "default", Priority = 1 })
    -- A header that the action knows nothing of does not bound it.
    for _, action in ipairs { "CoreShowChannels", "Status", "PJSIPShowEndpoints", "DBGet", "UserEvent", "BridgeList", "Originate", "Hangup", "Queues" } do
      assert.are.equal(403, act { Action = action }, action)
      assert.are.equal(403, act { Action = action, Queue = "support" }, action)
    end
    -- A channel of a call that was in its queue, and one of a call that was not.
    local function channel_of(in_support)
      return helper.wait_for(function()
        local _, _, body = support.ask(d, "/api/calls?limit=1000")
        for _, call in ipairs(body.calls) do
          local was = call.queue == "support"
          for _, wait in ipairs(call.waits) do was = was or wait.queue == "support" end
          if was == in_support and call.caller ~= cjson.null then return call.caller end
        end
      end)
    end
    assert.are.equal(403, act { Action = "QueuePause", Channel = channel_of(true), Interface = "PJSIP/101", Paused = true })
    assert.are.equal(403, act { Action = "CoreShowChannels", Channel = channel_of(true) })
    assert.are.equal(403, act { Action = "Park", Channel = channel_of(true), AnnounceChannel = channel_of(false) })
    assert.are_not.equal(403, act { Action = "Hangup", Channel = channel_of(true) })
    assert.are.equal(403, act { Action = "Hangup", Channel = channel_of(false) })
    assert.are.equal(404, act({ Action = "Ping" }, "far-secret-01234567890"))
    local status, _, body = post(d, "/api/servers/dead/actions", { Action = "Ping" }, { token = "far-secret-01234567890" })
    assert.are.same({ 503, "not_ready" }, { status, body.code })
  end)

  it("is answered and logged also when the engine stops before its end", function()
    for _, signals in ipairs { 1, 2 } do -- the second stops at once, without waiting for the session's end
      local d = support.daemon { servers = { pbx1 = helper.server(helper.peer(helper.LOGIN .. "\nhold")) } }
      d:ready "pbx1"
      local client = helper.start("curl", { "-s", "-H", "Authorization: Bearer " .. support.ALL, "-d", '{"Action":"CoreStatus"}', "-H", "Content-Type: application/json",
        "-w", "%{http_code}", ("http://127.0.0.1:%d/api/servers/pbx1/actions"):format(d.web_port) })
      helper.wait_for(function() return select(2, d:ctl("pending")):find("CoreStatus", 1, true) end)
      d:signal "TERM"
      d:await { msg = "stopping" }
      if signals == 2 then d:signal "TERM" end
      assert.are.equal(0, client:ended())
      assert.matches('"action_id":"[^"]+".*503$', client:stdout())
      assert.are.equal(0, d:ended())
      d:await { msg = "web action", client = "all", server = "pbx1", action = "CoreStatus", outcome = "cancelled" }
    end
  end)

  it("that takes too long ends the request, not itself", function()
    local folder = helper.folder()
    local peer = helper.peer { helper.LOGIN, "action Originate", "wait " .. folder .. "/go", "send Response: Error\\r\\nActionID: $id\\r\\nMessage: late\\r\\n\\r\\n", "serve" }
    local d = support.daemon({ servers = { pbx1 = helper.server(peer) } }, { timeout = 0.5 })
    d:ready "pbx1"
    local status, _, body = post(d, "/api/servers/pbx1/actions", { Action = "Originate", Channel = "PJSIP/1", Exten = "1", Context = "c", Priority = 1 })
    assert.are.equal(504, status)
    assert.is_string(body.action_id)
    helper.write_file(folder .. "/go", "")
    d:await { msg = "web action", action = "Originate", outcome = "error", action_id = body.action_id }
  end)
end)
