-- The tests of each layer, in the order in which a change meets them: the quick ones first, and the first that fails ends it. What
-- bears the changed file's name goes before the rest.
--   unit       a C program of tests/unit, by its name
--   specs      spec files for busted
--   module     they need only hookswitch.so, not the program
--   env        put before the command, like SCENARIO=tls
--   only       parts of file names: a change elsewhere passes this step by
--   last       true: a change of those files meets no further step
-- A spec that a change has met already is left out of its further steps.
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

-- A change of these files meets this step and no later one.
local function last(names, step)
  step.last = true
  return only(names, step)
end

local function scenario(words)
  return { specs = { "tests/spec/scenarios/scenarios_spec.lua" }, env = "SCENARIO='" .. words .. "'" }
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
    specs("link/login", "link/reconnect", "link/writes", "engine/session"), scenario "authority,handshakes,name server,several addresses,hosts file,breaker",
    specs("control/metrics", "engine/leaks", "engine/start"), sanitized(unit "stream"), sanitized(unit "stream_tls"), sanitized(unit "resolve"),
    sanitized(unit "tls") },
  http = { specs "engine/http", module(specs "rules/http"), specs "cli/replay" },
  live = { module(specs("live/snapshot", "live/picture", "live/old")), module(specs("live/captures", "rules/live")), module(specs("live/hostile", "live/truth")),
    specs("engine/picture", "engine/picture_events", "control/live", "live/engine"), sanitized(module(specs("live/snapshot", "live/picture", "live/old", "live/captures"))) },
  persist = { unit "persist", unit "persist_faults", unit "persist_damage", module(specs("rules/store", "rules/work")), specs("engine/persist", "engine/work"),
    sanitized(unit "persist"), sanitized(unit "persist_faults"), sanitized(unit "persist_damage") },
  sandbox = { module(specs("rules/faults", "rules/waiting", "rules/files", "rules/output")), unit "stdlib", unit "arena", unit "arena_memory", only({ "arena" }, unit "arena_place"),
    only({ "pattern" }, unit "pattern"), only({ "deadline" }, unit "deadline"), only({ "kill" }, unit "kill_retry"), unit "kill", unit "kill_api", module(specs("rules/memory", "rules/hostile")), specs "rules/kill", only({ "deadline" }, specs "engine/shutdown"),
    only({ "arena" }, sanitized(unit "arena")), only({ "arena" }, sanitized(unit "arena_memory")), only({ "kill" }, sanitized(unit "kill_retry")) },
  value = { unit "json", unit "stdlib", module(specs("rules/output", "rules/store", "rules/settings")) },
  link = { unit "link", specs("link/counts", "link/ends", "engine/losses", "link/deadlines", "link/writes", "link/reconnect", "link/login"),
    specs("engine/session", "engine/leaks", "engine/log", "engine/shutdown", "control/metrics", "control/call", "control/record", "control/ctl"),
    specs("engine/reload", "control/secrets"),
    scenario "backlog,session,writes that,its deadline,loris,mid-login,half-open,heartbeat,breaker,refused,dead servers,SIGSTOP,routing",
    sanitized(unit "link"), sanitized(specs("link/ends", "engine/leaks")) },
  rules = { only({ "store" }, unit "store"), module(specs("rules/listening", "rules/waiting", "rules/acting", "rules/events", "rules/timers",
    "rules/store", "rules/servers", "rules/settings", "rules/output", "rules/order", "rules/engine_events", "rules/live", "rules/work", "rules/web", "rules/coroutines")),
    module(specs("rules/faults", "rules/reload", "rules/files")), specs("engine/losses", "rules/links", "control/disable", "engine/leaks", "cli/check",
      "cli/replay"), only({ "call_clock" }, specs "rules/call_clock"),
    only({ "picture", "live" }, specs("engine/picture", "engine/picture_events", "control/live")), only({ "wants" }, specs "engine/events"),
    only({ "store" }, specs "engine/persist"), only({ "job", "work" }, specs "engine/work"), only({ "hook", "web" }, specs "web/hooks"), only({ "http" }, module(specs "rules/http")),
    only({ "http" }, specs "engine/http"), only({ "task", "rule", "revive", "host", "quarantine",
    "wait", "coroutine" }, module(specs("rules/memory", "rules/hostile"))), only({ "task", "rule", "revive", "host", "quarantine" }, specs "rules/kill"),
    specs("engine/session", "engine/shutdown", "engine/start", "engine/log", "control/ctl", "control/metrics", "control/secrets"), specs "engine/reload",
    sanitized(module(specs("rules/files", "rules/reload", "rules/events", "rules/work", "rules/order", "rules/listening", "rules/acting"))) },
  config = { specs "cli/check", specs("link/login", "control/secrets", "control/roles", "engine/log", "engine/start", "engine/picture", "engine/persist",
      "web/http"), specs("engine/reload", "cli/help", "cli/replay", "link/reconnect"), sanitized(specs "cli/check") },
  engine = { unit "engine", only({ "board" }, unit "board"), only({ "sink_request" }, unit "sink_request"), only({ "headers" }, unit "headers"),
    only({ "mapping" }, unit "mapping"), only({ "board" }, sanitized(unit "board")), only({ "sink_request" }, sanitized(unit "sink_request")),
    -- Nothing but the command goes through these files.
    only({ "replay" }, specs("cli/replay", "control/record", "control/secrets", "engine/picture")), last({ "replay" }, sanitized(specs "cli/replay")),
    only({ "check", "plan", "mapping" }, specs("cli/check", "link/login")), only({ "picture" }, specs("engine/picture", "engine/picture_events", "control/live", "live/engine")),
    only({ "metrics", "frame_counts" }, specs("control/metrics", "link/counts")), only({ "persistence" }, specs "engine/persist"),
    only({ "sink" }, specs("engine/web_sink", "persist/sinks_kill")), only({ "events" }, specs "engine/events"), only({ "http" }, specs "engine/http"),
    only({ "reload", "plan" }, specs "engine/reload"), only({ "restart", "loader" }, specs "rules/kill"),
    only({ "mapping", "reload" }, specs "engine/journal"), only({ "reload", "plan", "board" }, specs "web/board_files"), only({ "reload", "plan" }, specs "web/access"),
    specs("control/redact", "engine/losses", "control/disable", "link/ends", "cli/check", "link/counts", "link/reconnect", "control/secrets", "engine/leaks", "engine/log",
      "engine/start", "engine/picture", "control/call", "engine/shutdown", "control/tail", "engine/work", "control/metrics"),
    specs("engine/reload", "engine/session", "engine/persist", "control/ctl"), specs("engine/events", "cli/replay"),
    only({ "check", "plan", "mapping" }, specs "engine/web_sink"), only({ "check" }, sanitized(specs "cli/check")),
    sanitized(unit "engine"),
    only({ "sink" }, sanitized(specs "engine/web_sink")), sanitized(specs("engine/reload", "engine/shutdown", "engine/start", "engine/leaks")) },
  control = { unit "console", unit "capture", specs("control/redact", "control/disable", "control/completion", "control/record", "control/secrets", "control/call",
      "control/tail", "control/metrics", "control/roles", "control/ctl"), only({ "live", "table", "json", "render" }, specs "control/live"),
    only({ "top", "table", "render" }, specs "control/top"),
    only({ "work", "orders", "table", "state_file" }, specs("engine/work", "engine/persist")), specs("engine/start", "cli/help"), sanitized(unit "console"),
    sanitized(specs("control/ctl", "control/tail", "control/call")) },
  view = { specs("control/live", "control/call", "control/tail", "control/ctl", "web/lists") },
  web = { unit "web_reader", only({ "group", "ring", "turn" }, unit "web_streams"), specs("web/http", "web/access", "web/attacks", "web/lists", "web/live", "web/board_files", "web/act", "web/openapi", "web/hooks"), only({ "live", "turn" }, specs "web/readers"), sanitized(unit "web_reader"),
    sanitized(specs("web/attacks", "web/live")) },
  sim = { specs "cli/sim" },
  cli = { specs("cli/help", "cli/check", "cli/replay"), specs("cli/daemon", "control/record") },
}
