-- The log in systemd's journal, on the real program. The journal's socket has a fixed place: each daemon gets a /run of its own.
local h = require "tests.spec.helper"

local notify_binary = h.binary:gsub("[^/]*$", "tests/notify")

-- /run, with the journal's folder in it when there is one; then the daemon. `stream` is what systemd would say of stderr.
local SCRIPT = [[
mount -t tmpfs none /run || exit 99
if [ -n "$1" ]; then mkdir -p /run/systemd/journal && mount --bind "$1" /run/systemd/journal || exit 99; fi
case "$2" in
ours) JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM ;;
other) JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/1); export JOURNAL_STREAM ;;
esac
shift 2
exec "$@"
]]

local function namespaces()
  return os.execute "unshare -rm mount -t tmpfs none /run 2>/dev/null"
end

local function journal()
  local folder = h.folder()
  local process = h.start(notify_binary, { folder .. "/socket" })
  process.home = folder
  h.wait_for(function() return process:stdout():find("listening on", 1, true) end)
  function process.await(text)
    return h.wait_for(function() return process:stdout():find(text, 1, true) end, nil,
      function() return text .. " in the journal, which has:\n" .. process:stdout() end)
  end
  return process
end

local function daemon(project, where, stream, ...)
  local process = h.start("unshare", { "-rm", "sh", "-c", SCRIPT, "sh", where and where.home or "", stream or "",
    h.binary, "run", "--allow-root", "-c", project.config, ... })
  process.project = project
  return process
end

local function await_stderr(process, text)
  h.wait_for(function() return process:stderr():find(text, 1, true) end, nil, function() return text .. " in: " .. process:tail() end)
end

local function stop(process)
  process:signal "TERM"
  assert.equal(0, process:ended())
end

local RULE = [[ami.on("probe.say", function(ev) log.warn("said", { word = ev.word, secret = "x", agent = { name = "a" } }) end)]]

describe("the journal", function()
  after_each(h.cleanup)
  if not namespaces() then
    pending "needs namespaces"
    return
  end

  for name, how in pairs { ["by configuration"] = { config = "journal" }, ["by --log-format"] = { config = "text", option = "journal" },
                           ["by itself when stderr is its stream"] = { stream = "ours" } } do
    it("gets native fields " .. name, function()
      local j = journal()
      local project = h.project { rules = { ["probe.lua"] = RULE }, config = { log = { format = how.config, throttle_burst = 1000000 } } }
      local d = daemon(project, j, how.stream, how.option and "--log-format", how.option)
      j.await "MESSAGE=started version="
      local code, _, err = h.run("ctl", "--socket", project.folder .. "/console", "emit", "probe.say", "word=hello")
      assert.equal(0, code, err)
      j.await 'MESSAGE=said rule=probe event=probe.say agent={"name":"a"} secret=[redacted] word=hello\nPRIORITY=4\nSYSLOG_IDENTIFIER=hookswitch\n'
      j.await '\nHOOKSWITCH_MSG=said\nHOOKSWITCH_RULE=probe\nHOOKSWITCH_EVENT=probe.say\nHOOKSWITCH_AGENT={"name":"a"}\nHOOKSWITCH_SECRET=[redacted]\nHOOKSWITCH_WORD=hello\n'
      d:signal "USR1"
      stop(d)
      j.await "MESSAGE=stopped\n"
      assert.equal("", d:stderr())
    end)
  end

  it("is left alone when stderr goes elsewhere", function()
    local j = journal()
    local d = daemon(h.project {}, j, "other")
    await_stderr(d, '"msg":"started"')
    stop(d)
    assert.is_nil(j:stdout():find("MESSAGE", 1, true))
  end)

  it("is done without, loudly, when nobody asked for it by name and it is not there", function()
    local d = daemon(h.project {}, nil, "ours")
    await_stderr(d, '"msg":"started"')
    stop(d)
    assert.matches('"level":"warn","msg":"the log goes to stderr","reason":"there is no journal at /run/systemd/journal/socket: ', d:stderr())
  end)

  it("must be there when it was asked for by name", function()
    local d = daemon(h.project { config = { log = { format = "journal" } } })
    assert.equal(1, d:ended())
    assert.matches("\nthere is no journal at /run/systemd/journal/socket: No such file or directory; with log%.format text or json ", d:stderr())
  end)

  it("takes no file besides", function()
    local project = h.project { config = { log = { format = "journal", file = "log" } } }
    for _, command in ipairs { "check", "run" } do
      local code, _, err = h.run(command, "-c", project.config, command == "run" and "--allow-root" or nil)
      assert.equal(1, code)
      assert.matches("hookswitch.lua: log%.file: the journal takes no file; leave out one of them\n", err)
    end
    project.write { config = { log = { file = "log" } } }
    local code, _, err = h.run("run", "--allow-root", "-c", project.config, "--log-format", "journal")
    assert.equal(1, code)
    assert.matches("log%.file: the journal takes no file", err)
  end)

  it("is neither left nor found by a reload, which says so and changes nothing", function()
    local j = journal()
    local project = h.project { config = { log = { format = "journal", throttle_burst = 1000000 } } }
    local d = daemon(project, j)
    j.await "MESSAGE=started"
    project.write { config = { log = { format = "json" } } }
    d:signal "HUP"
    j.await "reason=\"" -- of the refusal
    j.await "log.format cannot change to or from the journal while the daemon runs; restart it"
    project.write { config = { log = { format = "journal", level = "debug", throttle_burst = 1000000 } } }
    d:signal "HUP"
    j.await "MESSAGE=reloaded"
    stop(d)
    local other = h.daemon { config = { log = { format = "json", throttle_burst = 1000000 } } }
    other.project.write { config = { log = { format = "journal", throttle_burst = 1000000 } } }
    local good, why = other:reload()
    assert.is_false(good)
    assert.matches("log%.format cannot change to or from the journal", why)
    other.project.write { config = { log = { format = "text", throttle_burst = 1000000 } } }
    other:signal "HUP"
    await_stderr(other, " info  reloaded generation=")
  end)
end)
