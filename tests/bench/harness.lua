-- Starts generator, engine and floor, each on its core, and reads what they say of themselves.
local json = require "cjson"

local harness = { build = "build", generator_core = 0, engine_core = 1, limit = 120 }

local live = {} -- processes by their id

local Process = {}
Process.__index = Process

local function quote(word)
	return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function launch(core, words)
	local command = { quote(harness.build .. "/bench/launch"), core, harness.limit }
	for _, word in ipairs(words) do command[#command + 1] = quote(word) end
	local pipe = assert(io.popen("exec " .. table.concat(command, " ") .. " 2>&1", "r"))
	local pid, started = pipe:read("n", "n")
	assert(pid and started, "nothing was started: " .. tostring(words[1]))
	pipe:read("L")
	local process = setmetatable({ pid = pid, started = started / 1e9, pipe = pipe, said = {} }, Process)
	live[pid] = process
	return process
end

-- Its next line that fits, or an error with what it said instead, also when one of its rules has failed: nothing more comes then.
function Process:expect(pattern)
	local failed
	for line in self.pipe:lines() do
		self.said[#self.said + 1] = line
		if line:find(pattern) then return line end
		failed = line:find '"level":"error"' and line:find '"kind":"' and line
		if failed then break end
	end
	if not failed then
		self.pipe:close()
		live[self.pid] = nil
	end
	-- Without what valgrind says of itself.
	local faults, words = { failed }, {}
	for _, line in ipairs(self.said) do
		if #faults < 5 and (line:find '"level":"[we]' or line:find "^hookswitch") then faults[#faults + 1] = line end
		if not line:find "^==%d+==" then words[#words + 1] = line end
	end
	error(("process %d %s before it printed %q. Its first faults:\n%s\nIts last lines:\n%s"):format(self.pid, failed and "failed" or "ended",
		pattern, table.concat(faults, "\n"), table.concat(words, "\n", math.max(1, #words - 2))), 0)
end

-- The fields of the next log record with that text.
function Process:record(text)
	return json.decode(self:expect('"msg":"' .. text .. '"'))
end

function Process:signal(name)
	os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end

function Process:stop()
	self:signal("TERM")
	for line in self.pipe:lines() do self.said[#self.said + 1] = line end
	self.pipe:close()
	live[self.pid] = nil
end

-- The bytes that it has written.
function Process:written()
	for line in io.lines(("/proc/%d/io"):format(self.pid)) do
		local bytes = line:match "^wchar: (%d+)"
		if bytes then return tonumber(bytes) end
	end
end

-- Its thread of that name has a core of its own from now on: a third one, or the generator's.
function Process:move_thread(name)
	local pipe = io.popen "nproc"
	local core = pipe:read "n" > 2 and 2 or harness.generator_core
	pipe:close()
	for id in io.popen(("ls /proc/%d/task"):format(self.pid)):lines() do
		if harness.read(("/proc/%d/task/%s/comm"):format(self.pid, id)) == name .. "\n" then
			assert(os.execute(("taskset -p -c %d %s >/dev/null"):format(core, id)))
		end
	end
end

-- Seconds of all cores together that the host has given to others since the start of the machine.
function harness.stolen()
	local ticks = harness.read "/proc/stat":match "^cpu +%d+ %d+ %d+ %d+ %d+ %d+ %d+ (%d+)"
	return tonumber(ticks or 0) / 100
end

-- After an error: ends what it left.
function harness.stop_all()
	for _, process in pairs(live) do process:stop() end
end

-- Bytes; `field` is VmRSS or VmHWM.
function Process:memory(field)
	for line in io.lines(("/proc/%d/status"):format(self.pid)) do
		local kib = line:match("^" .. field .. ":%s+(%d+) kB")
		if kib then return kib * 1024 end
	end
end

-- A generator with the port that it listens on. `words` are further arguments.
function harness.generator(words)
	local command = { harness.build .. "/hookswitch", "sim", "--listen", "127.0.0.1:0", "--user", "ops", "--secret", "bench-secret",
		"--max-clients", "4096", "--write-timeout", "60", "--on-ping" }
	for _, word in ipairs(words) do command[#command + 1] = word end
	local process = launch(harness.generator_core, command)
	process.port = process:expect("^listening on"):match(":(%d+)$")
	return process
end

-- The flood of a case: how many events for each of `servers` clients, how fast, what else.
function harness.flood(events, rate, ...)
	local words = { "--events", ("%d"):format(events), ... }
	if rate then
		words[#words + 1] = "--rate"
		words[#words + 1] = rate
	end
	return harness.generator(words)
end

function harness.write(path, text)
	local file = assert(io.open(path, "w"))
	assert(file:write(text))
	assert(file:close())
end

function harness.read(path)
	local file = assert(io.open(path))
	local text = file:read "a"
	file:close()
	return text
end

function harness.folder(name)
	return harness.build .. "/bench/work/" .. (name or "engine")
end

-- Writes the configuration and the rules of one engine into the folder `name`. `case.rule` is a rule's text, or `case.rules` a
-- list of texts; `server_limits`, `defaults`, `limits` and `log` go into these sections, `config` beside them; `live`: with the picture; `events`: of each server;
-- `more_servers`: text of section `servers`.
local function prepare(case, port, name)
	local folder = harness.folder(name)
	assert(os.execute(("rm -rf %s && mkdir -p %s/rules"):format(quote(folder), quote(folder))))
	for i, text in ipairs(case.rules or { case.rule }) do harness.write(("%s/rules/r%04d.lua"):format(folder, i), text) end
	assert(os.execute(('ln -s "$PWD/tests/bench/lib" %s/lib'):format(quote(folder))))
	local servers = {}
	for i = 1, case.servers or 1 do
		servers[i] = ('\ts%d = { host = "127.0.0.1", port = %s, username = "ops", secret = "bench-secret"%s },\n'):format(i, port,
			case.events and (', events = "%s"'):format(case.events[i]) or "")
	end
	harness.write(folder .. "/hookswitch.lua", ([[
return {
servers = {
%s},
defaults = { events = "system,call,dialplan,cdr,user", limits = { pending = 100000, %s }, %s },
scripts = { rules = "rules", lib = "lib" },
limits = { actions_per_second = 0, pending = 100000, waiting = 100000, load_deadline = 1.5, %s },
log = { format = "json", %s },
live = { enabled = %s },
%s
}
]]):format(table.concat(servers) .. (case.more_servers or ""), case.server_limits or "", case.defaults or "", case.limits or "", case.log or "", case.live or false, case.config or ""))
	return folder .. "/hookswitch.lua"
end

-- The engine with a case's rules, on core `case.core` (-1: any; nil: its own); `before` (or nil) are the words before its command line, `name` (or nil) tells apart those that
-- run at the same time.
function harness.engine(case, port, before, name)
	local command = {}
	for _, word in ipairs(before or {}) do command[#command + 1] = word end
	for _, word in ipairs { harness.build .. "/hookswitch", "run", "--allow-root", "--strict", "-c", prepare(case, port, name) } do command[#command + 1] = word end
	return launch(case.core or harness.engine_core, command)
end

-- The engine that ran in that folder once more, with what it has left there.
function harness.again(folder)
	return launch(harness.engine_core, { harness.build .. "/hookswitch", "run", "--allow-root", "--strict", "-c", folder .. "/hookswitch.lua" })
end

-- A shell's script on the generator's core; further arguments are its $1, $2 …
function harness.beside(script, ...)
	return launch(harness.generator_core, { "sh", "-c", script, "sh", ... })
end

-- `count` streams of that path which are read, and `rate` requests a second; returns when all streams have begun.
function harness.readers(count, rate, port, path)
	local process = launch(harness.generator_core, { harness.build .. "/tests/readers", "--requests", rate, port, "bench-secret-0123456789", count, path })
	process:expect "^reading"
	return process
end

-- An Asterisk by script that speaks TLS, with a process for each session, and the folder of its certificates: the simulator has none.
function harness.tls_peer()
	local folder = harness.folder "tls"
	assert(os.execute(("rm -rf %s && mkdir -p %s && %s/tests/certificates %s"):format(quote(folder), quote(folder), quote(harness.build), quote(folder))))
	harness.write(folder .. "/script", [=[
line Asterisk Call Manager/9.0.0
action Login
send Response: Success\r\nActionID: $id\r\nMessage: Authentication accepted\r\n\r\n
send Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n
serve
]=])
	local process = launch(harness.generator_core, { harness.build .. "/tests/peer", "--tls", folder .. "/good.pem", folder .. "/script", "/dev/null" })
	process.port = process:expect("^listening on"):match(":(%d+)$")
	local pwd = assert(io.popen "pwd"):read "l"
	return process, folder:sub(1, 1) == "/" and folder or pwd .. "/" .. folder
end

-- From its start to the end of the stream.
function harness.run_engine(case, port)
	local engine = harness.engine(case, port)
	local done = engine:record("done")
	engine:stop()
	return done
end

function harness.run_floor(port, ...)
	local floor = launch(harness.engine_core, { harness.build .. "/bench/floor", port, ... })
	local done = json.decode(floor:expect("^{"))
	floor:stop()
	return done
end

function harness.median(list)
	local sorted = table.move(list, 1, #list, 1, {})
	table.sort(sorted)
	local middle = #sorted // 2
	return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

return harness
