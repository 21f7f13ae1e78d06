local helper = require "tests.spec.helper"

describe("ctl top", function()
  after_each(helper.cleanup)

  local function daemon()
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.sim("--events", "0", "--rate", "2000")), idle = helper.server(helper.dead_port()) },
      rules = { ["busy.lua"] = [[ami.on("*", function() local n = 0 for i = 1, 2000 do n = n + i end end)]], ["quiet.lua"] = "" },
    }
    d:ready "pbx1"
    return d
  end

  it("is one screen where there is no terminal: servers, rates, the slowest rules first", function()
    local d = daemon()
    local code, out = d:ctl "top"
    assert.are.equal(0, code)
    assert.matches("^hookswitch .*, 1 of 2 servers ready, [1-9]%d+ events/s\n", out)
    assert.matches("\npbx1 +ready +[1-9]%d+ ", out)
    assert.matches("\nidle +%l+ +0 ", out)
    assert.is_truthy(out:find "\nbusy +runs" < out:find "\nquiet +runs")
    assert.is_nil(out:find("[\27\f]"))
  end)

  it("refreshes on a terminal until it is ended", function()
    local d = daemon()
    local t = helper.start("script", { "-qfec", helper.binary .. " ctl -s " .. d.project.folder .. "/console top", "/dev/null" })
    helper.wait_for(function()
      local _, screens = t:stdout():gsub("\27%[Hhookswitch", "")
      return screens >= 2
    end, 10, function() return "two screens:\n" .. t:tail() end)
    assert.is_truthy(t:stdout():find("\27[?1049h", 1, true))
    d:signal "KILL"
    t:ended()
    assert.matches("\27%[%?1049l.*ended the stream", t:stdout())
  end)

  it("tells programs all rates, a JSON object a line", function()
    local d = daemon()
    local t = helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "top", "--json" })
    local lines = helper.wait_for(function()
      local all = helper.lines(t:stdout())
      return #all >= 2 and all
    end)
    for _, line in ipairs(lines) do
      local top = helper.json(line)
      assert.are.same({ "idle", "pbx1", "busy", "quiet" }, { top.servers[1].name, top.servers[2].name, top.rules[1].name, top.rules[2].name })
      assert.is_true(top.servers[2].events_per_second > 100 and top.rules[1].calls_per_second > 100)
    end
    local code, out = d:ctl("top", "--once", "--json")
    assert.are.equal(0, code)
    assert.are.equal(1, helper.json(out).generation)
  end)

  -- What stands on the screen of a terminal of so many rows after the first refresh.
  local function screen(d, rows)
    local t = helper.start("script", { "-qfec", ("stty rows %d; exec %s ctl -s %s/console top"):format(rows, helper.binary, d.project.folder), "/dev/null" })
    local text = helper.wait_for(function() return t:stdout():match "\27%[H(hookswitch.-)\27%[J" end, 10, function() return "a screen:\n" .. t:tail() end)
    t:signal "TERM"
    return helper.lines((text:gsub("\27%[K", ""):gsub("\r", "")))
  end

  it("says how many servers and rules do not fit the terminal, and shows some of both", function()
    local servers, rules = {}, {}
    for i = 1, 30 do
      servers["pbx" .. i] = helper.server(1)
      rules["rule" .. i .. ".lua"] = ""
    end
    local d = helper.daemon { servers = servers, rules = rules }
    local lines = screen(d, 24)
    local text = table.concat(lines, "\n")
    -- 23 rows: the head, two empty ones, two times a title, 8 or 9 lines and the last.
    assert.are.equal(21, #lines)
    assert.matches("\nSERVER .*\npbx[^\n]*\n… (%d+) more\nRULE .*\nrule[^\n]*\n… %d+ more$", text)
    local shown, told = { pbx = 0, rule = 0 }, 0
    for _, line in ipairs(lines) do
      local kind = line:match "^(%l+)%d+ "
      if shown[kind] then shown[kind] = shown[kind] + 1 end
      told = told + tonumber(line:match "^… (%d+) more$" or 0)
    end
    assert.are.equal(60, shown.pbx + shown.rule + told)
    assert.is_true(shown.pbx >= 8 and shown.rule >= 8)
    local all = table.concat(screen(d, 80), "\n")
    assert.is_nil(all:find("more", 1, true))
    assert.matches("\nrule30 ", all)
  end)
end)
