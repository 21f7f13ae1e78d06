local helper = require "tests.spec.helper"

describe("sockets of the console with roles", function()
  after_each(helper.cleanup)

  local RULE = [[ami.on("crm.answered", function(ev) log.info("heard", { who = ev.who }) end)]]

  -- A daemon with a socket for each role, and ask(socket, …): ctl there.
  local function daemon(more)
    local sockets = { both = { path = "both", roles = { "look", "emit" } } }
    for _, role in ipairs { "look", "emit", "act", "admin" } do sockets[role] = { path = role, roles = { role } } end
    for name, socket in pairs(more or {}) do sockets[name] = socket end
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim()) }, rules = { ["crm.lua"] = RULE },
      config = { control = { socket = "console", sockets = sockets } } }
    d:ready "pbx1"
    function d.ask(socket, ...)
      return helper.run("ctl", "--socket", d.project.folder .. "/" .. socket, ...)
    end
    return d
  end

  -- Every command with arguments that are good, and the role that it needs.
  local NEEDED = {
    status = "look", servers = "look", scripts = "look", pending = "look", metrics = "look", ["top --once"] = "look", ["record pbx1"] = "look",
    tail = "look", ["emit crm.answered"] = "emit", ["call pbx1 Action=Ping"] = "act", reload = "admin", ["log info"] = "admin",
    ["enable crm"] = "admin", ["disable crm"] = "admin", stop = "admin",
  }

  it("grant their roles and nothing else; each refusal names the role that is needed", function()
    local d = daemon()
    local endless = { tail = true, ["record pbx1"] = true, stop = true }
    local refused = 0
    local function try(socket, command, role, granted)
      local words = {}
      for word in command:gmatch "%S+" do words[#words + 1] = word end
      if granted[role] or granted.admin then
        if not endless[command] then
          local code, _, err = d.ask(socket, table.unpack(words))
          assert.are.same({ 0, "" }, { code, err }, socket .. ": " .. command)
        end
        return
      end
      local code, out, err = d.ask(socket, table.unpack(words))
      assert.are.same({ 1, "" }, { code, out }, socket .. ": " .. command)
      assert.matches(("^%s needs the role %s; this socket %%(control%%.sockets%%.%s%%) grants "):format(words[1], role, socket), err)
      refused = refused + 1
    end
    for command, role in pairs(NEEDED) do
      for _, socket in ipairs { "look", "emit", "act" } do try(socket, command, role, { [socket] = true }) end
      try("both", command, role, { look = true, emit = true })
      try("admin", command, role, { admin = true })
      try("console", command, role, { admin = true })
    end
    assert.are.equal(refused, d:metric "hookswitch_console_refused_total")
    local record = d:await { msg = "console request refused", command = "stop", socket = "control.sockets.emit" }
    assert.are.same({ "admin", "warn" }, { record.role, record.level })
    assert.are.equal("running", d:running() and "running")
    assert.are.equal(0, (d.ask("admin", "stop")))
    assert.are.equal(0, d:ended())
    for _, name in ipairs { "console", "look", "emit", "act", "admin", "both" } do
      assert.is_false(helper.exists(d.project.folder .. "/" .. name), name)
    end
  end)

  it("let a program that may act send no action that reaches shell, files or modules", function()
    local d = daemon()
    for _, headers in ipairs { { "Action=Command", "Command=core show version" }, { "Action=ModuleLoad", "LoadType=reload" },
      { "Action=Originate", "Channel=PJSIP/100", "Application=System", "Data=id" }, { "Action=Getvar", "Variable=SHELL(id)" }, { "Action=NoSuch" },
      { "Action=Login", "Username=x" } } do
      local code, out, err = d.ask("act", "call", "pbx1", table.unpack(headers))
      assert.are.same({ 1, "" }, { code, out }, headers[1])
      assert.is_truthy(err:find(("call: this %s needs the role admin; this socket (control.sockets.act) grants act"):format(headers[1]:sub(8)), 1, true), err)
      code, out = d.ask("act", "call", "pbx1", "--json", table.unpack(headers))
      assert.are.equal(1, code)
      assert.is_false(helper.json(out).success)
    end
    -- Nor one that is another by the time that Asterisk reads it.
    for fault, headers in pairs { ["more than one name"] = { "Action=Ping", "Action=Command", "Command=core show version" },
      ["begins or ends with a blank"] = { "Action= Ping" } } do
      local code, _, err = d.ask("act", "call", "pbx1", table.unpack(headers))
      assert.are.equal(2, code)
      assert.is_truthy(err:find(fault, 1, true), err)
    end
    local code, out = d.ask("act", "call", "pbx1", "Action=QueueStatus")
    assert.are.equal(0, code)
    assert.matches("QueueParams", out)
    code, out = d.ask("admin", "call", "pbx1", "Action=Command", "Command=core show version")
    assert.are.equal(0, code)
    assert.matches("Asterisk", out)
  end)

  it("list in their help what their clients may run", function()
    local d = daemon()
    local function offered(socket)
      local _, out = d.ask(socket, "help")
      local names = {}
      for name in out:gmatch "\n  (%l+)" do names[#names + 1] = name end
      return table.concat(names, " ")
    end
    assert.are.equal("emit help", offered "emit")
    assert.are.equal("call help", offered "act")
    assert.are.equal(offered "console", offered "admin")
    local _, out = helper.run("ctl", "stop", "--help")
    assert.matches("needs the role admin", out)
    local code, json = d.ask("emit", "status", "--json")
    assert.are.equal(1, code)
    assert.are.same({ success = false, message = "status needs the role look; this socket (control.sockets.emit) grants emit" }, helper.json(json))
  end)

  it("have permissions of their own, and cannot change while the daemon runs", function()
    local d = daemon { tight = { path = "tight", mode = "0600", roles = { "look" } } }
    local function mode(name)
      local _, out = helper.run("-c", "%a", d.project.folder .. "/" .. name, { program = "stat" })
      return out
    end
    assert.are.same({ "600\n", "600\n", "660\n" }, { mode "console", mode "tight", mode "emit" })
    local control = { socket = "console", sockets = { emit = { path = "emit", roles = { "emit", "admin" } } } }
    d.project.write { servers = { pbx1 = helper.server(1) }, config = { control = control } }
    local code, _, err = d:ctl "reload"
    assert.are.equal(1, code)
    assert.matches("control%.sockets", err)
    assert.matches("restart", err)
    assert.are.equal(1, (d.ask("emit", "status")))
  end)

  it("need no control.socket beside them", function()
    local d = helper.daemon { config = { control = { sockets = { only = { path = "only", roles = { "look" } } } } } }
    assert.are.equal(0, (helper.run("ctl", "--socket", d.project.folder .. "/only", "status")))
  end)

  it("are checked, each fault with its path", function()
    local function faults(sockets)
      local code, _, err = helper.run("check", "-c", helper.project { config = { control = { socket = "console", sockets = sockets } } }.config)
      assert.are.equal(1, code)
      return err
    end
    for fault, socket in pairs {
      ["control.sockets.x.path: missing; give the path of the socket"] = { roles = { "look" } },
      ["control.sockets.x.roles: missing; give what its clients may do: look, emit, act, admin"] = { path = "x" },
      ["control.sockets.x.roles: must be of look, emit, act, admin (item 2)"] = { path = "x", roles = { "look", "root" } },
      ["control.sockets.x.roles: must be at least 1 text, is empty"] = { path = "x", roles = {} },
      ["control.sockets.x.path: " ] = { path = ("x"):rep(200), roles = { "look" } },
      ["control.sockets.x.group: the group cannot use a socket of control.sockets.x.mode \"0600\"; give mode = \"0660\" too"] =
        { path = "x", mode = "0600", group = "adm", roles = { "look" } },
      ["control.sockets.x.mode: must be octal"] = { path = "x", mode = "rwx", roles = { "look" } },
      ["control.sockets.x.role: unknown option (did you mean roles?)"] = { path = "x", role = { "look" }, roles = { "look" } },
      ["console is the path of another socket too; each has its own"] = { path = "console", roles = { "look" } },
    } do
      assert.is_truthy(faults({ x = socket }):find(fault, 1, true), fault .. "\n" .. faults { x = socket })
    end
    local many = {}
    for i = 1, 9 do many["s" .. i] = { path = "s" .. i, roles = { "look" } } end
    assert.is_truthy(faults(many):find("control.sockets: at most 8, there are 9", 1, true))
  end)
end)
