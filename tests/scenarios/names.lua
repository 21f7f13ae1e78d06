-- Names, and what a name server may do. The daemon runs in a mount namespace with a resolv.conf and a hosts file of its own; the name
-- server has an address of 127.0.0.0/8 to itself.
local support = require "scenarios.support"
local session = support.session

local function needs()
  return not support.can "test $(id -u) = 0 && unshare -m true" and "a mount namespace and port 53 take root" or nil
end

local function write_in_place(path, text)
  support.write_file(path .. ".new", text)
  assert(os.rename(path .. ".new", path))
end

-- A name server with this table; gives a function that changes the table, a program that runs hookswitch on it, and the folder with
-- its `resolv` and `hosts`.
local function name_server(table_text, hosts)
  local folder = support.folder()
  local server = support.start(support.tools .. "nameserver", { ("127.%d.%d.%d"):format(math.random(1, 250), math.random(1, 250),
    math.random(2, 250)), folder .. "/table" })
  support.wait_for(function() return server:stdout():find "listening" or not server:running() end)
  assert(server:running(), server:tail())
  local address = support.read("/proc/" .. server.pid .. "/cmdline"):match "127%.%d+%.%d+%.%d+"
  support.write_file(folder .. "/table", table_text)
  support.write_file(folder .. "/resolv", "nameserver " .. address .. "\n")
  support.write_file(folder .. "/hosts", hosts or "127.0.0.1 localhost\n")
  support.write_file(folder .. "/hookswitch", ([[
#!/bin/sh
if [ -z "$INSIDE" ]; then INSIDE=1 exec unshare -m "$0" "$@"; fi
mount --bind %s/resolv /etc/resolv.conf && mount --bind %s/hosts /etc/hosts || exit 1
exec %s "$@"
]]):format(folder, folder, support.binary))
  os.execute("chmod +x " .. folder .. "/hookswitch")
  return function(text) write_in_place(folder .. "/table", text) end, folder .. "/hookswitch", folder
end

local function start(t, program, options)
  local binary = support.binary
  local helper = getmetatable(support).__index
  helper.binary = program
  local good, daemon = pcall(t.daemon, t, options)
  helper.binary = binary
  return assert(good and daemon, daemon)
end

return {
  {
    name = "a name server that never answers",
    must = "it delays the servers with such names only, by timeouts.resolve; garbage, a forged answer and an unknown name end as resolve, too",
    needs = needs,
    play = function(t)
      local _, program = name_server "good.test 127.0.0.1\nmute.test silent\nlies.test garbage\nforged.test forged\nempty.test\n"
      local sim = support.sim()
      local function at(host) return support.at(sim, { host = host, timeouts = { resolve = 0.5 }, reconnect = { first = 60, max = 60 } }) end
      local daemon = start(t, program, { servers = { good = at "good.test", mute = at "mute.test", lies = at "lies.test", forged = at "forged.test",
        unknown = at "unknown.test", empty = at "empty.test" } })
      local started = daemon:find({ msg = "started" })[1]
      local ready = daemon:ready "good"
      for _, name in ipairs { "mute", "lies", "forged", "unknown", "empty" } do
        local record = daemon:await { msg = "no session", server = name }
        t:report("%s after %.2f s: %s", name, support.between(started, record), record.error)
        assert(record.reason == "resolve", support.source(record))
        assert(support.between(started, record) < 2.5)
      end
      assert(support.between(started, ready) < 0.5, "the good name was held up")
      local mute = daemon:find({ msg = "no session", server = "mute" })[1]
      assert(support.between(started, mute) >= 0.49)
    end,
  },
  {
    name = "a name server that answers no question for IPv6 addresses",
    must = "the IPv4 address is used as soon as half of timeouts.resolve is over",
    needs = needs,
    play = function(t)
      local _, program = name_server "old.test silent6 127.0.0.1\n"
      local daemon = start(t, program, { servers = { old = support.at(support.sim(), { host = "old.test", timeouts = { resolve = 2 } }) } })
      local started, ready = daemon:find({ msg = "started" })[1], daemon:ready "old"
      t:report("a session after %.2f s", support.between(started, ready))
      assert(support.between(started, ready) >= 0.99)
      assert(#daemon:find { msg = "no session" } == 0)
    end,
  },
  {
    name = "a name with several addresses, and one that moves",
    must = "all addresses are tried in turn, and the name is asked again at each reconnect",
    needs = needs,
    play = function(t)
      local cut = support.signal_file()
      local first = support.peer(session("wait " .. cut))
      local change, program = name_server "pbx.test 127.66.0.1 127.66.0.2 127.0.0.1\n"
      local daemon = start(t, program, { servers = { pbx = support.at(first, { host = "pbx.test" }) } })
      daemon:ready "pbx"
      assert(support.server(daemon, "pbx").address == "127.0.0.1")
      -- Now it lives elsewhere, on the same port.
      local sim = support.start(support.binary, { "sim", "--listen", "127.66.0.9:" .. first.port, "--user", support.USER, "--secret", support.SECRET })
      support.wait_for(function() return sim:stdout():find "listening" end)
      change "pbx.test 127.66.0.9\n"
      support.touch(cut)
      daemon:ready("pbx", { count = 2 })
      assert(support.server(daemon, "pbx").address == "127.66.0.9")
    end,
  },
  {
    name = "a corrected name server",
    must = "resolv.conf is read again when it has changed: the next try asks the new name server, without a reload",
    needs = needs,
    play = function(t)
      local _, program, folder = name_server "pbx.test 127.0.0.1\n"
      local good = support.read(folder .. "/resolv")
      support.write_file(folder .. "/resolv", "nameserver 127.251.251.251\n")
      local daemon = start(t, program, { servers = { pbx = support.at(support.sim(), { host = "pbx.test", timeouts = { resolve = 0.3 } }) } })
      daemon:await { msg = "no session", reason = "resolve" }
      support.write_file(folder .. "/resolv", good)
      daemon:ready "pbx"
    end,
  },
  {
    name = "a name of the hosts file",
    must = "the hosts file comes first and is read at each try; a plain login goes to this machine only, whatever the file calls localhost",
    needs = needs,
    play = function(t)
      -- 0.0.0.0 leads to this machine, too, but is no address of it.
      local _, program, folder = name_server("pbx.test 192.0.2.1\n", "127.66.0.1 pbx.test\n0.0.0.0 localhost\n")
      local peer = support.peer(session "serve")
      local plain = support.peer { "line Asterisk Call Manager/9.0.0", "action Login", [[send Response: Success\r\nActionID: $id\r\n\r\n]], "serve" }
      local daemon = start(t, program, { servers = { pbx = support.at(peer, { host = "pbx.test" }),
        plain = support.at(plain, { host = "localhost", auth = "plain", reconnect = { auth_first = 0.2, auth_max = 0.2 } }) } })
      daemon:await { msg = "no session", server = "pbx", reason = "refused" }
      local told = daemon:await { msg = "no session", server = "plain" }
      assert(told.reason == "auth" and told.error:find("would send the secret readable over the network to 0.0.0.0", 1, true), told.error)
      assert(not plain.received():find("Login", 1, true) and not plain.received():find(support.SECRET, 1, true))
      support.write_file(folder .. "/hosts", "127.0.0.1 pbx.test localhost\n")
      daemon:ready "pbx"
      daemon:ready "plain"
      assert(plain.received():find("Secret: " .. support.SECRET, 1, true))
    end,
  },
}
