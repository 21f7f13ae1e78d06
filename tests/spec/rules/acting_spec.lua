local support = require "tests.spec.rules.support"

describe("acting", function()
  after_each(support.cleanup)

  -- Runs `code` in a listener with `server`; the run.
  local function doing(code, options)
    local t = support.run("ami.on('Hangup', function(ev, server) " .. code .. " end)", options)
    t:event "Hangup"
    return t
  end

  -- The headers that an action of this table is sent with.
  local function sent(table_text, options)
    local t = doing("note(server:send(" .. table_text .. "))", options)
    local all = t:sent()
    return all[1] and all[1].action, t:said()[1]
  end

  describe("send", function()
    it("gives the ActionID and never waits", function()
      local t = doing [[note(server:send { Action = "Ping" }) note "after"]]
      assert.same({ t:sent()[1].id, "after" }, t:said())
      assert.same({ Action = "Ping" }, t:sent()[1].action)
      assert.equal("rule", t:sent()[1].rule)
      assert.equal("pbx1", t:sent()[1].server)
    end)

    it("calls back exactly once with the answer", function()
      local t = doing [[server:send({ Action = "Ping" }, function(res, err) note(res.Response, res.message, err) end)]]
      t:reply { Response = "Success", Message = "Pong" }
      t:advance(100)
      assert.same({ "Success Pong nil" }, t:said())
      assert.equal(0, t:rule().pending)
    end)

    it("calls back with nil and an error object", function()
      local t = doing [[server:send({ Action = "Ping" }, function(res, err) note(res, err.code, err.message, err.response.Response, tostring(err)) end)]]
      t:reply { Response = "Error", Message = "No such channel" }
      assert.same({ "nil error No such channel Error error: No such channel" }, t:said())
    end)

    it("needs no callback", function()
      local t = doing [[server:send { Action = "Ping" }]]
      t:reply()
      assert.equal("", t:rule().last_error)
      assert.equal(0, t:rule().pending)
    end)

    it("that fails at once returns nil, err and never calls back", function()
      local t = doing [[
        local id, err = server:send({ Action = "Ping", Bad = function() end }, function() note "called" end)
        note(id, err.code)]]
      t:advance(100)
      assert.same({ "nil invalid" }, t:said())
      assert.same({}, t:sent())
    end)

    it("fails as not_ready without a session", function()
      local t = doing([[note(select(2, server:send { Action = "Ping" }).code)]], { ready = false })
      assert.same({ "not_ready" }, t:said())
    end)

    it("fails as lost when the session ends", function()
      local t = doing [[server:send({ Action = "Ping" }, function(res, err) note(res, err.code, err.response, server.ready) end)]]
      t:lost("pbx1", "reset")
      t:advance()
      assert.same({ "nil lost nil false" }, t:said())
    end)

    it("may be done in a callback, and a callback may wait", function()
      local t = doing [[server:send({ Action = "Ping" }, function()
        timer.sleep(1)
        local res = server:call { Action = "CoreStatus" }
        note(res.message)
      end)]]
      t:reply()
      t:advance(1)
      t:reply { Response = "Success", Message = "ok" }
      assert.same({ "ok" }, t:said())
    end)

    it("is not possible while loading", function()
      assert.matches("rule.lua:1: .*loading", support.faults "ami.server('pbx1'):send { Action = 'Ping' }")
      assert.matches("loading", support.faults "ami.route('failover'):send { Action = 'Ping' }")
    end)

    it("is refused by what is no server, and with what is no action", function()
      local t = doing [[
        note((pcall(server.send, {}, { Action = "Ping" })), (pcall(server.send, server)), (pcall(server.send, server, "Ping")))
        note((pcall(server.send, server, { Action = "Ping" }, "x")), (pcall(server.send, server, { Action = "Ping" }, {}, "x")))]]
      assert.same({ "false false false", "false false" }, t:said())
      assert.same({}, t:sent())
    end)
  end)

  describe("call", function()
    it("waits for the answer and returns it", function()
      local t = doing [[note("before") local res, err = server:call { Action = "Ping" } note(res.message, err)]]
      assert.same({ "before" }, t:said())
      assert.equal(1, t:rule().waiting)
      t:reply { Response = "Success", Message = "Pong" }
      assert.same({ "Pong nil" }, t:said())
      assert.equal(0, t:rule().waiting)
    end)

    it("ends with every named reason", function()
      for _, code in ipairs { "error", "timeout", "lost", "not_ready", "backpressure", "overflow", "denied", "invalid", "cancelled" } do
        local t = doing [[local res, err = server:call { Action = "Ping" } note(res, err.code, err.message, tostring(err))]]
        t:reply { code = code, text = "why" }
        assert.same({ ("nil %s why %s: why"):format(code, code) }, t:said())
        support.cleanup()
      end
    end)

    it("takes a turn also when it fails at once for a reason that may pass", function()
      local t = doing([[note "before" note(select(2, server:call { Action = "Ping" }).code)]], { ready = false })
      assert.same({ "before" }, t:said())
      t:turn()
      assert.same({ "not_ready" }, t:said())
    end)

    it("can be made many times at once, each gets its own answer", function()
      local t = support.run [[ami.on("Hangup", function(ev, server) note(ev.N, server:call({ Action = "Ping" }).N) end)]]
      for n = 1, 3 do t:event("Hangup", { N = n }) end
      local ids = {}
      for i, entry in ipairs(t:sent()) do ids[i] = entry.id end
      t:answer(ids[2], { Response = "Success", N = "b" })
      t:answer(ids[3], { Response = "Success", N = "c" })
      t:answer(ids[1], { Response = "Success", N = "a" })
      assert.same({ "2 b", "3 c", "1 a" }, t:said())
    end)

    it("works in a timer", function()
      local t = support.run [[timer.after(1, function() note(ami.server("pbx1"):call({ Action = "Ping" }).message) end)]]
      t:advance(1)
      t:reply { Response = "Success", Message = "Pong" }
      assert.same({ "Pong" }, t:said())
    end)

    it("takes no callback", function()
      local t = doing [[note(pcall(server.call, server, { Action = "Ping" }, function() end))]]
      assert.matches("^false .*callback", t:said()[1])
      assert.same({}, t:sent())
    end)
  end)

  describe("an action's table", function()
    it("is sent with its headers, numbers and booleans as Asterisk reads them", function()
      assert.same({ Action = "QueuePause", Queue = "sales", Paused = "true", Ringinuse = "false", Penalty = "3", Timeout = "30000", Weight = "1.5" },
        sent [[{ Action = "QueuePause", Queue = "sales", Paused = true, Ringinuse = false, Penalty = 3, Timeout = 3e4, Weight = 1.5 }]])
    end)

    it("repeats a header for a list", function()
      assert.same({ Action = "UserEvent", UserEvent = "x", Header = { "a", "2", "true" } },
        sent [[{ Action = "UserEvent", UserEvent = "x", Header = { "a", 2, true } }]])
    end)

    it("writes a table of variables sorted, with commas escaped", function()
      local action = sent [[{ Action = "Originate", Channel = "Local/1@x", Exten = "1", Context = "x", Priority = 1, Variable = { B = "x,y", A = 1, C = true } }]]
      assert.equal("A=1,B=x\\,y,C=true", action.Variable)
    end)

    it("writes a list of variables as it stands", function()
      local action = sent [[{ Action = "Originate", Channel = "Local/1@x", Exten = "1", Context = "x", Priority = 1, Variable = { "B=1", "A=2" } }]]
      assert.same({ "B=1", "A=2" }, action.Variable)
    end)

    it("lets Originate be asynchronous unless it says otherwise", function()
      assert.equal("true", sent([[{ Action = "originate", Channel = "Local/1@x", Exten = "1", Context = "x" }]]).Async)
      assert.equal("false", sent([[{ Action = "Originate", Channel = "Local/1@x", Exten = "1", Context = "x", ASYNC = false }]]).ASYNC)
      assert.is_nil(sent([[{ Action = "Originate", Channel = "Local/1@x", Exten = "1", Context = "x", ASYNC = false }]]).Async)
    end)

    local function refused(text, pattern)
      local action, said = sent(text)
      assert.is_nil(action)
      assert.matches("^nil invalid: ", said)
      assert.matches(pattern, said)
    end

    it("is invalid with what cannot be a header", function()
      refused([[{ Action = "Ping", X = 0/0 }]], "'X'")
      refused([[{ Action = "Ping", X = math.huge }]], "'X'")
      refused([[{ Action = "Ping", X = print }]], "'X' is a function")
      refused([[{ Action = "Ping", X = { { "a" } } }]], "'X' is a table")
      refused([[{ Action = "Ping", X = { a = 1 } }]], "'X'")
      refused([[{ Action = "Ping", X = { "a", nil, "b", n = 1 } }]], "'X'")
      refused([[{ Action = "Ping", "x" }]], "number")
      refused([[{ Action = "Ping", [""] = "x" }]], "name")
      refused([[{ Action = "Ping", ["A B\n"] = "x" }]], "name")
      refused([[{ X = "y" }]], "Action")
      refused([[{ Action = "" }]], "Action")
      refused([[{}]], "Action")
    end)

    it("is invalid with a line end or a NUL in a value", function()
      refused([[{ Action = "Ping", X = "a\r\nAction: Originate" }]], "X")
      refused([[{ Action = "Ping", X = "a\n" }]], "X")
      refused([[{ Action = "Ping", X = "a\0b" }]], "X")
      refused([[{ Action = "Originate", Variable = { A = "x\r\n" } }]], "Variable")
    end)

    it("is invalid when a line is too long or there are too many", function()
      refused([[{ Action = "Ping", X = ("x"):rep(1100) }]], "X")
      refused([[(function() local a = { Action = "Ping" } for i = 1, 200 do a["H" .. i] = i end return a end)()]], "headers")
    end)

    it("cannot have an ActionID: that is the engine's", function()
      refused([[{ Action = "Ping", ActionID = "7" }]], "ActionID")
      refused([[{ Action = "Ping", actionid = "7" }]], "ActionID")
    end)

    it("is read raw: no metamethod of it runs", function()
      assert.same({ Action = "Ping" }, sent [[setmetatable({ Action = "Ping" }, { __index = function() error "x" end, __pairs = function() error "y" end })]])
    end)

    it("is not changed", function()
      local t = doing [[
        local a = { Action = "Originate", Channel = "Local/1@x", Exten = "1", Context = "x", Variable = { A = 1 } }
        server:send(a)
        local n = 0
        for _ in pairs(a) do n = n + 1 end
        note(n, a.Variable.A, math.type(a.Variable.A))]]
      assert.same({ "5 1 integer" }, t:said())
    end)
  end)

  describe("options", function()
    it("are a timeout in seconds", function()
      local t = doing [[server:send({ Action = "Ping" }, { timeout = 2.5 }) server:send({ Action = "Ping" }, { timeout = 1 }, function() note "x" end)]]
      assert.equal(2.5, t:sent()[1].timeout)
      t:answer(2, { Response = "Success" })
      assert.same({ "x" }, t:said())
    end)

    it("are refused when they are something else", function()
      local t = doing [[
        note(pcall(server.send, server, { Action = "Ping" }, { timeuot = 1 }))
        note(pcall(server.send, server, { Action = "Ping" }, { timeout = 0 }))
        note(pcall(server.send, server, { Action = "Ping" }, { timeout = "1" }))]]
      local said = t:said()
      assert.matches("false .*timeuot", said[1])
      assert.matches("false .*timeout", said[2])
      assert.matches("false .*timeout", said[3])
      assert.same({}, t:sent())
    end)
  end)

  describe("policy", function()
    it("denies the engine's own actions whatever is allowed", function()
      for _, action in ipairs { "Login", "Logoff", "Challenge", "Events", "Filter", "lOGIN" } do
        local _, said = sent(("{ Action = '%s' }"):format(action), { policy = { allow = { "*" } } })
        assert.matches("^nil denied: ", said)
        support.cleanup()
      end
    end)

    it("denies what reaches files, shell, modules, dialplan or configuration, and says what would allow it", function()
      for _, action in ipairs { "Command", "ModuleLoad", "Reload", "UpdateConfig", "GetConfig", "GetConfigJSON", "CreateConfig", "ListCategories",
        "DialplanExtensionAdd", "DialplanExtensionRemove", "AGI", "DBDelTree" } do
        local _, said = sent(("{ Action = '%s' }"):format(action))
        assert.matches("^nil denied: ", said)
        assert.matches('policy%.rules%["rule"%]%.allow = { "' .. action .. '" }', said)
        support.cleanup()
      end
    end)

    it("judges each action by its own name, whatever the rule has sent before", function()
      local t = doing [[
        for _, name in ipairs { "Ping", "Command", "ping", "QueuPause", "Login", "Ping" } do
          local id, err = server:send { Action = name }
          note(name, id and "sent" or err.code)
        end]]
      assert.same({ "Ping sent", "Command denied", "ping sent", "QueuPause denied", "Login denied", "Ping sent" }, t:said())
    end)

    it("denies an action that nobody knows, with the nearest one", function()
      local _, said = sent "{ Action = 'QueuPause' }"
      assert.matches("^nil denied: .*did you mean QueuePause", said)
    end)

    it("allows for all or for one rule, and deny wins", function()
      local action = "{ Action = 'Command', Command = 'core show uptime' }"
      assert.is_table(sent(action, { policy = { allow = { "command" } } }))
      assert.is_table(sent(action, { policy = { rules = { rule = { allow = { "Command" } } } } }))
      assert.is_nil(sent(action, { policy = { rules = { other = { allow = { "Command" } } } } }))
      assert.is_nil(sent(action, { policy = { allow = { "*" }, deny = { "Command" } } }))
      assert.is_nil(sent("{ Action = 'Ping' }", { policy = { rules = { rule = { deny = { "Ping" } } } } }))
    end)

    it("denies Originate with an application until that is allowed", function()
      local action = "{ Action = 'Originate', Channel = 'Local/1@x', Application = 'Playback', Data = 'x' }"
      assert.is_nil(sent(action))
      assert.is_nil(sent(action, { policy = { allow = { "Originate" } } }))
      assert.is_nil(sent(action, { policy = { originate = { "System" } } }))
      assert.is_table(sent(action, { policy = { originate = { "Playback" } } }))
    end)

    it("denies dialplan functions that are not harmless, and MixMonitor with a command", function()
      assert.is_table(sent "{ Action = 'Getvar', Variable = 'CALLERID(num)' }")
      assert.is_table(sent "{ Action = 'Setvar', Channel = 'a', Variable = 'FOO', Value = '1' }")
      local _, said = sent "{ Action = 'Getvar', Variable = 'SHELL(rm -rf /)' }"
      assert.matches("^nil denied: ", said)
      assert.is_table(sent "{ Action = 'MixMonitor', Channel = 'a', File = 'x' }")
      assert.is_nil(sent "{ Action = 'MixMonitor', Channel = 'a', File = 'x', Command = 'rm' }")
    end)

    it("does not take a bracket in a variable's value for a function", function()
      for _, variable in ipairs { "{ ['CALLERID(name)'] = 'Mum (home)' }", "{ A = 'hello, call (mum)' }", "{ A = 'x(', B = '$(y)' }", "'QUEUE_MEMBER(a,free)=1'" } do
        assert.is_table(sent("{ Action = 'Originate', Channel = 'Local/1@x', Exten = '1', Variable = " .. variable .. " }"), variable)
      end
    end)

    it("finds a function that is not harmless anywhere in a list of variables, as Asterisk takes the list apart", function()
      local function originate(list, options)
        local action, said = sent(("{ Action = 'Originate', Channel = 'Local/1@x', Exten = '1', Variable = %q }"):format(list), options)
        support.cleanup()
        return action, said
      end
      for _, list in ipairs { "SHELL(id)=1", "A=1,SHELL(id)=2", "A=1,SHELL(id)", "A=1,SHELL(id)=2,B=3", "A=1,B=2, SHELL(id)=3", "A=x\\\\,SHELL(id)=2",
        "A\\,B=1,SHELL(id)=2", "A='1,SHELL(id)=2,B='", "A=1,SHELL(id)\\", "A=\\" .. "\\,SHELL(id)=", "SHELL(id),A=1", "A=(1,SHELL(id)=2)" } do
        local action, said = originate(list)
        assert.is_nil(action, list)
        assert.matches("^nil denied: ", said)
        assert.is_table(originate(list, { policy = { allow = { "Originate" } } }), list)
      end
      for _, list in ipairs { "A=1\\,SHELL(id)=2", "A=1,B=SHELL(id)", "A=1,B=2", "A=1,", "A=1\\", "", "A=1\\\\\\,SHELL(id)", "CALLERID(num)=1,B=\\,SHELL(x)" } do
        assert.is_table(originate(list), list)
      end
    end)

    it("denies MixMonitor what Asterisk takes for a command: a comma in File or Options", function()
      for field, value in pairs { File = "x.wav,b,touch /tmp/x", Options = "b,touch /tmp/x", cOMMAND = "x" } do
        local _, said = sent(("{ Action = 'MixMonitor', Channel = 'a', %s = '%s' }"):format(field, value))
        assert.matches("^nil denied: ", said)
        support.cleanup()
      end
      assert.is_table(sent "{ Action = 'MixMonitor', Channel = 'a,b', Options = 'b' }")
    end)

    it("reads Variables of Status like those of Getvar", function()
      local _, said = sent "{ Action = 'Status', Variables = 'A,SHELL(id)' }"
      assert.matches("^nil denied: ", said)
      assert.is_table(sent "{ Action = 'Status', Variables = 'A,CALLERID(num)' }")
    end)

    it("takes the whole Variable of Getvar and Setvar for one name, and no other header for one", function()
      for _, action in ipairs { "Getvar", "Setvar" } do
        local _, said = sent(("{ Action = '%s', Variable = 'A=SHELL(id)', Value = 'x' }"):format(action))
        assert.matches("^nil denied: ", said)
        support.cleanup()
      end
      assert.is_table(sent "{ Action = 'Setvar', Channel = 'SIP/a', Variable = 'A', Value = 'x,SHELL(id)' }")
    end)

    it("takes * for every action, of one rule or of all", function()
      local action = "{ Action = 'Command', Command = 'core show uptime' }"
      assert.is_table(sent(action, { policy = { rules = { rule = { allow = { "*" } } } } }))
      assert.is_table(sent(action, { policy = { allow = { "*" } } }))
      assert.is_nil(sent(action, { policy = { rules = { other = { allow = { "*" } } } } }))
      assert.is_nil(sent("{ Action = 'Ping' }", { policy = { rules = { rule = { deny = { "*" } } } } }))
      local application = "{ Action = 'Originate', Channel = 'Local/1@x', Application = 'Playback' }"
      assert.is_table(sent(application, { policy = { rules = { rule = { originate = { "*" } } } } }))
      assert.is_table(sent(application, { policy = { rules = { rule = { originate = { "playback" } } } } }))
      assert.is_nil(sent(application, { policy = { rules = { other = { originate = { "*" } } } } }))
    end)

    it("is not led round by a blank before the action's name, which Asterisk skips", function()
      for _, name in ipairs { " Command", "\\tLogoff", " Originate" } do
        local _, said = sent("{ Action = '" .. name .. "', Application = 'System' }", { policy = { allow = { "*" }, deny = { "Command" } } })
        assert.matches("^nil invalid: ", said)
        support.cleanup()
      end
    end)

    it("counts what was refused, by reason", function()
      local t = doing [[server:send { Action = "Login" } server:send { Action = "Login" } server:send { Action = "Ping", X = print }]]
      assert.equal(2, t:metric 'hookswitch_rules_actions_refused_total{rule="rule",reason="denied"}')
      assert.equal(1, t:metric 'hookswitch_rules_actions_refused_total{rule="rule",reason="invalid"}')
    end)
  end)

  it("is bounded by the actions that wait for an answer", function()
    local t = doing([[for _ = 1, 4 do note((select(2, server:send { Action = "Ping" }) or {}).code) end]], { limits = { pending = 2 } })
    assert.same({ "nil", "nil", "backpressure", "backpressure" }, t:said())
    assert.equal(2, #t:sent())
    assert.equal(2, t:metric 'hookswitch_rules_actions_refused_total{rule="rule",reason="backpressure"}')
  end)

  it("is bounded by actions a second", function()
    local t = support.run([[timer.every(1, function() local n = 0
      for _ = 1, 10 do if ami.server("pbx1"):send { Action = "Ping" } then n = n + 1 end end
      note(n) end)]], { limits = { actions_per_second = 4 } })
    t:advance(3)
    assert.same({ "4", "4", "4" }, t:said())
  end)

  it("is bounded for each server by itself: a flood to one leaves the other its share", function()
    local t = support.run([[timer.after(1, function()
      for _, name in ipairs { "a", "b", "a" } do
        local n = 0
        for _ = 1, 10 do if ami.server(name):send { Action = "Ping" } then n = n + 1 end end
        note(n)
      end end)]], { servers = { "a", "b" }, limits = { actions_per_second = 4 } })
    t:advance(1)
    assert.same({ "4", "4", "0" }, t:said())
  end)

  describe("an answer", function()
    -- What `code` notes of `res`.
    local function with(code, reply)
      local t = doing("local res, err = server:call { Action = 'QueueStatus' } " .. code)
      t:reply(reply)
      assert.equal("", t:rule().last_error)
      return t:said()
    end

    it("has message, headers, and nothing else", function()
      assert.same({ "Pong Pong Pong Success nil nil" }, with("note(res.message, res.Message, res.MESSAGE, res.Response, res.events, res.output)",
        { Response = "Success", Message = "Pong" }))
    end)

    it("has the events of a list, in order", function()
      assert.same({ "2 QueueMember a QueueEntry b true" }, with(
        "note(#res.events, res.events[1].Event, res.events[1].N, res.events[2].Event, res.events[2].N, (pcall(ami.table, res.events[1])))",
        { Response = "Success", events = { { Event = "QueueMember", N = "a" }, { Event = "QueueEntry", N = "b" } } }))
    end)

    it("has an empty list when the list was empty", function()
      assert.same({ "0" }, with("note(#res.events)", { Response = "Success", events = {} }))
    end)

    it("has the lines of a command", function()
      assert.same({ "2 System uptime: 1 day, Last reload" }, with("note(#res.output, res.output[1] .. ', ' .. res.output[2])",
        { Response = "Success", output = { "System uptime: 1 day", "Last reload" } }))
      assert.same({ "" }, with("note(table.concat(res.output))", { Response = "Success", output = {} }))
    end)

    it("keeps what a failed one said, in err.response", function()
      assert.same({ "error No such queue Error 1" }, with("note(err.code, err.message, err.response.Response, err.response.Extra)",
        { Response = "Error", Message = "No such queue", Extra = 1 }))
      assert.same({ "timeout nil" }, with("note(err.code, err.response)", { code = "timeout" }))
    end)

    it("can be used as an event: pairs, values, table, tostring, read-only", function()
      assert.same({ "Response=Success V=1 V=2 2 table false" }, with([[
        local all = {}
        for k, v in pairs(res) do all[#all + 1] = k .. "=" .. v end
        note(table.concat(all, " "), #ami.values(res, "v"), type(ami.table(res).V), (pcall(function() res.x = 1 end)))]],
        { Response = "Success", V = { "1", "2" } }))
    end)

    it("of an asynchronous Originate is its OriginateResponse", function()
      assert.same({ "OriginateResponse 4" }, with("note(res.Event, res.Reason)", { Event = "OriginateResponse", Response = "Success", Reason = 4 }))
      assert.same({ "error OriginateResponse 1" }, with("note(err.code, err.response.Event, err.response.Reason)",
        { Event = "OriginateResponse", Response = "Failure", Reason = 1, code = "error" }))
    end)
  end)
end)
