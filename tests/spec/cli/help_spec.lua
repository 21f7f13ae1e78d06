local h = require "tests.spec.helper"

local COMMANDS = { "run", "check", "replay", "ctl", "sim" }

describe("the command line", function()
  after_each(h.cleanup)

  it("lists every command, and the exit codes", function()
    for _, how in ipairs { { "help" }, { "--help" }, { "-h" }, { "help", "help" }, { "help", "version" }, { "version", "--help" } } do
      local code, out, err = h.run(table.unpack(how))
      assert.equal(0, code)
      assert.equal("", err)
      for _, command in ipairs { "run", "check", "replay", "ctl", "sim", "version", "help" } do
        assert.truthy(out:find("\n  " .. command .. " ", 1, true), command .. " is missing in:\n" .. out)
      end
      assert.truthy(out:find("exit codes: 0", 1, true))
    end
  end)

  for _, command in ipairs(COMMANDS) do
    it("explains " .. command .. " with each of its options and exit codes, on stdout", function()
      local code, out, err = h.run(command, "--help")
      assert.equal(0, code)
      assert.equal("", err)
      assert.truthy(out:find("usage: hookswitch " .. command, 1, true))
      assert.truthy(out:find "[Ee]xit")
      local asked, same = h.run("help", command)
      assert.equal(0, asked)
      assert.equal(out, same)
    end)

    it("refuses a mistyped option of " .. command .. ", names it and where help is", function()
      local code, out, err = h.run(command, "--hepl")
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find("hookswitch " .. command .. ": ", 1, true), err)
      assert.truthy(err:find("--hepl", 1, true), err)
      assert.truthy(err:find("hookswitch " .. command .. " --help", 1, true), err)
    end)
  end

  it("prints its version", function()
    local version = h.read "src/base/version.h":match 'HOOKSWITCH_VERSION "([^"]+)"'
    for _, how in ipairs { "version", "--version", "-V" } do
      local code, out = h.run(how)
      assert.equal(0, code)
      assert.equal("hookswitch " .. version .. "\n", out)
    end
  end)

  it("refuses to be called without a command, and shows all of them on stderr", function()
    local code, out, err = h.run()
    assert.equal(2, code)
    assert.equal("", out)
    assert.truthy(err:find("usage: hookswitch COMMAND", 1, true))
  end)

  it("refuses a command that it does not have", function()
    for _, how in ipairs { { "rnu" }, { "help", "rnu" } } do
      local code, _, err = h.run(table.unpack(how))
      assert.equal(2, code)
      assert.truthy(err:find("there is no command 'rnu'", 1, true), err)
    end
  end)

  it("refuses words that a command does not expect", function()
    for _, how in ipairs { { "run", "spare" }, { "check", "spare" }, { "sim", "spare" }, { "version", "spare" }, { "help", "run", "spare" } } do
      local code, _, err = h.run(table.unpack(how))
      assert.equal(2, code)
      assert.truthy(err:find("'spare'", 1, true), err)
    end
  end)

  it("refuses an option without its value", function()
    for _, how in ipairs { { "run", "-c" }, { "check", "--config" }, { "replay", "--rules" }, { "sim", "--listen" }, { "ctl", "--socket" } } do
      assert.equal(2, (h.run(table.unpack(how))))
    end
  end)

  it("says that no daemon answers, with an exit code of its own", function()
    local code, out, err = h.run("ctl", "--socket", h.folder() .. "/none", "status")
    assert.equal(3, code)
    assert.equal("", out)
    assert.truthy(err:find("no daemon answers", 1, true), err)
  end)
end)
