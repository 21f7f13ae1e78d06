-- What rules hand to library functions to break them: arguments that change under the reader, calls that fail half-way.
local support = require "tests.spec.rules.support"

describe("a library function", function()
  after_each(support.cleanup)

  it("reads log fields that a __tostring removes and whose memory it uses again", function()
    local t = support.run([[
      local function trap(fields)
        return setmetatable({}, { __tostring = function()
          for name in pairs(fields) do fields[name] = nil end
          local churn = {}
          for i = 1, 20000 do churn[i] = ("%07dxxxxxxxxxxxxxxxxxxxx"):format(i) end
          return "trapped"
        end })
      end
      ami.on("Hangup", function()
        for _ = 1, 20 do
          local fields = {}
          for i = 1, 20 do fields[("field_%d_"):format(i) .. ("y"):rep(20)] = i % 3 == 0 and trap(fields) or ("v"):rep(50) .. i end
          pcall(log.info, "fields", fields)
        end
      end)]], { limits = { deadline = 10, stuck = 20 } })
    local records = support.logged(function() t:event "Hangup" end)
    local seen = 0
    for _, record in ipairs(records) do
      for name, value in pairs(record) do
        if type(value) == "string" and (value == "trapped" or value:find "^vvv") then
          seen = seen + 1
          assert.matches("^field_%d+_yyyyyyyyyyyyyyyyyyyy$", name)
        end
      end
    end
    assert.is_true(seen >= 3, ("%d fields were seen"):format(seen))
  end)

  -- A reference or a charge that is lost each time would reach the limit: 100,000 slots are 1.6 MB and more.
  it("loses no memory when it raises, 100,000 times each", function()
    local t = support.run([[
      local server, fn, unknown = ami.server "pbx1", function() end, { timeot = 1 }
      local ping, bad = { Action = "Ping" }, { Action = "Ping", Priority = {  { } } }
      local sub = ami.subscribe "Never.comes"
      local counter = metric.counter("n", "N.")
      local s = store.open "s"
      local calls = {
        { "send", server.send, server, ping, unknown, fn },
        { "send timeout", server.send, server, ping, { timeout = -1 }, fn },
        { "send action", server.send, server, bad, fn },
        { "send options", server.send, server, ping, 5, fn },
        { "call", server.call, server, ping, unknown },
        { "route send", ami.route "failover".send, ami.route "failover", ping, unknown, fn },
        { "on filter", ami.on, "Hangup", unknown, fn },
        { "on where", ami.on, "Hangup", { where = { A = "b", C = fn } }, fn },
        { "on names", ami.on, { "Hangup", 5 }, fn },
        { "once", ami.once, "Hangup", { where = { { A = { "x", fn } } } }, fn },
        { "subscribe", ami.subscribe, "Hangup", { server = fn } },
        { "wait", ami.wait, "Hangup", unknown },
        { "next", sub.next, sub, -1 },
        { "after", timer.after, -1, fn },
        { "after year", timer.after, 1e300, fn },
        { "every", timer.every, 0, fn },
        { "sleep", timer.sleep, 0/0 },
        { "emit", ami.emit, "a.b", { x = fn } },
        { "inc", counter.inc, counter, 1, { "a", "b" } },
        { "counter", metric.counter, "n", "N.", { "a" } },
        { "set", s.set, s, "k", { a = { b = fn } } },
        { "incr", s.incr, s, "k", fn },
        { "log", log.info, "x", { x = setmetatable({}, { __tostring = function() error "no" end }) } },
        { "json", json.decode, fn },
        { "wrap", coroutine.wrap, 5 },
      }
      ami.on("Hangup", function()
        for _, call in ipairs(calls) do
          for _ = 1, 100000 do
            local good, err = pcall(table.unpack(call, 2))
            if good and type(err) ~= "nil" then error(call[1] .. " did not fail") end
            if not good and err:find "memory" then error(call[1] .. ": " .. err) end
          end
        end
        note "done"
      end)]], { limits = { rule_memory = 1500000, deadline = 55, stuck = 58, log_lines_per_second = 1000 } })
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    assert.same({ "done" }, t:said())
  end)
end)

describe("numbers that are none", function()
  after_each(support.cleanup)

  it("are refused by inc and observe, for the sum would be lost for ever; set takes them", function()
    local t = support.run [[
      local c, g, h = metric.counter("c", "C."), metric.gauge("g", "G."), metric.histogram("h", "H.")
      local function try(f, ...) local good, err = pcall(f, ...) note(good, (tostring(err):gsub("^.*: metric", "metric"))) end
      ami.on("Hangup", function()
        for _, n in ipairs { math.huge, -math.huge, 0/0 } do
          try(g.inc, g, n)
          try(h.observe, h, n)
        end
        try(c.inc, c, math.huge)
        try(c.inc, c, 0/0)
        c:inc(1e308)
        try(c.inc, c, 1e308)
        g:set(math.huge)
        g:inc(1)
        try(metric.histogram, "x", "X.", nil, { 0/0 })
      end)]]
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    local said = t:said()
    for i = 1, 6 do
      assert.equal(("false metric hookswitch_rule_%s: %s takes a finite number"):format(i % 2 == 1 and "g" or "h", i % 2 == 1 and "inc" or "observe"), said[i])
    end
    assert.equal("false metric hookswitch_rule_c: inc takes a finite number", said[7])
    assert.matches("^false metric hookswitch_rule_c: a counter only grows", said[8])
    assert.equal("false metric hookswitch_rule_c: inc takes a finite number", said[9])
    assert.matches("buckets are finite numbers", said[10])
    assert.equal(10, #said)
    assert.equal(1e308, t:metric "hookswitch_rule_c")
    assert.is_nil((t:metric "hookswitch_rule_h_count"))
  end)

  it("are no time to wait for", function()
    local t = support.run [[
      local sub = ami.subscribe "Never.comes"
      ami.on("Hangup", function()
        for _, n in ipairs { -1, -0.001, 0/0, -math.huge } do
          note(pcall(sub.next, sub, n))
          note(pcall(ami.wait, "Never.comes", nil, n))
        end
        local ev, err = sub:next(0)
        note(ev, err.code)
      end)]]
    t:event "Hangup"
    t:advance(1)
    local said = t:said()
    assert.equal(9, #said)
    for i = 1, 8 do assert.matches("^false .*a number of seconds, not negative, is expected", said[i]) end
    assert.equal("nil timeout", said[9])
  end)
end)
