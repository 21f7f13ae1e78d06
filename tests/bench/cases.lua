-- The streams that `run` and `instructions` measure: rules as an operator would write them, and the floor to hold them against.
--   name, what    for the table
--   rule          the rule's text; %d in it is the number of servers
--   floor         mode of floor.c
--   servers       1 when absent
--   goal          the least ratio; without it the figure is told only
--   live          with the live picture; without it when absent
--   against       instead of the floor another case's engine
local head = 'local bench = require "bench"\nbench.flood(%d)\n'
local read_three = "local event, channel, id = ev.Event, ev.Channel, ev.Uniqueid"
local star = head .. 'ami.on("*", function(ev) ' .. read_three .. " end)\n"

local cases = {
	{ name = "star", what = "one listener for *, three headers", floor = "lua", goal = 0.8, rule = star },
	{ name = "none", what = "no listener", floor = "c", goal = 0.8, rule = head },
	{ name = "live", what = "the picture on, one listener for call.ended", floor = "c", goal = 0.8, live = true, rule = head .. [[
local ended = 0
ami.on("call.ended", function(call) if call.result then ended = ended + 1 end end)
]] },
	{ name = "star-live", what = "star with the picture on, beside star", against = "star", goal = 0.85, live = true, rule = star },
	{ name = "five", what = "five listeners on the commonest names", floor = "lua", rule = head .. [[
for _, name in ipairs { "Newexten", "CEL", "VarSet", "Newchannel", "Hangup" } do
	ami.on(name, function(ev) ]] .. read_three .. [[ end)
end
]] },
	{ name = "where", what = "a filter that rejects 99 %", floor = "c", rule = head .. [[
ami.on("*", { where = { Uniqueid = ami.glob "*00" } }, function(ev) ]] .. read_three .. [[ end)
]] },
}

for _, count in ipairs { 1, 100, 1000 } do
	cases[#cases + 1] = { name = "others-" .. count, what = count .. " listeners for other names", floor = "c", goal = 0.8,
		rule = head .. ("for i = 1, %d do ami.on('Other' .. i, function() end) end\n"):format(count) }
end

for _, count in ipairs { 10, 100, 1000 } do
	cases[#cases + 1] = { name = "servers-" .. count, what = count .. " servers, saturated", floor = "lua", goal = 0.8,
		servers = count, rule = star }
end

for _, count in ipairs { 1000, 10000 } do
	cases[#cases + 1] = { name = "pending-" .. count, what = count .. " pending actions", floor = "lua", goal = 0.8, rule = ([[
local bench = require "bench"
bench.flood(1, function()
	local server = ami.servers()[1]
	for i = 1, %d do
		server:send({ Action = "Originate", Channel = "PJSIP/104", Context = "default", Exten = "900", Priority = 1,
			Async = true, Timeout = 600000 })
		if i %% 100 == 0 then timer.sleep(0.02) end
	end
	timer.sleep(1)
end)
ami.on("*", function(ev) ]]):format(count) .. read_three .. " end)\n" }
end

for _, case in ipairs(cases) do
	case.servers = case.servers or 1
	if case.rule:find("bench.flood(%d)", 1, true) then
		case.rule = case.rule:gsub("bench%.flood%(%%d%)", ("bench.flood(%d)"):format(case.servers))
	end
	cases[case.name] = case
end

-- No stream: `total` Pings, `window` of them on their way at once; `untimed`: nobody keeps how long each took.
function cases.pings(window, total, untimed)
	return { rule = ([[
local bench = require "bench"
local window, wanted, sent, answered, cpu, at = %d, %d, 0, 0
local trips = %s
local function caller()
	local server, now = ami.servers()[1], timer.now
	while sent < wanted do
		sent = sent + 1
		local from = now()
		assert(server:call { Action = "Ping" })
		trips.add((now() - from) * 1e6)
		answered = answered + 1
	end
	if answered == wanted then
		local fields = { cpu = os.clock() - cpu, seconds = now() - at }
		trips.fields(fields)
		log.info("done", fields)
	end
end
bench.when_ready(1, function()
	cpu, at = os.clock(), timer.now()
	for _ = 1, window do timer.after(0, caller) end
end)
]]):format(window, total, untimed and "{ add = function() end, fields = function() end }" or "bench.histogram()") }
end

return cases
