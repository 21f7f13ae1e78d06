-- What `make run` shows. Its ports are fixed, so it runs in a network of its own, on a copy of the sources.
local helper = require "tests.spec.helper"

-- The processes end with the first of them.
local ALONE = { "-rnp", "--fork", "--kill-child", "sh", "-c" }

describe("make run", function()
  after_each(helper.cleanup)
  if not os.execute("unshare " .. table.concat(ALONE, " ") .. " 'ip link set lo up' 2>/dev/null") then
    pending "needs namespaces and ip"
    return
  end

  local function seconds(clock)
    local hours, minutes, rest = clock:match "(%d+):(%d+):([%d.]+)"
    return hours * 3600 + minutes * 60 + rest
  end

  it("shows calls whose callers waited as long as they are said to", function()
    local folder = helper.folder()
    assert(os.execute(("mkdir %s/build && cp -r conf scripts lib tests/demo %s/"):format(folder, folder)))
    local words = table.move({ [[ip link set lo up && exec ./demo "$0"]], helper.binary }, 1, 2, #ALONE + 1, { table.unpack(ALONE) })
    local demo = helper.start("unshare", words, { cwd = folder })
    local function out() return demo:stdout() .. demo:stderr() end
    helper.wait_for(function() return select(2, out():gsub(" takes %d+ after ", "")) >= 2 end, 40, out)
    assert.is_string(out():match "http://127%.0%.0%.1:8080/board/#token=%x+\n", out())
    assert.is_string(out():match "the API is served listen=127%.0%.0%.1:8080", out())
    local joined, told = {}, 0
    for line in out():gmatch "[^\n]+" do
      local clock, caller = line:match "^%S+ (%S+) info  queue %w+: (%d+) waits"
      if caller then joined[caller] = seconds(clock) end
      local at, taken, waited = line:match "^%S+ (%S+) info  queue %w+: %S+ takes (%d+) after (%d+) s"
      if taken and seconds(at) > joined[taken] then
        told = told + 1
        assert.is_true(seconds(at) - joined[taken] >= waited - 0.1, line)
      end
    end
    assert.is_true(told > 0, out())
  end)

  it("takes other ports where an Asterisk or another demo has these", function()
    local folder = helper.folder()
    for _, name in ipairs { "one", "two" } do
      assert(os.execute(("mkdir -p %s/%s/build && cp -r conf scripts lib tests/demo %s/%s/"):format(folder, name, folder, name)))
    end
    local script = [[ip link set lo up; (cd one && exec ./demo "$0" >out 2>&1) & cd two; until grep -q "session ready" ../one/out; do sleep 0.1; done; exec ./demo "$0"]]
    local demo = helper.start("unshare", table.move({ script, helper.binary }, 1, 2, #ALONE + 1, { table.unpack(ALONE) }), { cwd = folder })
    local function out() return demo:stdout() .. demo:stderr() end
    helper.wait_for(function() return out():find("session ready", 1, true) end, 40, out)
    assert.is_string(out():match "http://127%.0%.0%.1:8081/board/#token=%x+\n", out())
    assert.is_string(out():match "the API is served listen=127%.0%.0%.1:8081", out())
    assert.is_string(out():match "session ready [^\n]*port=5138", out())
  end)
end)
