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

describe("a long walk in C", function()
  after_each(support.cleanup)

  -- Each call is one of C, which no hook interrupts, and would take from half a second to minutes.
  local CHAIN = [[
    local chain = {}
    for _ = 1, 1900 do chain = setmetatable({}, { __index = chain }) end
    local sink = {}
    for _ = 1, 1900 do sink = setmetatable({}, { __newindex = sink }) end
    local emptied = {}
    for i = 1, 100000 do emptied[i + 0.5] = true end
    for i = 1, 100000 do emptied[i + 0.5] = nil end
    local many = {}
    for i = 1, 5000 do many[i] = emptied end
    local server, s = ami.server "pbx1", store.open "s"
  ]]

  for name, code in pairs {
    unpack = "table.unpack(chain, 1, 60000)",
    ["move from"] = "table.move(chain, 1, 900000, 1, {})",
    ["move to"] = "table.move({}, 1, 900000, 1, sink)",
    concat = "table.concat(setmetatable({}, { __index = setmetatable({}, { __index = function() return '' end }) }), '', 1, 900000)",
    ["gsub template"] = "string.gsub(('a'):rep(1000000), '(b?)', ('%1'):rep(1000000))",
    ["gsub table"] = "string.gsub(('a'):rep(1000000), '.', chain)",
    ["format"] = "local long = ('x'):rep(4000000) local t = {} for i = 1, 5000 do t[i] = long end string.format(('%.1s'):rep(5000), table.unpack(t))",
    ["json"] = "json.encode(many)",
    ["store"] = "local few = table.move(many, 1, 900, 1, {}) s:set('k', few) s:set('k', few)",
    ["log"] = "local list = {} for i = 1, 60 do list[i] = {} for k = 1, 60 do list[i][k] = emptied end end log.info('x', list and { list = list })",
    ["action"] = "local a = { Action = 'Ping' } for i = 1, 250 do a['H' .. i] = emptied end server:send(a)",
  } do
    it("ends at the deadline: " .. name, function()
      local t = support.run(CHAIN .. "ami.on('Hangup', function() " .. code .. " for _ = 1, 1e9 do end end)",
        { limits = { deadline = 0.1, load_deadline = 20, stuck = 25, rule_memory = 256e6, memory = 512e6 } })
      local began = os.clock()
      t:event "Hangup"
      assert.matches("deadline: ran longer", t:rule().last_error)
      assert.is_true(os.clock() - began < 0.6, ("%.2f s"):format(os.clock() - began))
    end)
  end
end)

