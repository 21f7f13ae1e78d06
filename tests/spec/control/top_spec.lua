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
end)
