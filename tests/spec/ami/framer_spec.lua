local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"
local frame, each_way, summary, value, values = support.frame, support.each_way, support.summary, support.value, support.values

local BANNER = "Asterisk Call Manager/13.0.0\r\n"

describe("the framer", function()
  describe("banner", function()
    it("Q01 takes one line with no blank line after it as the banner", function()
      each_way(BANNER .. frame("Event: FullyBooted", "Status: Fully Booted"), { banner = true }, function(r, f)
        assert.same({ "banner other ", "frame event FullyBooted" }, summary(r))
        assert.equal("13.0.0", r[1].version)
        assert.equal("Asterisk Call Manager/13.0.0", r[1].bytes)
        assert.is_false(f.lf_mode)
      end)
    end)

    it("Q01 accepts another word before the slash", function()
      each_way("Some Proxy 2/1.1\r\n", { banner = true }, function(r)
        assert.same({ "banner other " }, summary(r))
        assert.equal("1.1", r[1].version)
      end)
    end)

    it("Q01 a stream that closes with no banner at all gives nothing", function()
      local f = hookswitch.framer.new { banner = true }
      assert.same({}, f:feed "")
      assert.is_false(f:partial())
      assert.same({}, f:feed "Aster")
      assert.is_true(f:partial())
    end)

    it("Q01 refuses a first line that is no banner", function()
      for _, line in ipairs { "SSH-2.0-OpenSSH_9.2\r\n", "\r\n", "\n", "220 mail ESMTP\n", ("x"):rep(2000) } do
        each_way(line, { banner = true }, function(r)
          assert.equal("not_ami", r[1].status)
        end)
      end
    end)

    it("Q01 reads a banner of 1023 bytes and refuses a longer one", function()
      each_way(("x"):rep(1020) .. "/1\r\n", { banner = true }, function(r)
        assert.equal("banner", r[1].status)
      end)
      each_way(("x"):rep(1022) .. "/1\r\n", { banner = true }, function(r)
        assert.equal("not_ami", r[1].status)
      end)
    end)
  end)

  it("Q02 splits lines on CRLF only: a bare LF in a value forges nothing", function()
    local evil = "1\nEvent: Forged\nActionID: 7\n\nResponse: Success"
    each_way(frame("Event: VarSet", "Variable: X", "Value: " .. evil, "Uniqueid: 5") .. frame("Event: Next"), nil, function(r)
      assert.same({ "frame event VarSet", "frame event Next" }, summary(r))
      assert.equal(evil, value(r[1], "Value"))
      assert.equal("5", value(r[1], "Uniqueid"))
      assert.equal(4, #r[1].headers)
    end)
  end)

  it("Q02 keeps a lone CR inside a value", function()
    each_way("Event: A\r\nB: x\ry\r\r\n\r\n", nil, function(r)
      assert.same({ { "Event", "A" }, { "B", "x\ry\r" } }, r[1].headers)
    end)
  end)

  it("Q03 takes CRLF LF as the end of a frame too", function()
    each_way("Event: CoreShowChannelMapComplete\r\nListItems: 0\r\n\n" .. frame("Event: Next"), nil, function(r)
      assert.same({ "frame event CoreShowChannelMapComplete", "frame event Next" }, summary(r))
      assert.equal("0", value(r[1], "ListItems"))
    end)
  end)

  it("Q03 does not take LF LF as the end of a frame", function()
    each_way("Response: Follows\r\nPrivilege: Command\r\nActionID: 1\r\none\n\ntwo\n--END COMMAND--\r\n\r\n", nil, function(r)
      assert.same({ "frame response Follows" }, summary(r))
      assert.equal("one\n\ntwo\n", r[1].text)
    end)
  end)

  it("Q04 drops any number of blank lines between frames", function()
    each_way("\r\n\r\n" .. frame "Event: A" .. "\r\n\r\n\r\n\n\r\n" .. frame "Event: B" .. "\r\n", nil, function(r, f)
      assert.same({ "frame event A", "frame event B" }, summary(r))
      assert.is_false(f:partial())
      assert.equal(0, f:held())
    end)
  end)

  describe("sizes", function()
    it("Q05 takes hundreds of headers and a line of any length within the limit", function()
      local lines = { "Response: Success", "ActionID: 4", "Message: Command output follows" }
      for i = 1, 239 do lines[#lines + 1] = "Output: " .. ("x"):rep(70) .. i end
      each_way(frame(table.unpack(lines)) .. frame("Response: Success", "JSON: " .. ("y"):rep(60000)), nil, function(r)
        assert.same({ "frame response Success", "frame response Success" }, summary(r))
        assert.equal(239, #values(r[1], "Output"))
        assert.equal(60000, #value(r[2], "JSON"))
      end)
    end)

    it("Q05 skips a frame over the limit to its end, names what it answered, and reads on", function()
      local big = frame("Response: Success", "ActionID: t-1-9", "JSON: " .. ("x"):rep(5000))
      each_way(big .. frame "Event: Next", { max_frame = 1024 }, function(r, f)
        assert.same({ "oversize response Success", "frame event Next" }, summary(r))
        assert.equal("t-1-9", r[1].action_id)
        assert.same({}, r[1].headers)
        assert.is_false(f:partial())
      end)
    end)

    it("Q05 takes a frame of just the limit and skips one of a byte more", function()
      local function of_size(n)
        local head = "Event: A\r\nB: "
        return head .. ("x"):rep(n - #head - 4) .. "\r\n\r\n"
      end
      each_way(of_size(1024) .. of_size(1025) .. of_size(1026) .. of_size(1024), { max_frame = 1024 }, function(r)
        assert.same({ "frame event A", "oversize event A", "oversize event A", "frame event A" }, summary(r))
        assert.equal(1024, #r[1].bytes)
      end)
    end)

    it("Q05 limits the number of headers", function()
      local lines = { "Response: Success", "ActionID: 8" }
      for i = 1, 30 do lines[#lines + 1] = "Output: " .. i end
      each_way(frame(table.unpack(lines)) .. frame("Event: Next", "A: 1"), { max_headers = 16 }, function(r)
        assert.same({ "oversize response Success", "frame event Next" }, summary(r))
        assert.equal("8", r[1].action_id)
      end)
      lines = { "Event: Most" }
      for i = 1, 15 do lines[#lines + 1] = "X: " .. i end
      each_way(frame(table.unpack(lines)), { max_headers = 16 }, function(r)
        assert.same({ "frame event Most" }, summary(r))
        assert.equal(16, #r[1].headers)
      end)
    end)

    it("Q05 finds the end of a skipped frame wherever a read cuts it", function()
      local forms = {
        "Event: Big\r\nA: " .. ("x"):rep(2000) .. "\r\n\r\n",
        "Event: Big\r\nA: " .. ("x"):rep(2000) .. "\r\n\n",
        "Response: Follows\r\nPrivilege: Command\r\nActionID: 3\r\n" .. ("line\n\r\n\r\n"):rep(300) .. "--END COMMAND--\r\n\r\n",
      }
      for _, form in ipairs(forms) do
        for cut = 0, 24 do
          local f = hookswitch.framer.new { max_frame = 1024 }
          local r = f:feed(form:sub(1, #form - cut))
          for _, more in ipairs(f:feed(form:sub(#form - cut + 1) .. frame "Event: Next")) do r[#r + 1] = more end
          assert.same({ "oversize", "frame" }, { r[1].status, r[2] and r[2].status }, "cut " .. cut)
          assert.equal("Next", r[2].name)
          assert.equal(2, #r)
        end
      end
    end)

    it("Q05 holds no more than the limit while it skips", function()
      local f = hookswitch.framer.new { max_frame = 1024 }
      f:feed "Event: Endless\r\n"
      for _ = 1, 500 do
        assert.same({}, f:feed(("x"):rep(100)))
        assert.is_true(f:held() <= 1024 + 100)
      end
      assert.is_true(f:partial())
      local r = f:feed("\r\n\r\n" .. frame "Event: Next")
      assert.same({ "oversize event Endless", "frame event Next" }, summary(r))
    end)

    it("Q05 skips a Command output without end, and reads on when an end comes after all", function()
      local f = hookswitch.framer.new { max_frame = 1024 }
      f:feed "Response: Follows\r\nPrivilege: Command\r\nActionID: 5\r\n"
      for _ = 1, 200 do assert.same({}, f:feed "a line of text\r\n\r\n") end
      assert.is_true(f:held() <= 1024 + 18)
      assert.is_true(f:partial())
      local r = f:feed("--END COMMAND--\r\n\r\n" .. frame "Event: Next")
      assert.same({ "oversize response Follows", "frame event Next" }, summary(r))
      assert.equal("5", r[1].action_id)
    end)
  end)

  describe("headers", function()
    it("Q06 takes a value that is empty, with and without its blank", function()
      each_way(frame("Event: A", "Spaced: ", "Bare:", "Two:  x", "Next: 1"), nil, function(r)
        assert.same({ { "Event", "A" }, { "Spaced", "" }, { "Bare", "" }, { "Two", " x" }, { "Next", "1" } }, r[1].headers)
      end)
    end)

    it("Q06 passes every byte of a value on as it is", function()
      local all = {}
      for b = 0, 255 do all[#all + 1] = string.char(b) end
      local bytes = table.concat(all)
      each_way(frame("Event: A", "Bytes: " .. bytes, "Said: it: has: \"colons\"", "Bad: \xff\xc3(\0end"), nil, function(r)
        assert.same({ "frame event A" }, summary(r))
        assert.equal(bytes, value(r[1], "Bytes"))
        assert.equal('it: has: "colons"', value(r[1], "Said"))
        assert.equal("\xff\xc3(\0end", value(r[1], "Bad"))
      end)
    end)

    it("Q06 takes keys with signs, and a colon inside the parentheses of a key", function()
      each_way(frame("Event: A", "CID-CallingPres: 0", "a_b/c: 1", "ChanVariable(SIP/1.2.3.4:5060-1): a=b", "Text: f(x:1): y",
        "Var(SIP/x:1: no end", "P(x): a:b"), nil, function(r)
        assert.same({
          { "Event", "A" }, { "CID-CallingPres", "0" }, { "a_b/c", "1" }, { "ChanVariable(SIP/1.2.3.4:5060-1)", "a=b" },
          { "Text", "f(x:1): y" }, { "Var(SIP/x", "1: no end" }, { "P(x)", "a:b" },
        }, r[1].headers)
      end)
    end)

    it("Q06 ends a key at a colon with a blank behind it, and at the first one when no bracket stands before it", function()
      each_way(frame("Event: A", "Open(key: a):b", "Bare:a):b", "Open(two:x", "Closed(y):1):2"), nil, function(r)
        assert.same({ { "Event", "A" }, { "Open(key", "a):b" }, { "Bare", "a):b" }, { "Open(two", "x" }, { "Closed(y)", "1):2" } }, r[1].headers)
      end)
    end)

    it("Q07 keeps repeated keys in order", function()
      each_way(frame("Event: UserEvent", "Foo: 1", "Bar: x", "Foo: 2", "foo: 3"), nil, function(r)
        assert.same({ "1", "2", "3" }, values(r[1], "Foo"))
        assert.same({ { "Event", "UserEvent" }, { "Foo", "1" }, { "Bar", "x" }, { "Foo", "2" }, { "foo", "3" } }, r[1].headers)
      end)
    end)

    it("Q08 knows Event, Response and ActionID in any case", function()
      each_way(frame("EVENT: Hangup", "actionid: 1") .. frame("response: Success", "ACTIONID: 2"), nil, function(r)
        assert.same({ "frame event Hangup", "frame response Success" }, summary(r))
        assert.same({ "1", "2" }, { r[1].action_id, r[2].action_id })
      end)
    end)

    it("Q09 keeps and counts a line without a colon, and ends nothing", function()
      each_way(frame("Event: A", "no colon here", "B: 1") .. frame "Event: Next", nil, function(r, f)
        assert.same({ "frame event A", "frame event Next" }, summary(r))
        assert.same({ { "Event", "A" }, { "", "no colon here" }, { "B", "1" } }, r[1].headers)
        assert.equal(1, f.lines_no_colon)
      end)
    end)

    it("Q09 takes a line that begins with a colon as one without a name", function()
      each_way(frame("Event: A", ": x"), nil, function(r, f)
        assert.same({ { "Event", "A" }, { "", ": x" } }, r[1].headers)
        assert.equal(1, f.lines_no_colon)
      end)
    end)

    it("Q10 gives back the line that CallStarted of an Agents event swallowed", function()
      each_way(frame("Event: Agents", "Agent: 1001", "CallStarted: 1795210109\nLoggedInTime: 42", "ActionID: 3"), nil, function(r)
        assert.same({ { "Event", "Agents" }, { "Agent", "1001" }, { "CallStarted", "1795210109" }, { "LoggedInTime", "42" },
          { "ActionID", "3" } }, r[1].headers)
        assert.equal("3", r[1].action_id)
      end)
    end)

    it("Q10 splits no other header of it, and none that swallowed nothing", function()
      each_way(frame("Event: Agents", "CallStarted: 1795210109", "LoginChanXY: a\nb: c", "CallStartedX: d\ne: f"), nil, function(r)
        assert.same({ { "Event", "Agents" }, { "CallStarted", "1795210109" }, { "LoginChanXY", "a\nb: c" }, { "CallStartedX", "d\ne: f" } },
          r[1].headers)
      end)
    end)

    it("Q10 splits it wherever it stands, and only as far as headers are allowed", function()
      local function agents(before, after)
        local lines = { "Event: Agents" }
        for i = 1, before do lines[#lines + 1] = "A" .. i .. ": " .. i end
        lines[#lines + 1] = "CallStarted: 1\nLoggedInTime: 2"
        for i = 1, after do lines[#lines + 1] = "B" .. i .. ": " .. i end
        return frame(table.unpack(lines))
      end
      for _, around in ipairs { { 0, 0 }, { 13, 0 }, { 0, 13 }, { 20, 10 }, { 30, 0 }, { 0, 30 }, { 31, 0 }, { 40, 22 } } do
        each_way(agents(around[1], around[2]) .. frame "Event: Next", nil, function(r)
          local headers = r[1].headers
          assert.equal(around[1] + around[2] + 3, #headers)
          assert.same({ "CallStarted", "1" }, headers[around[1] + 2])
          assert.same({ "LoggedInTime", "2" }, headers[around[1] + 3])
          for i = 1, around[2] do assert.same({ "B" .. i, tostring(i) }, headers[around[1] + 3 + i]) end
          assert.equal("Next", r[2].name)
        end)
      end
      each_way(agents(13, 1), { max_headers = 16 }, function(r)
        assert.equal(16, #r[1].headers)
        assert.same({ "CallStarted", "1\nLoggedInTime: 2" }, r[1].headers[15])
      end)
      each_way(agents(13, 0), { max_headers = 16 }, function(r)
        assert.same({ "LoggedInTime", "2" }, r[1].headers[16])
      end)
    end)

    it("Q10 splits no other event's value", function()
      each_way(frame("Event: UserEvent", "CallStarted: 1\nActionID: t-1-1"), nil, function(r)
        assert.same({ { "Event", "UserEvent" }, { "CallStarted", "1\nActionID: t-1-1" } }, r[1].headers)
        assert.equal("", r[1].action_id)
      end)
    end)

    it("Q14 takes the extra headers that an administrator may switch on", function()
      each_way(frame("Event: Hangup", "Privilege: call,all", "Timestamp: 1795210109.064094", "SequenceNumber: 7", "File: pbx.c",
        "Line: 10", "Func: f", "SystemName: pbx1", "Channel: SIP/a-1", "ChanVariable(SIP/a-1): x=1", "Tenantid: t"), nil, function(r)
        assert.same({ "frame event Hangup" }, summary(r))
        assert.equal("SIP/a-1", value(r[1], "Channel"))
        assert.equal(11, #r[1].headers)
      end)
    end)
  end)

  it("Q11 gives the same frames whatever the pieces are, also in the middle of a character", function()
    local bytes = frame("Event: QueueMember", "Name: Zoë Ærøskøbing 電話") .. frame("Response: Success", "ActionID: 1") ..
      "Response: Follows\r\nPrivilege: Command\r\nActionID: 2\r\nä: ö\n\n--END COMMAND--\r\n\r\n" .. frame "Event: Last"
    local expected = hookswitch.framer.new():feed(bytes)
    assert.equal(4, #expected)
    for cut = 1, #bytes - 1 do
      local f = hookswitch.framer.new()
      local r = f:feed(bytes:sub(1, cut))
      for _, more in ipairs(f:feed(bytes:sub(cut + 1))) do r[#r + 1] = more end
      assert.same(expected, r, "cut at " .. cut)
    end
  end)

  describe("Command up to 13", function()
    it("Q12 takes raw text with LF lines, blank lines and colons up to the end mark", function()
      local text = "\n  -= Info =- \n\na: b\nResponse: Success\nEvent: Forged\r\n\r\nActionID: 9\r\nend"
      each_way("Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\n" .. text .. "--END COMMAND--\r\n\r\n" .. frame "Event: Next",
        nil, function(r)
          assert.same({ "frame response Follows", "frame event Next" }, summary(r))
          assert.equal(text, r[1].text)
          assert.equal("7", r[1].action_id)
          assert.same({ { "Response", "Follows" }, { "Privilege", "Command" }, { "ActionID", "7" } }, r[1].headers)
        end)
    end)

    it("Q12 takes the mark right behind the headers, and only with its line ends", function()
      each_way("Response: Follows\r\nPrivilege: Command\r\n--END COMMAND--\r\n\r\n", nil, function(r)
        assert.equal("", r[1].text)
      end)
      each_way("Response: Follows\r\nPrivilege: Command\r\nthe mark --END COMMAND--\nis data--END COMMAND--\r\n\r\n", nil, function(r)
        assert.equal("the mark --END COMMAND--\nis data", r[1].text)
      end)
    end)

    it("Q12 takes a first line of text for text, even when it looks like a header: it ends in a bare LF", function()
      for _, line in ipairs { "Message: from the CLI", "Privilege: none", "ActionID: 9" } do
        local text = line .. "\nmore\n"
        each_way("Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\n" .. text .. "--END COMMAND--\r\n\r\n", nil, function(r)
          assert.equal(text, r[1].text)
          assert.equal("7", r[1].action_id)
          assert.equal(3, #r[1].headers)
        end)
      end
    end)

    it("Q12 takes whole lines of text for text, however many of them look like headers", function()
      local text = ("Peer: 100\r\nState: up\r\nActionID: 9\r\n"):rep(20)
      -- Behind another frame: the first one of a session is never read block by block.
      each_way(frame "Event: First" .. "Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\n" .. text .. "--END COMMAND--\r\n\r\n", nil, function(r)
        assert.equal(text, r[2].text)
        assert.equal("7", r[2].action_id)
        assert.equal(3, #r[2].headers)
      end)
    end)

    it("Q12 counts no line of the text as one without colon", function()
      each_way("Response: Follows\r\nPrivilege: Command\r\nplain text\r\nmore\r\n--END COMMAND--\r\n\r\n", nil, function(_, f)
        assert.equal(0, f.lines_no_colon)
      end)
    end)

    it("Q12 is not begun by an event that says Response: Follows", function()
      each_way(frame("Event: UserEvent", "Response: Follows", "A: 1") .. frame "Event: Next", nil, function(r)
        assert.same({ "frame event UserEvent", "frame event Next" }, summary(r))
      end)
    end)
  end)

  it("Q13 takes one Output header for each line, empty ones too", function()
    each_way(frame("Response: Success", "ActionID: 3", "Message: Command output follows", "Output: a: b", "Output: ", "Output:  c"), nil,
      function(r)
        assert.same({ "a: b", "", " c" }, values(r[1], "Output"))
        assert.is_nil(r[1].text)
      end)
  end)

  describe("line ends", function()
    it("Q15 reads a peer whose banner ends in a bare LF by LF throughout", function()
      local bytes = "Test Server/1.3\nResponse: Success\nActionID: 1\n\nEvent: A\nB: c\n\n\nEvent: C\n\n"
      each_way(bytes, { banner = true }, function(r, f)
        assert.same({ "banner other ", "frame response Success", "frame event A", "frame event C" }, summary(r))
        assert.same({ { "Event", "A" }, { "B", "c" } }, r[3].headers)
        assert.is_true(f.lf_mode)
        assert.is_false(f:partial())
      end)
    end)

    it("Q15 reads Command output and skips oversize frames from such a peer", function()
      local bytes = "Test Server/1.3\nResponse: Follows\nPrivilege: Command\nActionID: 1\na\n\nb\n--END COMMAND--\n\n" ..
        "Event: Big\nA: " .. ("x"):rep(3000) .. "\n\nEvent: Big\nA: " .. ("x"):rep(3000) .. "\n\r\nEvent: Next\n\n"
      each_way(bytes, { banner = true, max_frame = 1024 }, function(r)
        assert.same({ "banner other ", "frame response Follows", "oversize event Big", "oversize event Big", "frame event Next" },
          summary(r))
        assert.equal("a\n\nb\n", r[2].text)
      end)
    end)

    it("Q15 never takes a lone-LF frame under a CRLF banner for an answer, and reads the next one right", function()
      local lone = "Response: Success\nActionID: t-0-1\nMessage: Originate successfully queued\n\n"
      each_way(BANNER .. lone .. frame("Response: Error", "ActionID: t-0-1", "Message: no"), { banner = true }, function(r)
        assert.same({ "banner", "malformed", "frame" }, { r[1].status, r[2].status, r[3].status })
        assert.equal(lone, r[2].bytes)
        assert.equal("", r[2].action_id)
        assert.equal("Error", r[3].name)
      end)
    end)

    it("Q15 takes several lone-LF frames as malformed bytes up to the next good frame", function()
      local lone = "Event: A\nB: 1\n\nEvent: B\n\n"
      each_way(BANNER .. frame "Event: Good" .. lone .. frame("Event: Better", "X: 1"), { banner = true }, function(r)
        assert.same({ "banner", "frame", "malformed", "frame" }, { r[1].status, r[2].status, r[3].status, r[4].status })
        assert.equal("Better", r[4].name)
        assert.equal(4, #r)
      end)
    end)

    it("Q15 takes a first line that runs over a bare LF into a real frame as malformed", function()
      each_way("Event: A\nPrivilege: x\r\nB: 1\r\n\r\n" .. frame "Event: Next", nil, function(r)
        assert.same({ "malformed", "frame" }, { r[1].status, r[2].status })
        assert.equal("Next", r[2].name)
      end)
    end)
  end)

  describe("a cut frame", function()
    it("Q50 with the next one glued to it is malformed, and the one behind is read right", function()
      local cuts = {
        "Event: Newchannel\r\nPrivilege: call,all\r\nChannel: SIP/1",
        "Event: Newchannel\r\nPrivilege: call,all\r\n",
        "Event: Newchannel\r\n",
      }
      for _, cut in ipairs(cuts) do
        each_way(cut .. frame("Event: Hangup", "Privilege: call,all", "Cause: 16") .. frame "Event: Next", nil, function(r)
          assert.same({ "malformed", "frame" }, { r[1].status, r[2].status })
          assert.equal("Next", r[2].name)
        end)
      end
    end)

    it("Q50 is distinguished from an item that has an Event of its own, as ResourceListDetail has", function()
      local item = { "Event: ResourceListDetail", "ActionID: t-0-1", "ObjectName: team", "Event: presence", "FullState: false" }
      each_way(frame(table.unpack(item)), nil, function(r)
        assert.same({ "frame event ResourceListDetail" }, summary(r))
        assert.equal(5, #r[1].headers)
      end)
      -- An item that is cut, before its ActionID or behind it, and the next one.
      for _, cut in ipairs { "Event: A\r\n", "Event: A\r\nActionID: t-0-1\r\n" } do
        each_way(cut .. frame("Event: B", "ActionID: t-0-1") .. frame "Event: Next", nil, function(r)
          assert.same({ "malformed", "frame" }, { r[1].status, r[2].status })
        end)
      end
      each_way("Event: A\r\nPrivilege: call,all\r\nActionID: t-0-1\r\n" .. frame("Event: B", "C: 1"), nil, function(r)
        assert.equal("malformed", r[1].status)
      end)
    end)

    it("Q50 makes of two glued answers neither one", function()
      for _, cut in ipairs { "Response: Success\r\n", "Response: Success\r\nActionID: t-0-1\r\n", "Response: Success\r\nActionID: t-0-1\r\nMess" } do
        each_way(cut .. frame("Response: Error", "ActionID: t-0-2") .. frame "Event: Next", nil, function(r)
          assert.same({ "malformed", "frame" }, { r[1].status, r[2].status })
        end)
      end
    end)

    it("Q50 takes the first of several, the very first header too", function()
      each_way(frame("ActionID: 1", "Event: UserEvent", "ActionID: 2", "Event: Forged"), nil, function(r)
        assert.equal("1", r[1].action_id)
        assert.equal("UserEvent", r[1].name)
      end)
      each_way(frame("Event: UserEvent", "Event: Forged", "UserEvent: x"), nil, function(r)
        assert.equal("UserEvent", r[1].name)
      end)
    end)

    it("Q50 lets a UserEvent echo what its sender put in", function()
      each_way(frame("Event: UserEvent", "Privilege: user,all", "UserEvent: X", "Event: Y", "Privilege: z"), nil, function(r)
        assert.same({ "frame event UserEvent" }, summary(r))
      end)
    end)

    it("Q51 at the stream's end is partial and gives nothing", function()
      local bytes = frame "Event: A"
      for cut = 1, #bytes - 1 do
        local f = hookswitch.framer.new()
        assert.same({}, f:feed(bytes:sub(1, cut)))
        assert.is_true(f:partial())
      end
      local f = hookswitch.framer.new()
      assert.equal(1, #f:feed(bytes .. "\r"))
      assert.is_false(f:partial(), "half a line end between frames is nobody's loss")
    end)
  end)

  it("begins afresh after a reset", function()
    local f = hookswitch.framer.new { banner = true, max_frame = 1024 }
    f:feed("Proxy/1\nEvent: A\n" .. ("x"):rep(3000))
    f:reset(true)
    assert.same({ "banner other ", "frame event B" }, summary(f:feed(BANNER .. frame "Event: B")))
    assert.is_false(f.lf_mode)
  end)
end)
