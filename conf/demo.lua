-- The configuration of `make run`: the sample beside it, with the API and the board on this machine. tests/demo makes up the token, and
-- names other ports where these are in use.

local config = include "hookswitch.lua"

local ports = ({
	["ports-0"] = { ami = 5038, web = "127.0.0.1:8080", metrics = "127.0.0.1:9150" },
	["ports-1"] = { ami = 5138, web = "127.0.0.1:8081", metrics = "127.0.0.1:9151" },
	["ports-2"] = { ami = 5238, web = "127.0.0.1:8082", metrics = "127.0.0.1:9152" },
})[env("HOOKSWITCH_DEMO_PORTS", "ports-0")]
config.servers.pbx1.port = ports.ami
config.http.listen = ports.metrics
config.live = { trunks = { "PJSIP/trunk*" } }
config.web = {
	listen = ports.web,
	tokens = {
		demo = { secret = env "HOOKSWITCH_DEMO_TOKEN", scopes = { "read", "act" } },
	},
}
-- What the board may ask of an Asterisk that is only simulated.
config.policy.web = { originate = { "ChanSpy" } }

return config
