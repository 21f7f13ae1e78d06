-- The tests of each layer, in the order in which a change meets them: the quick ones first, and the first that fails ends it. What
-- bears the changed file's name goes before the rest.
--   unit       a C program of tests/unit, by its name
--   specs      spec files for busted
--   module     they need only hookswitch.so, not the program
--   env        put before the command, like SCENARIO=tls
--   only       parts of file names: a change elsewhere passes this step by
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

local function only(names, step)
  step.only = names
  return step
end

local function scenario(words)
  return { specs = { "tests/spec/scenarios/scenarios_spec.lua" }, env = "SCENARIO=" .. words }
end

return {
  base = { unit "ring", unit "json", unit "log_format", module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message")),
    unit "log", unit "frame_log", module(specs "ami/pending"), specs("cli/check", "engine/session") },
  observe = { unit "log", unit "log_files", unit "log_format", unit "log_journal", unit "metrics", unit "redact", specs("control/metrics", "control/redact"),
    specs("engine/log", "engine/journal", "control/secrets") },
  ami = { module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message")), unit "ami", unit "frame_log",
    module(specs("ami/event_mask", "ami/pending", "rules/order", "ami/dialogues", "ami/captures", "ami/actions")), sanitized(unit "ami"),
    sanitized(unit "frame_log"), sanitized(module(specs("ami/action", "ami/classify", "ami/framer", "ami/lists", "ami/message", "ami/pending"))) },
  net = { unit "net", unit "stream", unit "stream_tls", unit "tls", unit "resolve", unit "link",
    specs("link/login", "link/reconnect", "engine/session"), scenario "authority,handshakes", sanitized(unit "stream"), sanitized(unit "stream_tls"), sanitized(unit "resolve"),
    sanitized(unit "tls") },
  live = { module(specs("live/snapshot", "live/picture")), module(specs "live/captures"), module(specs "live/truth") },
  persist = { unit "persist", unit "persist_faults", unit "persist_damage" },
  sandbox = { module(specs("rules/faults", "rules/waiting", "rules/files", "rules/output")), unit "stdlib", unit "arena", unit "kill",
    unit "kill_api", module(specs("rules/memory", "rules/hostile")), specs "rules/kill" },
  value = { unit "json", unit "stdlib", module(specs("rules/output", "rules/store", "rules/settings")) },
  link = { unit "link", specs("link/counts", "link/ends", "engine/losses", "link/deadlines", "link/writes", "link/reconnect", "link/login"),
    specs("engine/session", "engine/leaks"), scenario "backlog,session,writes that,memory for", sanitized(unit "link") },
  rules = { only({ "store" }, unit "store"), module(specs("rules/listening", "rules/waiting", "rules/acting", "rules/events", "rules/timers",
    "rules/store", "rules/servers", "rules/settings", "rules/output", "rules/order", "rules/engine_events", "rules/live", "rules/work", "rules/coroutines")),
    module(specs("rules/faults", "rules/reload", "rules/files")), specs("engine/losses", "rules/links", "control/disable", "engine/leaks"),
    only({ "call_clock" }, specs "rules/call_clock"), only({ "picture", "live" }, specs "engine/picture"),
    only({ "store" }, specs "engine/persist"), only({ "job", "work" }, specs "engine/work"), only({ "task", "rule", "revive", "host", "quarantine",
    "wait", "coroutine" }, module(specs("rules/memory", "rules/hostile"))), only({ "task", "rule", "revive", "host", "quarantine" }, specs "rules/kill"),
    only({ "loading", "rule_set", "rule_source", "require", "settings", "policy" }, specs "cli/check"), specs "engine/session",
    sanitized(module(specs("rules/files", "rules/reload", "rules/events", "rules/work", "rules/order", "rules/listening", "rules/acting"))) },
  config = { specs "cli/check", specs "engine/reload" },
  engine = { unit "engine", specs("engine/losses", "control/disable", "link/ends", "engine/start", "engine/picture", "engine/work", "control/call",
      "control/redact", "cli/replay"),
    specs("engine/shutdown", "engine/leaks", "engine/log", "link/counts", "link/reconnect", "engine/session"), specs("engine/reload", "engine/persist",
      "control/tail", "control/metrics", "control/ctl"), only({ "restart" }, specs "rules/kill"), sanitized(specs("engine/reload", "engine/leaks", "cli/replay")) },
  control = { unit "console", unit "capture", specs("control/ctl", "control/call"),
    specs("control/tail", "control/record", "control/metrics", "control/top") },
  web = { unit "web_reader", specs "web/http", sanitized(unit "web_reader") },
  sim = { specs "cli/sim" },
  cli = { specs("cli/help", "cli/check", "cli/replay"), specs("cli/daemon", "control/record") },
}
