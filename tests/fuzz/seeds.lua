-- Writes seeds for the fuzz targets, cut from the captures and a sample configuration: lua seeds.lua FIXTURES CONFIGURATION OUT
local fixtures, configuration, out = arg[1], arg[2], arg[3]

local function write(target, name, bytes)
  local file = assert(io.open(out .. "/" .. target .. "/" .. name, "wb"))
  file:write(bytes)
  file:close()
end

local limits = { 0x0C, 0x0F, 0x1F, 0x13 } -- see fuzz_framer.c: frame size, header count, banner
for number, capture in ipairs { "commands-and-lists", "dial", "queue", "conference-and-parking", "asterisk-11" } do
  local file = assert(io.open(fixtures .. "/" .. capture .. ".ami", "rb"))
  local bytes = file:read "a"
  file:close()
  for i = 0, 7 do
    local from = 1 + i * (#bytes // 8)
    write("framer", capture .. i, string.char(limits[i % 4 + 1], number * 8 + i) .. bytes:sub(from, from + 1200))
    write("pending", capture .. i, "\0\1\0\60\3\7\200" .. bytes:sub(from, from + 199))
  end
end

write("framer", "lf-session", "\31\1Some Proxy/1.0\nResponse: Success\nActionID: 1\n\nEvent: A\nB: c\n\n")
write("framer", "lf-frame", "\31\1Asterisk Call Manager/5.0\r\nResponse: Error\nMessage: x\n\nResponse: Success\r\nActionID: 2\r\n\r\n")
write("framer", "short-end", "\15\1Event: A\r\nB: c\r\n\nEvent: B\r\n\r\n\r\n\r\n")
write("framer", "glued", "\15\1Event: A\r\nPrivilege: call,all\r\nCha: Event: B\r\nPrivilege: call,all\r\n\r\nEvent: C\r\n\r\n")
write("framer", "agents", "\15\1Event: Agents\r\nCallStarted: 5\nLoggedInTime: 7\r\nX: y\r\n\r\n")
write("framer", "follows", "\15\1Response: Follows\r\nPrivilege: Command\r\nActionID: 1\r\na: b\n\n\r\n\r\nc--END COMMAND--\r\n\r\nEvent: A\r\n\r\n")
write("framer", "oversize", "\0\1Response: Success\r\nActionID: 9\r\n" .. ("Output: line\r\n"):rep(20) .. "\r\nEvent: A\r\n\r\n")
write("framer", "oversize-follows", "\0\1Response: Follows\r\nActionID: 9\r\n" .. ("line\n"):rep(40) .. "--END COMMAND--\r\n\r\nEvent: A\r\n\r\n")

local function text(s) return string.char(#s) .. s end
write("action", "ping", "\0\0\1\1" .. "\4Ping" .. "\0" .. text "Foo" .. text "bar")
write("action", "long", "\0\0\1\3\200" .. ("x"):rep(1200) .. "\2" .. text "Variable" .. "\180" .. ("v"):rep(1100))
write("action", "variables", "\1" .. text "A" .. text "1,2" .. text "CALLERID(num)" .. text [=[a "b" \ (c [d]]=])
write("action", "forged", "\0\0\1\1\6Ping\r\n" .. "\0" .. text "Foo:" .. text "a\r\nAction: B" .. "\0" .. text "actionid" .. text "1")

write("pending", "single", "\0\0\0\60\3\9\0\0")
write("pending", "list", "\0\1\0\60\3\9\1\0\9\4\0\9\4\0\9\5\0\9\5\0")
write("pending", "originate", "\0\2\2\60\3\9\0\0\9\9\0\9\8\0")
write("pending", "old-list", "\4\1\0\1\0\60\3\9\0\0\9\4\0\9\6\0")
write("pending", "sessions", "\0\0\0\9\0\1\0\60\3\5\10\8\1\0\0\0\0\9\0\1\9\12\0\6\1\0\6\2\0")

-- See frame_log_drive.h: bounds, two cursors, then events, some of them read.
write("frame_log", "shed", "\2\0\17\16\34" .. ("\9\1\20\3\9\2\40\5\9\3\60\7\9\7\80\9"):rep(40) .. "\7\31\23\31\1\0")
write("frame_log", "grow", "\127\0\127\16\127" .. ("\9\16\255\3\9\36\255\5"):rep(150) .. ("\7\31\6\9\0\9\1"):rep(8))

local sample = assert(io.open(configuration, "rb"))
write("config", "sample", sample:read "a")
sample:close()
write("config", "least", 'return { servers = { pbx1 = { host = "10.0.0.5", username = "u", secret = env "SECRET" } } }')
write("config", "tls", 'return { servers = { a = { host = "::1", port = 5039, username = "u", secret = env "SECRET", auth = "plain", tls = { enabled = true, '
  .. 'verify = true, ca = "ca.pem", server_name = "a.example" }, timeouts = { connect = 0.5 }, limits = { shed_first = { "RTCP*" } } } } }')
write("config", "wrong", 'return { servers = { a = { hots = 1, port = 70000, secret = env "SECRET" .. 1 } }, limits = { deadline = -1 }, log = { level = env "SECRET" } }')
write("config", "secret-key", 'return { [env "SECRET"] = 1, servers = { [env "SECRET"] = { host = env "SECRET", port = env "SECRET" } } }')
write("config", "files", 'return { servers = include "*.lua", rules = { x = file "hookswitch.lua" }, sinks = { s = { file = "/tmp/x" } } }')
-- What fuzzing has found: a text that looked like one that env could not give.
write("config", "marker", 'return { servers = { a = { host = "::1", username = "u", secret = "\1missing\1" } } }')
write("config", "loop", 'local t = {} t.t = t while t do t = t.t end return t')
write("config", "error", 'error(env "SECRET") return nil')

-- See fuzz_redact.c: what is planted, pieces, cap, where, how far apart.
for kind = 0, 8 do
  for number, bytes in ipairs { 'Event: A\r\nNote: "x" [y] {z} \\" a=b, c;d&e\r\n\r\nOutput: x\r\n\r\n', '{"password":"x\\\\","list":["a"],"pin":1} token=[x "secret: y',
    "Response: Follows\r\nSecret : x\nserver.key: y\n\nHASH(pin)=1\n--END COMMAND--\r\n\r\n" } do
    for where = 0, 3 do write("redact", ("%d-%d-%d"):format(kind, number, where), string.char(kind, 6, 40 + where * 20, where * 85, 128) .. bytes) end
  end
end

-- Long lives of a few channels: whatever the bytes are, they make events.
math.randomseed(11)
for i = 1, 24 do
  local bytes = {}
  for n = 1, 160 * i do bytes[n] = string.char(math.random(0, 255)) end
  write("live", "life" .. i, table.concat(bytes))
end

local HOST = "Host: a.example\r\n"
write("web_reader", "get", "\0GET /api/calls?state=up HTTP/1.1\r\n" .. HOST .. "\r\nGET http://a.example/b%20c HTTP/1.0\r\n" .. HOST .. "\r\n")
write("web_reader", "post", "\1POST /hooks/a HTTP/1.1\r\n" .. HOST .. "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabcPOST / HTTP/1.1\r\n" .. HOST .. "\r\n")
write("web_reader", "chunks", "\7POST / HTTP/1.1\r\n" .. HOST .. "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\n" .. HOST .. "\r\n")
write("web_reader", "upgrade", "\3GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
write("web_reader", "two-lengths", "\3POST / HTTP/1.1\r\n" .. HOST .. "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
