local support = require "tests.spec.rules.support"

describe("json", function()
  after_each(support.cleanup)

  local function with(code)
    local t = support.run("ami.on('Hangup', function(ev) " .. code .. " end)")
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    return t:said()
  end

  it("encodes plain values", function()
    assert.same({ '1 1.5 true "x" [1,2] {} [] null' }, with [[note(json.encode(1), json.encode(1.5), json.encode(true), json.encode "x",
      json.encode { 1, 2 }, json.encode {}, json.encode(json.array {}), json.encode(json.null))]])
  end)

  it("decodes, integers stay integers", function()
    assert.same({ "1 integer 1.5 float true nil a 2 true" }, with [[
      local v = json.decode '{"i":1,"f":1.5,"b":true,"l":["a","b"],"n":null}'
      note(v.i, math.type(v.i), v.f, math.type(v.f), v.b, v.x, v.l[1], #v.l, v.n == json.null)]])
    assert.same({ "9007199254740993 integer" }, with [[local n = json.decode "9007199254740993" note(n, math.type(n))]])
  end)

  it("gives nil and an error for what it cannot", function()
    assert.same({ "nil invalid", "nil invalid", "nil invalid", "nil overflow" }, with [[
      local function try(f, x) local v, err = f(x) note(v, err.code) end
      try(json.encode, print)
      try(json.encode, 0/0)
      try(json.decode, "{oops")
      try(json.encode, ("x"):rep(2 ^ 21))]])
  end)

  it("keeps an empty array through a round trip", function()
    assert.same({ '{"a":[]}' }, with [[note(json.encode(json.decode '{"a":[]}'))]])
  end)
end)

describe("a metric", function()
  after_each(support.cleanup)

  it("counts, with labels and without", function()
    local t = support.run [[
      local n = metric.counter("calls_total", "Calls.")
      local by = metric.counter("ends_total", "Ends.", { "queue", "cause" })
      ami.on("Hangup", function(ev) n:inc() n:inc(2) by:inc { "sales", ev.Cause } by:inc(5, { "a\"b", 1 }) end)]]
    t:event("Hangup", { Cause = 16 })
    t:event("Hangup", { Cause = 17 })
    assert.equal(6, t:metric "hookswitch_rule_calls_total")
    assert.equal(1, t:metric 'hookswitch_rule_ends_total{queue="sales",cause="16"}')
    assert.equal(10, t:metric 'hookswitch_rule_ends_total{queue="a\\"b",cause="1"}')
    assert.matches("# HELP hookswitch_rule_calls_total Calls.\n# TYPE hookswitch_rule_calls_total counter", t:metrics())
  end)

  it("gauges and deletes", function()
    local t = support.run [[
      local g = metric.gauge("waiting", "Waiting.", { "queue" })
      ami.on("Hangup", function() g:set(5, { "a" }) g:set(2, { "b" }) g:inc(-1, { "b" }) note(g:del { "a" }, g:del { "a" }) end)]]
    t:event "Hangup"
    assert.same({ "true false" }, t:said())
    assert.is_nil(t:metric 'hookswitch_rule_waiting{queue="a"}')
    assert.equal(1, t:metric 'hookswitch_rule_waiting{queue="b"}')
  end)

  it("observes into buckets", function()
    local t = support.run [[
      local h = metric.histogram("hold_seconds", "Hold.", nil, { 1, 5 })
      ami.on("Hangup", function(ev) h:observe(tonumber(ev.N)) end)]]
    for _, n in ipairs { 0.5, 3, 10 } do t:event("Hangup", { N = n }) end
    assert.equal(1, t:metric 'hookswitch_rule_hold_seconds_bucket{le="1"}')
    assert.equal(2, t:metric 'hookswitch_rule_hold_seconds_bucket{le="5"}')
    assert.equal(3, t:metric 'hookswitch_rule_hold_seconds_bucket{le="+Inf"}')
    assert.equal(13.5, t:metric "hookswitch_rule_hold_seconds_sum")
  end)

  it("keeps its value over a reload, also while the old rules finish", function()
    local t = support.run [[local n = metric.counter("n_total", "N.") ami.on("Hangup", function() n:inc() timer.sleep(5) n:inc(10) end)]]
    t:event "Hangup"
    assert.is_true(t:reload())
    t:event "Hangup"
    assert.equal(2, t:metric "hookswitch_rule_n_total")
    t:advance(5)
    assert.equal(22, t:metric "hookswitch_rule_n_total")
  end)

  it("with other labels after a reload begins anew, under its new labels", function()
    local t = support.run [[local n = metric.counter("n_total", "N.", { "queue" }) ami.on("Hangup", function() n:inc { "a" } end)]]
    t:event "Hangup"
    t:put("rule.lua", [[local n = metric.counter("n_total", "N.", { "agent" }) ami.on("Hangup", function() n:inc { "a" } end)]])
    assert.is_true(t:reload())
    t:event "Hangup"
    assert.equal(1, t:metric 'hookswitch_rule_n_total{agent="a"}')
    assert.is_nil((t:metric 'hookswitch_rule_n_total{queue="a"}'))
  end)

  it("is one for all rules that name it, and must have one shape", function()
    local t = support.run {
      ["a.lua"] = [[local n = metric.counter("n_total", "N.") ami.on("Hangup", function() n:inc() end)]],
      ["b.lua"] = [[local n = metric.counter("n_total", "N.") ami.on("Hangup", function() n:inc() end)]],
    }
    t:event "Hangup"
    assert.equal(2, t:metric "hookswitch_rule_n_total")
    assert.matches("scripts/b.lua: .*n_total", support.faults {
      ["a.lua"] = [[metric.counter("n_total", "N.", { "queue" })]],
      ["b.lua"] = [[metric.counter("n_total", "N.", { "agent" })]],
    })
    assert.matches("scripts/b.lua: .*n_total", support.faults { ["a.lua"] = [[metric.counter("n_total", "N.")]], ["b.lua"] = [[metric.gauge("n_total", "N.")]] })
  end)

  it("is bounded in its label sets: more are refused and counted", function()
    local t = support.run([[
      local n = metric.counter("n_total", "N.", { "x" })
      ami.on("Hangup", function() for i = 1, 5 do n:inc { i } end end)]], { limits = { metric_series = 3 } })
    t:event "Hangup"
    assert.equal("", t:rule().last_error)
    assert.equal(1, t:metric 'hookswitch_rule_n_total{x="3"}')
    assert.is_nil(t:metric 'hookswitch_rule_n_total{x="4"}')
    assert.equal(2, t:metric 'hookswitch_metric_series_refused_total{metric="hookswitch_rule_n_total"}')
  end)

  it("refuses misuse", function()
    for _, text in ipairs { "metric.counter('Bad', 'x')", "metric.counter('', 'x')", "metric.counter('a')", "metric.histogram('a', 'x', nil, { 2, 1 })",
      "metric.counter('a', 'x', { 1, {} })", "metric.counter('a_total', 'x'):inc()" } do
      assert.matches("rule.lua:1: ", support.faults(text))
      support.cleanup()
    end
    local t = support.run [[
      local c, g = metric.counter("c_total", "x", { "l" }), metric.gauge("g", "x")
      ami.on("Hangup", function()
        note((pcall(c.inc, c)), (pcall(c.inc, c, -1, { "a" })), (pcall(c.set, c, 1, { "a" })), (pcall(c.inc, c, { "a", "b" })), (pcall(g.observe, g, 1)), (pcall(g.inc, {})))
      end)]]
    t:event "Hangup"
    assert.same({ "false false false false false false" }, t:said())
  end)
end)

describe("a sink", function()
  after_each(support.cleanup)

  it("takes texts and tables, a line each", function()
    local t = support.run [[
      local s = sink.open "journal"
      ami.on("Hangup", function() note(s:write "a line", s:write { n = 1 }, s:write(json.array { 1, 2 }), s:write(5)) end)]]
    t:event "Hangup"
    assert.same({ "true true true true" }, t:said())
    assert.same({ "a line", { n = 1 }, "[1,2]", "5" }, t:lines_of "journal")
  end)

  it("refuses a line end, and what JSON cannot hold", function()
    local t = support.run [[
      local s = sink.open "journal"
      ami.on("Hangup", function() note(s:write "a\nb") note((s:write { print })) note((pcall(s.write, s))) note((pcall(s.write, s, nil))) end)]]
    t:event "Hangup"
    local said = t:said()
    assert.matches("^nil invalid", said[1])
    assert.same({ "nil", "false", "false" }, { said[2], said[3], said[4] })
    assert.same({}, t:lines_of "journal")
  end)

  it("must be named in the configuration", function()
    assert.matches("no sink 'journl'", support.faults({ ["raw:rule.lua"] = "sink.open 'journl'" }, { sinks = { "journal" } }))
  end)

  it("cannot be written while loading", function()
    assert.matches("loading", support.faults "sink.open('x'):write 'a'")
  end)

  it("waits with `sync` until the line is on disk, and passes a ttl on", function()
    local t = support.run [[
      local s = sink.open "crm"
      ami.on("Hangup", function() note("wrote", s:write({ a = 1 }, { sync = true, ttl = 30 })) end)]]
    t:event "Hangup"
    assert.same({}, t:said())
    assert.same({ "a line of a sink, to be on disk" }, { t:rule().waits[1]:match "^(.-) %(" })
    t:advance()
    assert.same({ "wrote true" }, t:said())
    local lines = t:sink_lines()
    assert.same({ "crm", '{"a":1}', 30 }, { lines[1].sink, lines[1].line, lines[1].ttl })
  end)

  it("says what is wrong with its options", function()
    local t = support.run [[
      local s = sink.open "crm"
      ami.on("Hangup", function()
        for _, options in ipairs { 7, { tll = 1 }, { ttl = 0 }, { ttl = "x" }, { ttl = 1e12 } } do note((select(2, pcall(s.write, s, "x", options)))) end
        note(pcall(table.sort, { 1, 2 }, function() s:write("x", { sync = true }) end))
      end)]]
    t:event "Hangup"
    local said = t:said()
    for i, part in ipairs { "table expected", "unknown option 'tll' of write; there are ttl and sync", "ttl is a number of seconds", "ttl is a number", "ttl is a number",
      "write with sync cannot wait here" } do
      assert.matches(part, said[i])
    end
    assert.same({}, t:lines_of "crm")
  end)
end)

describe("log", function()
  after_each(support.cleanup)

  local function logged(code, level)
    local t = support.run("ami.on('Hangup', function(ev, server) " .. code .. " end)")
    return support.logged(function() t:event("Hangup", { { "Cause", 16 } }) end, level)
  end

  it("writes a record with the rule's name and the fields", function()
    local records = logged [[log.info("ended", { cause = ev.Cause, n = 3, rate = 0.5, ok = true, who = server })]]
    local record = assert(support.record(records, "^ended$"))
    assert.equal("info", record.level)
    assert.equal("rule", record.rule)
    assert.same({ "16", 3, 0.5, true, "pbx1" }, { record.cause, record.n, record.rate, record.ok, record.who })
  end)

  it("names what the rule was called for, unless the rule says it, and always whose record it is", function()
    local t = support.run [[ami.on("Hangup", function(ev, server)
      log.info "plain"
      log.info("told", { server = "mine", event = 7, rule = "forged" })
      server:send({ Action = "Ping" }, function() log.info "answered" end)
      timer.after(1, function() log.info "later" end)
    end)]]
    local records = support.logged(function() t:event "Hangup" t:reply() t:advance(2) end)
    local function told(text)
      local r = assert(support.record(records, text))
      return { r.rule, r.server, r.event, r.action }
    end
    assert.same({ "rule", "pbx1", "Hangup" }, told "^plain$")
    assert.same({ "rule", "mine", 7 }, told "^told$")
    assert.equal("forged", support.record(records, "^told$").rule_)
    assert.same({ "rule", "pbx1", nil, "Ping" }, told "^answered$")
    assert.same({ "rule" }, told "^later$")
  end)

  it("writes the fields in the order of their names", function()
    local record = support.record(logged [[log.info("ended", { d = 1, b = 2, a = 3, c = 4 })]], "^ended$")
    assert.matches('"a":3,"b":2,"c":4,"d":1', record.line)
  end)

  it("writes tables as JSON, with keys in order, lists as lists, and objects of the engine as their text", function()
    local records = logged [[log.info("nested", { t = { b = { 1, 2.5, "x", true, {} }, a = 1, [7] = "n", [true] = "yes", [0.5] = "half" },
      ev = { e = ev, s = server, null = json.null, f = print, nan = 0/0 }, empty = {} })]]
    local record = assert(support.record(records, "^nested$"))
    assert.matches('"t":{"0%.5":"half","7":"n","a":1,"b":%[1,2%.5,"x",true,{}%],"true":"yes"}', record.line)
    assert.matches('"ev":{"e":"Hangup Cause=16","f":"function","nan":"NaN","null":null,"s":"pbx1"}', record.line)
    assert.matches('"empty":{}', record.line)
  end)

  it("shows settings, and a table that makes its own text", function()
    local t = support.run([[local set = settings { queues = { "support" } }
      ami.on("Hangup", function() log.info("own", { set = set, own = setmetatable({}, { __tostring = function() return "mine" end }) }) end)]])
    local record = support.record(support.logged(function() t:event "Hangup" end), "^own$")
    assert.same({ { queues = { "support" } }, "mine" }, { record.set, record.own })
  end)

  it("masks in tables what it masks elsewhere, at any depth", function()
    local records = logged [[log.info("login", { t = { Secret = "s1", user = { password = { "s2" }, list = { { api_key = 3 } } }, name = "n" } })]]
    local record = assert(support.record(records, "^login$"))
    local masked = "[redacted]"
    assert.same({ Secret = masked, user = { password = masked, list = { { api_key = masked } } }, name = "n" }, record.t)
  end)

  it("bounds tables in depth, entries and bytes, tables that hold themselves too", function()
    local records = logged [[
      local loop = { name = "l" } loop.loop = loop
      local many, list, long = {}, {}, {}
      for i = 1, 100 do many["k" .. i], list[i], long[i] = i, i, ("x"):rep(300) end
      log.info("bounded", { loop = loop, many = many, list = list, long = long, text = { ("ä"):rep(10000) }, [("n"):rep(300)] = { a = 1 },
        bad = { "\xff\0\1" }, worst = { ("\1"):rep(512), ("\1"):rep(512), ("\1"):rep(512) } })]]
    local record = assert(support.record(records, "^bounded$"))
    local depth, loop = 0, record.loop
    while type(loop) == "table" do depth, loop = depth + 1, loop.loop end
    assert.same({ 8, "…" }, { depth, loop })
    local keys = 0
    for _ in pairs(record.many) do keys = keys + 1 end
    assert.same({ 65, "…" }, { keys, record.many["…"] })
    assert.same({ 65, 64, "…" }, { #record.list, record.list[64], record.list[65] })
    assert.equal("…", record.long[#record.long])
    assert.is_true(#record.long > 10 and #record.long < 20)
    assert.equal(("ä"):rep(256) .. "…", record.text[1])
    assert.equal("\u{FFFD}\0\1", record.bad[1])
    assert.equal("…", record.worst[#record.worst])
  end)

  it("has four levels, and leaves out what is below the one set", function()
    local records = logged([[for _, level in ipairs { "debug", "info", "warn", "error" } do log[level](level) end]], "warn")
    assert.is_nil(support.record(records, "^info$"))
    assert.equal("warn", support.record(records, "^warn$").level)
    assert.equal("error", support.record(records, "^error$").level)
  end)

  it("takes anything as its text, and print as well", function()
    local records = logged [[log.info(42) log.info(ev) log.info(nil) print("a", 1, nil, true)]]
    for _, text in ipairs { "^42$", "^Hangup Cause=16$", "^nil$", "^a 1 nil true$" } do assert(support.record(records, text), text) end
  end)

  it("refuses fields that are none", function()
    local t = support.run [[ami.on("Hangup", function()
      local many = {} for i = 1, 40 do many["f" .. i] = i end
      note((pcall(log.info, "x", "y")), (pcall(log.info, "x", { 1 })), (pcall(log.info, "x", many)))
    end)]]
    support.logged(function() t:event "Hangup" end)
    assert.same({ "false false false" }, t:said())
  end)

  it("is bounded in lines a second, which is counted and logged", function()
    local t = support.run([[timer.after(1, function() for i = 1, 10 do log.info("line " .. i) end end)]], { limits = { log_lines_per_second = 4 } })
    local records = support.logged(function() t:advance(1) end)
    assert(support.record(records, "^line 4$"))
    assert.is_nil(support.record(records, "^line 5$"))
    assert(support.record(records, "log_lines_per_second"))
    assert.equal(6, t:metric 'hookswitch_rules_log_dropped_total{rule="rule"}')
  end)

  it("may be used while loading", function()
    local records = support.logged(function() support.run [[log.info "loading"]] end)
    assert.equal("rule", support.record(records, "^loading$").rule)
  end)
end)
