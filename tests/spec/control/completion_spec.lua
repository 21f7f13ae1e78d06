local helper = require "tests.spec.helper"

describe("completion for bash", function()
  after_each(helper.cleanup)

  -- What bash offers behind these words.
  local function offered(...)
    local words = table.pack(helper.binary, ...)
    for i, word in ipairs(words) do words[i] = "'" .. word .. "'" end
    local script = helper.write_file(helper.folder() .. "/complete", ([[
      compopt() { :; }
      . conf/completion.bash
      COMP_WORDS=(%s) COMP_CWORD=%d
      _hookswitch
      printf '%%s\n' "${COMPREPLY[@]}"
    ]]):format(table.concat(words, " "), #words - 1))
    local code, out, err = helper.run(script, { program = "bash" })
    assert.are.same({ 0, "" }, { code, err })
    local set = {}
    for _, word in ipairs(helper.lines(out)) do set[word] = true end
    return set
  end

  it("knows every command", function()
    local words = offered ""
    for _, name in ipairs { "run", "check", "record", "replay", "ctl", "sim", "version" } do assert.is_true(words[name], name) end
    assert.are.same({ record = true, replay = true }, offered "re")
  end)

  it("knows every order of the console, which ctl --help lists too", function()
    local d = helper.daemon {}
    local words = offered("ctl", "")
    local code, out = d:ctl "help"
    assert.are.equal(0, code)
    local count = 0
    for name in out:gmatch "\n  (%l+)" do
      assert.is_true(words[name], name)
      count = count + 1
    end
    assert.is_true(count >= 16)
    assert.is_true(offered("ctl", "tail", "--wh")["--where"])
  end)

  it("knows the servers and rules of the daemon that the line names", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.dead_port()), pbx2 = helper.server(helper.dead_port()) },
      rules = { ["missed.lua"] = "", ["bad.lua"] = "ami.on('crm.x', function() error 'no' end)" } }
    d:emit "crm.x"
    d:await { kind = "error" }
    local socket = d.project.folder .. "/console"
    assert.are.same({ pbx1 = true, pbx2 = true }, offered("ctl", "-s", socket, "call", ""))
    assert.are.same({ pbx2 = true }, offered("ctl", "-c", d.project.config, "tail", "--server", "pbx2"))
    assert.are.same({ missed = true, bad = true }, offered("ctl", "-s", socket, "disable", ""))
    assert.are.same({ warn = true }, offered("ctl", "log", "w"))
    assert.are.same({}, offered("ctl", "-s", socket .. "-none", "enable", ""))
  end)
end)
