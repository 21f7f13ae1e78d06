-- How sessions begin and end that Asterisk itself ends.
local h = require "tests.spec.helper"

local WATCH = [[
  ami.on("server.lost", function(ev) log.info("lost", { reason = ev.reason }) end)
  ami.on("Shutdown", function(ev) log.info("shutdown heard", { how = ev.Shutdown, restart = ev.Restart }) end)]]

describe("a session", function()
  after_each(h.cleanup)

  it("Q01 without a banner, as when too many log in at once, is no session and says so", function()
    local daemon = h.daemon { servers = { pbx1 = h.server(h.peer("", h.LOGIN .. "\nserve")) } }
    local told = daemon:await { msg = "no session", server = "pbx1" }
    assert.equal("eof", told.reason)
    assert.truthy(told.error:find("without a banner: too many logins at once (authlimit)", 1, true), told.error)
    daemon:ready "pbx1"
  end)

  it("Q47 that Asterisk ends by Shutdown is lost by that name, and rules hear how", function()
    local peer = h.peer(h.LOGIN .. "\nsend Event: Shutdown\\r\\nPrivilege: system,all\\r\\nShutdown: Cleanly\\r\\nRestart: True\\r\\n\\r\\n",
      h.LOGIN .. "\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = WATCH } }
    local heard = daemon:await { msg = "shutdown heard" }
    assert.same({ "Cleanly", "True" }, { heard.how, heard.restart })
    assert.equal("shutdown", daemon:await({ msg = "lost" }).reason)
    daemon:ready("pbx1", { count = 2 })
    assert.equal(1, daemon:metric("hookswitch_server_failures_total", { server = "pbx1", reason = "shutdown" }))
  end)

  it("Q47 that is kicked without a word is lost as eof, also behind one that ended by Shutdown", function()
    local peer = h.peer(h.LOGIN .. "\nsend Event: Shutdown\\r\\nShutdown: Cleanly\\r\\n\\r\\n", h.LOGIN, h.LOGIN .. "\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer) }, rules = { ["probe.lua"] = WATCH } }
    daemon:await({ msg = "lost" }, { count = 2 })
    local reasons = {}
    for i, record in ipairs(daemon:find { msg = "lost" }) do reasons[i] = record.reason end
    assert.same({ "shutdown", "eof" }, reasons)
    -- Only a connection that brought no banner is one: a text about logins would mislead.
    local kicked = daemon:await({ msg = "session lost", server = "pbx1", reason = "eof" })
    assert.falsy(kicked.error:find("banner", 1, true), kicked.error)
  end)

  it("P6 sends nothing that was written for the one before", function()
    local go = h.folder() .. "/go"
    -- Reads nothing behind the login, so that actions wait in the buffer when it ends.
    local first = h.LOGIN .. "\nwait " .. go .. "\nrst"
    local peer = h.peer_with({ "--receive", "4096" }, first, h.LOGIN .. "\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { pending = 10000, write_buffer = 8 * 1024 * 1024 } }) },
      config = { limits = { actions_per_second = 0, pending = 10000, deadline = 5, load_deadline = 5, stuck = 60, load_stuck = 60 } }, rules = { ["probe.lua"] = [[
      local first = true
      ami.on("server.ready", function(_, server)
        if not first then return log.info "again" end
        first = false
        for n = 1, 6000 do server:send { Action = "Getvar", Variable = ("v"):rep(900) } end
        log.info "sent"
      end)]] } }
    daemon:await { msg = "sent" }
    h.write_file(go, "")
    daemon:await { msg = "again" }
    -- The first one's were never read; whatever comes is of the second.
    local _, logins = peer.received():gsub("Action: Challenge", "")
    assert.equal(2, logins)
    assert.falsy(peer.received():find("Action: Getvar", 1, true), "an old action reached the new session")
  end)

  it("Q51 is read whatever the rules do: what is too much for them is shed, counted and reported, and nothing waits in Asterisk", function()
    local peer = h.peer(h.LOGIN .. "\ntimes 5000 Event: Newexten\\r\\nPrivilege: dialplan,all\\r\\nN: $n\\r\\n\\r\\n\nsay all sent\nserve")
    local daemon = h.daemon { servers = { pbx1 = h.server(peer, { limits = { backlog_events = 50 } }) }, rules = { ["probe.lua"] = [[
      local heard, missed = 0, 0
      local function count(n, m)
        heard, missed = heard + n, missed + m
        if heard + missed == 5000 then log.info("all", { heard = heard, missed = missed }) end
      end
      ami.on("Newexten", function()
        local from = os.clock()
        while os.clock() - from < 0.001 do end
        count(1, 0)
      end)
      ami.on("server.gap", function(ev) count(0, tonumber(ev.count)) end)]] } }
    local all = daemon:await({ msg = "all" }, { timeout = 30 })
    assert.is_true(all.missed > 0 and all.heard > 0)
    assert.truthy(peer:stdout():find "all sent")
    assert.equal(all.missed, daemon:metric("hookswitch_server_shed_total", { server = "pbx1", event = "Newexten" }))
    assert.equal(1, #daemon:find { msg = "session ready" })
  end)
end)
