-- A real browser for specs: Debian's Chromium without a window, driven through chromedriver's WebDriver, which is JSON over HTTP. Debian has no
-- socket library for Lua 5.4; curl sends the requests.
local cjson = require "cjson"
local helper = require "tests.spec.helper"

local browser = {}
browser.__index = browser

-- Nothing but the page that is tested: no network of its own, no first-run windows, nothing that waits for a graphics card.
local ARGUMENTS = { "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--mute-audio" }
local PATIENCE = tonumber(os.getenv "PATIENCE" or "30") -- s; a loaded machine draws slowly

local function found(program)
  return os.execute("command -v " .. program .. " >/dev/null 2>&1") == true
end

-- False where the packages are missing; specs are pending then.
function browser.available()
  return found "chromium" and found "chromedriver" and found "curl"
end

-- What WebDriver says is `value`; raises with its message when it refuses.
function browser:ask(method, path, body)
  local file = self.folder .. "/request"
  helper.write_file(file, body and cjson.encode(body) or "")
  local pipe = assert(io.popen(("LD_PRELOAD= curl -sS --max-time 120 -X %s -H 'Content-Type: application/json' %s http://127.0.0.1:%d%s 2>&1"):format(method,
    body and "--data-binary @" .. file or "", self.port, path)))
  local text = pipe:read "a"
  pipe:close()
  local good, answer = pcall(cjson.decode, text)
  assert(good, "chromedriver: " .. text .. self.driver:tail())
  if type(answer.value) == "table" and answer.value.error then error(answer.value.error .. ": " .. tostring(answer.value.message), 2) end
  return answer.value
end

function browser:command(method, path, body)
  return self:ask(method, ("/session/%s%s"):format(self.session, path), body)
end

-- An empty table is an object in JSON.
local OBJECT = {}

-- A browser with a profile of its own; quit() it.
function browser.start()
  local self = setmetatable({ folder = helper.folder() }, browser)
  self.driver = helper.start("chromedriver", { "--port=0" })
  self.port = tonumber((helper.wait_for(function() return self.driver:stdout():match "on port (%d+)%." end, PATIENCE,
    function() return "chromedriver: " .. self.driver:tail() end)))
  local arguments = { table.unpack(ARGUMENTS) }
  arguments[#arguments + 1] = "--user-data-dir=" .. self.folder .. "/profile"
  local value = self:ask("POST", "/session", { capabilities = { alwaysMatch = {
    ["goog:chromeOptions"] = { args = arguments }, ["goog:loggingPrefs"] = { browser = "ALL" },
  } } })
  self.session, self.pid = value.sessionId, value.capabilities["goog:processID"]
  return self
end

function browser:quit()
  pcall(self.command, self, "DELETE", "")
  if self.pid then os.execute(("kill -KILL %d 2>/dev/null"):format(self.pid)) end
end

-- ---- the page ----

-- The tools of the browser's developers.
function browser:devtools(name, parameters)
  return self:command("POST", "/goog/cdp/execute", { cmd = name, params = parameters or OBJECT })
end

function browser:size(width, height, dark)
  self:devtools("Emulation.setDeviceMetricsOverride", { width = width, height = height, deviceScaleFactor = 1, mobile = false })
  self:devtools("Emulation.setEmulatedMedia", { features = { { name = "prefers-color-scheme", value = dark and "dark" or "light" } } })
end

function browser:open(url)
  self:command("POST", "/url", { url = url })
end

-- What the script returns; its arguments are `arguments`.
function browser:run(script, ...)
  return self:command("POST", "/execute/sync", { script = script, args = select("#", ...) > 0 and { ... } or { false } })
end

-- What the script returns as soon as that is true.
function browser:await(script, ...)
  local words = table.pack(...)
  return helper.wait_for(function()
    local value = self:run(script, table.unpack(words, 1, words.n))
    return value and value ~= cjson.null and value ~= "" and value
  end, PATIENCE, function()
    return ("this in the browser: %s\nthe page says:\n%s"):format(script, tostring(self:run "return document.body.innerText"):sub(1, 2000))
  end)
end

-- The text of the first element that fits, or nil.
function browser:text(selector)
  local text = self:run("const found = document.querySelector(arguments[0]); return found && found.checkVisibility() ? found.innerText : null", selector)
  return text ~= cjson.null and text or nil
end

local function element(self, selector)
  for _, id in pairs(self:command("POST", "/element", { using = "css selector", value = selector })) do return id end
end

-- As a person does: with the keyboard and the mouse.
function browser:type(selector, text)
  local id = element(self, selector)
  self:command("POST", "/element/" .. id .. "/clear", OBJECT)
  self:command("POST", "/element/" .. id .. "/value", { text = text })
end

function browser:click(selector)
  self:command("POST", "/element/" .. element(self, selector) .. "/click", OBJECT)
end

-- Keys for whatever has the focus.
function browser:press(...)
  local actions = {}
  for _, key in ipairs { ... } do
    actions[#actions + 1] = { type = "keyDown", value = key }
    actions[#actions + 1] = { type = "keyUp", value = key }
  end
  self:command("POST", "/actions", { actions = { { type = "key", id = "keyboard", actions = actions } } })
end

-- What the console says since the last time, as lines; without answers that the test expects to fail.
function browser:console()
  local lines = {}
  for _, entry in ipairs(self:command("POST", "/se/log", { type = "browser" })) do lines[#lines + 1] = entry.level .. " " .. entry.message end
  return lines
end

local base64 = {}
for i = 1, 64 do base64[("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):byte(i)] = i - 1 end

local function decode(text)
  local parts, bits, count = {}, 0, 0
  for i = 1, #text do
    local value = base64[text:byte(i)]
    if value then
      bits, count = bits << 6 | value, count + 6
      if count >= 8 then
        count = count - 8
        parts[#parts + 1] = string.char(bits >> count & 255)
        bits = bits & ((1 << count) - 1)
      end
    end
  end
  return table.concat(parts)
end

-- A picture of the page as it is, below build/.
function browser:picture(name)
  local folder = helper.binary:gsub("[^/]*$", "screenshots/")
  helper.write_file(folder .. name .. ".png", decode(self:command("GET", "/screenshot")))
end

return browser
