-- Many readers at once that read nothing.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

local READERS = 1000
local RULE = [[
local last, longest = timer.now(), 0
timer.every(0.005, function()
  local now = timer.now()
  longest, last = math.max(longest, now - last), now
end)
ami.on("test.longest", function() log.info("longest", { seconds = longest }) longest = 0 end)
]]

describe("a thousand readers that read nothing", function()
  after_each(helper.cleanup)

  local function resident(d)
    return tonumber(helper.read("/proc/" .. d.pid .. "/status"):match "VmRSS:%s+(%d+) kB") * 1024
  end

  -- The longest time without a turn since the last question.
  local function longest(d)
    local mark = d:mark()
    d:emit "test.longest"
    return d:await({ msg = "longest" }, { from = mark }).seconds
  end

  it("are dropped and counted, cost bounded memory, and slow nobody", function()
    local d = support.live({ timeout = 2, connections = READERS + 50, streams = READERS + 50, requests_per_second = READERS + 50, replay = 256 * 1024 },
      { rules = { ["longest.lua"] = RULE } }, "--calls-per-second", "40", "--speed", "3")
    local function events_pass(count)
      local from = d:metric "hookswitch_server_frames_total"
      helper.wait_for(function() return d:metric "hookswitch_server_frames_total" - from > count end)
    end
    events_pass(500)
    longest(d)
    events_pass(1000)
    local calm, before = longest(d), resident(d)
    helper.start(helper.binary:gsub("[^/]*$", "tests/readers"), { "--deaf", d.web_port, support.READ, READERS, "/api/live" })
    local most, streams = 0, 0
    local function dropped()
      return d:metric("hookswitch_web_dropped_total", { reason = "slow" }) + d:metric "hookswitch_web_streams_dropped_total"
    end
    helper.wait_for(function()
      most, streams = math.max(most, resident(d)), math.max(streams, d:metric "hookswitch_web_streams")
      return dropped() >= READERS
    end, 60, function() return ("all to be dropped: %d are"):format(dropped()) end)
    local loaded = longest(d)
    assert.are.equal(READERS, dropped())
    assert.are.equal(0, d:metric "hookswitch_web_streams")
    assert.is_true(streams > READERS / 10) -- many at the same time
    d:await { msg = "web connection dropped", reason = "slow", address = "127.0.0.1" }
    -- Each holds what one flush gives it at most.
    assert.is_true(most - before < READERS * (helper.sanitized and 256 or 64) * 1024, ("%d bytes"):format(most - before))
    -- No turn took longer than a stuck rule may (limits.stuck); a loaded machine is slow by itself.
    assert.is_true(loaded < math.max(0.25, 4 * calm), ("%g s without a turn, %g s before"):format(loaded, calm))
  end)
end)

-- A test of time would say more about the machine: it is counted how many turns of the loop they take.
describe("a crowd", function()
  after_each(helper.cleanup)

  local COUNT, PIECE, PIECES = 100, 32 * 1024, 25 -- readers; bytes that one gets at once; how many such pieces a turn has time for, at most

  it("of readers that come back gets what it has missed bit by bit, so that a turn of the loop stays short", function()
    local d = support.live({ connections = COUNT + 50, streams = COUNT + 50, requests_per_second = COUNT + 50, replay = 16 * 1024 * 1024 }, nil,
      "--calls-per-second", "60", "--speed", "3")
    local first = helper.start("curl", { "-sN", "-H", "Authorization: Bearer " .. support.READ, ("http://127.0.0.1:%d/api/live"):format(d.web_port) })
    local id, from
    helper.wait_for(function()
      id, from = first:stdout():match 'id: (%x+%-%d+)\ndata: {"part":"end"[^\n]*\n\n()'
      return id
    end, 30)
    helper.wait_for(function() return #first:stdout() - from > 4 * 1024 * 1024 end, 60)
    d.sim:signal "STOP"
    helper.wait_for(function() -- all that there was has come
      return tonumber(first:stdout():sub(-8192):match ".*\nid: %x+%-(%d+)\n") == d:metric "hookswitch_web_changes_total"
    end, 30)
    local bytes = (#first:stdout() - from) // 1024 * 1024 * COUNT -- less what the last comments were
    local turns = d:metric "hookswitch_loop_turns_total"
    local crowd = helper.start(helper.binary:gsub("[^/]*$", "tests/readers"),
      { "--last-id", id, "--bytes", tostring(bytes), d.web_port, support.READ, COUNT, "/api/live" })
    helper.wait_for(function() return crowd:stdout():find("read\n", 1, true) end, 120, function() return "all that was missed; there are " .. crowd:stdout() end)
    turns = d:metric "hookswitch_loop_turns_total" - turns
    assert.is_true(turns > bytes / PIECE / PIECES, ("%d turns for %d bytes"):format(turns, bytes))
    assert.are.equal(0, d:metric "hookswitch_web_stream_restarts_total")
  end)

  it("that asks at once is answered in many turns", function()
    local count = 200 -- fewer than wait to be accepted
    local d = support.daemon({}, { connections = count + 50, streams = count, requests_per_second = count + 50 })
    local turns = d:metric "hookswitch_loop_turns_total"
    d:signal "STOP"
    local crowd = helper.start(helper.binary:gsub("[^/]*$", "tests/readers"), { d.web_port, support.READ, count, "/api/status" })
    helper.wait_for(function() return crowd:stdout():find("asked\n", 1, true) end)
    d:signal "CONT"
    helper.wait_for(function() return crowd:stdout():find("reading\n", 1, true) end)
    turns = d:metric "hookswitch_loop_turns_total" - turns
    assert.is_true(turns > count / 8, ("%d turns"):format(turns))
  end)

  -- A ClientHello is all that a client need send to have a key made and something signed.
  it("that begins TLS at once is answered in many turns", function()
    local count, folder = 200, helper.certificates()
    local hello = "1603010045010000410303" .. ("5a"):rep(32) .. "000002c02b01000016000a00040002001d000d000400020403000b00020100"
    local d = support.daemon({}, { tls = { cert = folder .. "/good.pem", key = folder .. "/good.pem" }, connections = count + 50, streams = count })
    local turns = d:metric "hookswitch_loop_turns_total"
    d:signal "STOP"
    local crowd = helper.start("bash", { "-c", [[
      for ((i = 0; i < $1; i++)); do exec {fd}<>/dev/tcp/127.0.0.1/$2; printf "$3" >&$fd; fds+=($fd); done
      echo asked
      for fd in ${fds[@]}; do head -c 1 <&$fd >/dev/null; done
      echo answered
    ]], "bash", tostring(count), tostring(d.web_port), (hello:gsub("%x%x", "\\x%0")) })
    helper.wait_for(function() return crowd:stdout():find("asked\n", 1, true) end)
    d:signal "CONT"
    helper.wait_for(function() return crowd:stdout():find("answered\n", 1, true) end)
    turns = d:metric "hookswitch_loop_turns_total" - turns
    assert.is_true(turns > count / 8, ("%d turns"):format(turns))
  end)
end)
