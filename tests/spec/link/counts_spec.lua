-- What is counted of a server, and what is logged of each loss.
local h = require "tests.spec.helper"

-- Each kind of odd frame once, behind one good answer.
local ODD = h.LOGIN .. [[

action Getvar
send Response: Success\r\nActionID: $id\r\nValue: 1\r\n\r\n
send Response: Success\r\nActionID: $id\r\nValue: again\r\n\r\n
send Response: Success\r\nActionID: nobody-1\r\n\r\n
send Event: UserEvent\r\nPrivilege: user,all\r\nno colon here\r\n\r\n
send Event: A\r\nPrivilege: call,all\r\nEvent: B\r\nPrivilege: call,all\r\n\r\n
send Some text\r\n\r\n
]] .. "send Event: Newchannel\\r\\nX: " .. ("x"):rep(2000) .. "\\r\\n\\r\\n" .. [[

action Ping
send Response: Success\r\nPing: Pong\r\n\r\n
serve]]

local RULE = [[
  ami.on("server.ready", function(_, server)
    server:call { Action = "Getvar", Variable = "X" }
    local res = server:call { Action = "Ping" }
    log.info("answered", { good = res ~= nil })
  end)]]

local COUNTERS = { "bytes_in", "bytes_out", "frames", "frames_out", "other_frames", "malformed", "oversized", "lines_without_colon",
  "answers_late", "answers_unmatched", "answers_idless", "connects", "sessions" }

describe("what is counted of a server", function()
  after_each(h.cleanup)

  local function counts(daemon)
    local all = {}
    for _, name in ipairs(COUNTERS) do all[name] = daemon:metric("hookswitch_server_" .. name .. "_total", { server = "pbx1" }) end
    return all
  end

  it("goes on when its settings have changed", function()
    local options = { servers = { pbx1 = h.server(h.peer(ODD, h.LOGIN .. "\nserve"), { limits = { frame = 1024 } }) }, rules = { ["probe.lua"] = RULE } }
    local project = h.project(options)
    local daemon = h.daemon(project)
    assert.is_true(daemon:await({ msg = "answered" }).good)
    local before = counts(daemon)
    for name, value in pairs(before) do assert.is_true(value >= 1, name) end
    options.servers.pbx1.timeouts = { drain = 1 }
    project.write(options)
    assert.is_true(daemon:reload())
    daemon:await({ msg = "answered" }, { count = 2 })
    local after = counts(daemon)
    for name, value in pairs(before) do assert.is_true(after[name] >= value, name .. " fell to " .. tostring(after[name])) end
    assert.equal(before.sessions + 1, after.sessions)
    assert.equal(before.malformed, after.malformed)
    assert.equal(before.answers_late, after.answers_late)
  end)

  it("P9 has a log record beside each counter of what is odd or lost", function()
    local peer = h.peer(ODD:gsub("serve$", "send Event: Cut\\r\\nX: y\n"), h.LOGIN .. "\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { frame = 1024 } }) }, rules = { ["probe.lua"] = RULE } }
    for counter, text in pairs {
      malformed = "a malformed frame: bare line feeds, or two frames glued; dropped",
      oversized = "an event is larger than limits.frame or limits.headers: skipped",
      lines_without_colon = "lines without a colon: kept as data of their frame",
      answers_late = "an answer came for an action that had ended or is not ours",
      answers_unmatched = "an answer came for an action that had ended or is not ours",
      answers_idless = "an answer without ActionID: taken for the oldest action that waits for one",
      other_frames = "a frame that is neither event nor answer",
      cut_frames = "the session's end cut a frame: dropped",
    } do
      assert.equal("pbx1", daemon:await({ msg = text }).server, text)
      assert.is_true(daemon:metric("hookswitch_server_" .. counter .. "_total", { server = "pbx1" }) >= 1, counter)
    end
    -- One late, one unmatched; what is neither event nor answer is none of them.
    assert.equal(2, #daemon:find { msg = "an answer came for an action that had ended or is not ours" })
    assert.equal(1, #daemon:find { msg = "a frame that is neither event nor answer" })
  end)

  it("P9 has a log record for an answer that is too large, which fails its action as overflow", function()
    local peer = h.peer(h.LOGIN .. "\naction Getvar\nsend Response: Success\\r\\nActionID: $id\\r\\nX: " .. ("x"):rep(2000) .. "\\r\\n\\r\\n\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { frame = 1024 } }) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        local res, err = server:call { Action = "Getvar", Variable = "X" }
        log.info("ended", { code = err and err.code })
      end)]] } }
    assert.equal("overflow", daemon:await({ msg = "ended" }).code)
    local told = daemon:await { msg = "an answer is larger than limits.frame or limits.headers: skipped" }
    assert.same({ "pbx1", "Getvar" }, { told.server, told.action })
    assert.equal(1, daemon:metric("hookswitch_server_oversized_total", { server = "pbx1" }))
  end)

  it("P9 reports a skipped event at once, though nothing more comes", function()
    local peer = h.peer(h.LOGIN .. "\naction Getvar\nsend Event: Newchannel\\r\\nX: " .. ("x"):rep(2000) .. "\\r\\n\\r\\n\nhold")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { frame = 1024 } }) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server) server:send { Action = "Getvar", Variable = "X" } end)
      ami.on("server.gap", function(ev) log.info("gap", { count = ev.count, names = ev.names }) end)]] } }
    local gap = daemon:await { msg = "gap" }
    assert.same({ "1", "Newchannel" }, { gap.count, gap.names })
  end)

  it("what stands behind a malformed frame is taken from the same bytes", function()
    local peer = h.peer(h.LOGIN .. [[

send Event: A\r\nPrivilege: call,all\r\nEvent: B\r\nPrivilege: call,all\r\n\r\nEvent: UserEvent\r\nUserEvent: Good\r\n\r\n
hold]])
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.on("UserEvent", function(ev) log.info("heard", { name = ev.UserEvent }) end)
      ami.on("server.gap", function(ev) log.info("gap", { count = ev.count, names = ev.names, reason = ev.reason }) end)]] } }
    assert.equal("Good", daemon:await({ msg = "heard" }).name)
    local gap = daemon:await { msg = "gap" }
    assert.same({ "1", "", "malformed" }, { gap.count, gap.names, gap.reason })
    daemon:await { msg = "a malformed frame: bare line feeds, or two frames glued; dropped" }
  end)

  it("includes how long its actions took, Originate by itself", function()
    local peer = h.peer(h.LOGIN .. "\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = [[
      ami.on("server.ready", function(_, server)
        for _ = 1, 3 do server:call { Action = "Ping" } end
        server:call { Action = "Originate", Channel = "Local/1@x", Context = "default", Exten = "1", Priority = 1, Async = false }
        log.info "done"
      end)]] } }
    daemon:await { msg = "done" }
    local _, text = daemon:ctl "metrics"
    assert.truthy(text:find('hookswitch_server_action_seconds_count{server="pbx1",action="other"} 3', 1, true), text)
    assert.truthy(text:find('hookswitch_server_action_seconds_count{server="pbx1",action="Originate"} 1', 1, true), text)
  end)
end)
