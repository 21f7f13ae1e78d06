-- The configuration of `make run`: the sample beside it, with the API and the board on this machine. tests/demo makes up the token.

local config = include "hookswitch.lua"

config.live = { trunks = { "PJSIP/trunk*" } }
config.web = {
	listen = "127.0.0.1:8080",
	tokens = {
		demo = { secret = env "HOOKSWITCH_DEMO_TOKEN", scopes = { "read", "act" } },
	},
}
-- What the board may ask of an Asterisk that is only simulated.
config.policy.web = { allow = { "Hangup", "Originate", "QueuePause", "Redirect" }, originate = { "ChanSpy" } }

return config
