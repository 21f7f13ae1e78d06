-- The tests of each layer, in the order in which a change meets them: the quick ones first, and the first that fails ends it.
--   unit       a C program of tests/unit, by its name
--   specs      spec files for busted
--   module     they need only hookswitch.so, not the program
--   env        put before the command, like SCENARIO=tls
--   sanitize   built with SANITIZE=1, and leaks are looked for: for what the steps before let through
local function unit(name)
  return { unit = name .. "_test" }
end

local function specs(...)
  local step = { specs = { ... } }
  for i, name in ipairs(step.specs) do step.specs[i] = "tests/spec/" .. name .. "_spec.lua" end
  return step
end

local function module(step)
  step.module = true
  return step
end

local function sanitized(step)
  step.sanitize = true
  return step
end

local function scenario(words)
  return { specs = { "tests/spec/scenarios/scenarios_spec.lua" }, env = "SCENARIO=" .. words }
end

return {
  base = { unit "ring", unit "json", unit "log_format", module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message")),
    unit "log", unit "frame_log", module(specs "ami/pending"), specs("cli/check", "engine/session") },
  observe = { unit "log", unit "log_format", unit "log_journal", unit "metrics", unit "redact", specs("control/metrics", "control/redact"),
    specs("engine/log", "engine/journal", "control/secrets") },
  ami = { module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message")), unit "ami", unit "frame_log",
    module(specs("ami/pending", "ami/dialogues", "ami/captures")), sanitized(unit "ami"),
    sanitized(module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message", "ami/pending"))) },
  net = { unit "net", unit "stream", unit "tls", unit "resolve", unit "link", sanitized(unit "stream"), sanitized(unit "resolve"), sanitized(unit "tls"), specs("link/login", "engine/session"), scenario "authority,handshakes" },
  live = { module(specs "live/captures") },
  persist = { unit "persist", unit "persist_faults", unit "persist_damage" },
  sandbox = { unit "arena", unit "stdlib", unit "kill", module(specs("rules/faults", "rules/waiting", "rules/files")) },
  value = { unit "json", unit "stdlib", module(specs("rules/output", "rules/store", "rules/settings")) },
  link = { unit "link", specs("link/login", "engine/session"), scenario "backlog,session" },
  rules = { unit "store", module(specs("rules/listening", "rules/waiting", "rules/acting", "rules/events", "rules/timers", "rules/store",
    "rules/servers", "rules/settings", "rules/output", "rules/order", "rules/engine_events")),
    module(specs("rules/faults", "rules/files", "rules/reload")) },
  config = { specs "cli/check", specs "engine/reload" },
  engine = { unit "engine", specs("engine/session", "engine/start", "engine/shutdown"), specs("cli/replay", "engine/reload") },
  control = { unit "console", unit "capture", specs("control/ctl", "control/call", "control/http"),
    specs("control/tail", "control/record", "control/metrics", "control/top") },
  sim = { specs "cli/sim" },
  cli = { specs("cli/help", "cli/check", "cli/replay"), specs("cli/daemon", "control/record") },
}
