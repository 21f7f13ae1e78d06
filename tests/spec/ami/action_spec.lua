local hookswitch = require "hookswitch"
local serialize = hookswitch.action.serialize
local catalogue = hookswitch.catalogue

local function refused(headers, word)
  local bytes, code, text = serialize(headers, "t-0-1")
  assert.is_nil(bytes)
  assert.equal("invalid", code)
  if word then assert.truthy(text:find(word, 1, true), text) end
end

describe("an action", function()
  it("is written as Action, ActionID, the other headers in order, and an empty line", function()
    assert.equal("Action: Originate\r\nActionID: t-0-1\r\nChannel: Local/1@x\r\nAsync: true\r\nEmpty: \r\n\r\n",
      serialize({ { "Channel", "Local/1@x" }, { "Action", "Originate" }, { "Async", "true" }, { "Empty", "" } }, "t-0-1"))
    assert.equal("Action: Ping\r\n\r\n", serialize { Action = "Ping" })
  end)

  it("needs its name", function()
    refused({ { "Channel", "x" } }, "Action")
    refused({ { "Action", "" } }, "Action")
    refused({}, "Action")
  end)

  it("has one name, which is what Asterisk reads: it skips blanks and control bytes in front", function()
    refused({ { "Action", "Ping" }, { "action", "Command" } }, "more than one name")
    refused({ { "Action", "" }, { "Action", "Ping" } }, "more than one name")
    for _, name in ipairs { " Command", "Command ", "\tCommand", "\1Command", "Command\1" } do refused({ { "Action", name } }, "begins or ends with a blank") end
    assert.equal("Action: No Such\r\nAction2:  x \r\n\r\n", serialize { { "Action", "No Such" }, { "Action2", " x " } })
  end)

  describe("line", function()
    it("Q30 may have 1022 bytes and not one more", function()
      local name = "Variable"
      local value = ("x"):rep(1022 - #name - 2)
      local bytes = serialize({ { "Action", "Setvar" }, { name, value } }, "t-0-1")
      assert.equal(1024, #bytes:match "(Variable:[^\n]*\n)")
      refused({ { "Action", "Setvar" }, { name, value .. "x" } }, "1023 bytes")
      refused({ { "Action", ("x"):rep(1015) } })
      refused({ { "Action", "Setvar" }, { ("n"):rep(1022), "" } })
    end)

    it("Q30 has the ActionID second, so that an error still carries it", function()
      local bytes = serialize({ { "Filler", "1" }, { "Action", "Ping" } }, "t-0-77")
      assert.equal("ActionID: t-0-77", bytes:match "^[^\r]*\r\n([^\r]*)\r\n")
    end)
  end)

  it("Q31 has at most 128 headers, Action and ActionID among them", function()
    local headers = { { "Action", "UserEvent" } }
    for i = 1, 126 do headers[#headers + 1] = { "H", tostring(i) } end
    local bytes = serialize(headers, "t-0-1")
    local _, lines = bytes:gsub("\r\n", "")
    assert.equal(128 + 1, lines)
    headers[#headers + 1] = { "H", "one more" }
    refused(headers, "127")
  end)

  describe("injection", function()
    it("Q32 refuses CR, LF and NUL in a value", function()
      for _, bad in ipairs { "\r", "\n", "\0", "a\r\nAction: Command\r\nCommand: x", "\n\n", "x\0", "\r\n" } do
        refused({ { "Action", "Ping" }, { "Foo", bad } }, "line end")
        refused { { "Action", "Ping" .. bad } }
        refused { { "Action", "Setvar" }, { "Variable", { { "A", bad } } } }
        refused { { "Action", "Setvar" }, { "Variable", { { "B", "1" }, { "A", bad } } } }
      end
    end)

    it("Q32 refuses CR, LF, NUL, colon, blank and bytes beyond ASCII in a key, and an empty one", function()
      for _, bad in ipairs { "", "a:b", "a: ", "a b", "\r\nAction", "a\nb", "a\0", "\0", ":", "\xc3\xa9", "a\t", "a\x7f", "a\x80" } do
        refused { { "Action", "Ping" }, { bad, "1" } }
        refused { { "Action", "Setvar" }, { "Variable", { { "X" .. bad .. "\n", "1" } } } }
      end
    end)

    it("Q32 passes every other byte of a value on", function()
      local bytes = {}
      for b = 1, 255 do
        if b ~= 10 and b ~= 13 then bytes[#bytes + 1] = string.char(b) end
      end
      local value = table.concat(bytes)
      assert.equal("Action: A\r\nX: " .. value .. "\r\n\r\n", serialize { { "Action", "A" }, { "X", value } })
    end)

    it("Q32 takes keys with signs", function()
      assert.equal("Action: A\r\nVariable(x)-a_b/c: 1\r\n\r\n", serialize { { "Action", "A" }, { "Variable(x)-a_b/c", "1" } })
    end)

    it("Q32 no text of an error holds the forged bytes", function()
      local _, _, text = serialize { { "Action", "Ping" }, { "Foo\r\nAction: X", "1" } }
      assert.is_nil(text:find "[\r\n]")
    end)
  end)

  describe("Variable", function()
    -- How Asterisk splits the line: commas outside of quotes and brackets, a backslash makes the next byte plain.
    local function split(line)
      local parts, part, quote, round, square, i = {}, {}, false, 0, 0, 1
      while i <= #line do
        local c = line:sub(i, i)
        if c == "," and not quote and round == 0 and square == 0 then
          parts[#parts + 1] = table.concat(part)
          part = {}
        elseif c == '"' then
          quote = not quote
        else
          if c == "(" then round = round + 1
          elseif c == ")" then round = math.max(0, round - 1)
          elseif c == "[" then square = square + 1
          elseif c == "]" then square = math.max(0, square - 1)
          elseif c == "\\" then
            i = i + 1
            c = line:sub(i, i)
          end
          part[#part + 1] = c
        end
        i = i + 1
      end
      parts[#parts + 1] = table.concat(part)
      return parts
    end

    it("Q32 escapes a comma inside a value", function()
      assert.equal("Action: Originate\r\nVariable: A=1\\,2,B=x\r\n\r\n",
        serialize { { "Action", "Originate" }, { "Variable", { { "A", "1,2" }, { "B", "x" } } } })
    end)

    it("Q32 arrives as the values that were given, whatever they hold", function()
      local variables = { { "A", "1,2" }, { "B", 'say "hi", ok' }, { "C", "back\\slash\\" }, { "CALLERID(name)", "(open, [and" },
        { "D", "f(a,b)" }, { "E", "" }, { "F", "a=b=c" }, { "G", ")](" }, { "H", "x" } }
      local bytes = serialize { { "Action", "Originate" }, { "Variable", variables } }
      local expected = {}
      for i, pair in ipairs(variables) do expected[i] = pair[1] .. "=" .. pair[2] end
      assert.same(expected, split(bytes:match "Variable: ([^\r]*)\r\n"))
    end)

    it("Q32 begins a new line after 64 parts", function()
      local variables = {}
      for i = 1, 130 do variables[i] = { "V" .. i, tostring(i) } end
      local bytes, seen = serialize { { "Action", "Originate" }, { "Variable", variables } }, {}
      for line in bytes:gmatch "Variable: ([^\r]*)\r\n" do
        local parts = split(line)
        assert.is_true(#parts <= 64)
        for _, part in ipairs(parts) do seen[#seen + 1] = part end
      end
      assert.equal(130, #seen)
      assert.same({ "V1=1", "V65=65", "V130=130" }, { seen[1], seen[65], seen[130] })
    end)

    it("Q32 begins a new line where the old one would be too long, and refuses a part that fits in none", function()
      local bytes = serialize { { "Action", "Originate" }, { "Variable", { { "A", ("x"):rep(600) }, { "B", ("y"):rep(600) } } } }
      local lines = {}
      for line in bytes:gmatch "Variable: ([^\r]*)\r\n" do lines[#lines + 1] = line end
      assert.same({ "A=" .. ("x"):rep(600), "B=" .. ("y"):rep(600) }, lines)
      refused { { "Action", "Originate" }, { "Variable", { { "A", (","):rep(600) } } } }
      refused { { "Action", "Originate" }, { "Variable", { { "A", ("x"):rep(1011) } } } }
      assert.truthy(serialize { { "Action", "Originate" }, { "Variable", { { "A", ("x"):rep(1010) } } } })
    end)

    it("Q32 refuses a name that would be split or taken apart", function()
      for _, name in ipairs { "", "a=b", "a,b", 'a"b', "a\\b", "CALLERID(num", "x[", "x[1", "x(1", "x[1)", "x(1]", "x]][" } do
        refused { { "Action", "Originate" }, { "Variable", { { name, "1" } } } }
      end
      for _, name in ipairs { "x[1]", "x(1)", "x]", "x)", "x[(1)]", "x][1]" } do
        assert.truthy(serialize { { "Action", "Originate" }, { "Variable", { { name, "1" } } } })
      end
    end)
  end)

  it("Q33 makes ids of at most 64 bytes of A-Z a-z 0-9 . _ -", function()
    local p = hookswitch.pending.new { prefix = "Abcdefghijklmnopqrst" }
    for _ = 1, 3 do p:reset() end
    local id = p:add { Action = "Ping" }
    assert.truthy(id:find "^[A-Za-z0-9._-]+$")
    assert.is_true(#id <= 64)
    assert.equal("Action: Ping\r\nActionID: " .. id .. "\r\n\r\n", serialize({ Action = "Ping" }, id))
  end)

  it("Q33 the id is the engine's: a rule cannot set it", function()
    for _, name in ipairs { "ActionID", "actionid", "ACTIONID" } do refused({ { "Action", "Ping" }, { name, "x" } }, "ActionID") end
  end)

  it("Q34 the first header of a name wins, whatever the case", function()
    local p = hookswitch.pending.new()
    p:written(100)
    -- One that is synchronous ends with its answer.
    local id = p:add { { "ACTION", "Originate" }, { "ASYNC", "false" }, { "async", "true" } }
    assert.equal("Originate", p:each()[1].action)
    local r = p:feed("Response: Success\r\nActionID: " .. id .. "\r\n\r\n")
    assert.equal("completed", r[1][1])
    assert.equal("Action: Originate\r\nASYNC: false\r\nasync: true\r\n\r\n",
      serialize { { "ACTION", "Originate" }, { "ASYNC", "false" }, { "async", "true" } })
  end)

  it("P2 that does not fit into the output leaves nothing there", function()
    local headers = { { "Action", "Ping" }, { "Foo", ("x"):rep(100) } }
    local size = #serialize(headers, "t-0-1")
    assert.truthy(serialize(headers, "t-0-1", size))
    local bytes, code = serialize(headers, "t-0-1", size - 1)
    assert.same({ nil, "backpressure" }, { bytes, code })
  end)
end)

describe("the catalogue", function()
  it("finds every action and event whatever the case, and none that is not there", function()
    assert.equal("Originate", catalogue.action("oRIGINATE").name)
    for _, name in ipairs { "AbsoluteTimeout", "WaitEvent", "Ping", "AGI", "AOCMessage", "PRIDebugSet", "QueueStatus" } do
      assert.equal(name, catalogue.action(name:upper()).name)
      assert.equal(name, catalogue.action(name:lower()).name)
    end
    assert.is_nil(catalogue.action "Nope")
    assert.is_nil(catalogue.action "")
    assert.is_nil(catalogue.action "Pin")
    assert.is_nil(catalogue.action "Pingg")
    for _, name in ipairs { "AgentCalled", "Wink", "newchannel", "HANGUP", "AOC-D" } do assert.is_true(catalogue.event(name), name) end
    assert.is_false(catalogue.event "Nope")
  end)

  it("knows every event that the captures hold", function()
    local cjson = require "cjson"
    local file = assert(io.open "tests/fixtures/captures/expected.json")
    local expected = cjson.decode(file:read "a")
    file:close()
    local unknown = {}
    for _, counts in pairs(expected) do
      for name in pairs(counts.by_event) do
        if not catalogue.event(name) then unknown[name] = true end
      end
    end
    assert.same({}, unknown)
  end)

  it("Q62 knows the classes of every event that the captures hold", function()
    local wrong, seen = {}, 0
    for _, path in ipairs { "asterisk-11.ami", "dial.ami", "queue.ami", "load.ami", "conference-and-parking.ami", "live/s01.ami", "live/s08-13.ami" } do
      local file = io.open("tests/fixtures/captures/" .. path, "rb") or io.popen("gzip -dc tests/fixtures/captures/" .. path .. ".gz")
      local text = file:read "a"
      file:close()
      for name, class in text:gmatch "Event: ([^\r]+)\r\nPrivilege: ([^,\r]+),all\r" do
        local classes = catalogue.event_classes(name)
        seen = seen + 1
        if not hookswitch.event_mask.hears(hookswitch.event_mask.write(classes), class) then wrong[name] = class end
        assert.are_not.equal("on", hookswitch.event_mask.write(classes), name)
      end
    end
    assert.is_true(seen > 10000)
    assert.same({}, wrong)
    assert.equal("on", hookswitch.event_mask.write(catalogue.event_classes "VendorEvent"))
    assert.equal("none", hookswitch.event_mask.write(catalogue.event_classes "QueueParams")) -- comes in lists alone
    assert.equal("agent", hookswitch.event_mask.write(catalogue.events_classes "queuec*"))
    assert.equal("on", hookswitch.event_mask.write(catalogue.events_classes "vendor*"))
  end)

  it("takes a name for a slip of the pen up to three letters, and for another word beyond", function()
    assert.equal("Newchannel", catalogue.nearest_event "Newchannelxyz")
    assert.is_nil(catalogue.nearest_event "Newchannelwxyz")
    assert.equal("QueueStatus", catalogue.nearest_action "QueueStatusxyz")
    assert.is_nil(catalogue.nearest_action "QueueStatuswxyz")
  end)

  it("names the nearest one for a slip of the pen", function()
    assert.equal("Originate", catalogue.nearest_action "Orignate")
    assert.equal("QueueStatus", catalogue.nearest_action "queuestats")
    assert.equal("Newchannel", catalogue.nearest_event "NewChanel")
    assert.is_nil(catalogue.nearest_event "SomethingElseAltogether")
    assert.is_nil(catalogue.nearest_action(("x"):rep(100000)))
  end)

  it("distinguishes harmless functions from those that reach further", function()
    for _, variable in ipairs { "FOO", "__FOO", "CALLERID(num)", "CDR(userfield)", "CHANNEL(language)", "callerid(name)" } do
      assert.is_true(catalogue.function_harmless(variable), variable)
    end
    for _, variable in ipairs { "SHELL(rm -rf /)", "FILE(/etc/passwd)", "SET(x=${SHELL(id)})", "CURL(http://x)", "DB(a/b)",
      "SYSINFO(x)", "IF(1?SHELL(x):y)", "AST_CONFIG(sip.conf,x,y)", "EVAL(x)", "SHELL (x)", " SHELL(x)", "MONITOR_EXEC", "__MONITOR_OPTIONS", "SET(MONITOR_EXEC=x)", 'MONITOR"_EXEC"', "CALLERID\\(num)" } do
      assert.is_false(catalogue.function_harmless(variable), variable)
    end
  end)
end)
