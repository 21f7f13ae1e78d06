-- What the rules of benchmarks share: the stream begins when everything is ready, and the log tells what it cost.
--
-- It begins with a Ping on every server, and ends with the UserEvent FloodDone of each. The log gets, at
-- the one level that no case switches off,
--   ready  cpu, at                 every session is up
--   done   cpu, seconds, shed, …   of the stream alone, and what `extra` gives
local bench = {}

-- Microseconds by their number.
function bench.histogram()
	local counts, total, longest = {}, 0, 0
	local histogram = {}

	function histogram.add(us)
		us = us < 0 and 0 or us // 1 | 0
		counts[us] = (counts[us] or 0) + 1
		total = total + 1
		if us > longest then longest = us end
	end

	function histogram.fields(into)
		local keys, seen, at = {}, 0, 1
		local wanted = { { 0.5, "delay_p50" }, { 0.99, "delay_p99" }, { 0.999, "delay_p999" } }
		for us in pairs(counts) do keys[#keys + 1] = us end
		table.sort(keys)
		for _, us in ipairs(keys) do
			seen = seen + counts[us]
			while wanted[at] and seen >= wanted[at][1] * total do
				into[wanted[at][2]] = us
				at = at + 1
			end
		end
		into.delay_max = longest
		into.samples = total
	end

	return histogram
end

-- The same in pieces of `size` samples: the p99 of the piece in the middle, so that what the machine did besides in some of them does
-- not count.
function bench.histograms(size)
	local pieces, left = {}, 0
	local histograms = {}

	function histograms.add(us)
		if left == 0 then
			pieces[#pieces + 1] = bench.histogram()
			left = size
		end
		left = left - 1
		pieces[#pieces].add(us)
	end

	-- Waits between pieces: each has its own deadline.
	function histograms.fields(into)
		local p99 = {}
		for _, piece in ipairs(pieces) do
			local fields = {}
			piece.fields(fields)
			if fields.samples == size then p99[#p99 + 1] = fields.delay_p99 end
			timer.sleep(0)
		end
		table.sort(p99)
		into.delay_p99, into.pieces = p99[(#p99 + 1) // 2], #p99
	end

	return histograms
end

-- Calls `begin` in a coroutine of its own a little after the last of `servers` is ready.
function bench.when_ready(servers, begin)
	local ready = 0
	ami.on("server.ready", { where = { reason = "connected" } }, function()
		ready = ready + 1
		if ready < servers then return end
		log.error("ready", { cpu = os.clock(), at = timer.now() })
		timer.after(0.2, begin)
	end)
end

-- One stream for each server. `prepare` (or nil) runs before it and may wait; `extra(fields)` (or nil) adds to the fields of "done".
-- `ask(servers, ended)` (or nil: a Ping to each) orders the streams.
function bench.flood(servers, prepare, extra, ask)
	local done, shed, cpu, at = 0, 0, 0, 0
	bench.when_ready(servers, function()
		if prepare then prepare() end
		local all = ami.servers()
		cpu, at = os.clock(), timer.now()
		log.error("begun", {})
		if ask then return ask(all, function() return done == servers end) end
		for _, server in ipairs(all) do server:send { Action = "Ping" } end
	end)
	ami.on("server.gap", function(ev) shed = shed + ev.count end)
	ami.on("UserEvent", { where = { UserEvent = "FloodDone" } }, function()
		done = done + 1
		if done < servers then return end
		local fields = { cpu = os.clock() - cpu, seconds = timer.now() - at, shed = shed }
		if extra then extra(fields) end
		log.error("done", fields)
	end)
end

-- The same from a generator with --per-ping: the next piece is ordered when the last one has been read, from one server after the
-- other. Every read then holds the same events on every machine.
function bench.pieces(servers)
	bench.flood(servers, nil, nil, function(all, ended)
		while not ended() do
			for _, server in ipairs(all) do assert(server:call { Action = "Ping" }) end
		end
	end)
end

return bench
