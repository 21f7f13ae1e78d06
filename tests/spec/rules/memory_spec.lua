-- The memory of rules: each has its own, and what C keeps for a rule is charged to it.
local support = require "tests.spec.rules.support"

local MIB = 1 << 20

describe("the memory of rules", function()
  after_each(support.cleanup)

  it("is at most 48 KiB of an idle one, all in all", function()
    local t = support.run { ["raw:idle.lua"] = 'local n = 0 ami.on("Hangup", { where = { Cause = "16" } }, function() n = n + 1 end)' }
    assert.is_true(t:rule("idle").memory <= 48 * 1024, t:rule("idle").memory)
  end)

  it("is given back whole when they are loaded anew or removed", function()
    local t = support.run { ["a.lua"] = "keep = 1 t = {} for i = 1, 20000 do t[i] = { i } end ami.on(\"Hangup\", function() return t end)", ["b.lua"] = "keep = 1" }
    assert.is_true(t:status().memory > 1 * MIB, t:status().memory)
    t:put("a.lua", "keep = 2")
    assert.is_true(t:reload())
    t:advance(1)
    assert.is_true(t:status().memory < 200 * 1024, t:status().memory)
    t:remove_file "a.lua"
    assert.is_true(t:reload())
    t:advance(1)
    assert.is_true(t:status().memory < 100 * 1024, t:status().memory)
  end)

  it("that C keeps for one is charged to it, and given back", function()
    local t = support.run [[
      local subs, timers = {}, {}
      ami.on("own.fill", function()
        for i = 1, 100 do subs[i] = ami.subscribe "Newstate" end
        for i = 1, 1000 do timers[i] = timer.after(100, function() end) end
        for i = 1, 500 do ami.server "pbx1":send({ Action = "Ping" }, function() end) end
      end)
      ami.on("own.empty", function()
        for i, sub in ipairs(subs) do sub:cancel() subs[i] = nil end
        for i, one in ipairs(timers) do one:cancel() timers[i] = nil end
      end)]]
    local before = t:rule().memory
    t:emit "own.fill"
    t:turn()
    t:turn()
    local filled = t:rule().memory
    assert.is_true(filled - before > 100 * 512 + 1000 * 100 + 500 * 100, filled - before)
    for _ = 1, 100 do t:event("Newstate", { Channel = ("x"):rep(200) }) end
    assert.is_true(t:rule().memory - filled > 100 * 100 * 200, t:rule().memory - filled)
    t:emit "own.empty"
    for _ = 1, 3 do t:turn() end
    for _, entry in ipairs(t:pending()) do t:answer(entry.id, { Response = "Success" }) end
    t:event("Newstate", {})
    t:turn()
    assert.is_true(t:rule().memory < filled + 400 * 1024, t:rule().memory)
  end)

  -- Keeps `mib` of texts of its own, in steps that each end well before the deadline: 256 bytes each, and 2 MiB for the list.
  local hoarders = 0
  local function hoarder(mib)
    hoarders = hoarders + 1
    return ([[local kept, wanted, start = {}, %d, ("%02d"):rep(112)
      ami.on("own.hoard", function()
        for _ = 1, 2000 do
          if #kept >= wanted then return end
          kept[#kept + 1] = start .. ("%%07d"):format(#kept)
        end
      end)]]):format(((mib - 2) << 20) // 256, hoarders)
  end

  local INNOCENT = [[local n = 0
    ami.on("own.work", function()
      local t = {}
      for i = 1, 2000 do t[i] = { i, tostring(i) } end
      n = n + #t
    end)]]

  local function drive(files)
    local t = support.run(files, { limits = { deadline = 5, stuck = 20 } })
    for _ = 1, 60 do
      t:emit "own.hoard"
      t:emit "own.work"
      t:turn()
      t:advance(0.5)
    end
    return t
  end

  local function check_innocent(t, name)
    local rule = t:rule(name)
    assert.equal(0, rule.refused, name)
    assert.equal(0, rule.errors + rule.deadlines + rule.skipped, name)
    assert.is_false(rule.quarantined or rule.down or rule.failed, name)
  end

  it("of six hoarders below their limit takes nothing from rules that create small tables", function()
    local files = {}
    for i = 1, 6 do files["hoards" .. i .. ".lua"] = hoarder(24) end
    for i = 1, 3 do files["works" .. i .. ".lua"] = INNOCENT end
    local t = drive(files)
    for i = 1, 6 do
      check_innocent(t, "hoards" .. i)
      assert.is_true(t:rule("hoards" .. i).memory > 20 * MIB, t:rule("hoards" .. i).memory)
    end
    for i = 1, 3 do check_innocent(t, "works" .. i) end
  end)

  it("of eight rules beside a larger one is refused to none of them", function()
    local files = { ["large.lua"] = hoarder(27), ["works.lua"] = INNOCENT }
    for i = 1, 8 do files["rule" .. i .. ".lua"] = hoarder(25) end
    local t = drive(files)
    for i = 1, 8 do
      check_innocent(t, "rule" .. i)
      assert.is_true(t:rule("rule" .. i).memory > 24 * MIB, t:rule("rule" .. i).memory)
    end
    check_innocent(t, "large")
    check_innocent(t, "works")
  end)

  it("that one rule fills is its own, whoever made the table", function()
    local t = support.run({
      ["lib/shared.lua"] = "local own = {} return { list = {}, own = function() return own end }",
      ["a.lua"] = 'local shared = require "shared" ami.on("own.count", function() note("a", #shared.list, #shared.own()) end)',
      ["b.lua"] = [[local shared = require "shared"
        ami.on("own.fill", function()
          local own = shared.own() -- what a function of the module returns
          for i = 1, 50000 do own[i] = "item " .. i end
          for i = 1, 50000 do shared.list[i] = own[i] end
        end)]],
    }, { limits = { deadline = 5, stuck = 20 } })
    local before = t:rule("a").memory
    t:emit "own.fill"
    t:turn()
    t:emit "own.count"
    t:turn()
    assert.same({ "a 0 0" }, t:said())
    assert.is_true(t:rule("a").memory <= before + 8192, t:rule("a").memory)
    assert.is_true(t:rule("b").memory > 2 * MIB)
  end)

  it("beyond the sum of all is refused to who asks for more, with an error that says so", function()
    local t = support.run({ ["hoards.lua"] = hoarder(24), ["idle.lua"] = 'ami.on("own.hoard", function() note "idle" end)' },
      { limits = { memory = 8 * MIB, deadline = 5, stuck = 20 } })
    for _ = 1, 24 do
      t:emit "own.hoard"
      t:turn()
      t:advance(0.1)
    end
    assert.is_true(t:rule("hoards").refused > 0)
    assert.is_true(t:status().memory <= 8 * MIB)
    check_innocent(t, "idle")
  end)
end)
