-- The streams of the API: the live picture, and AMI events.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

describe("the stream of the live picture", function()
  after_each(helper.cleanup)

  -- A reader that is running: frames() are those so far, { event, id, data }.
  local function read(d, path, token, headers)
    local words = { "-sN", "-D", "/dev/stderr", "-H", "Authorization: Bearer " .. (token or support.READ) }
    for name, value in pairs(headers or {}) do table.move({ "-H", name .. ": " .. value }, 1, 2, #words + 1, words) end
    words[#words + 1] = ("http://127.0.0.1:%d%s"):format(d.web_port, path)
    local reader = helper.start("curl", words)
    function reader.frames()
      local frames = {}
      for frame in reader:stdout():gmatch "(.-)\n\n" do
        local data = frame:match "data: ([^\n]*)"
        if data then frames[#frames + 1] = { event = frame:match "event: ([^\n]*)", id = frame:match "id: ([^\n]*)", data = helper.json(data) } end
      end
      return frames
    end
    -- The frames once one of them is as wanted: that one comes second. `timeout` for what the simulated people take their time for.
    function reader.await(wanted, timeout)
      local frames
      return helper.wait_for(function()
        frames = reader.frames()
        for _, frame in ipairs(frames) do
          if (type(wanted) == "string" and frame.event == wanted) or (type(wanted) == "function" and wanted(frame)) then return frames, frame end
        end
      end, timeout, function() return "a frame; there are\n" .. reader:stdout():sub(-2000) .. helper.read(reader.err) end)
    end
    return reader
  end

  local function is_end(frame) return frame.event == "snapshot" and frame.data.part == "end" end

  -- What the frames say that there is now: { calls = { id = call }, … }.
  local function replay(frames)
    local state, keys = {}, { calls = "id", queues = "name", agents = "interface", endpoints = "name", servers = "name", rules = "name" }
    for _, frame in ipairs(frames) do
      local data = frame.data
      if frame.event == "snapshot" and data.part == "begin" then
        state = { calls = {}, queues = {}, agents = {}, endpoints = {}, servers = {}, rules = {} }
      elseif frame.event == "snapshot" and data.part == "items" then
        for _, item in ipairs(data.items) do state[data.kind][item[keys[data.kind]]] = item end
      elseif frame.event:match "^call%." then
        state.calls[data.id] = frame.event ~= "call.ended" and data or nil
      elseif frame.event == "agent.changed" then
        state.agents[data.interface] = data
      elseif frame.event == "endpoint.changed" then
        state.endpoints[data.name] = data
      elseif frame.event == "server" then
        state.servers[data.name] = data
      end
    end
    return state
  end

  it("begins with a snapshot, then tells every change, and ends up at what there is", function()
    local d = support.live()
    local reader = read(d, "/api/live")
    local frames = reader.await(is_end)
    assert.matches("\nContent%-Type: text/event%-stream\r\n", helper.read(reader.err))
    assert.matches("\nCache%-Control: no%-store\r\n", helper.read(reader.err))
    assert.are.same({ "snapshot", "begin", "reader" }, { frames[1].event, frames[1].data.part, frames[1].data.label })
    assert.are.same({ "read" }, frames[1].data.scopes)
    for _, event in ipairs { "call.started", "call.ended", "agent.changed" } do reader.await(event, 30) end
    -- Time stands still: what there is now has been told once nothing comes any more.
    d.sim:signal "STOP"
    helper.wait_for(function()
      local state = replay(reader.frames())
      local _, _, calls = support.ask(d, "/api/calls?limit=10000")
      local count = 0
      for _ in pairs(state.calls) do count = count + 1 end
      if count ~= calls.total then return false end
      for _, call in ipairs(calls.calls) do
        local told = state.calls[call.id]
        if not told or told.state ~= call.state or (told.queue or nil) ~= (call.queue ~= require "cjson".null and call.queue or nil) then return false end
      end
      return true
    end)
    local state = replay(reader.frames())
    assert.are.equal("ready", state.servers.pbx1.state)
    d.sim:signal "CONT"
    -- Ids rise by one, in one epoch.
    local last
    for _, frame in ipairs(reader.frames()) do
      if frame.id then
        local epoch, number = frame.id:match "^(%x+)%-(%d+)$"
        if last then assert.are.same({ last[1], last[2] + 1 }, { epoch, tonumber(number) }) end
        last = { epoch, tonumber(number) }
      end
    end
    assert.is_true(d:metric "hookswitch_web_changes_total" > 0)
    assert.are.equal(1, d:metric "hookswitch_web_streams")
    reader:signal "TERM"
    reader:ended()
    helper.wait_for(function() return d:metric "hookswitch_web_streams" == 0 end)
  end)

  it("goes on behind the last id that a reader has seen, or begins anew when that is too long ago", function()
    local d = support.live()
    local first = read(d, "/api/live")
    first.await "call.started"
    first:signal "TERM"
    first:ended()
    local seen = first.frames()
    local last
    for _, frame in ipairs(seen) do last = frame.id or last end
    local epoch, number = last:match "^(%x+)%-(%d+)$"
    local second = read(d, "/api/live", nil, { ["Last-Event-ID"] = last })
    local frames = second.await "call.started"
    assert.are.equal("resumed", frames[1].event)
    assert.is_number(frames[1].data.now)
    assert.are.equal(("%s-%d"):format(epoch, number + 1), frames[2].id)
    for _, id in ipairs { "00000000-" .. number, epoch .. "-999999999", epoch .. "-x", "nonsense" } do
      assert.are.equal("begin", read(d, "/api/live", nil, { ["Last-Event-ID"] = id }).await(is_end)[1].data.part, id)
    end
  end)

  it("shows a token, and a query, what they are limited to", function()
    local d = support.live()
    local wall, narrow = read(d, "/api/live", support.WALL), read(d, "/api/live?queue=sales")
    local wide = read(d, "/api/live")
    wide.await(function(frame) return frame.event == "queue.joined" and frame.data.queue == "sales" end)
    wide.await(function(frame) return frame.event == "queue.joined" and frame.data.queue == "support" end)
    wide.await "endpoint.changed"
    local _, joined = wall.await "queue.joined"
    assert.are.equal("support", joined.data.queue)
    _, joined = narrow.await "queue.joined"
    assert.are.equal("sales", joined.data.queue)
    for queue, reader in pairs { support = wall, sales = narrow } do
      for _, frame in ipairs(reader.frames()) do
        local data = frame.data
        assert.is_nil(frame.event:match "^endpoint%." or frame.event:match "^conference%." or frame.event:match "^rule")
        if frame.event:match "^queue%." then assert.are.equal(queue, frame.event == "queue.changed" and data.name or data.queue) end
        if frame.event:match "^call%." then
          local was = data.queue == queue
          for _, wait in ipairs(data.waits) do was = was or wait.queue == queue end
          assert.is_true(was)
        end
        if data.part == "items" then
          assert.is_true(data.kind ~= "endpoints" and data.kind ~= "rules")
          if data.kind == "queues" then assert.are.same({ queue }, { data.items[1].name, data.items[2] }) end
        end
      end
    end
    assert.are.same({ "support" }, wall.frames()[1].data.queues)
    assert.are.equal(403, (support.ask(d, { path = "/api/live?queue=sales", token = support.WALL })))
    assert.are.equal(400, (support.ask(d, "/api/live?nonsense=1")))
    assert.are.equal(405, (support.ask(d, { path = "/api/live", method = "HEAD", token = support.READ })))
  end)

  it("gives each of many readers at a time exactly what its own limits allow", function()
    local tokens = support.tokens()
    local function secret(name) return name .. "-secret-0123456789" end
    local function add(name, scopes, servers, queues)
      tokens[name] = { secret = secret(name), scopes = scopes, servers = servers, queues = queues }
    end
    add("wall2", { "read", "act" }, nil, { "support" })
    add("sales", { "read" }, nil, { "sales" })
    add("both", { "read" }, nil, { "sales", "support" })
    add("east", { "read" }, { "pbx1" })
    add("west", { "read" }, { "pbx2" })
    add("eastsales", { "read" }, { "pbx1" }, { "sales" })
    local sims = { pbx1 = helper.sim("--calls-per-second", "5", "--features", "--seed", "3"), pbx2 = helper.sim("--calls-per-second", "5", "--features", "--seed", "4") }
    local d = support.daemon({ servers = { pbx1 = helper.server(sims.pbx1), pbx2 = helper.server(sims.pbx2) },
      rules = { ["bad.lua"] = "ami.on('crm.bad', function() error 'no' end)" } }, { tokens = tokens })
    d:ready "pbx1"
    d:ready "pbx2"
    local readers = {}
    for _, name in ipairs { "wall", "wall2", "sales", "both", "east", "west", "eastsales", "reader", "wall", "sales" } do
      readers[#readers + 1] = { token = tokens[name], name = name, read = read(d, "/api/live", tokens[name].secret) }
    end
    readers[#readers + 1] = { token = { queues = { "support" }, servers = { "pbx2" } }, name = "both", -- narrower by the query
      read = read(d, "/api/live?queue=support&server=pbx2", secret "both") }
    for _, one in ipairs(readers) do
      local _, ended = one.read.await(is_end)
      one.from = tonumber(ended.id:match "%-(%d+)$")
    end
    local wide = read(d, "/api/live")
    wide.await(is_end)

    local function has(list, item)
      for _, one in ipairs(list or {}) do
        if one == item then return true end
      end
      return list == nil
    end
    local function any(list, queues, key)
      for _, item in ipairs(type(list) == "table" and list or {}) do
        if has(queues, type(item) == "table" and item[key] or item) then return true end
      end
      return false
    end
    -- As lib/README.md has it.
    local function allowed(token, frame)
      local data, event = frame.data, frame.event
      if event:match "^rule" or event:match "^script%." then return not token.servers and not token.queues end
      if not has(token.servers, event:match "^server" and data.name or data.server) then return false end
      if not token.queues then return true end
      if event:match "^call%." then return has(token.queues, data.queue) or any(data.waits, token.queues, "queue") end
      if event:match "^agent%." then return any(data.queues, token.queues, "queue") end
      if event:match "^queue%." then return has(token.queues, event == "queue.changed" and data.name or data.queue) end
      return not event:match "^endpoint%." and not event:match "^conference%."
    end
    local function numbers(frames, from, to, wanted)
      local list = {}
      for _, frame in ipairs(frames) do
        local number = frame.event ~= "snapshot" and frame.id and tonumber(frame.id:match "%-(%d+)$")
        if number and number > from and number <= to and wanted(frame) then list[#list + 1] = number end
      end
      return list
    end
    local function last(frames) return tonumber(frames[#frames].id and frames[#frames].id:match "%-(%d+)$" or 0) end
    d:emit "crm.bad"
    wide.await "rule"
    for _, one in ipairs(readers) do
      if one.token.queues then one.read.await "queue.joined" end
      one.read.await "call.ended"
    end
    -- The first reader is of everything too: what the others got is compared with what it got.
    local all = readers[8].read
    local first, to = readers[8].from, last(all.frames())
    for _, one in ipairs(readers) do first = math.max(first, one.from) end
    -- One flush later all have what happened up to there.
    helper.wait_for(function() return last(all.frames()) > to + 100 end, 60)
    local truth = all.frames()
    assert.is_true(to > first + 50)
    for _, one in ipairs(readers) do
      local frames = one.read.frames()
      assert.are.equal(one.name, frames[1].data.label)
      assert.are.same(#(one.token.scopes or { "read" }), #frames[1].data.scopes)
      local expected = numbers(truth, first, to, function(frame) return allowed(one.token, frame) end)
      assert.are.same(expected, numbers(frames, first, to, function() return true end), one.name)
      assert.is_true(#expected > 0 and (#expected < to - first or one.name == "reader"), one.name)
      for _, frame in ipairs(frames) do
        if frame.event ~= "snapshot" then assert.is_true(allowed(one.token, frame), one.name .. " got " .. frame.event) end
      end
    end
  end)

  it("tells of servers that come and go, and of rules that fail", function()
    local d = support.live(nil, { rules = { ["bad.lua"] = "ami.on('crm.bad', function() error 'no' end)" } })
    local reader = read(d, "/api/live")
    reader.await(is_end)
    d:emit "crm.bad"
    local _, rule = reader.await(function(frame) return frame.event == "rule" and frame.data.name == "bad" and frame.data.errors == 1 end)
    assert.matches("no", rule.data.last_error)
    d.sim:signal "KILL"
    reader.await "server.lost"
    local _, server = reader.await(function(frame) return frame.event == "server" and frame.data.state ~= "ready" end)
    assert.are.equal("pbx1", server.data.name)
  end)

  it("ends with its token, not with a reload that leaves it as it is", function()
    local d = support.live()
    local wall, reader = read(d, "/api/live", support.WALL), read(d, "/api/live")
    wall.await(is_end)
    reader.await(is_end)
    local tokens = support.tokens()
    local function reload()
      d.project.write { servers = { pbx1 = helper.server(d.sim) }, config = { web = { listen = "127.0.0.1:0", tokens = tokens } } }
      assert.is_true(d:reload())
    end
    tokens.wall.queues = { "sales" }
    reload()
    wall:ended()
    local before = #reader.frames()
    helper.wait_for(function() return #reader.frames() > before end)
    tokens.reader = nil
    reload()
    reader:ended()
  end)

  it("is bounded in number", function()
    local d = support.live { streams = 1 }
    local reader = read(d, "/api/live")
    reader.await(is_end)
    local status, _, body = support.ask(d, "/api/live")
    assert.are.same({ 503, "too many streams; web.streams allows 1" }, { status, body.error })
    d:await { msg = "web request refused", reason = "streams", client = "reader" }
    assert.are.equal(1, d:metric("hookswitch_web_refused_total", { reason = "streams" }))
    assert.are.equal(200, (support.ask(d, "/api/status")))
  end)

  -- A client that sends a request and reads nothing.
  local function deaf(d, path)
    local folder = helper.folder()
    helper.write_file(folder .. "/script", "send " .. support.escape(support.bytes { path = path, token = support.READ }) .. "\nsay in\nstall")
    local client = helper.start(helper.peer_binary, { "--receive", "2048", folder .. "/script", folder .. "/received", d.web_port })
    helper.wait_for(function() return client:stdout():find("in\n", 1, true) end)
    return client
  end

  it("drops a reader that takes nothing, and others notice nothing of it", function()
    local d = support.live({ timeout = 1, replay = 64 * 1024 }, nil, "--calls-per-second", "60", "--speed", "3")
    local reader = read(d, "/api/live")
    reader.await(is_end)
    deaf(d, "/api/live")
    helper.wait_for(function() return d:metric "hookswitch_web_streams" == 2 end)
    d:await { msg = "web connection dropped", reason = "slow" }
    helper.wait_for(function() return d:metric "hookswitch_web_streams" == 1 end)
    local before = #reader.frames()
    helper.wait_for(function() return #reader.frames() > before end)
  end)

  it("begins anew for a reader that falls behind, and drops it when it does so again", function()
    local d = support.live({ timeout = 60, replay = 64 * 1024 }, nil, "--calls-per-second", "60", "--speed", "3")
    local folder = helper.folder()
    helper.write_file(folder .. "/script", table.concat({
      "send " .. support.escape(support.bytes { path = "/api/live", token = support.READ }), 'expect "part":"end"', "say first", "wait " .. folder .. "/go1",
      'expect "part":"end"', "say second", "wait " .. folder .. "/go2", "hold",
    }, "\n"))
    local client = helper.start(helper.peer_binary, { "--receive", "2048", folder .. "/script", folder .. "/received", d.web_port })
    local function said(word) helper.wait_for(function() return client:stdout():find(word .. "\n", 1, true) end, 60) end
    local function fall_behind()
      local function changes() return d:metric "hookswitch_web_changes_total" end
      local from = changes()
      helper.wait_for(function() return changes() - from > 1500 end, 60)
    end
    said "first"
    fall_behind()
    helper.write_file(folder .. "/go1", "")
    d:await({ msg = "web stream begins anew: its reader is slow", client = "reader" }, { timeout = 60 })
    assert.are.equal(1, d:metric "hookswitch_web_stream_restarts_total")
    said "second"
    fall_behind()
    helper.write_file(folder .. "/go2", "")
    d:await({ msg = "web stream dropped", reason = "slow", client = "reader" }, { timeout = 60 })
    client:ended()
    assert.are.equal(1, d:metric "hookswitch_web_streams_dropped_total")
  end)
end)

describe("the stream of events", function()
  after_each(helper.cleanup)

  local function read(d, path, token)
    return helper.start("curl", { "-sN", "-H", "Authorization: Bearer " .. (token or support.READ), ("http://127.0.0.1:%d%s"):format(d.web_port, path) })
  end

  it("asks servers with events = \"auto\" for the events that are named, while somebody reads them", function()
    local d = support.daemon { servers = { pbx1 = helper.server(helper.sim(), { live = false, events = "auto" }) } }
    d:ready "pbx1"
    local function await(mask)
      local requested
      helper.wait_for(function()
        local _, out = d:ctl("servers", "--json")
        requested = helper.json(out).servers[1].requested.events
        return requested == mask
      end, 30, function() return ("the mask %s; it is %s"):format(mask, requested) end)
    end
    local first, second = read(d, "/api/events?name=dtmf*"), read(d, "/api/events?name=cdr")
    await "system,call,dtmf,cdr"
    first:signal "TERM"
    await "system,call,cdr"
    second:signal "TERM"
    await "system,call"
  end)

  it("has those of the names and headers that were asked for", function()
    local d = support.live()
    local reader = read(d, "/api/events?name=queuecaller*&name=Hangup&where=Queue:sup*&server=pbx1")
    local all = read(d, "/api/events")
    local line = helper.wait_for(function() return reader:stdout():match "data: ([^\n]*)\n" end)
    local event = helper.json(line)
    assert.are.same({ "pbx1", "support" }, { event.server, event.headers.Queue })
    assert.matches("^QueueCaller", event.event)
    assert.is_number(event.time)
    helper.wait_for(function() return all:stdout():find('"event":"Newchannel"', 1, true) end)
    for data in reader:stdout():gmatch "data: ([^\n]*)\n" do assert.are.equal("support", helper.json(data).headers.Queue) end
    assert.are.equal(403, (support.ask(d, { path = "/api/events", token = support.WALL })))
    assert.are.equal(400, (support.ask(d, "/api/events?where=Queue")))
    assert.are.equal(400, (support.ask(d, "/api/events?nonsense=1")))
    assert.are.equal(400, (support.ask(d, "/api/events?queue=support"))) -- events are not chosen by queue: it would get all of them
  end)

  it("gives each of many readers at a time exactly what its own filter and token allow", function()
    local tokens = support.tokens()
    tokens.west = { secret = "west-secret-0123456789", scopes = { "read" }, servers = { "pbx2" } }
    local d = support.daemon({ servers = {
      pbx1 = helper.server(helper.sim("--calls-per-second", "5", "--features", "--seed", "3")),
      pbx2 = helper.server(helper.sim("--calls-per-second", "5", "--features", "--seed", "4")),
    } }, { tokens = tokens })
    d:ready "pbx1"
    d:ready "pbx2"
    local readers = {}
    for _, one in ipairs {
      { "", {} }, { "?name=queue*", { name = "^Queue" } }, { "?name=queue*&server=pbx1", { name = "^Queue", server = "pbx1" } },
      { "?name=queue*&where=Queue:sup*", { name = "^Queue", queue = "support" } }, { "?name=queue*&where=Queue:sal*", { name = "^Queue", queue = "sales" } },
      { "?name=queue*", { name = "^Queue" } }, { "?name=queue*", { name = "^Queue", server = "pbx2" }, tokens.west.secret }, { "?name=Hangup", { name = "^Hangup$" } },
      { "", { server = "pbx2" }, tokens.west.secret },
    } do
      readers[#readers + 1] = { wanted = one[2], path = one[1], read = read(d, "/api/events" .. one[1], one[3]) }
    end
    local function events(one)
      local list = {}
      for data in one.read:stdout():gmatch "data: ([^\n]*)\n\n" do list[#list + 1] = data end
      return list
    end
    local function fits(wanted, data)
      local event = helper.json(data)
      return event.event:match(wanted.name or "") and (not wanted.server or event.server == wanted.server)
        and (not wanted.queue or event.headers.Queue == wanted.queue)
    end
    for _, one in ipairs(readers) do helper.wait_for(function() return #events(one) > 0 end) end
    -- From the first event that all have to the last one of now.
    local first = #events(readers[1])
    helper.wait_for(function() return #events(readers[1]) > first + 1000 end)
    local truth = events(readers[1])
    local last = #truth
    helper.wait_for(function() return #events(readers[1]) > last + 100 end)
    for _, one in ipairs(readers) do
      local expected, has, got = {}, {}, events(one)
      for _, data in ipairs(got) do
        assert.truthy(fits(one.wanted, data), one.path .. " got " .. data)
        has[data] = true
      end
      for i = first + 1, last do
        if fits(one.wanted, truth[i]) then expected[#expected + 1] = truth[i] end
      end
      assert.is_true(#expected > 0)
      for _, data in ipairs(expected) do assert.is_true(has[data], one.path .. " missed " .. data) end
    end
  end)

  it("tells a slow reader how many it missed, and logs that", function()
    local d = support.live({ timeout = 60 }, nil, "--calls-per-second", "200", "--speed", "5")
    local reader = read(d, "/api/events")
    helper.wait_for(function() return #reader:stdout() > 0 end)
    reader:signal "STOP"
    d:await({ msg = "web stream misses events: its reader is slow", client = "reader" }, { timeout = 60 })
    assert.is_true(d:metric "hookswitch_web_events_missed_total" > 0)
    reader:signal "CONT"
    local missed = helper.wait_for(function() return reader:stdout():match 'event: gap\ndata: {"missed":(%d+)}\n\n' end)
    assert.is_true(tonumber(missed) > 0)
  end)
end)
