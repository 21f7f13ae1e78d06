-- Coroutines that a rule makes: Lua's own behaviour, though the library is the host's.
local support = require "tests.spec.rules.support"

describe("coroutines", function()
  after_each(support.cleanup)

  -- What a listener with this body has noted.
  local function noted(body)
    local t = support.run(("ami.on('Hangup', function() %s end)"):format(body))
    t:event "Hangup"
    assert.equal("", t:rule "rule".last_error)
    return t:said()
  end

  it("pass values both ways, and have Lua's states", function()
    assert.same({ "suspended", "true 3 nil", "suspended", "true x nil y", "dead", "false cannot resume dead coroutine" }, noted [[
      local co = coroutine.create(function(a, b)
        local c, d, e = coroutine.yield(a + b, nil)
        return c, d, e
      end)
      note(coroutine.status(co))
      note(coroutine.resume(co, 1, 2))
      note(coroutine.status(co))
      note(coroutine.resume(co, "x", nil, "y"))
      note(coroutine.status(co))
      note(coroutine.resume(co))]])
  end)

  it("know themselves, and which one resumed which", function()
    assert.same({ "true", "true running true", "normal" }, noted [[
      local outer, inner
      note((select(2, coroutine.running())))
      outer = coroutine.create(function()
        note(coroutine.running() == outer, coroutine.status(outer), coroutine.isyieldable())
        inner = coroutine.create(function() note(coroutine.status(outer)) end)
        coroutine.resume(inner)
      end)
      coroutine.resume(outer)]])
  end)

  it("end by an error: resume returns it, wrap raises it, both with its place", function()
    local said = noted [[
      local co = coroutine.create(function() error "broken" end)
      note(coroutine.resume(co))
      note(coroutine.status(co))
      note(pcall(coroutine.wrap(function() error "wrapped" end)))
      note(coroutine.wrap(function(...) return select("#", ...), ... end)(1, nil))
      local object = {}
      note(select(2, pcall(coroutine.wrap(function() error(object) end))) == object)]]
    assert.matches("^false scripts/rule.lua:1: broken$", said[1])
    assert.equal("dead", said[2])
    assert.matches("^false scripts/rule.lua:4: wrapped$", said[3])
    assert.same({ "2 1 nil", "true" }, { said[4], said[5] })
  end)

  it("are closed with their variables: true, or false and what the variables raised", function()
    local said = noted [[
      local function guarded(what)
        local co = coroutine.create(function()
          local guard <close> = setmetatable({}, { __close = function() note "closed" if what then error(what, 0) end end })
          coroutine.yield()
        end)
        coroutine.resume(co)
        return co
      end
      local good, bad = guarded(), guarded "no"
      note(coroutine.close(good))
      note(coroutine.status(good))
      note(coroutine.close(good))
      note(coroutine.close(bad))
      note(coroutine.status(bad))
      note(coroutine.close(coroutine.create(print)))
      local me
      me = coroutine.create(function() note(pcall(coroutine.close, me)) end)
      coroutine.resume(me)]]
    assert.same({ "closed", "true", "dead", "true", "closed", "false no", "dead", "true" }, table.move(said, 1, 8, 1, {}))
    assert.matches("^false .*cannot close a running coroutine", said[9])
  end)
end)
