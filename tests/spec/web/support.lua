-- A daemon with the API, and clients of it.
local helper = require "tests.spec.helper"

local support = { READ = "read-secret-0123456789", ALL = "all-secret-0123456789", WALL = "wall-secret-0123456789" }

-- Tokens: `reader` reads, `all` may do everything, `wall` reads the queue support only.
function support.tokens()
  return {
    reader = { secret = support.READ, scopes = { "read" } },
    all = { secret = support.ALL, scopes = { "read", "emit", "act", "hooks" }, emit = { "crm.*" } },
    wall = { secret = support.WALL, scopes = { "read" }, queues = { "support" } },
  }
end

-- `options` as for helper.daemon, `web` more of its section.
function support.daemon(options, web, more)
  options = options or {}
  options.config = options.config or {}
  options.config.web = { listen = "127.0.0.1:0", tokens = support.tokens() }
  for key, value in pairs(web or {}) do options.config.web[key] = value end
  local d = helper.daemon(options, more)
  d.web_port = math.tointeger(d:await({ msg = "the API is served" }).port)
  return d
end

-- A daemon on a simulated call centre whose picture is full.
function support.live(web, more, ...)
  local sim = helper.sim("--calls-per-second", "3", "--features", "--seed", "3", ...)
  local options = more or {}
  options.servers = { pbx1 = helper.server(sim) }
  local d = support.daemon(options, web)
  d.sim = sim
  d:ready "pbx1"
  return d
end

local function escape(text)
  return (text:gsub("[\\\r\n%z\1-\31\127-\255]", function(c) return ("\\x%02X"):format(c:byte()) end))
end
support.escape = escape

-- The first answer in `bytes`: status, headers (names in lower case), body, and what stands behind it.
function support.parse(bytes)
  local head, rest = bytes:match "^(.-\r\n)\r\n(.*)$"
  if not head then return nil end
  local headers = {}
  for name, value in head:gmatch "\n([^:\r\n]+):%s*([^\r\n]*)" do headers[name:lower()] = value end
  local length = tonumber(headers["content-length"]) or 0
  return tonumber(head:match "^HTTP/1%.1 (%d+)"), headers, rest:sub(1, length), rest:sub(length + 1)
end

-- Sends the bytes as they are; what came back until the daemon closed.
function support.raw(port, bytes)
  return helper.client(port, "send " .. escape(bytes) .. "\nhold")
end

-- What a request with these fields is on the wire: { method, path, token, host, headers = { name = value }, body }.
function support.bytes(request)
  local lines = { ("%s %s HTTP/1.1"):format(request.method or "GET", request.path or "/"), "Host: " .. (request.host or "localhost") }
  if request.token then lines[#lines + 1] = "Authorization: Bearer " .. request.token end
  for name, value in pairs(request.headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  if request.body then lines[#lines + 1] = "Content-Length: " .. #request.body end
  lines[#lines + 1] = "Connection: " .. (request.connection or "close")
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (request.body or "")
end

-- status, headers, body; a body of JSON is decoded.
function support.ask(d, request)
  if type(request) == "string" then request = { path = request, token = support.READ } end
  local answer = support.raw(d.web_port, support.bytes(request))
  local status, headers, body = support.parse(answer)
  assert(status, "no answer: " .. answer)
  if headers["content-type"] == "application/json" and body ~= "" then body = helper.json(body) end
  return status, headers, body
end

return support
