-- The configuration of hookswitch. It works as it stands with a simulated Asterisk:
--
--     build/hookswitch sim --listen 127.0.0.1:5038 --user hookswitch --secret sample-secret --calls-per-second 2
--     build/hookswitch run -c conf/hookswitch.lua
--
-- conf/README.md has every option, with its range and default. Check an edit with `hookswitch check -c FILE`,
-- then send SIGHUP or say `hookswitch ctl reload`: what is wrong is refused, and the old configuration goes on.

return {
	-- The Asterisk servers, each under a name of your choice. Rules and logs call them by it.
	servers = {
		pbx1 = {
			host = "127.0.0.1",
			username = "hookswitch",
			-- A secret is best kept out of this file: env "NAME", or file "path" (of one line).
			secret = env("HOOKSWITCH_SECRET", "sample-secret"),
		},
		-- pbx2 = {
		-- 	host = "pbx2.example.net",
		-- 	username = "hookswitch",
		-- 	secret = file "pbx2.secret",
		-- 	tls = { enabled = true, ca = "ca.pem" }, -- port 5039 then
		-- },
	},
	-- Or a file for each: servers = include "conf.d/*.lua"

	-- What holds for every server that does not say otherwise.
	defaults = {
		-- Classes of events that Asterisk is asked for; fewer classes, less traffic. "auto": what the rules and the live picture need.
		events = "on",
		timeouts = { action = 10 },
	},

	-- The rules, and the modules that they may require. Relative to the folder above conf/.
	scripts = { rules = "scripts", lib = "lib" },

	-- Settings of single rules: rules.missed goes to scripts/missed.lua.
	rules = {
		-- missed = { queue = "support" },
	},

	-- Files that rules write lines to. Their folders must exist.
	sinks = {
		journal = { file = "build/journal.log" },
	},

	-- Which actions rules may send. What reaches files, shell, dialplan code or configuration is denied until allowed here.
	policy = {
		deny = {},
		rules = {
			-- recorder = { allow = { "MixMonitor" } },
		},
	},

	-- The live picture of calls, queues and agents. Trunks make the direction of calls known.
	live = {
		-- trunks = { "PJSIP/carrier*" },
	},

	-- What survives a restart: persistent stores and jobs of rules. The shipped rules use it where it is there.
	persist = { file = "build/state.db" },

	log = { level = "info" },

	-- Where `hookswitch ctl` reaches the running engine.
	control = { socket = "build/hookswitch.sock" },

	-- Where Prometheus gets its metrics, and others ask whether all is well: /metrics, /healthz, /ready.
	http = { listen = "127.0.0.1:9150" },

	-- The API for web applications, off until it is named. Beyond this machine it needs TLS. Each client has a token of its own.
	-- web = {
	-- 	listen = "127.0.0.1:8080",
	-- 	tokens = {
	-- 		crm = { secret = env "CRM_TOKEN", scopes = { "read", "emit", "hooks" }, emit = { "crm.*" } },
	-- 		wall = { secret = env "WALL_TOKEN", scopes = { "read" }, queues = { "support" } },
	-- 	},
	-- },
}
