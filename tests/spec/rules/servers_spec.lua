local support = require "tests.spec.rules.support"

describe("servers", function()
  after_each(support.cleanup)

  local THREE = { servers = { "pbx1", "pbx2", "pbx3" } }

  it("are found by name, and listed in the configuration's order", function()
    local t = support.run([[ami.on("Hangup", function()
      note(ami.server "pbx2", ami.server "nobody", #ami.servers())
      for _, server in ipairs(ami.servers()) do note(server.name) end
    end)]], THREE)
    t:event "Hangup"
    assert.same({ "pbx2 nil 3", "pbx1", "pbx2", "pbx3" }, t:said())
  end)

  it("are one object each, however they are got", function()
    local t = support.run([[
      local at_load = ami.server "pbx1"
      ami.on("Hangup", function(ev, server)
        note(server == at_load, server == ami.server "pbx1", server == ami.servers()[1], server == ami.server "pbx2")
      end)]], THREE)
    t:event "Hangup"
    assert.same({ "true true true false" }, t:said())
  end)

  it("show their name, state, readiness and version", function()
    local t = support.run([[ami.on({ "Hangup", "server.lost" }, function(ev, s) note(s.name, s.ready, s.state, s.version, s) end)]], THREE)
    t:event "Hangup"
    t:lost("pbx1", "reset")
    t:advance()
    assert.same({ "pbx1 true ready 5.0.1 pbx1", "pbx1 false waiting 5.0.1 pbx1" }, t:said())
  end)

  it("can be asked for while loading", function()
    local t = support.run([[
      local s, none, all = ami.server "pbx2", ami.server "nobody", ami.servers()
      ami.on("Hangup", function() note(s.name, s.ready, none, #all, all[3].ready) end)]], THREE)
    t:event "Hangup"
    assert.same({ "pbx2 true nil 3 true" }, t:said())
  end)

  it("are read-only and name what they do not have", function()
    local t = support.run [[ami.on("Hangup", function(ev, s)
      note(pcall(function() s.name = "x" end))
      note(pcall(function() return s.nme end))
    end)]]
    t:event "Hangup"
    local said = t:said()
    assert.matches("false .*read%-only", said[1])
    assert.matches("false .*no field 'nme'", said[2])
  end)

  it("outlive themselves as removed", function()
    local t = support.run([[
      local s = ami.server "pbx2"
      ami.on("Hangup", function() note(s.name, s.ready, s.state, ami.server "pbx2", #ami.servers(), select(2, s:send { Action = "Ping" }).code) end)]], THREE)
    t:remove "pbx2"
    t:event "Hangup"
    assert.same({ "pbx2 false removed nil 2 not_ready" }, t:said())
  end)
end)

describe("a route", function()
  after_each(support.cleanup)

  -- Where three sends of this route go; `before` prepares.
  local function goes(route, before, servers)
    local t = support.run(([[
      local route = ami.route(%s)
      ami.on("Hangup", function() for _ = 1, 4 do local id, err = route:send { Action = "Ping" } if not id then note(err.code) end end end)]]):format(route),
      { servers = servers or { "a", "b", "c" } })
    if before then before(t) end
    local from = #t:sent()
    t:event "Hangup"
    local to = {}
    for i = from + 1, #t:sent() do to[#to + 1] = t:sent()[i].server end
    return table.concat(to, " ") .. table.concat(t:said(), " ")
  end

  it("failover takes the first that is ready", function()
    assert.equal("a a a a", goes "'failover'")
    assert.equal("b b b b", goes("'failover'", function(t) t:lost "a" t:advance() end))
    assert.equal("c c c c", goes "'failover', { 'c', 'a' }")
  end)

  it("round_robin takes one after the other, of those that are ready", function()
    assert.equal("a b c a", goes "'round_robin'")
    assert.equal("a c a c", goes("'round_robin'", function(t) t:lost "b" t:advance() end))
    assert.equal("c a c a", goes "'round_robin', { 'c', 'a' }")
  end)

  it("least_pending takes the one that waits for the fewest answers", function()
    assert.equal("a b c a", goes "'least_pending'")
    local t = support.run([[
      ami.on("Newstate", function(ev, s) s:send { Action = "Ping" } end)
      ami.on("Hangup", function() note(ami.route("least_pending"):pick()) end)]], { servers = { "a", "b", "c" } })
    t:event("Newstate", nil, { server = "a" })
    t:event("Newstate", nil, { server = "a" })
    t:event("Newstate", nil, { server = "b" })
    t:event("Newstate", nil, { server = "c" })
    t:answer(4, { Response = "Success" })
    t:event "Hangup"
    assert.same({ "c" }, t:said())
  end)

  it("takes names and handles, and passes over those that do not exist", function()
    assert.equal("c c c c", goes "'failover', { 'nobody', ami.server 'c', 'a' }")
  end)

  it("fails as not_ready when none is", function()
    assert.equal("not_ready not_ready not_ready not_ready", goes("'round_robin'", function(t) for _, s in ipairs { "a", "b", "c" } do t:lost(s) end t:advance() end))
  end)

  it("picks a server for what follows on the same one", function()
    local t = support.run([[
      local route = ami.route "failover"
      ami.on("*", function() local s, err = route:pick() note(s, err and err.code) end)]], { servers = { "a", "b" } })
    t:event "Hangup"
    t:lost "a"
    t:lost "b"
    t:advance()
    t:event "Hangup"
    assert.same({ "a nil", "nil not_ready" }, t:said())
  end)

  it("calls and waits for the answer, not_ready a turn later", function()
    local t = support.run([[
      local route = ami.route "failover"
      ami.on("Hangup", function() local res, err = route:call { Action = "Ping" } note(res and res.message, err and err.code) end)]], { servers = { "a", "b" } })
    t:event "Hangup"
    t:reply { Response = "Success", Message = "Pong" }
    t:lost "a"
    t:lost "b"
    t:advance()
    t:event "Hangup"
    assert.same({ "Pong nil" }, t:said())
    t:turn()
    assert.same({ "nil not_ready" }, t:said())
  end)

  it("takes options and callbacks as a server does", function()
    local t = support.run [[ami.on("Hangup", function()
      ami.route("failover"):send({ Action = "Ping" }, { timeout = 3 }, function(res) note(res.Response) end)
    end)]]
    t:event "Hangup"
    assert.equal(3, t:sent()[1].timeout)
    t:reply()
    assert.same({ "Success" }, t:said())
  end)

  it("refuses kinds and lists that are none, and warns of unknown servers", function()
    assert.matches("invalid option 'random'", support.faults "ami.route 'random'")
    assert.matches("list of server names", support.faults "ami.route('failover', {})")
    assert.matches("server names or servers", support.faults "ami.route('failover', { 7 })")
    local _, warnings = support.load "ami.route('failover', { 'pbx1', 'pbx9' })"
    assert.equal(1, #warnings)
    assert.matches("pbx9", warnings[1])
  end)
end)