describe("what stands for an object in a text", function()
  after_each(support.cleanup)

  it("is a number of its own, the same each time, and no address", function()
    local t = support.run([[
      local seen, objects = {}, { print, string.rep, function() end, {}, {}, coroutine.create(print), timer.after(5, print),
        ami.on("A", print), metric.gauge("g", "G."), store.open "x", setmetatable({}, { __name = "mine" }) }
      ami.on("Hangup", function()
        for i, object in ipairs(objects) do
          local text = tostring(object)
          local kind, number = text:match "^([%a ]+): (%x+)$"
          assert(number and #number == 16, text)
          assert(not seen[number], text)
          seen[number] = true
          assert(tostring(object) == text and ("%s"):format(object) == text)
          assert(("%p"):format(object) == number, i)
          note(kind)
        end
        assert(("%p|%-8p|%9p"):format(nil, 1, true) == "(null)|(null)  |   (null)")
        assert(#("%p"):format "text" == 16)
        assert(tostring(setmetatable({}, { __tostring = function() return "its own" end })) == "its own")
        local good, err = pcall(tostring, setmetatable({}, { __tostring = function() return {} end }))
        assert(not good and err:find "'__tostring' must return a string")
        assert(tostring(nil) == "nil" and tostring(1.5) == "1.5" and tostring(true) == "true")
        local g = metric.gauge("label", "L.", { "of" })
        g:set(1, { objects[4] })
        log.info("logged", { of = objects[3], list = { objects[7] } })
        print(objects[4])
        error(objects[4])
      end)]])
    local records = support.logged(function() t:event "Hangup" end)
    assert.same({ "function", "function", "function", "table", "table", "thread", "timer", "listener", "metric", "store", "mine" }, t:said())
    local text = t:metrics()
    for _, record in ipairs(records) do text = text .. record.line end
    assert.matches('of="table: %x+"', text)
    assert.matches('"of":"function: %x+"', text)
    assert.matches("timer: %x+", text)
    assert.is_nil(text:find "0x%x%x%x%x")
    assert.matches("table: %x+$", t:rule().last_error)
  end)

  it("differs in another rule", function()
    local t = support.run { ["a.lua"] = "ami.on('Hangup', function() note(tostring(math.floor)) end)",
      ["b.lua"] = "ami.on('Hangup', function() note(tostring(math.floor)) end)" }
    t:event "Hangup"
    local said = t:said()
    assert.not_equal(said[1], said[2])
  end)
end)

describe("an argument's error", function()
  after_each(support.cleanup)

  it("names the function, also when its caller does not", function()
    local t = support.run [[
      local server, sub, gauge, s = ami.server "pbx1", ami.subscribe "A", metric.gauge("g", "G."), store.open "s"
      local function try(f, ...) note((select(2, pcall(f, ...)):gsub("^scripts.-: ", ""):match "^bad argument #%d to '[^']*'")) end
      ami.on("Hangup", function()
        try(timer.after, "x")
        try(server.send, server, 5)
        try(ami.route "failover".call, ami.route "failover", 5)
        try(sub.next, sub, "x")
        try(gauge.set, gauge, "x")
        try(s.set, s, "k", 1, "x")
        try(ami.on, "X", 5, 6)
        try(tostring)
        try(string.rep)
        try(coroutine.resume, 5)
        try(function() return timer.after "x" end)
        try(function() server:send(5) end)
      end)]]
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    assert.same({ "bad argument #1 to 'timer.after'", "bad argument #2 to 'server.send'", "bad argument #2 to 'route.call'",
      "bad argument #2 to 'subscription.next'", "bad argument #2 to 'metric.set'", "bad argument #4 to 'store.set'", "bad argument #3 to 'ami.on'",
      "bad argument #1 to 'tostring'", "bad argument #1 to 'string.rep'", "bad argument #1 to 'coroutine.resume'", "bad argument #1 to 'after'",
      "bad argument #1 to 'send'" }, t:said())
  end)
end)

describe("all functions", function()
  after_each(support.cleanup)

  -- Each function of each library, and each method of each object, with each hostile value in each of four places beside others that
  -- are drawn. What is asked: that nothing but an error comes of it, in bounded time, while loading and later; sanitizers watch.
  local FUZZ = [[
    local REPEATS = ...
    local cyclic = {}
    cyclic.self, cyclic[1] = cyclic, cyclic
    local function raise() error "hostile" end
    local raising = setmetatable({}, { __index = raise, __newindex = raise, __len = raise, __tostring = raise, __call = raise, __eq = raise, __lt = raise,
      __le = raise, __concat = raise, __pairs = raise, __close = raise, __unm = raise, __add = raise })
    local lying = setmetatable({}, { __len = function() return 1 << 62 end, __index = function(_, k) return k end, __newindex = function() end,
      __tostring = function() return ("x"):rep(5000) end, __name = ("n"):rep(5000) })
    local chain = {}
    for _ = 1, 200 do chain = setmetatable({}, { __index = chain, __newindex = chain }) end
    local nothing = setmetatable({}, { __tostring = function() return nil end, __len = function() return {} end })
    local thread = coroutine.create(function() coroutine.yield() end)
    local dead = coroutine.create(function() end)
    coroutine.resume(dead)
    local objects = { ami.server "pbx1", ami.route "failover", ami.route("round_robin", { "pbx1" }), ami.subscribe "Never.comes", ami.on("Never.comes", raise),
      timer.after(300, raise), timer.every(300, raise), metric.counter("c", "C.", { "a" }), metric.gauge("g", "G."), metric.histogram("h", "H."),
      store.open "s", sink.open "fuzz", ami.prefix "x", ami.glob "*" }
    local methods = { "send", "call", "pick", "next", "cancel", "inc", "set", "observe", "del", "get", "incr", "delete", "write", "name", "state" }
    local values = { false, true, 0, 1, -1, 2, 1.5, -0.0, 0/0, math.huge, -math.huge, math.maxinteger, math.mininteger, 1 << 31, 1 << 32, 1e300, 1e-300, "", "x",
      "1", "0x10", "*", "collect", "%d%s%q%p", "%", "[", "(((", "%b", "^(.-)*$", "\0", ("\xff"):rep(9), ("a"):rep(100000), "!*t", "failover", "a.b", "Ping",
      {}, { 1, 2, 3 }, { "a", "b" }, { Action = "Ping" }, { Action = "Originate", Variable = { A = 1, B = 0/0 } }, { [1] = 1, x = {} }, { timeout = 0/0 },
      { timeout = 1 }, { where = { A = "b" } }, { where = {} }, { server = {} }, { where = { { A = { ami.glob "*" } } }, priority = 1.5 }, { year = 1 << 40, month = 1, day = 1 },
      { year = 2000, month = -1, day = 1 << 30, isdst = {} }, cyclic, raising, lying, chain, nothing, thread, dead, print, raise, string.rep, json.null }
    for _, object in ipairs(objects) do values[#values + 1] = object end
    local functions = {}
    local function add(name, f) functions[#functions + 1] = { name = name, f = f, waits = name:find "sleep" or name:find "wait" or name:find ":next" or name:find ":call" } end
    for _, name in ipairs { "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawlen", "rawset", "require", "select",
      "setmetatable", "tonumber", "tostring", "type", "xpcall", "collectgarbage", "settings" } do add(name, _ENV[name]) end
    for name, library in pairs { string = string, table = table, math = math, utf8 = utf8, os = os, coroutine = coroutine, ami = ami, timer = timer, log = log, json = json,
      metric = metric, store = store, sink = sink } do
      for key, f in pairs(library) do
        if type(f) == "function" and f ~= coroutine.yield then add(name .. "." .. key, f) end
      end
    end
    for i, object in ipairs(objects) do
      for _, method in ipairs(methods) do
        local found, f = pcall(function() return object[method] end)
        if found and type(f) == "function" then add(i .. ":" .. method, f) end
      end
    end
    assert(#functions > 120, #functions)
    local function draw()
      local i = math.random(0, #values)
      if i == 0 then return nil end
      return values[i]
    end
    local function attack(entry, first)
      for place = 1, 4 do
        for i = 0, #values do
          local args = { draw(), draw(), draw(), draw(), draw() }
          args[place] = values[i]
          -- A method's first argument is mostly an object.
          if first and math.random(8) > 1 then args[1] = first end
          local count = math.random(place, 5)
          -- What may wait does so in a task of its own.
          if entry.waits then pcall(timer.after, 0, function() pcall(entry.f, table.unpack(args, 1, count)) end) end
          local good, what
          if not entry.waits then good, what = pcall(entry.f, table.unpack(args, 1, count)) end
          if type(what) == "function" then pcall(what, args[1], args[2]) end
          pcall(tostring, what)
        end
        timer.sleep(0.001)
      end
    end
    ami.on("Go", function()
      for _, entry in ipairs(functions) do attack(entry, objects[tonumber(entry.name:match "^%d+")]) end
      note "done"
    end)
    for _, entry in ipairs(functions) do
      for i = 0, #values do pcall(entry.f, values[i], draw(), draw(), draw()) end
    end
  ]]

  it("meet hostile arguments with nothing worse than an error", function()
    local began = os.clock()
    local t = support.run({ ["raw:fuzz.lua"] = FUZZ:gsub("local REPEATS = %.%.%.", "local said = sink.open 'said' local function note(x) said:write(x) end") },
      { limits = { deadline = 2, load_deadline = 30, stuck = 50, rule_memory = 64e6, log_lines_per_second = 100 } })
    t:event "Go"
    local said = {}
    for _ = 1, 200 do
      t:advance(0.05)
      for _, entry in ipairs(t:pending()) do t:answer(entry.id, { Response = "Error", Message = "no" }) end
      said = t:said()
      if said[1] then break end
    end
    assert.same({ "done" }, said, t:rule("fuzz").last_error)
    t:reload()
    t:advance(120)
    assert.is_true(os.clock() - began < 120, os.clock() - began .. " s")
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
