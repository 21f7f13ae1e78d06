local support = require "examples.spec.support"

describe("examples/click_to_call.lua", function()
  local folder

  -- A rule that asks for calls, one after the other, and logs their ends.
  local function asks(requests)
    return ([[
      ami.on("server.ready", function(_, server)
        if server.name ~= "pbx1" then return end
        for _, request in ipairs { %s } do
          ami.emit("dial.request", request)
          local done = ami.wait("dial.done", { where = { id = request.id } })
          log.info("done " .. done.id, { result = done.result, on = done.server, uniqueid = done.uniqueid })
        end
      end)]]):format(requests)
  end

  before_each(function() folder = support.folder { "examples/click_to_call.lua" } end)
  after_each(function() folder:close() end)

  it("dials through the first server and reports how it ended", function()
    local port = folder:sim("asterisk", "--speed 5")
    folder:put("scripts/ask.lua", asks [[
      { id = "a", phone = "PJSIP/101", number = "100" }, { id = "b", phone = "PJSIP/102", number = "100" },
      { id = "c", phone = "PJSIP/nosuch", number = "100" } ]])
    folder:engine { { "pbx1", port } }
    local answered = folder:await("run", '"msg":"done a"')
    assert.match('"result":"answered"', answered)
    assert.match('"uniqueid":"%d+%.%d+"', answered)
    assert.match('"result":"busy"', folder:await("run", '"msg":"done b"'))
    assert.match('"result":"failed"', folder:await("run", '"msg":"done c"'))
  end)

  it("takes the next server when the first is away", function()
    local first, second = folder:sim("first"), folder:sim("second", "--speed 5")
    folder:put("scripts/ask.lua", [[
      local function ask(id) ami.emit("dial.request", { id = id, phone = "PJSIP/102", number = "100" }) end
      ami.on("dial.done", function(ev) log.info("done " .. ev.id, { result = ev.result, on = ev.server }) end)
      ami.on("server.lost", function() ami.emit("dial.request", { id = "d", phone = "PJSIP/101", number = "100" }) end)
      ami.on("go.on", function() ask "x" ask "y" end)]])
    folder:engine { { "pbx1", first }, { "pbx2", second } }
    folder:ctl "emit go.on"
    assert.match('"on":"pbx1"', folder:await("run", '"msg":"done x"'))
    assert.match('"on":"pbx1"', folder:await("run", '"msg":"done y"'))
    folder:stop "first"
    local line = folder:await("run", '"msg":"done d"')
    assert.match('"result":"answered"', line)
    assert.match('"on":"pbx2"', line)
  end)

  it("says so when no server is there, and dials nothing for a request that is no phone number", function()
    local port = folder:sim "asterisk"
    folder:put("scripts/ask.lua", [[
      ami.on("server.lost", function()
        ami.emit("dial.request", { id = "e", phone = "PJSIP/101", number = "100" })
        ami.emit("dial.request", { id = "f", phone = "PJSIP/101", number = "100,${SHELL(id)}" })
      end)
      ami.on("dial.done", function(ev) log.info("done " .. ev.id, { result = ev.result }) end)]])
    folder:engine({ { "pbx1", port } }, "rules = { click_to_call = { tries = 2 } }")
    folder:stop "asterisk"
    assert.match('"result":"not_ready', folder:await("run", '"msg":"done e"'))
    folder:await("run", '"msg":"a request without a phone or a number"')
    assert.is_nil(folder:read("run.log"):find("done f", 1, true))
  end)
end)
