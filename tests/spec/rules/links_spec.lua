-- scripts/links.lua in a real daemon.
local helper = require "tests.spec.helper"

describe("scripts/links.lua", function()
  after_each(helper.cleanup)

  local LINKS = helper.read "scripts/links.lua"

  local function daemon(servers, config, more)
    local rules = { ["links.lua"] = LINKS .. (more or "") }
    return helper.daemon { servers = servers, rules = rules, config = config }
  end

  it("sums up lost events instead of a line for each report", function()
    local go = helper.folder() .. "/go"
    local event = [[Event: Flood\r\nNumber: $n\r\n\r\n]]
    local peer = helper.peer(table.concat({ helper.LOGIN, "action CoreSettings", [[send Response: Success\r\nActionID: $id\r\n\r\n]], "action CoreStatus",
      [[send Response: Success\r\nActionID: $id\r\n\r\n]], "wait " .. go, ("times 2000 " .. event .. "\nsleep 40\n"):rep(12) .. "serve" }, "\n"))
    local d = daemon({ pbx1 = helper.server(peer, { limits = { backlog_events = 100 } }) }, { rules = { links = { gaps = 0.5 } } },
      [[ami.on("Flood", function() local n = 0 for i = 1, 20000 do n = n + i end end)]])
    d:ready "pbx1"
    d:await { rule = "links", msg = helper.has "pbx1: ready" }
    local began = helper.now()
    helper.write_file(go, "")
    local function said()
      local sum, lines = 0, 0
      for _, record in ipairs(d:find { rule = "links", msg = helper.has "events were missed" }) do
        sum, lines = sum + tonumber(record.msg:match "(%d+) events"), lines + 1
      end
      return sum, lines
    end
    helper.wait_for(function()
      local server = d:status().servers[1]
      return server.events >= 12 * 2000 and server.shed > 1000 and said() == server.shed
    end, nil, function() return ("all shed events, %d are said, %d shed"):format(said(), d:status().servers[1].shed) end)
    local _, lines = said()
    assert.is_true(lines >= 2 and lines <= 2 + (helper.now() - began) / 0.5, lines .. " lines")
    assert.is_true(d:metric("hookswitch_rules_calls_total", { rule = "links" }) > 0)
  end)

  it("takes the operator's own reload for no error", function()
    local servers = { pbx1 = helper.server(helper.sim()), pbx2 = helper.server(helper.sim()), pbx3 = helper.server(helper.sim()) }
    local d = daemon(servers)
    for name in pairs(servers) do d:await { rule = "links", msg = helper.has(name .. ": ready") } end
    servers.pbx2, servers.pbx1.timeouts = nil, { action = 7, drain = 2 }
    d.project.write { servers = servers }
    assert.is_true(d:reload())
    d:await { level = "info", rule = "links", msg = "pbx1: session ended, its configuration changed, it connects again" }
    d:await { level = "info", rule = "links", msg = "pbx2: session ended, the configuration has it no more" }
    d:await({ rule = "links", msg = helper.has "pbx1: ready" }, { count = 2 })
    assert.are.same({}, d:find { rule = "links", level = "error" })
    assert.are.same({}, d:find { rule = "links", level = "warn" })
  end)

  it("says that Asterisk refused, not that it gave no answer", function()
    local peer = helper.peer(table.concat({ helper.LOGIN, "action CoreSettings", [[send Response: Error\r\nActionID: $id\r\nMessage: Permission denied\r\n\r\n]], "serve" }, "\n"))
    local d = daemon { pbx1 = helper.server(peer) }
    local record = d:await { level = "warn", rule = "links" }
    assert.matches("^pbx1: ready, but CoreSettings was refused; it needs system, reporting or all in `write`", record.msg)
    assert.are.equal("Permission denied", record.reason)
    local silent = helper.peer(helper.LOGIN .. "\nhold")
    d = daemon { pbx1 = helper.server(silent, { timeouts = { action = 0.2, drain = 1 } }) }
    assert.are.equal("pbx1: ready, but CoreSettings has no answer", d:await({ level = "warn", rule = "links" }).msg)
  end)
end)
