-- What a server may do to the stream of frames.
local support = require "scenarios.support"
local session = support.session

local function one(peer, more)
  return { pbx = support.at(peer, more) }
end

local function bytes_256()
  local parts = {}
  for byte = 0, 255 do parts[#parts + 1] = ("\\x%02x"):format(byte) end
  return table.concat(parts)
end

return {
  {
    name = "permission denied",
    must = "the action fails as error with the server's words, the session stays",
    play = function(t)
      local peer = support.peer(session([[action Getvar]],
        [[send Response: Error\r\nActionID: $id\r\nMessage: Permission denied\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar")
      local done = daemon:await { msg = "done" }
      assert(done.code == "error" and done.message:find("Permission denied", 1, true), support.source(done))
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "permission denied with lone line feeds",
    must = "under a CRLF banner it is malformed and answers nothing; in a session whose banner ends in LF it is the answer",
    play = function(t)
      local crlf = support.peer(session([[action Getvar]],
        [[send Response: Error\nActionID: $id\nMessage: Permission denied\n\nEvent: After\r\nN: 1\r\n\r\n]], [[serve]]))
      local lf = support.peer([[send Some Proxy/1.0\n
action Challenge
send Response: Success\nActionID: $id\nChallenge: 1\n\n
action Login
send Response: Success\nActionID: $id\n\n
action Getvar
send Response: Error\nActionID: $id\nMessage: Permission denied\n\nEvent: After\nN: 1\n\n
serve]])
      local daemon = t:daemon { servers = { crlf = support.at(crlf), lf = support.at(lf) } }
      daemon:ready "crlf"
      daemon:ready "lf"
      daemon:emit("please.send", "server=crlf", "action=Getvar", "tag=crlf", "timeout=0.5")
      daemon:emit("please.send", "server=lf", "action=Getvar", "tag=lf")
      daemon:await { msg = "heard", name = "After", server = "crlf" }
      daemon:await { msg = "heard", name = "After", server = "lf" }
      assert(daemon:await { msg = "done", tag = "lf" }.code == "error")
      assert(daemon:await { msg = "done", tag = "crlf" }.code == "timeout")
      assert(daemon:metric("hookswitch_server_malformed_total", { server = "crlf" }) == 1)
      assert(daemon:metric("hookswitch_server_malformed_total", { server = "lf" }) == 0)
    end,
  },
  {
    name = "error without an ActionID",
    must = "it ends the oldest action that was written, and this is counted",
    play = function(t)
      local peer = support.peer(session([[action Getvar]], [[action Status]],
        [[send Response: Error\r\nMessage: Missing action in request\r\n\r\nResponse: Success\r\nActionID: $id\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar", "tag=first")
      daemon:emit("please.send", "server=pbx", "action=Status", "tag=second")
      assert(daemon:await { msg = "done", tag = "first" }.code == "error")
      assert(daemon:metric("hookswitch_server_answers_idless_total", { server = "pbx" }) == 1)
    end,
  },
  {
    name = "banner and error interleaved",
    must = "an error in the same packet as the banner answers nothing; the login goes on",
    play = function(t)
      local peer = support.peer { [[send Asterisk Call Manager/9.0.0\r\nResponse: Error\r\nMessage: Permission denied\r\n\r\n]],
        (support.LOGIN:gsub("^[^\n]*\n", "", 1)), "serve" }
      local daemon = t:daemon { servers = one(peer) }
      daemon:ready "pbx"
      assert(daemon:metric("hookswitch_server_answers_unmatched_total", { server = "pbx" }) == 1)
      assert(support.server(daemon, "pbx").failures == 0)
    end,
  },
  {
    name = "a frame in 7-byte pieces",
    must = "every frame is read whole, in its order",
    play = function(t)
      local frames = {}
      for n = 1, 20 do frames[n] = ([[Event: Piece\r\nN: %d\r\nText: gr\xc3\xb6\xc3\x9fe: %d\r\n\r\n]]):format(n, n) end
      local peer = support.peer(session("pieces 7 1 " .. table.concat(frames), [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:await({ msg = "heard", name = "Piece" }, { count = 20 })
      for n, record in ipairs(daemon:find { msg = "heard", name = "Piece" }) do assert(record.n == tostring(n)) end
    end,
  },
  {
    name = "a truncated frame with the next one glued to it",
    must = "both are dropped, counted and reported as a gap; the next good frame is heard in the same session",
    play = function(t)
      local peer = support.peer(session(
        [[send Event: Cut\r\nPrivilege: call,all\r\nChannel: SIP/a-1\r\nUniEvent: Glued\r\nPrivilege: call,all\r\nN: 1\r\n\r\n]],
        [[send Event: Good\r\nN: 2\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:await { msg = "heard", name = "Good" }
      assert(#daemon:find { msg = "heard", name = "Cut" } == 0 and #daemon:find { msg = "heard", name = "Glued" } == 0)
      assert(daemon:metric("hookswitch_server_malformed_total", { server = "pbx" }) == 1)
      assert(daemon:await { msg = "server.gap" }.count == "1")
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "a session that ends in mid-frame",
    must = "the cut frame is counted and dropped, pending actions are lost, and nothing of it reaches the next session",
    play = function(t)
      local peer = support.peer(session([[action Getvar]], [[send Event: Whole\r\nN: 1\r\n\r\nEvent: Half\r\nN: 2]]),
        session([[send \r\nEvent: Next\r\nN: 3\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar")
      daemon:await { msg = "heard", name = "Next" }
      assert(daemon:find({ msg = "done" })[1].code == "lost")
      assert(#daemon:find { msg = "heard", name = "Half" } == 0)
      assert(daemon:metric("hookswitch_server_cut_frames_total", { server = "pbx" }) == 1)
      -- The order of the end: what had come whole, the action, server.lost, the new session.
      local order = {}
      for _, record in ipairs(daemon:log()) do
        if record.msg == "heard" or record.msg == "done" or record.msg:find "^server%." then
          order[#order + 1] = record.msg == "heard" and record.name or record.msg
        end
      end
      assert(table.concat(order, " ") == "server.ready Whole done server.lost server.ready Next", table.concat(order, " "))
    end,
  },
  {
    name = "garbage between frames",
    must = "it is no event and no answer, and the frames around it are heard",
    play = function(t)
      local peer = support.peer(session([[send Event: Before\r\nN: 1\r\n\r\n]],
        [[send \x00\xff\xfe%%%% no colon here\r\n\r\n\r\n\r\n: \r\n\r\nActionID: 1\r\n\r\nKey: value\r\n\r\n]],
        [[send Event: After\r\nN: 2\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer) }
      daemon:await { msg = "heard", name = "After" }
      assert(#daemon:find { msg = "heard" } == 2)
      assert(support.server(daemon, "pbx").sessions == 1 and support.server(daemon, "pbx").failures == 0)
    end,
  },
  {
    name = "an oversized frame",
    must = "200 kB at a limit of 64 kB are skipped and counted, the action that they answer fails as overflow, the session stays",
    play = function(t)
      local big = ("x"):rep(1000)
      local peer = support.peer(session([[send Event: Big\r\n]], "times 200 V: " .. big .. [[\r\n]], [[send \r\n]],
        [[action Getvar]], [[send Response: Success\r\nActionID: $id\r\n]], "times 200 V: " .. big .. [[\r\n]], [[send \r\n]],
        [[send Event: After\r\nN: 1\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer, { limits = { frame = 65536 } }) }
      daemon:ready "pbx"
      daemon:emit("please.send", "server=pbx", "action=Getvar")
      assert(daemon:await { msg = "done" }.code == "overflow")
      daemon:await { msg = "heard", name = "After" }
      assert(daemon:await { msg = "server.gap" }.names == "Big")
      assert(#daemon:find { msg = "heard", name = "Big" } == 0)
      assert(daemon:metric("hookswitch_server_oversized_total", { server = "pbx" }) == 2)
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "an endless Response: Follows",
    must = "its action ends, memory stays bounded, and the session ends when no whole message comes for timeouts.read",
    play = function(t)
      local peer = support.peer(session([[action Command]], [[send Response: Follows\r\nPrivilege: Command\r\nActionID: $id\r\n]],
        [[times 100000000 line $n of an output without end\n]]), session "serve")
      local daemon = t:daemon { servers = one(peer, { limits = { frame = 65536 }, timeouts = { read = 1.5, heartbeat_interval = 1 } }),
        config = { limits = support.GENEROUS, policy = { allow = { "Command" } } } }
      daemon:ready "pbx"
      local before = support.memory(daemon.pid)
      daemon:emit("please.send", "server=pbx", "action=Command", "timeout=1")
      local code = daemon:await { msg = "done" }.code
      assert(code == "overflow" or code == "timeout", code)
      local lost = daemon:await { msg = "server.lost" }
      assert(lost.reason == "read_timeout", lost.reason)
      daemon:ready("pbx", { count = 2 })
      local grown = support.memory(daemon.pid) - before
      t:report("ended as %s, memory grew by %d KiB", code, grown // 1024)
      assert(grown < (support.sanitized and 64 or 8) * 1024 * 1024, grown)
    end,
  },
  {
    name = "a frame with 1,000,000 headers",
    must = "it is over limits.headers: skipped, counted, reported; the session stays",
    play = function(t)
      local peer = support.peer(session([[send Event: Many\r\n]], [[times 1000000 A: 1\r\n]], [[send \r\nEvent: After\r\nN: 1\r\n\r\n]],
        [[serve]]))
      local daemon = t:daemon { servers = one(peer, { limits = { frame = 64 * 1024 * 1024 } }) }
      daemon:await { msg = "heard", name = "After" }
      assert(daemon:await { msg = "server.gap" }.names == "Many")
      assert(daemon:metric("hookswitch_server_oversized_total", { server = "pbx" }) == 1)
      assert(support.server(daemon, "pbx").sessions == 1)
    end,
  },
  {
    name = "NULs and all 256 byte values",
    must = "a value reaches the rules as it was sent, byte for byte",
    play = function(t)
      local peer = support.peer(session([[send Event: Bytes\r\nV: a]] .. bytes_256() .. [[z\r\n\r\n]], [[serve]]))
      local daemon = t:daemon { servers = one(peer), rules = { [[
ami.on("Bytes", function(ev)
  local hex = ev.V:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  log.info("bytes", { length = #ev.V, hex = hex })
end)
]] } }
      local record = daemon:await { msg = "bytes" }
      local wanted = bytes_256():gsub("\\x", "")
      assert(record.hex == "61" .. wanted .. "7a", record.hex)
    end,
  },
  {
    name = "not an AMI server",
    must = "the session ends as not_ami and says what to look at",
    play = function(t)
      local peer = support.peer { [[send SSH-2.0-OpenSSH_9.2p1\r\n]], "hold" }
      local daemon = t:daemon { servers = one(peer) }
      local record = daemon:await { msg = "no session", reason = "not_ami" }
      assert(record.error:find("AMI banner", 1, true), record.error)
    end,
  },
}
