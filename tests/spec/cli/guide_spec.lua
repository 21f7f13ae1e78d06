-- The guide in examples/README.md, walked from its first line to its last: every block that names a file is written, every
-- command is run, what it is said to print is looked for. A simulated Asterisk stands in for the PBX.
local helper = require "tests.spec.helper"

local GUIDE = "examples/README.md"
local root = helper.captures:match "^(.*)/tests/fixtures/captures/$"
local build = helper.binary:match "^(.*)/"

local function have(program)
  return os.execute("command -v " .. program .. " >/dev/null 2>&1")
end

-- The guide's fenced blocks: { language, text, line, file = what its first line names }.
local function blocks()
  local text = helper.read(GUIDE)
  text = text:sub(1, assert(text:find("\n## Examples\n", 1, true)))
  local found = {}
  for at, language, body in text:gmatch "()```(%w+)\n(.-)```\n" do
    local _, line = text:sub(1, at):gsub("\n", "")
    local block = { language = language, text = body, line = line + 1 }
    if language ~= "sh" and language ~= "text" then
      block.file, block.how = body:match "^[-#;]+ ([%w_/.]+)(.-)\n"
      assert(block.file, ("%s:%d: the block does not name its file"):format(GUIDE, block.line))
    end
    found[#found + 1] = block
  end
  return found
end

local function block_of(file)
  for _, block in ipairs(blocks()) do
    if block.file == file and block.how == "" then return block.text end
  end
  error(GUIDE .. " has no " .. file)
end

-- The classes that manager.conf gives: direction -> list.
local function classes_given()
  local given = {}
  for direction, list in block_of "/etc/asterisk/manager.conf":gmatch "\n(%l+) = ([%l,]+)" do
    given[direction] = {}
    for class in list:gmatch "%l+" do table.insert(given[direction], class) end
  end
  return given
end

-- ---- the walk ----

local Walk = {}
Walk.__index = Walk

local function walk()
  local self = setmetatable({ home = helper.folder(), root = helper.folder(), output = "", at = 1 }, Walk)
  self.pbx = self.home .. "/pbx"
  self.http, self.prometheus = helper.dead_port(), helper.dead_port()
  -- Stand-ins for what would change this machine.
  for name, script in pairs { sudo = 'exec "$@"', apt = 'echo "apt $*" >>"$HOME/told"', systemctl = 'echo "systemctl $*" >>"$HOME/told"',
    make = 'echo "make $*" >>"$HOME/told"' } do
    helper.write_file(self.home .. "/bin/" .. name, "#!/bin/sh\n" .. script .. "\n")
  end
  os.execute(("chmod +x %s/bin/*; mkdir -p %s/etc/hookswitch"):format(self.home, self.root))
  os.execute(("cp -r scripts lib %s/etc/hookswitch/"):format(self.root)) -- as the package has it
  return self
end

-- The guide's addresses, as they are here.
function Walk:here(text)
  text = text:gsub('host = "10%.0%.0%.5"', ('host = "127.0.0.1", port = %d'):format(self.sim and self.sim.port or 0))
  text = text:gsub("address=10%.0%.0%.5 port=5038", ("address=127.0.0.1 port=%d"):format(self.sim and self.sim.port or 0))
  for _, pair in ipairs {
    { ":9150", ":" .. self.http }, { ":9091", ":" .. self.prometheus }, { "interval: 5s", "interval: 1s" }, { "hookswitch_%*%.deb", "hookswitch.deb" },
    { "sudo hookswitch (%l+)", "sudo hookswitch %1 -c /etc/hookswitch/hookswitch.lua" }, -- nothing else is the default in the folder /
    { "/etc/hookswitch", self.root .. "/etc/hookswitch" }, { "/etc/systemd", self.root .. "/etc/systemd" },
    { "/var/log/hookswitch", self.root }, { "/run/hookswitch", self.root },
  } do text = text:gsub(pair[1], pair[2]) end
  return text
end

function Walk:env()
  return { HOME = self.home, PATH = ("%s/bin:%s:%s"):format(self.home, build, os.getenv "PATH"), LUA_CPATH = build .. "/?.so;;" }
end

function Walk:sh(command, cwd)
  local env = self:env()
  -- Under sanitizers: only what loads the module needs their library, and curl hangs with it.
  env.LD_PRELOAD = command:find "^busted" and os.getenv "LD_PRELOAD" or ""
  local code, out, err = helper.run("-ec", command, { program = "bash", cwd = cwd or self.pbx, env = env })
  return code, out .. err
end

function Walk:write(block)
  local path = block.file:sub(1, 1) == "/" and self:here(block.file) or self.pbx .. "/" .. block.file
  if block.file == "/etc/asterisk/manager.conf" then return end
  if not self.sim then
    -- The PBX has the user of manager.conf, with the secret that the guide has made.
    local user = block_of "/etc/asterisk/manager.conf":match "\n%[(%l+)%]\nsecret"
    self.sim = helper.sim("--user", user, "--secret", helper.read(self.pbx .. "/conf/pbx1.secret"):match "%S+", "--calls-per-second", "5")
  end
  if block.how == ", one line more" then
    local line = block.text:match "\n(.*)$"
    local text, count = helper.read(path):gsub("\n}\n$", function() return "\n" .. line .. "}\n" end)
    assert.equal(1, count, block.file)
    helper.write_file(path, text)
  else
    assert.equal("", block.how)
    helper.write_file(path, self:here(block.text))
  end
end

-- A command that goes on until Ctrl-C: shown(process) says when it has done its part.
function Walk:until_interrupted(command, shown)
  -- What a shell starts in the background ignores SIGINT otherwise.
  local process = helper.start("bash", { "-ec", "exec env --default-signal=INT " .. command }, { cwd = self.pbx, env = self:env() })
  helper.wait_for(function() return shown(process) end, nil, function() return command .. ":\n" .. process:tail() end)
  process:signal "INT"
  local code = process:ended()
  assert.is_true(code == 0 or code == 130, command .. ":\n" .. process:tail())
  return process:stdout() .. process:stderr()
end

-- One dial to a phone that is busy.
function Walk:dial_busy()
  self:sh "hookswitch ctl call pbx1 Action=Originate Channel=Local/102@default Context=default Exten=100 Priority=1"
end

function Walk:command(line, where)
  if line == "hookswitch run" then
    self.daemon = helper.daemon({ folder = self.pbx, config = self.pbx .. "/conf/hookswitch.lua" },
      { arguments = { "--log-format", "text" }, waits = false })
    helper.wait_for(function() return self.daemon:stderr():find("session ready", 1, true) end, nil,
      function() return "a session:\n" .. self.daemon:tail() end)
    self.output = self.daemon:stderr()
  elseif line:find "ctl tail" then
    self.output = self:until_interrupted(line, function(process) return process:stdout():find "pbx1 Dial" end)
  elseif line:find "ctl record" then
    local path = self.pbx .. "/" .. line:match "(%S+)$"
    self.output = self:until_interrupted(line, function() return helper.exists(path) and helper.read(path):find "\nEvent: Dial" end)
  elseif line:find "^prometheus " then
    if not have "prometheus" then return end
    self.scraper = helper.start("bash", { "-ec", "exec " .. line }, { cwd = self.pbx, env = self:env() })
  elseif line:find "systemctl enable" then
    -- What the unit and its drop-in do.
    local credentials = helper.folder()
    local name, path = helper.read(self.root .. "/etc/systemd/system/hookswitch.service.d/secret.conf"):match "\nLoadCredential=([^:]+):(%S+)\n"
    helper.write_file(credentials .. "/" .. name, helper.read(path))
    assert(os.remove(path))
    self.service = helper.daemon({ folder = self.root, config = self.root .. "/etc/hookswitch/hookswitch.lua" },
      { env = { CREDENTIALS_DIRECTORY = credentials } })
    self.service:ready "pbx1"
  elseif not (line:find "^promtool " and not have "promtool") then
    local code, said = self:sh(line, where)
    assert.equal(0, code, line .. "\n" .. said)
    self.output = self.output .. said
  end
end

-- The guide's first commands, and those that make the package, are given in the folder of the source.
function Walk:run(block)
  self.output = ""
  local text = self:here(block.text)
  if text:find "^make " then
    local code, said = self:sh(text, root)
    assert.equal(0, code, text .. said)
    return
  end
  for line in text:gmatch "[^\n]+" do self:command(line) end
end

function Walk:compare(block)
  for line in self:here(block.text):gmatch "[^\n]+" do
    assert.truthy(self.output:find(line, 1, true), ("%q does not stand in:\n%s"):format(line, self.output))
  end
end

-- Goes on, to the block that has this text, which is still to come; without it to the end.
function Walk:to(stop)
  local all = blocks()
  while all[self.at] and not (stop and all[self.at].text:find(stop, 1, true)) do
    local block = all[self.at]
    local good, why = pcall(function()
      if block.language == "sh" then self:run(block) elseif block.language == "text" then self:compare(block) else self:write(block) end
    end)
    if not good then error(("%s:%d: %s"):format(GUIDE, block.line, type(why) == "table" and why.message or why), 0) end
    self.at = self.at + 1
  end
  assert(not stop or all[self.at], "no block has " .. tostring(stop))
end

describe("the guide", function()
  after_each(helper.cleanup)

  it("works from its first line to its last", function()
    local w = walk()
    w:to "curl "
    -- The rule that was loaded counts, also what the setting has added.
    w:dial_busy()
    helper.wait_for(function() return w.daemon:stderr():find "dial refused rule=failed server=pbx1 event=DialEnd status=BUSY" end, nil,
      function() return "a refused dial:\n" .. w.daemon:tail() end)
    helper.wait_for(function() return helper.read(w.pbx .. "/journal.log"):find "^{" end, nil, "a finished call")

    w:to "make deb"
    if w.scraper then
      helper.wait_for(function()
        w:dial_busy()
        local _, out = w:sh(("promtool query instant http://127.0.0.1:%d 'ALERTS{alertname=\"DialsRefused\"}'"):format(w.prometheus))
        return out:find('alertstate="firing"', 1, true) and out:find('server="pbx1"', 1, true)
      end, 60, function() return "the alert:\n" .. w.scraper:tail() end)
    end
    w.daemon:stop()

    w:to()
    assert.matches("pbx1 +ready", w.output)
    local told = helper.read(w.home .. "/told")
    for _, line in ipairs { "make deps build", "make deb", "apt install ./build/hookswitch.deb", "systemctl daemon-reload" } do
      assert.truthy(told:find(line .. "\n", 1, true), line)
    end
    assert.matches("\nmake deb\n", "\n" .. told)
  end)

  it("agrees with README.md, whose configuration is good and whose manager user is the same", function()
    local readme = helper.read "README.md"
    local project = helper.project { rules = { ["quiet.lua"] = "local nothing" } }
    helper.write_file(project.config, assert(readme:match "\n   ```lua\n(   return {.-\n)   ```"))
    local code, out, err = helper.run("check", "-c", project.config, { env = { PBX1_SECRET = helper.SECRET } })
    assert.equal(0, code, err)
    assert.matches("good", out)
    local user = assert(readme:match "(%[hookswitch%]\n.-)\n *```"):gsub("\n +", "\n"):gsub("secret[^\n]*\n", "")
    assert.equal(user, (block_of "/etc/asterisk/manager.conf":match "(%[hookswitch%]\n.*)\n$":gsub("secret[^\n]*\n", "")))
  end)

  it("gives the manager user what the shipped rules need, and no more", function()
    local given, needed = classes_given(), { call = "calls", agent = "queues", dialplan = "calls" }
    -- Events: what a user with these classes hears of a recorded Asterisk makes the rules say the same as all of it.
    local function said(classes)
      local folder = helper.folder()
      local code, out, err
      for _, name in ipairs { "dial", "queue" } do
        local heard = helper.read(helper.captures .. name .. ".ami"):gsub("Event: [^\r]*\r\nPrivilege: (%l+),.-\r\n\r\n", function(class)
          if classes and not classes[class] then return "" end
        end)
        helper.write_file(folder .. "/" .. name .. ".ami", heard)
      end
      code, out, err = helper.run("replay", "--rules", "scripts", folder .. "/dial.ami", folder .. "/queue.ami")
      assert.equal(0, code, err)
      local lines = {}
      for line in (out .. err):gmatch "[^\n]+" do
        -- The order of a JSON object's members is any; the clock of the log is this machine's.
        if line:find "^{" then
          local record = helper.json(line)
          local parts = {}
          for key, value in pairs(record.line and helper.json(record.line) or {}) do parts[#parts + 1] = key .. "=" .. tostring(value) end
          table.sort(parts)
          line = table.concat(parts, " ")
        end
        -- How long a call took is a matter of the machine.
        if not line:find("warn  a slow call", 1, true) then lines[#lines + 1] = (line:gsub("^[%d-]+ [%d:.]+ ", "")) end
      end
      table.sort(lines)
      return table.concat(lines, "\n")
    end
    local all, classes = said(), {}
    for _, class in ipairs(given.read) do classes[class] = true end
    assert.equal(all, said(classes))
    for class in pairs(classes) do
      assert(needed[class], class)
      classes[class] = nil
      assert.are_not.equal(all, said(classes), class)
      classes[class] = true
    end

    -- Actions: what Asterisk's own list of actions says that they need.
    local commands = helper.read(helper.captures .. "commands-and-lists.ami")
    local used = {}
    local sources = { "scripts/calls.lua", "scripts/queues.lua", "scripts/links.lua", 'Action = "CoreShowChannels"' } -- the last: of the live picture
    for _, source in ipairs(sources) do
      for action in (helper.exists(source) and helper.read(source) or source):gmatch 'Action = "(%a+)"' do
        local list = assert(commands:match("\n" .. action .. ":[^\r\n]*%(Priv: ([%l,<>]+)%)"), action)
        used[action] = {}
        for class in list:gmatch "%l+" do used[action][class] = true end
      end
    end
    for action, allowing in pairs(used) do
      local allowed = false
      for _, class in ipairs(given.write) do allowed = allowed or allowing[class] or false end
      assert.equal(action ~= "QueuePause", allowed, action) -- only with a setting, which the guide names
    end
    assert.is_true(used.QueuePause.agent)
  end)
end)
