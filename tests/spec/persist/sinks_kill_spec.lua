-- kill -9 at random moments while rules write to a sink with a URL, and a disk that is full meanwhile. The web server has kept what came:
-- each line that a rule was told is on disk, in the order of writing, and never under two keys. SINK_KILLS: how often (15).
local h = require "tests.spec.helper"
local cjson = require "cjson"
local system = require "system"

-- What is on disk is reported by a request of its own, as soon as the rule knows.
local RULE = [[
local crm, report = sink.open "crm", settings { url = "" }.url
local function number() return math.floor(timer.now() * 1e6) end -- they go up over all lives of the daemon
local function for_ever(seconds, fn)
  timer.after(0, function() while true do fn() timer.sleep(seconds) end end)
end
for i = 1, 4 do
  for_ever(0.004, function()
    local n = number()
    if crm:write({ n = n }, { sync = true }) then http.post(report, tostring(n), function() end) end
  end)
end
for_ever(0.001, function() crm:write { n = number() } end)
]]

-- Writes nothing.
local QUIET = 'local crm, report = sink.open "crm", settings { url = "" }.url'

local MODES = { "200", "200", "200", "500", "late", "429 0", "200" }

local function project_of(server, file, more)
  local config = {
    persist = { file = file or "state.db", spool_lines = 1000000 }, policy = { http = { server.url .. "/echo" } }, rules = { load = { url = server.url .. "/echo" } },
    sinks = { crm = { url = server.url .. "/sink", batch = 20, retry_first = 0.01, retry_max = 0.05 } }, http_client = { breaker_failures = 1000 },
    log = { throttle_burst = 1 }, scripts = { drain = 0.1 }, limits = { http_pending = 10000 },
  }
  return h.project { rules = { ["load.lua"] = more or RULE }, config = config }
end

-- Holds what the server has kept to what must be so. How many lines and requests there were.
local function check(server)
  local acknowledged, key_of, delivered, order, last = {}, {}, {}, 0, 0
  local requests = 0
  for _, request in ipairs(server.requests()) do
    if request.path == "/echo" then
      acknowledged[tonumber(request.body)] = true
    else
      requests = requests + 1
      local key = request.headers["Idempotency-Key"]
      for _, line in ipairs(cjson.decode(request.body)) do
        assert(not key_of[line.n] or key_of[line.n] == key, "a line came under two keys")
        if not key_of[line.n] then
          assert(line.n > last, "a line came before an older one")
          last, order = line.n, order + 1
        end
        key_of[line.n] = key
        if request.mode == nil or request.mode == "200" then delivered[line.n] = true end
      end
    end
  end
  local known = 0
  for n in pairs(acknowledged) do
    assert(delivered[n], ("line %d was on disk and is lost"):format(n))
    known = known + 1
  end
  for n in pairs(key_of) do assert(delivered[n], "a line was tried, and given up") end
  return order, requests, known
end

local function await_empty(daemon)
  h.wait_for(function()
    local code, out = daemon:ctl("spool", "crm", "--json")
    return code == 0 and h.json(out).lines == 0
  end, 60, "an empty spool")
end

describe("sinks under kill -9", function()
  after_each(h.cleanup)

  it("lose nothing that is on disk, keep the order, and use one key for each line", function()
    local server = h.httpd()
    local project = project_of(server)
    local daemon
    for _ = 1, tonumber(os.getenv "SINK_KILLS" or 15) do
      daemon = h.daemon(project, { waits = false })
      h.wait_for(function() return h.exists(project.folder .. "/console") end)
      server.mode(MODES[math.random(#MODES)])
      system.sleep(math.random() * 0.25)
      if math.random(2) == 1 then server.mode(MODES[math.random(#MODES)]) end
      daemon:signal "KILL"
      daemon:ended()
      os.remove(project.folder .. "/console")
    end
    server.mode "200"
    project.rule("load.lua", QUIET)
    daemon = h.daemon(project)
    await_empty(daemon)
    local lines, requests, known = check(server)
    assert(lines > 50 and requests > 10 and known > 10, ("too few: %d lines, %d requests, %d known"):format(lines, requests, known))
    assert.same({}, daemon:find { msg = "line could not be delivered and is a dead letter now" })
  end)
end)

describe("sinks on a full disk", function()
  after_each(h.cleanup)

  it("refuse what waits for the disk, keep the rest, and deliver all of it in order once there is space", function()
    if not os.execute "test $(id -u) = 0 && unshare -m true 2>/dev/null" then return pending "needs a mount namespace" end
    local server = h.httpd()
    local project = project_of(server, "disk/state.db", RULE:gsub("0%.001", "0.01"))
    local wrapper = project.folder .. "/hookswitch"
    h.write_file(wrapper, ('#!/bin/sh\nif [ -z "$INSIDE" ]; then INSIDE=1 exec unshare -m "$0" "$@"; fi\nmkdir -p %s/disk && mount -t tmpfs -o size=12m none %s/disk || exit 1\n' ..
      'exec %s "$@"\n'):format(project.folder, project.folder, h.binary))
    os.execute("chmod +x " .. wrapper)
    local binary = h.binary
    h.binary = wrapper
    local good, daemon = pcall(h.daemon, project, { waits = false })
    h.binary = binary
    assert(good, daemon)
    h.wait_for(function() return #server.requests() > 20 end)
    local disk = ("/proc/%s/root%s/disk/"):format(daemon.pid, project.folder)
    os.execute(("dd if=/dev/zero of=%sfiller bs=64k 2>/dev/null"):format(disk))
    daemon:await { msg = h.has "persistent state cannot be written" }
    local before = #server.requests()
    h.wait_for(function() return daemon:metric "hookswitch_persist_failing" == 1 end)
    h.wait_for(function()
      local code, out = daemon:ctl("spool", "crm", "--json")
      return code == 0 and h.json(out).lines > 50
    end)
    assert.is_true(#server.requests() - before < 50)
    os.remove(disk .. "filler")
    daemon:await { msg = h.has "persistent state is written again" }
    project.rule("load.lua", QUIET)
    assert.is_true((daemon:reload_all()))
    h.wait_for(function() return daemon:metric "hookswitch_rules_draining" == 0 end) -- until then the old one writes
    await_empty(daemon)
    local lines = check(server)
    assert.is_true(lines > 60)
  end)
end)
