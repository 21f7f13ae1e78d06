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

  it("shows the calls of each server, and who waits in its queues", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--calls-per-second", "20", "--max-calls", "60")) } }
    d:ready "pbx1"
    local server = helper.wait_for(function()
      local code, out, err = d:ctl("top", "--once", "--json")
      assert.equal(0, code, err)
      local row = helper.json(out).servers[1]
      return row.calls and row.calls > 10 and row.callers_waiting > 2 and row.longest_wait > 0 and row
    end)
    local code, out, err = d:ctl("queues", "--json")
    assert.equal(0, code, err)
    local waiting = 0
    for _, queue in ipairs(helper.json(out).queues) do waiting = waiting + queue.count end
    assert.is_true(math.abs(server.callers_waiting - waiting) <= 20)
    assert.matches("\nSERVER +STATE +EVENTS/S%S* +CALLS +WAITING ", (select(2, d:ctl("top", "--once"))))

    -- And each queue by its name, the one with most callers first.
    code, out, err = d:ctl("top", "--once")
    assert.equal(0, code, err)
    assert.matches("\nQUEUE +SERVER +WAITING +LONGEST +FREE +MEMBERS +ANSWERED +ABANDONED\n", out)
    assert.matches("\nsupport +pbx1 +%d+ ", out)
    assert.matches("\nsales +pbx1 +%d+ ", out)
    local first, second = out:match "\n%l+ +pbx1 +(%d+) [^\n]*\n%l+ +pbx1 +(%d+) "
    assert.is_true(tonumber(first) >= tonumber(second))
    code, out, err = d:ctl("top", "--once", "--json")
    assert.equal(0, code, err)
    local members = {}
    for _, queue in ipairs(helper.json(out).queues) do members[queue.name] = queue.members end
    assert.same({ support = 3, sales = 2 }, members)
  end)

  it("gives programs all rates, a JSON object a line", function()
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

  -- `ctl top` on a terminal of so many rows and columns: press(keys), and frame(condition): the lines of a drawing for which the
  -- condition holds, without what steers the terminal; a second result has them as they are.
  local function terminal(d, rows, columns, options)
    options = options or {}
    local folder = helper.folder()
    assert(os.execute("mkfifo " .. folder .. "/keys"))
    local t = helper.start("sh", { "-c", ([[exec 3<>%s/keys; exec script -qfec "stty rows %d cols %d; exec %s ctl -s %s/console top %s" /dev/null <&3]]):format(
      folder, rows, columns, helper.binary, d.project.folder, options.arguments or "") }, { env = { TERM = "xterm", NO_COLOR = options.no_color or "" } })
    local keys
    function t.press(text)
      keys = keys or assert(io.open(folder .. "/keys", "r+"))
      keys:write(text)
      keys:flush()
    end
    function t.frame(condition)
      local raw
      local lines = helper.wait_for(function()
        raw = nil
        for frame in t:stdout():gmatch "\27%[H(.-)\27%[J" do raw = frame end
        if not raw then return end
        raw = raw:gsub("\27%[K", ""):gsub("\r", "")
        local plain = helper.lines((raw:gsub("\n\n", "\n \n"):gsub("\27%[[%d;]*m", "")))
        return (not condition or condition(table.concat(plain, "\n"))) and plain
      end, 15, function() return "a screen:\n" .. (raw or t:tail()) end)
      return lines, raw
    end
    return t
  end

  local function crowd(count)
    local servers, rules = {}, {}
    for i = 1, count do
      servers[("pbx%02d"):format(i)] = helper.server(1)
      rules[("rule%02d.lua"):format(i)] = ""
    end
    return helper.daemon { servers = servers, rules = rules }
  end

  it("says which servers and rules fit the terminal, and shows some of both", function()
    local d = crowd(30)
    local lines = terminal(d, 24, 80).frame()
    assert.are.equal(24, #lines)
    assert.matches("^hookswitch .* events/s$", lines[1])
    assert.matches("^q quit ", lines[24])
    local text = table.concat(lines, "\n")
    -- The head, two empty lines, keys: ten lines for each part.
    assert.matches("\n \nSERVER [^\n]*\npbx01 .*\n… 1 to 8 of 30\n \nRULE [^\n]*\nrule01 .*\n… 1 to 8 of 30\nq quit", text)
    local _, servers = text:gsub("\npbx", "")
    local _, rules = text:gsub("\nrule", "")
    assert.are.same({ 8, 8 }, { servers, rules })
    local all = table.concat(terminal(d, 80, 80).frame(), "\n")
    assert.is_nil(all:find("…", 1, true))
    assert.matches("\nrule30 ", all)
  end)

  it("fits every width from 40 to 300, the columns that matter most first", function()
    local long = ("a-very-long-name-of-a-server-"):rep(2)
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.sim("--events", "0", "--rate", "500")), [long] = helper.server(helper.dead_port()) },
      rules = { ["busy.lua"] = [[ami.on("*", function() end)]] },
    }
    d:ready "pbx1"
    d:await { msg = "no session", server = long }
    local kept = {}
    for _, width in ipairs { 40, 41, 59, 80, 119, 160, 300 } do
      local t = terminal(d, 20, width)
      local lines = t.frame(function(text) return text:find("pbx1 +ready") end)
      t:signal "TERM"
      assert.is_true(#lines <= 20)
      for _, line in ipairs(lines) do assert.is_true(utf8.len(line) <= width, width .. ": " .. line) end
      local titles
      for _, line in ipairs(lines) do titles = titles or line:match "^SERVER.*" end
      for _, title in ipairs { "SERVER", "STATE", "EVENTS/S" } do assert.is_truthy(titles:find(title, 1, true), width .. ": " .. titles) end
      local count = 0
      for _ in titles:gmatch "%S+" do count = count + 1 end
      assert.is_true(count >= (kept[#kept] or 0), "a wider terminal shows no less")
      kept[#kept + 1] = count
      if width >= 160 then assert.is_truthy(titles:find("LAST FAILURE", 1, true), titles) end
    end
    assert.is_true(kept[1] < kept[#kept])
    -- On 300 characters nothing is cut.
    local wide = table.concat(terminal(d, 20, 300).frame(), "\n")
    assert.is_truthy(wide:find(long .. " ", 1, true))
    assert.matches("refused: [^\n…]*%(ECONNREFUSED%)", wide)
  end)

  it("sorts by the column that is chosen, either way, and scrolls to what is selected", function()
    local d = crowd(30)
    local t = terminal(d, 24, 80)
    local function names(text)
      local found = {}
      for name in text:gmatch "\npbx(%d+) " do found[#found + 1] = tonumber(name) end
      return table.concat(found, " ")
    end
    assert.matches("EVENTS/S↓", table.concat(t.frame(), "\n"))
    t.press "\27[D\27[D"
    t.frame(function(text) return text:find("SERVER↑", 1, true) and names(text) == "1 2 3 4 5 6 7 8" end)
    t.press "r"
    t.frame(function(text) return text:find("SERVER↓", 1, true) and names(text) == "30 29 28 27 26 25 24 23" end)
    -- From the first one up is no further; ten down are two beyond what fits.
    t.press("\27[H\27[A" .. ("\27[B"):rep(9))
    local _, raw = t.frame(function(text) return names(text) == "28 27 26 25 24 23 22 21" and text:find("… 3 to 10 of 30", 1, true) end)
    assert.matches("\27%[7mpbx21 ", raw)
    t.press "\27[F"
    t.frame(function(text) return names(text) == "8 7 6 5 4 3 2 1" and text:find("… 23 to 30 of 30", 1, true) end)
    t.press "\27[5~"
    _, raw = t.frame(function(text) return text:find("… ", 1, true) end)
    t.press "g\t\27[6~"
    _, raw = t.frame(function(text) return text:find("CPU↓", 1, true) and names(text) == "30 29 28 27 26 25 24 23" end)
    assert.matches("\27%[1mRULE", raw)
    _, raw = t.frame(function(text) return text:find("… 2 to 9 of 30", 1, true) end)
    assert.matches("\27%[7mrule09 ", raw)
    t.press "q"
    assert.are.equal(0, t:ended())
    assert.is_truthy(t:stdout():find("\27[?1049l", 1, true))
  end)

  it("begins sorted as asked, and names the columns when it does not know one", function()
    local d = daemon()
    local by_name = function(...)
      local _, out = d:ctl("top", "--sort", ...)
      return out:match "\n(%S+)[^\n]*\n(%S+)[^\n]*\n\n[QR]U[EL]"
    end
    assert.are.same({ "idle", "pbx1" }, { by_name "server" })
    assert.are.same({ "pbx1", "idle" }, { by_name "events/s" })
    assert.are.same({ "pbx1", "idle" }, { by_name "EVENTS_PER_SECOND" })
    local _, out = d:ctl("top", "--sort=rule")
    assert.matches("\nbusy .*\nquiet ", out)
    local code, none, err = d:ctl("top", "--sort", "nosuch")
    assert.are.same({ 2, "" }, { code, none })
    assert.matches("no column 'nosuch' to sort by; servers have name state events_per_second", err)
    code, none, err = d:ctl("top", "--nosuch")
    assert.are.same({ 2, "" }, { code, none })
    assert.matches("'%-%-nosuch'", err)
  end)

  it("shows one server alone, with the actions that wait", function()
    local d = helper.daemon {
      servers = { pbx1 = helper.server(helper.peer(helper.LOGIN .. "\nhold")), pbx2 = helper.server(helper.dead_port()) },
      rules = { ["ask.lua"] = [[ami.on("server.ready", function(_, server) server:call({ Action = "QueueStatus" }, { timeout = 60 }) end)]] },
    }
    d:ready "pbx1"
    helper.wait_for(function() return d:status().servers[1].pending > 0 end)
    local t = terminal(d, 24, 80)
    t.frame()
    t.press "\27[D\27[D"
    t.frame(function(text) return text:find("SERVER↑", 1, true) end)
    t.press "\r"
    local text = table.concat(t.frame(function(text) return text:find("^pbx1: ready for ") end), "\n")
    assert.matches("\n  address +127%.0%.0%.1:%d+, AMI 9%.0%.0\n", text)
    assert.matches("\nACTION +SENT BY +AGE +DEADLINE IN\nQueueStatus +ask +[%d.]+ s +[%d.]+ s\n", text)
    t.press "\27"
    t.frame(function(all) return all:find("^hookswitch ") end)
    t.press "\27[B\n"
    text = table.concat(t.frame(function(all) return all:find("^pbx2: ") end), "\n")
    assert.matches("\n  last failure +refused: ", text)
    assert.matches("no action waits", text)
    local _, once = d:ctl("top", "--server", "pbx1")
    assert.matches("^pbx1: ready for .*\nQueueStatus +ask ", once)
    local _, none = d:ctl("top", "--once", "--server=pbx9")
    assert.are.equal("pbx9: the configuration has no such server\n", none)
  end)

  it("colours what is well and what is not, but not with NO_COLOR", function()
    local d = daemon()
    local t = terminal(d, 24, 80)
    -- The selected row has none.
    t.press "\t"
    local _, raw = t.frame(function(text) return text:find "pbx1 +ready" end)
    helper.wait_for(function()
      _, raw = t.frame()
      return raw:find("\27[32mready", 1, true) and raw:find "\27%[33m%l+" and raw:find("\27[7mbusy", 1, true)
    end)
    t:signal "TERM"
    for _, no_color in ipairs { "1", "0" } do
      t = terminal(d, 24, 80, { no_color = no_color })
      _, raw = t.frame(function(text) return text:find "pbx1 +ready" end)
      assert.is_nil(raw:find "\27%[3%d")
      assert.is_truthy(raw:find("\27[7m", 1, true))
      t:signal "TERM"
    end
  end)

  it("follows a terminal that changes its size", function()
    local d = crowd(30)
    local t = terminal(d, 24, 80)
    t.frame(function(text) return text:find("1 to 8 of 30", 1, true) end)
    local pid = helper.wait_for(function()
      local _, out = helper.run("-P", t.pid, { program = "pgrep" })
      return tonumber(out:match "%d+")
    end)
    local _, tty = helper.run("-o", "tty=", "-p", pid, { program = "ps" })
    helper.run("-F", "/dev/" .. tty:match "%S+", "rows", 14, "cols", 50, { program = "stty" })
    local lines = t.frame(function(text) return text:find("1 to 3 of 30", 1, true) end)
    assert.are.equal(14, #lines)
    for _, line in ipairs(lines) do assert.is_true(utf8.len(line) <= 50, line) end
  end)
end)
