-- What operators see of the live picture: calls, queues, agents, channels and endpoints.
local helper = require "tests.spec.helper"

describe("the console's view of the live picture", function()
  after_each(helper.cleanup)

  local function daemon(config, ...)
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--features", ...)) }, config = config }
    d:ready "pbx1"
    return d
  end

  -- Two people talk for a minute.
  local function call(d, number)
    local code, _, err = d:ctl("call", "pbx1", "Action=Originate", "Channel=PJSIP/" .. number, "Context=default", "Exten=900", "Priority=1",
      "CallerID=Ann Lee <" .. number .. ">", "Async=false")
    assert.equal(0, code, err)
  end

  local function objects(d, kind, ...)
    local code, out, err = d:ctl(kind, "--json", ...)
    assert.equal(0, code, err)
    return helper.json(out)
  end

  it("lists calls, names before numbers, and those that fit conditions", function()
    local d = daemon()
    assert.equal("no calls\n", (select(2, d:ctl "calls")):match "^[^\n]*\n")
    call(d, "1001")
    call(d, "1002")
    local all = helper.wait_for(function()
      local answer = objects(d, "calls")
      return answer.total == 2 and answer
    end)
    assert.equal("1001", all.calls[1].from)
    assert.equal("pbx1", all.servers[1].name)
    local _, out = d:ctl "calls"
    assert.matches("^FROM +TO +STATE +FOR +TALK +QUEUE +AGENT +TRUNK +SERVER +ID\n", out)
    assert.matches("\n[^\n]*1001%)? +%S+ +up +[%d.]+ s +", out)
    assert.equal(1, objects(d, "calls", "from=1002").total)
    assert.equal("1002", objects(d, "calls", "from=1002", "server=pbx1").calls[1].from)
    assert.equal(0, objects(d, "calls", "from=1002", "server=pbx2").total)
    assert.equal("1002", objects(d, "calls", "--from", "1002", "--server=pbx1").calls[1].from)
    assert.equal(0, objects(d, "calls", "--from=1002", "--server", "pbx2").total)
    local _, none = d:ctl("calls", "from=1009")
    assert.matches("^no calls with these conditions\n", none)
    local _, one = d:ctl("calls", "--limit", "1")
    assert.matches("\n1 more; see %-%-limit, or name conditions\n", one)
    local limited = objects(d, "calls", "--limit=1")
    assert.same({ 1, 2 }, { #limited.calls, limited.total })
  end)

  it("shows queues, and one with its callers and members", function()
    local d = daemon(nil, "--calls-per-second", "20", "--max-calls", "60")
    local answer = helper.wait_for(function()
      local queue = objects(d, "queues", "support").queues[1]
      return queue and queue.count > 2 and queue
    end)
    assert.equal("support", answer.name)
    assert.equal(answer.count, #answer.waiting)
    assert.equal(1, answer.waiting[1].position)
    local _, table = d:ctl "queues"
    assert.matches("^QUEUE +WAITING +LONGEST +FREE +MEMBERS +TODAY +ANSWERED +GAVE UP +IN TIME +AVERAGE WAIT +SERVER\n", table)
    assert.matches("\nsupport +%d+ +[%d.]+ s ", table)
    assert.matches("\nsales ", table)
    local _, one = d:ctl("queues", "support")
    assert.matches("\n\n  CALLER +POSITION +WAITS +PRIORITY +CHANNEL\n  [^\n]+ 1 +", one)
    assert.matches("\n\n  MEMBER +STATE +PAUSED +REASON +CALLS +PENALTY +INTERFACE\n  %u", one)
    assert.matches("\n  Alice +%a[%a ]*  %l+ ", one)
    assert.is_nil(one:find "\nsales")
    local code, _, err = d:ctl("queues", "none")
    assert.same({ 1, "queues: no server has a queue 'none'; `queues` lists them\n" }, { code, err })
  end)

  it("shows agents, channels and endpoints", function()
    local d = daemon()
    call(d, "1001")
    helper.wait_for(function() return objects(d, "channels").total > 0 and objects(d, "agents").total == 4 end)
    local _, agents = d:ctl("agents", "state=free")
    assert.matches("^AGENT +STATE +FOR +REASON +CALLS +TALK +MISSED +INTERFACE +SERVER\n%u", agents)
    assert.matches("\nAlice +free ", agents)
    local _, channels = d:ctl "channels"
    assert.matches("^CALLER +CONNECTED +STATE +FOR +EXTENSION +APPLICATION +HELD +CHANNEL +SERVER\n", channels)
    assert.matches("PJSIP/1001%-", channels)
    local endpoints = helper.wait_for(function()
      local _, out = d:ctl("endpoints", "name=PJSIP/1001")
      return out:find "PJSIP/1001" and out
    end)
    assert.matches("^ENDPOINT +REGISTERED +DEVICE +ROUND TRIP +CHANNELS +MESSAGES +CONTACT +SERVER\nPJSIP/1001 +yes ", endpoints)
  end)

  it("says what is not known", function()
    local d = daemon(nil, "--write", "system,call")
    helper.wait_for(function() return (select(2, d:ctl "calls")):find "pbx1: not everything is known" end)
    local _, out = d:ctl "endpoints"
    assert.matches("\npbx1: not everything is known, the server does not report: [%l, ]*conferences\n", out)
    local server = objects(d, "calls").servers[1]
    assert.equal("partial", server.state)
    assert.is_true(#server.unknown > 0)
  end)

  it("refuses what it does not understand, with exit code 2", function()
    local d = daemon()
    for words, why in pairs {
      [{ "calls", "quene=support" }] = "^calls: there is no field 'quene'; there are server, id, from, ",
      [{ "calls", "state=rining" }] = "^calls: state is never 'rining' %(did you mean ringing%?%); it can be new, ringing, queued, up, held, "
        .. "parked, conference, ended\n$",
      [{ "calls", "--state", "UP", "--watch", "--json" }] = "^calls: state is never 'UP' %(did you mean up%?%); it can be ",
      [{ "agents", "state=talking" }] = "^agents: state is never 'talking'; it can be free, ringing, busy, wrapup, paused, away\n$",
      [{ "endpoints", "registered=yes" }] = "^endpoints: registered is never 'yes'; it can be true, false\n$",
      [{ "channels", "state=" }] = "^channels: state is never ''; it can be down, ",
      [{ "calls", "channels=PJSIP/1001" }] = "^calls: channels is a list, and a filter compares single values\n$",
      [{ "agents", "--limit", "0" }] = "^agents: %-%-limit is a number from 1 to 10000\n",
      [{ "channels", "all" }] = "^channels: 'all' is not understood; conditions are FIELD=VALUE",
      [{ "queues", "a", "b" }] = "^queues: 'b' is not understood",
      [{ "calls", "--queue" }] = "^calls: '%-%-queue' is not understood",
      [{ "calls", "--quene=support" }] = "^calls: '%-%-quene=support' is not understood",
      [{ "endpoints", "--all" }] = "^endpoints: '%-%-all' is not understood",
    } do
      local code, _, err = d:ctl(table.unpack(words))
      assert.equal(2, code)
      assert.matches(why, err)
    end
  end)

  it("takes any text for what Asterisk names", function()
    local d = daemon()
    for _, words in ipairs {
      { "calls", "queue=suport", "state=up", "incomplete=false" }, { "endpoints", "device=NOT_A_STATE", "trunk=true" }, { "queues", "strategy=best" },
    } do
      local code, out = d:ctl(table.unpack(words))
      assert.same({ 0, "no " .. words[1] .. " with these conditions\n" }, { code, out:match "^[^\n]*\n" })
    end
  end)

  it("says so when the picture is off", function()
    local d = daemon { live = { enabled = false } }
    local code, _, err = d:ctl "queues"
    assert.same({ 1, "queues: the live picture is off; set live.enabled and reload\n" }, { code, err })
  end)

  it("is shown again every second with --watch", function()
    local d = daemon()
    local _, out = helper.run("2.5", helper.binary, "ctl", "--socket", d.project.folder .. "/console", "queues", "--watch", { program = "timeout" })
    local times = select(2, out:gsub("QUEUE +WAITING", ""))
    assert.is_true(times == 2 or times == 3, out)
  end)
end)
