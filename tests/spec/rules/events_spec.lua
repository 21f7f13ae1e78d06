local support = require "tests.spec.rules.support"

describe("an event", function()
  after_each(support.cleanup)

  -- Runs `code` with `ev` of these headers; what it noted.
  local function with(code, headers)
    local t = support.run("ami.on('Hangup', function(ev, server) " .. code .. " end)")
    t:event("Hangup", headers)
    assert.equal("", t:rule().last_error)
    return t:said()
  end

  it("gives a header's first value, names without regard to case", function()
    assert.same({ "a a nil " }, with("note(ev.Channel, ev.cHANNEL, ev.Absent, ev.Empty)",
      { { "Channel", "a" }, { "Channel", "b" }, { "Empty", "" } }))
  end)

  it("gives names that no identifier can be, and nothing for other keys", function()
    assert.same({ "Normal Clearing nil nil nil" }, with("note(ev['Cause-txt'], ev[1], ev[true], ev[ev])", { ["Cause-txt"] = "Normal Clearing" }))
  end)

  it("keeps any byte of a value", function()
    local t = support.run "ami.on('Hangup', function(ev) note(#ev.Name, ev.Name:byte(1, -1)) end)"
    t:feed "Event: Hangup\r\nName: \1\255\0x\r\n\r\n"
    assert.same({ "4 1 255 0 120" }, t:said())
  end)

  it("gives every value of a header with ami.values", function()
    assert.same({ "2 a b 0" }, with("local v = ami.values(ev, 'VARIABLE') note(#v, v[1], v[2], #ami.values(ev, 'Absent'))",
      { { "Variable", "a" }, { "X", "1" }, { "variable", "b" } }))
  end)

  it("walks its headers in wire order with pairs, repeats each time", function()
    assert.same({ "Event=Hangup B=1 A=2 B=3" },
      with("local all = {} for k, v in pairs(ev) do all[#all + 1] = k .. '=' .. v end note(table.concat(all, ' '))",
        { { "B", "1" }, { "A", "2" }, { "B", "3" } }))
  end)

  it("counts with # what pairs walks", function()
    local t = support.run "ami.on('Hangup', function(ev) local n = 0 for _ in pairs(ev) do n = n + 1 end note(#ev, n) end)"
    t:feed "Event: Hangup\r\nA: 1\r\na line without a colon\r\nA: 2\r\n\r\n"
    assert.same({ "3 3" }, t:said())
  end)

  it("can be walked twice at the same time", function()
    assert.same({ "9" }, with("local n = 0 for _ in pairs(ev) do for _ in pairs(ev) do n = n + 1 end end note(n)", { A = 1, B = 2 }))
  end)

  it("is one line as a string", function()
    assert.same({ "Hangup Channel=SIP/1 Cause=16" }, with("note(ev)", { { "Channel", "SIP/1" }, { "Cause", "16" } }))
  end)

  it("is cut as a string when it is long", function()
    local headers = {}
    for i = 1, 100 do headers[i] = { "H" .. i, ("x"):rep(500) } end
    local length = tonumber(with("note(#tostring(ev))", headers)[1])
    assert.is_true(length < 1500)
  end)

  it("becomes a plain table of its own with ami.table, repeats as lists", function()
    assert.same({ "table 1 2 2 3 Hangup", "changed 1" },
      with([[local t = ami.table(ev)
        note(type(t), t.A, #t.B, t.B[1], t.B[2], t.Event)
        t.A = "changed" note(t.A, ev.A)]], { { "A", "1" }, { "B", "2" }, { "B", "3" } }))
  end)

  it("knows when its bytes arrived", function()
    local t = support.run "ami.on('Hangup', function(ev) note(ami.time(ev)) end)"
    t:advance(12.5)
    local _, wall = t:now()
    t:event "Hangup"
    assert.equal(wall, tonumber(t:said()[1]))
  end)

  it("is read-only", function()
    assert.same({ "false true 16" }, with([[
      local ok, why = pcall(function() ev.Cause = "1" end)
      note(ok, why:find("read%-only") ~= nil, ev.Cause)]], { Cause = 16 }))
    assert.same({ "false false" }, with("note((pcall(rawset, ev, 'a', 1)), (pcall(setmetatable, ev, {})))"))
    assert.same({ "false" }, with("note(getmetatable(ev))"))
  end)

  it("may be kept, and owns its bytes", function()
    local t = support.run [[
      local kept = {}
      ami.on("Hangup", function(ev) kept[#kept + 1] = ev end)
      ami.on("Newstate", function() for _, ev in ipairs(kept) do note(ev.N, ev.Text) end end)]]
    for n = 1, 3 do t:event("Hangup", { N = n, Text = ("x"):rep(10) .. n }) end
    t:feed(("Event: VarSet\r\nFiller: " .. ("y"):rep(5000) .. "\r\n\r\n"):rep(20))
    t:event "Newstate"
    assert.same({ "1 xxxxxxxxxx1", "2 xxxxxxxxxx2", "3 xxxxxxxxxx3" }, t:said())
  end)

  it("is one object for the listeners of a rule that hear it", function()
    local t = support.run [[
      local first
      ami.on("Hangup", { priority = 1 }, function(ev) first = ev end)
      ami.on("Hangup", function(ev) note(ev == first) end)]]
    t:event "Hangup"
    assert.same({ "true" }, t:said())
  end)

  it("is not equal to another one of the same headers", function()
    local t = support.run "local last ami.on('Hangup', function(ev) note(ev == last) last = ev end)"
    t:event "Hangup"
    t:event "Hangup"
    assert.same({ "false", "false" }, t:said())
  end)

  it("is refused by its functions when it is none", function()
    local t = support.run [[ami.on("Hangup", function(ev)
      for _, f in ipairs { ami.values, ami.table, ami.time } do note((pcall(f, {}, "x")), (pcall(f))) end
      note((pcall(ami.values, ev)))
    end)]]
    t:event "Hangup"
    assert.same({ "false false", "false false", "false false", "false" }, t:said())
  end)

  it("is cut out of raw bytes however they come in pieces", function()
    local bytes = "Asterisk Call Manager/5.0.1\r\nEvent: Hangup\r\nN: 1\r\n\r\nEvent: Hangup\r\nN: 2\r\n\r\nResponse: Success\r\n\r\n"
    for size = 1, #bytes, 5 do
      local t = support.run "ami.on('Hangup', function(ev) note(ev.N) end)"
      local heard = 0
      for at = 1, #bytes, size do heard = heard + t:feed(bytes:sub(at, at + size - 1)) end
      assert.equal(2, heard)
      assert.same({ "1", "2" }, t:said())
      support.cleanup()
    end
  end)
end)
