-- The rule of kill_api_test.c: it uses all that rules have, and is killed at each crossing between Lua and the host.
local part = require 'part'
local cfg = settings { depth = 3, list = { 1, 2 } }
local out, shared, disk = sink.open 'out', store.open 'shared', store.open('disk', { persistent = true })
local c, g = metric.counter('c', 'C.', { 'a' }), metric.gauge('g', 'G.')
local h = metric.histogram('h', 'H.', nil, { 1, 2 })
local function done() sink.open('done'):write 'x' end
local first, even = ami.route 'failover', ami.route('round_robin', { 'pbx' })
local function report(res, err)
  if res then for k, v in pairs(res) do tostring(v) end part.use(#res, res.Response, tostring(res)) else tostring(err) end
end
local function closing() return setmetatable({}, { __close = function() log.info('closed', { n = 1 }) end }) end
work.on('jobs', { at_once = 2, per_second = 50, tries = 2, backoff = { 0.1, 1 } }, function(job)
  local x <close> = closing()
  part.use(job.n, job.try, job.pushed, #job.list) timer.sleep(0.1)
end)
ami.on({ 'script.loaded', 'server.ready' }, { priority = 1 }, function(ev, server) part.use(ev.Event, server and server.name) end)
ami.on('Begin', function(ev, server)
  local n, keys = #ev, 0
  for k, v in pairs(ev) do keys = keys + 1 end
  part.use(ev.N, ev.Absent, tostring(ev), ami.values(ev, 'N'), ami.table(ev), ami.time(ev), rawequal(ev, ev))
  pcall(function() ev.N = 1 end)
  part.use(server.name, server.state, server.version, server.ready, tostring(server), ami.server 'pbx', #ami.servers(), ami.server 'none')
  log.debug('d') log.info('i', { a = 1, t = { 1, { 2 } }, s = setmetatable({}, { __tostring = function() return 'x' end }) })
  log.warn('w') log.error('e') print('p', 1, nil)
  c:inc(1, { 'x' }) g:set(2) g:del() h:observe(1.5) part.use(pcall(c.inc, c, {}))
  shared:set('k', { a = { 1, 2 } }) shared:set('t', 1, 5) shared:incr('n', 2) shared:get 'k' shared:delete 'k'
  for k, v in pairs(shared) do part.use(k, v) end
  disk:set('k', { 1 }) disk:incr('n') disk:get 'k'
  for k, v in pairs(disk) do part.use(k, v) end
  disk:delete 'k'
  part.use(work.stats 'jobs', pcall(work.push, 'jobs', { f = print }), pcall(work.push, 'jobs', {}, { x = 1 }))
  work.push('jobs', { n = 1, list = { 1, 2 } }, { id = 'one', dedup = 1, delay = 0.01, tries = 3, priority = 1 }, function(id, err) part.use(id, err) end)
  out:write('line') part.use(cfg.depth, #cfg.list, pcall(function() cfg.depth = 1 end))
  for k in pairs(cfg) do part.use(k) end
  part.use(json.encode { a = { 1, json.null, json.array {} } }, json.decode '{"a":[1,{"b":null}]}', pcall(json.decode, '{'))
  part.use(pcall(json.encode, { print }))
  part.use(math.random(9), os.time(), os.date('!%H', 1), os.clock(), timer.now())
  part.use(('abc'):find('b'), ('abc'):gsub('%w', function(x) return x:upper() end), ('%d'):format(3), ('x'):rep(3, ','))
  local t = { 3, 1, 2 }
  table.sort(t, function(a, b) part.use(a) return a < b end) table.concat(t, ',') table.unpack(t) table.insert(t, 4)
  part.use(xpcall(function() error { 1 } end, function(e) log.info 'handled' return e end), select('#', 1, 2), next(t))
  local co = coroutine.create(function(a) local x <close> = closing() coroutine.yield(a) timer.sleep(0.1) error 'end' end)
  part.use(coroutine.resume(co, 1)) part.use(coroutine.resume(co)) part.use(coroutine.status(co))
  local left = coroutine.create(function() local x <close> = closing() coroutine.yield() end)
  coroutine.resume(left) part.use(coroutine.close(left), coroutine.running(), coroutine.isyieldable())
  part.use(pcall(coroutine.wrap(function() coroutine.yield(1) error 'x' end)))
  for v in coroutine.wrap(function() coroutine.yield(1) ami.wait('Never', nil, 0.1) coroutine.yield(2) end) do part.use(v) end
  collectgarbage 'count'
  for call in live.calls { server = server } do part.use(call.id, call.channels, tostring(call), ami.table(call), pcall(function() return call.x end)) kept = call end
  for name, value in pairs(kept) do part.use(name, value) end
  part.use(live.count('calls', { state = 'new' }), live.call(server, '1.1') == kept, live.queue(server, 'none'), live.state(server), pcall(live.calls, 1))
  done()
end)
local loaded = live.call('pbx', '1.1')
ami.on({ 'call.started', 'call.ended' }, { where = { incomplete = false } }, function(call) part.use(call.talk, call.waits, ami.table(call), loaded and loaded.state) end)
ami.on('Begin', { priority = 2, where = { N = { '1', ami.prefix 'x', ami.glob 'a*' } } }, function(ev, server)
  local on = ami.on('Hangup', function() end) on:cancel()
  ami.once('Hangup', { server = 'pbx' }, function(e) part.use(e.N) end)
  local after = timer.after(0.2, function() log.info 'after' end) timer.after(5, print):cancel()
  local every every = timer.every(0.3, function() part.use(1) if disk:incr 'ticks' > 2 then every:cancel() end end)
  ami.emit('own.event', { a = 1, b = 'x' })
  local sub <close> = ami.subscribe({ 'own.event', 'Hangup' }, { label = 'sub' })
  part.use(tostring(sub), sub:next(1), sub:next(1), sub:next(0.1))
  local spare = ami.subscribe 'Hangup' spare:cancel() ami.subscribe 'Hangup' collectgarbage 'count'
  part.use(work.push('jobs', { n = 2, list = {} }))
  part.use(pcall(sub.next, sub, -1), disk:sync(), ami.wait('own.event', nil, 0.1))
  done()
end)
ami.on('own.event', function(ev) part.use(ev.a) end)
ami.on('Begin', { priority = 3 }, function(ev, server)
  local x <close> = closing()
  server:send({ Action = 'Ping' }, report) server:send({ Action = 'Ping', Variable = { a = 1, b = 2 } }, { timeout = 3 }, report)
  server:send { Action = 'Ping' } first:send({ Action = 'Ping' }, report) part.use(first:pick(), even:pick())
  part.use(pcall(server.send, server, { Action = {} }), server:send { Action = 'Login' }, pcall(server.call, server, {}))
  report(server:call { Action = 'Ping' }) report(even:call { Action = 'Ping' })
  done()
end)
ami.on('Begin', { priority = 4 }, function(ev, server)
  local url, x <close> = 'https://crm.example.net/', closing()
  local function got(res, err) part.use(res and res.headers['X-One'], res and res:json(), err) end
  part.use(http.post(url, { a = { 1, 2 } }, { headers = { b = 'c', d = { 1, true } }, query = { q = 'x y' }, timeout = 5 }, got), http.get(url, got))
  part.use(http.request({ url = url, method = 'put', form = { a = 1 } }, got), http.get 'https://other.example/', pcall(http.get, url, { x = 1 }), pcall(http.request, {}))
  part.use(out:write({ a = 1 }, { sync = true, ttl = 5 }))
  local res, err = http.get(url)
  got(res, err)
  done()
end)
-- What is waited for when newer rules come: a task that is closed, a callback that is cancelled.
ami.on('More', function(ev, server)
  local x <close> = closing()
  server:send({ Action = 'Ping' }, { timeout = 60 }, report)
  pcall(function() local y <close> = closing() report(server:call({ Action = 'Ping' }, { timeout = 60 })) end)
end)
ami.on('More', function() for i = 1, 3 do work.push('jobs', { n = i, list = {} }, function(id, err) part.use(id, err) end) end end)
ami.on('More', function() local x <close> = closing() http.get('https://crm.example.net/', function(res, err) part.use(err and err.code) end) http.get 'https://crm.example.net/' end)
ami.on('More', function() local sub = ami.subscribe 'Never' local x <close> = closing() sub:next(60) end)
ami.on('More', function() coroutine.wrap(function() local x <close> = closing() timer.sleep(60) end)() end)
