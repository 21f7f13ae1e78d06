-- What the specs of the board have in common: the real engine on a simulated Asterisk and on a server with hostile names, and one browser.
local browser = require "tests.spec.board.browser"
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

local scene = {
  HOSTILE = [[<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>]],
  LEAD = "lead-secret-0123456789", -- acts, in the queue support only
}
scene.__index = scene

-- A server whose callers and queues have names that would like to be HTML.
local function hostile_server()
  local channel = table.concat({ "Channel: PJSIP/evil-00000001", "ChannelState: 4", "ChannelStateDesc: Ring", "CallerIDNum: 666", "CallerIDName: " .. scene.HOSTILE,
    "ConnectedLineNum: <unknown>", "ConnectedLineName: <unknown>", "AccountCode: ", "Context: default", "Exten: 300", "Priority: 1", "Uniqueid: evil.1",
    "Linkedid: evil.1" }, "\\r\\n")
  return helper.peer(helper.LOGIN .. "\n" .. "send Event: FullyBooted\\r\\nPrivilege: system,all\\r\\nStatus: Fully Booted\\r\\n\\r\\n\n"
    .. "send Event: Newchannel\\r\\nPrivilege: call,all\\r\\n" .. channel .. "\\r\\n\\r\\n\n"
    .. "send Event: QueueCallerJoin\\r\\nPrivilege: agent,all\\r\\n" .. channel .. "\\r\\nQueue: " .. scene.HOSTILE .. "\\r\\nPosition: 1\\r\\nCount: 1\\r\\n\\r\\n\nserve\n")
end

-- The configuration but for its servers; a spec may change it and write() it.
local function config()
  local tokens = support.tokens()
  tokens.lead = { secret = scene.LEAD, scopes = { "read", "act" }, queues = { "support" } }
  return {
    scripts = { rules = "scripts", lib = helper.root .. "/lib" },
    policy = { web = { allow = { "Originate", "Redirect", "Hangup", "QueuePause" }, originate = { "ChanSpy" } } },
    web = { listen = "127.0.0.1:0", tokens = tokens, failures = 1000 },
  }
end

-- Options: { rate = calls per second (2), hostile = false: without that server }.
function scene.start(options)
  options = options or {}
  local self = setmetatable({ truth = helper.folder() .. "/truth", config = config() }, scene)
  self.sim = helper.sim("--calls-per-second", options.rate or "2", "--features", "--seed", "3", "--truth", self.truth)
  self.servers = { pbx1 = helper.server(self.sim), pbx2 = options.hostile ~= false and helper.server(hostile_server(), { live = true }) or nil }
  self.project = helper.project { servers = self.servers }
  self:run_engine()
  self.b = browser.start()
  return self
end

function scene:stop()
  if self.b then self.b:quit() end
  helper.cleanup()
end

function scene:write()
  self.project.write { servers = self.servers, config = self.config }
end

function scene:reload()
  self:write()
  assert(self.d:reload())
end

-- Starts the engine, on any port or this one.
function scene:run_engine(port)
  self.config.web.listen = "127.0.0.1:" .. (port or 0)
  self:write()
  self.d = helper.daemon(self.project)
  self.d.web_port = math.tointeger(self.d:await({ msg = "the API is served" }).port)
  for name in pairs(self.servers) do self.d:ready(name) end
  self.url = ("http://127.0.0.1:%d/board/"):format(self.d.web_port)
end

-- A browser that knows nothing; the page at this address, signed in with the token that the fragment names.
function scene:fresh(more, token)
  local b = self.b
  b:open(self.url .. "icon.svg")
  b:run "sessionStorage.clear(); localStorage.clear()"
  b:size(1280, 800)
  b:console()
  b:open(self.url .. (more or "") .. (token and "#token=" .. token or ""))
end

function scene:board(more, token)
  self:fresh(more, token or support.ALL)
  self.b:await "return !document.getElementById('board').hidden && document.querySelector('#call-table tbody tr td')"
end

function scene:no_errors()
  for _, line in ipairs(self.b:console()) do assert(not line:find "^SEVERE", line) end
end

-- What the simulated Asterisk has received of this action since the last time it was asked: { header = value } for each, in order.
function scene:received(name)
  local code, out, err = helper.run("sim", "--ask", self.truth, "actions")
  assert(code == 0, err)
  local list = {}
  for _, lines in ipairs(helper.json(out).actions) do
    local action = {}
    for _, line in ipairs(lines) do
      local header, value = line:match "^(.-): ?(.*)$"
      assert(not action[header], line)
      action[header] = value
    end
    if action.Action == name then list[#list + 1] = action end
  end
  return list
end

return scene
