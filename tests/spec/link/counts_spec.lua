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
end)
