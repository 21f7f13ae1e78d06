-- The live picture against the state of the simulated exchange that it watches, at random moments of hours of traffic.
-- LIVE_SEEDS="1 2 10-20" plays other runs, LIVE_HOURS=2 longer ones; `make live-soak` does both.
local simulated = dofile "tests/spec/live/simulated.lua"

local HOURS = tonumber(os.getenv "LIVE_HOURS" or "2")

local function seeds()
  local list = {}
  for first, last in (os.getenv "LIVE_SEEDS" or "1-3"):gmatch "(%d+)%-?(%d*)" do
    for seed = math.tointeger(first), math.tointeger(last ~= "" and last or first) do list[#list + 1] = seed end
  end
  return list
end

-- Lets time pass in pieces by chance, does `what(run)` between them, and looks each time. Stops at the first difference.
local function live(run, hours, what)
  local ends = run.sim:now() + hours * 3600
  while run.sim:now() < ends and #run.faults == 0 do
    run.sim:run(run:seconds(0.05, 8))
    run:pump()
    if what then what(run) end
    run:check()
  end
  assert.same({}, run.faults)
end

local function disturb(run)
  local what = run:chance(60)
  if what == 1 then
    run:reconnect()
  elseif what == 2 then
    run:shed()
  elseif what == 3 and run:chance(6) == 1 then
    run:restart()
  elseif what == 4 then
    run:supervise()
  elseif what == 5 then
    run:count "wanted"
    run.live:want("pbx", run.sim:now())
  end
end

describe("the live picture of a simulated exchange", function()
  local run
  after_each(function() run:close() end)

  for _, seed in ipairs(seeds()) do
    it(("is what is true, across reconnects, gaps, lists under load and restarts with other calls (seed %d)"):format(seed), function()
      run = simulated.new(seed)
      run:connect()
      live(run, HOURS, disturb)
      assert.is_true(run.checks > HOURS * 300, "moments that were compared: " .. run.checks)
      assert.is_true(run.compared > HOURS * 300, "ended calls that were compared: " .. run.compared)
      if HOURS >= 2 then
        for _, count in ipairs { "session", "gap", "wanted", "supervise", "CoreShowChannels", "ConfbridgeList" } do
          assert.is_true((run.counts[count] or 0) >= 10, count)
        end
        assert.is_true((run.counts.restart or 0) + (run.counts.kill or 0) > 0, "restarts")
      end
    end)
  end

  it("is what is true while nothing disturbs it, and nothing of it is incomplete", function()
    run = simulated.new(100, { lag = 0 }) -- each duration to a hundredth of a second
    run:connect()
    live(run, HOURS / 4)
    assert.equal(0, run.incomplete)
    assert.equal(0, run.live:stats("pbx").contradictions)
    for _, queue in ipairs(run:truth().queues) do
      local have = run.live:find("pbx", "queue", queue.name)
      for _, figure in ipairs { "offered", "answered", "abandoned" } do
        assert.is_true(queue[figure] > 0)
        assert.equal(queue[figure], have[figure .. "_today"], figure .. " of " .. queue.name)
      end
    end
    assert.equal(1, run.counts.session)
  end)

  it("is what is true of Originates and queue members behind Local channels", function()
    run = simulated.new(102)
    run:connect()
    live(run, HOURS / 4, function(r)
      if r:chance(4) == 1 then r:supervise() end
    end)
    if HOURS < 2 then return end -- too short for all of it to happen
    local agents = {}
    for agent in pairs(run.agents) do agents[#agents + 1] = agent end
    table.sort(agents)
    assert.same({ "Local/107@default", "Local/108@agents/n" }, agents)
    assert.is_true(run.counts["originate Local"] >= 20, "Originates: " .. run.counts["originate Local"])
  end)

  it("is what is true by events alone where every list is refused, and says what it does not know", function()
    run = simulated.new(101, { write = "user", lists = false })
    run:connect()
    live(run, HOURS / 4)
    local state, unknown = run.live:state "pbx"
    assert.equal("partial", state)
    assert.same({ "channels", "devices", "endpoints", "conferences" }, unknown) -- the others need no class
    assert.equal(0, run.incomplete)
  end)
end)
