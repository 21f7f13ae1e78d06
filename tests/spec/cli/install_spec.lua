local lfs = require "lfs"
local helper = require "tests.spec.helper"

-- The package is made from what was built; nothing is compiled here unless it is out of date.
local build = helper.binary:match "^(.*)/" or "build"

local function run(program, ...)
  local words = table.pack(...)
  words[words.n + 1] = { program = program, timeout = 300 }
  return helper.run(table.unpack(words))
end

local function sh(script, ...)
  return run("sh", "-c", script, "sh", ...)
end

describe("install", function()
  after_each(helper.cleanup)

  local function make(...)
    local code, out, err = run("make", "-s", "BUILD=" .. build, ...)
    assert.are.equal(0, code, out .. err)
    return out
  end

  -- A sanitized build, or another compiler's, is not what is installed.
  if build:match "[^/]*$" ~= "build" then return end

  local package
  local function deb()
    package = package or make("deb"):match "(%S+%.deb)\n"
    return package
  end

  local function checked(root, program, etc)
    local code, out, err = helper.run("check", "-c", etc .. "/hookswitch.lua", { program = root .. program })
    assert.are.equal(0, code, out .. err)
  end

  it("puts a working set under PREFIX and leaves a configuration that is there alone", function()
    local root = helper.folder()
    make("install", "DESTDIR=" .. root, "PREFIX=/opt/hs")
    for _, file in ipairs { "/opt/hs/bin/hookswitch", "/opt/hs/lib/lua/5.4/hookswitch.so", "/opt/hs/share/man/man1/hookswitch.1",
      "/opt/hs/share/man/man5/hookswitch.lua.5", "/opt/hs/share/man/man7/hookswitch-rules.7", "/etc/hookswitch/scripts/calls.lua", "/etc/hookswitch/lib/board/index.html",
      "/opt/hs/share/bash-completion/completions/hookswitch", "/opt/hs/lib/systemd/system/hookswitch.service" } do
      assert.is_true(helper.exists(root .. file), file)
    end
    assert.matches("\nExecStart=/opt/hs/bin/hookswitch run %-c /etc/hookswitch/hookswitch.lua\n",
      helper.read(root .. "/opt/hs/lib/systemd/system/hookswitch.service"))
    checked(root, "/opt/hs/bin/hookswitch", root .. "/etc/hookswitch")
    local config = helper.read(root .. "/etc/hookswitch/hookswitch.lua")
    assert.is_nil(config:find("build/", 1, true))
    helper.write_file(root .. "/etc/hookswitch/hookswitch.lua", "-- mine\n" .. config)
    make("install", "DESTDIR=" .. root, "PREFIX=/opt/hs")
    assert.matches("^%-%- mine\n", helper.read(root .. "/etc/hookswitch/hookswitch.lua"))
  end)

  it("serves the board and the API as soon as the configuration's section is taken out of its comment", function()
    local root, secret = helper.folder(), "wall-secret-0123456789"
    make("install", "DESTDIR=" .. root, "PREFIX=/opt/hs")
    local file = root .. "/etc/hookswitch/hookswitch.lua"
    local config, count = helper.read(file):gsub("\n\t%-%- (web = {.-)\n\t%-%- },\n", function(section) return "\n\t" .. section:gsub("\n\t%-%- ", "\n\t") .. "\n\t},\n" end)
    assert.are.equal(1, count)
    -- Below the folder, and on ports that are free.
    config = config:gsub('"(/%w+/[%w/.]*hookswitch/)', function(path) return '"' .. root .. path end):gsub("127%.0%.0%.1:%d+", "127.0.0.1:0")
    for _, folder in ipairs { "/var/log/hookswitch", "/var/lib/hookswitch", "/run/hookswitch" } do os.execute("mkdir -p " .. root .. folder) end
    helper.write_file(file, config)
    local daemon = helper.start(root .. "/opt/hs/bin/hookswitch", { "run", "--allow-root", "-c", file }, { cwd = root, env = { CRM_TOKEN = "crm-secret-0123456789", WALL_TOKEN = secret } })
    local port = helper.wait_for(function() return helper.exists(daemon.err) and helper.read(daemon.err):match '"the API is served"[^\n]-"port":(%d+)' end, nil, function() return helper.read(daemon.err) end)
    local function get(path, ...)
      local code, out, err = run("curl", "-sS", "-D", "/dev/stderr", "-o", "-", ("http://127.0.0.1:%s%s"):format(port, path), ...)
      assert.are.equal(0, code, err)
      return tonumber(err:match "^HTTP/1.1 (%d+)"), out, err:lower():match "\ncontent%-type: ([^\r\n]*)"
    end
    -- The page and all that it loads, as they stand in the source.
    local types, waiting, seen = { html = "text/html", css = "text/css", js = "text/javascript", svg = "image/svg" }, { "index.html" }, {}
    while #waiting > 0 do
      local name = table.remove(waiting)
      if not seen[name] then
        seen[name] = true
        local status, body, kind = get("/board/" .. (name == "index.html" and "" or name))
        assert.are.equal(200, status, name)
        assert.are.equal(helper.read("lib/board/" .. name), body)
        assert.are.equal(1, (kind:find(types[name:match "%w+$"], 1, true)), kind)
        for _, pattern in ipairs { 'src="([%w.]+)"', 'href="([%w.]+)"', 'from "%./([%w.]+)"', 'new URL%("([%w.]+)"' } do
          for other in body:gmatch(pattern) do waiting[#waiting + 1] = other end
        end
      end
    end
    for name in lfs.dir "lib/board" do assert.is_true(seen[name] or name:find "^%." ~= nil, name .. " is never loaded") end
    local status, body = get("/api/queues", "-H", "Authorization: Bearer " .. secret)
    assert.are.equal(200, status)
    assert.truthy(body:find('"queues":[', 1, true), body)
    assert.are.equal(401, (get "/api/queues"))
  end)

  it("has documents that name what is installed, and nothing of the source", function()
    local root = helper.folder()
    make("install", "DESTDIR=" .. root, "PREFIX=/usr")
    local doc, man = "/usr/share/doc/hookswitch/", "/usr/share/man/"
    -- What the guide has its reader write.
    local own = { ["/etc/hookswitch/pbx1.secret"] = true, ["/etc/hookswitch/scripts/failed.lua"] = true, ["/etc/hookswitch/scripts/hello.lua"] = true,
                  ["/etc/hookswitch/secrets.env"] = true }
    for _, file in ipairs { doc .. "README.md", doc .. "examples/README.md", doc .. "examples/web.md", man .. "man1/hookswitch.1", man .. "man5/hookswitch.lua.5", man .. "man7/hookswitch-rules.7" } do
      local text = helper.read(root .. file):gsub("\\%-", "-"):gsub("\\f.", ""):gsub("%f[%S]~/pbx/%S+", "")
      for _, word in ipairs { "build/", "make run", "make test", "make deb", "make install", "make deps", "tests/", "src/", "lib/README", "conf/README", "](../", "](conf", "](lib",
                              "<!-- source", "<!-- installed", "@DOC@", "@ETC@" } do
        local at = text:find(word, 1, true)
        assert.is_nil(at, at and ("%s has %s: %s"):format(file, word, text:sub(math.max(1, at - 60), at + 60)))
      end
      for _, folder in ipairs { "/etc/hookswitch", "/usr/share" } do
        for path in text:gmatch("%f[%S`(]" .. folder:gsub("%p", "%%%0") .. "[%w_./-]*") do
          path = path:gsub("[.]$", "")
          assert.is_true(own[path] or helper.exists(root .. path), file .. " names " .. path)
        end
      end
    end
    assert.matches("/usr/share/doc/hookswitch/examples/queue%.ami", helper.read(root .. doc .. "README.md"))
    -- The guide's last example, as it stands there.
    local code, out, err = helper.run("replay", "--rules", root .. "/etc/hookswitch/scripts", root .. doc .. "examples/queue.ami", { program = root .. "/usr/bin/hookswitch", cwd = root })
    assert.are.equal(0, code, out .. err)
  end)

  it("gives tests the module, also where the configuration has its name, and documents all of it", function()
    local root = helper.folder()
    make("install", "DESTDIR=" .. root, "PREFIX=/usr")
    -- As a Lua of Debian has it: its own folders first, the current one last.
    local env = { LUA_PATH = root .. "/usr/share/lua/5.4/?.lua;./?.lua", LUA_CPATH = root .. "/usr/lib/lua/5.4/?.so" }
    helper.write_file(root .. "/etc/hookswitch/spec.lua", [[
      local module = require "hookswitch"
      local h <close> = assert(module.rules.new { rules = "scripts", lib = "lib", servers = { "pbx1" } })
      h:ready "pbx1"
      h:advance()
      assert(h:sent()[1].action.Action)
      for name in pairs(getmetatable(h).__index) do print("h:" .. name) end
      for name in pairs(module.rules) do print("rules." .. name) end]])
    local code, out, err = helper.run("spec.lua", { program = "lua5.4", cwd = root .. "/etc/hookswitch", env = env })
    assert.are.equal(0, code, err)
    local reference = helper.read "lib/README.md"
    for _, name in ipairs(helper.lines(out)) do assert.is_truthy(reference:find("`" .. name, 1, true), name .. " is not in lib/README.md") end
    assert.matches("h:answer\n", out)
    -- Where it is not installed it says what is missing.
    code, _, err = helper.run("-e", "require 'hookswitch'", { program = "lua5.4", env = { LUA_PATH = env.LUA_PATH, LUA_CPATH = "/none/?.so" } })
    assert.are.equal(1, code)
    assert.matches("there is no hookswitch%.so", err)
  end)

  it("makes manual pages without a complaint of the formatter", function()
    make "man"
    for page, words in pairs { ["hookswitch.1"] = { "hookswitch run", "%-%-strict", "EXIT CODES" },
      ["hookswitch.lua.5"] = { "servers.NAME.host", "http.listen" }, ["hookswitch-rules.7"] = { "ami.on", "server:call" } } do
      local source = helper.read(build .. "/man/" .. page):gsub("\\%-", "-"):gsub("\\f.", "")
      for _, word in ipairs(words) do assert.matches(word, source) end
      if os.execute "command -v man >/dev/null 2>&1" then
        local code, out, err = sh("LC_ALL=C.UTF-8 man --warnings -l \"$1\" 2>&1 >/dev/null", build .. "/man/" .. page)
        assert.are.equal("", out .. err)
        assert.are.equal(0, code)
      end
    end
  end)

  it("completes commands and options in bash", function()
    local code, out, err = helper.run("-c", [[
      . conf/completion.bash
      try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _hookswitch 2>/dev/null; echo "${COMPREPLY[*]}"; }
      try "$0" ch; try "$0" run --str; try "$0" ctl sta]], helper.binary, { program = "bash" })
    assert.are.equal(0, code, err)
    assert.are.same({ "check", "--strict", "status" }, helper.lines(out))
  end)

  it("makes a Debian package that installs and purges cleanly", function()
    if not os.execute "command -v dpkg-deb >/dev/null 2>&1 && [ $(id -u) = 0 ]" then return pending "dpkg-deb as root is needed" end
    local root = helper.folder()
    local dpkg = "dpkg --root=\"$1\" --force-script-chrootless --force-depends --force-confnew "
    assert.are.equal(0, (sh("mkdir -p \"$1\"/var/lib/dpkg/info \"$1\"/var/lib/dpkg/updates \"$1\"/etc && : >\"$1\"/var/lib/dpkg/status", root)))
    local code, out, err = sh(dpkg .. "-i \"$2\"", root, deb())
    assert.are.equal(0, code, out .. err)
    for _, file in ipairs { "/usr/bin/hookswitch", "/lib/systemd/system/hookswitch.service", "/etc/logrotate.d/hookswitch",
      "/usr/share/man/man1/hookswitch.1.gz", "/usr/share/doc/hookswitch/copyright", "/usr/share/bash-completion/completions/hookswitch" } do
      assert.is_true(helper.exists(root .. file), file)
    end
    assert.matches("\nUser=hookswitch\n", helper.read(root .. "/lib/systemd/system/hookswitch.service"))
    checked(root, "/usr/bin/hookswitch", root .. "/etc/hookswitch")
    local _, conffiles = sh("dpkg-query --admindir=\"$1\"/var/lib/dpkg -W -f '${Conffiles}' hookswitch", root)
    assert.matches("/etc/hookswitch/hookswitch.lua ", conffiles)
    assert.matches("/etc/hookswitch/scripts/calls.lua ", conffiles)

    -- What the operator has changed outlives the program, until it is purged; what only the operator and the daemon have made
    -- outlives that too.
    helper.write_file(root .. "/etc/hookswitch/hookswitch.lua", "return { servers = {} }\n")
    local own = { "/etc/hookswitch/scripts/mine.lua", "/etc/hookswitch/pbx1.secret", "/etc/hookswitch/conf.d/pbx2.lua", "/var/log/hookswitch/journal.log", "/var/lib/hookswitch/state.db" }
    for _, file in ipairs(own) do helper.write_file(root .. file, "mine\n") end
    assert.are.equal(0, (sh(dpkg .. "-r hookswitch", root)))
    assert.is_false(helper.exists(root .. "/usr/bin/hookswitch"))
    assert.are.equal("return { servers = {} }\n", helper.read(root .. "/etc/hookswitch/hookswitch.lua"))
    code, out, err = sh(dpkg .. "-P hookswitch", root)
    assert.are.equal(0, code, out .. err)
    assert.matches("/etc/hookswitch has files that are not the package's", out)
    assert.matches("/var/log/hookswitch has files that are not the package's", out)
    assert.matches("/var/lib/hookswitch has files that are not the package's", out)
    local _, left = sh("cd \"$1\" && find . -path ./var/lib/dpkg -prune -o -type f -path '*hookswitch*' -print", root)
    left = helper.lines(left)
    table.sort(left)
    local wanted = {}
    for i, file in ipairs(own) do wanted[i] = "." .. file end
    table.sort(wanted)
    assert.are.same(wanted, left)
  end)

  it("leaves nothing behind when it is purged and nobody has added anything", function()
    if not os.execute "command -v dpkg-deb >/dev/null 2>&1 && [ $(id -u) = 0 ]" then return pending "dpkg-deb as root is needed" end
    local root = helper.folder()
    local dpkg = "dpkg --root=\"$1\" --force-script-chrootless --force-depends --force-confnew "
    assert.are.equal(0, (sh("mkdir -p \"$1\"/var/lib/dpkg/info \"$1\"/var/lib/dpkg/updates \"$1\"/etc \"$1\"/var/log/hookswitch && : >\"$1\"/var/lib/dpkg/status", root)))
    assert.are.equal(0, (sh(dpkg .. "-i \"$2\"", root, deb())))
    local code, out, err = sh(dpkg .. "-P hookswitch", root)
    assert.are.equal(0, code, out .. err)
    assert.is_nil(out:find("not the package's", 1, true))
    for _, path in ipairs { "/etc/hookswitch", "/var/log/hookswitch", "/usr/bin/hookswitch", "/usr/share/doc/hookswitch" } do
      assert.is_false(helper.exists(root .. path), path)
    end
  end)

  -- A package's script where systemd runs and `systemctl COMMAND` fails for the commands in `failing`.
  local function script_under_systemd(script, failing, ...)
    local folder = helper.folder()
    helper.write_file(folder .. "/systemctl", ([[#!/bin/sh
      echo "$*" >>%s/told
      for word; do case "$word" in %s) echo "Job failed." >&2; exit 1;; esac; done
    ]]):format(folder, failing))
    helper.write_file(folder .. "/systemd-sysusers", "#!/bin/sh\n")
    os.execute(("chmod +x %s/system*"):format(folder))
    local code, out, err = sh([[folder=$1; shift; exec unshare -rm sh -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/system && PATH=$0:$PATH exec sh "$@"' "$folder" "$@"]],
      folder, "conf/debian/" .. script, ...)
    return code, out .. err, helper.exists(folder .. "/told") and helper.read(folder .. "/told") or ""
  end

  it("is configured when the service does not start again after an upgrade, and says so", function()
    if not os.execute "unshare -rm mount -t tmpfs none /run 2>/dev/null" then return pending "needs namespaces" end
    local code, out, told = script_under_systemd("postinst", "nothing", "configure", "0.1.0")
    assert.are.same({ 0, "", "daemon-reload\ntry-restart hookswitch.service\n" }, { code, out, told })
    code, out = script_under_systemd("postinst", "try-restart|daemon-reload", "configure", "0.1.0")
    assert.are.equal(0, code, out)
    assert.matches("the service did not start again after the upgrade%. See: hookswitch check; journalctl %-u hookswitch", out)
    code, out = script_under_systemd("prerm", "disable", "remove")
    assert.are.equal(0, code, out)
    assert.matches("the service was not stopped", out)
    assert.are.equal(0, (script_under_systemd("postrm", "daemon-reload", "remove")))
  end)

  it("makes a package without an error of lintian", function()
    if not os.execute "command -v lintian >/dev/null 2>&1" then return pending "lintian is not installed" end
    local _, out = sh("lintian --fail-on none --tag-display-limit 0 \"$1\" 2>/dev/null", deb())
    for _, line in ipairs(helper.lines(out)) do assert.is_nil(line:match "^E: ", line) end
  end)
end)
