local helper = require "tests.spec.helper"
local lfs = require "lfs"

local BANNER = "Asterisk Call Manager/9.0.0\r\n"
local EVENTS = "Event: Newchannel\r\nChannel: PJSIP/100-1\r\nNote:  two  spaces \r\n\r\n" ..
  "Event: Odd\r\nno colon\r\nBytes: \xff\xfe\x01\r\nEmpty:\r\n\r\n"

local function escaped(text)
  return (text:gsub("[^%w ]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

-- A session whose login's answer and `bytes` come in one piece; then, when `go` is there, `more`.
local function session(bytes, go, more)
  return helper.LOGIN:gsub("accepted\\r\\n\\r\\n$", function(text) return text .. escaped(bytes) end) ..
    (go and "\nwait " .. go .. "\nsend " .. escaped(more) or "")
end

-- Whole lines of the side file, as { offset, time }.
local function times(path)
  local list = {}
  for offset, at in helper.read(path .. ".times"):gmatch "(%d+) ([%d.]+)\n" do list[#list + 1] = { tonumber(offset), tonumber(at) } end
  return list
end

describe("hookswitch record", function()
  after_each(helper.cleanup)

  local function record(script)
    local project = helper.project { servers = { pbx1 = helper.server(helper.peer(script)) } }
    local out = project.folder .. "/out.ami"
    return helper.start(helper.binary, { "record", "pbx1", "-c", project.config, "-o", out }), out, project
  end

  local function await_bytes(path, count)
    helper.wait_for(function() return helper.exists(path) and #helper.read(path) >= count end, 10, function()
      return count .. " bytes, not " .. (helper.exists(path) and #helper.read(path) or "none")
    end)
    return helper.read(path)
  end

  it("keeps every byte from the banner on but the login, and when it came", function()
    local go = helper.folder() .. "/go"
    local process, out = record(session(EVENTS, go, "Event: Later\r\n\r\n") .. "\nserve")
    assert.are.equal(BANNER .. EVENTS, await_bytes(out, #BANNER + #EVENTS))
    helper.write_file(go, "")
    local whole = BANNER .. EVENTS .. "Event: Later\r\n\r\n"
    await_bytes(out, #whole)
    process:signal "TERM"
    assert.are.equal(0, process:ended())
    local bytes = helper.read(out)
    assert.are.equal(whole, bytes:sub(1, #whole))
    assert.is_nil(bytes:find("Challenge", 1, true))
    for _, path in ipairs { out, out .. ".times" } do assert.are.equal("rw-------", lfs.attributes(path, "permissions")) end
    local list = times(out)
    assert.are.same({ 0, #BANNER, #BANNER + #EVENTS }, { list[1][1], list[2][1], list[3][1] })
    assert.is_true(list[1][2] <= list[2][2] and list[2][2] < list[3][2] and math.abs(list[3][2] - os.time()) < 60)
    local code, summary = helper.run("replay", "--summary", out)
    assert.are.equal(0, code)
    assert.are.same({ 1, 1, 1 }, { helper.json(summary).by_event.Newchannel, helper.json(summary).by_event.Odd, helper.json(summary).by_event.Later })
  end)

  it("puts asterisks, one for each byte, in the place of secrets, also of one that comes in pieces", function()
    local secrets = ("Event: A\r\nSecret: hidden-1\r\nChanVariable: auth_token=hidden-2\r\nNote: is %s here\r\n\r\n" ..
      "Event: VarSet\r\nVariable: DB_PASSWORD\r\nValue: hidden-3\r\n\r\nEvent: VarSet\r\nVariable: x\r\nValue: open\r\n\r\n"):format(helper.SECRET)
    local process, out = record(helper.LOGIN .. "\npieces 7 1 " .. escaped(secrets) .. "\nserve")
    local bytes = await_bytes(out, #BANNER + #secrets)
    process:signal "TERM"
    process:ended()
    assert.is_nil(bytes:find "hidden")
    assert.is_nil(bytes:find(helper.SECRET, 1, true))
    assert.is_truthy(bytes:find("Secret: ********\r\n", 1, true))
    assert.is_truthy(bytes:find("Variable: x\r\nValue: open\r\n", 1, true))
    assert.are.equal(#BANNER + #secrets, #bytes:sub(1, #BANNER + #secrets))
    assert.are.equal(secrets:sub(-20), bytes:sub(#BANNER + #secrets - 19, #BANNER + #secrets))
  end)

  it("ends with the session, keeps the cut frame and says why", function()
    local process, out = record(session("Event: Cut\r\nHalf: a li"))
    assert.are.equal(1, process:ended())
    assert.matches("the session has ended: eof", process:stderr())
    assert.are.equal(BANNER .. "Event: Cut\r\nHalf: a li", helper.read(out))
  end)

  it("ends where the disk is full, and reports the length that the file has", function()
    local folder = helper.folder()
    local function project(name)
      return { servers = { pbx1 = helper.server(helper.peer(session(EVENTS, folder .. "/" .. name, ("Event: Full\r\nA: b\r\n\r\n"):rep(300)) .. "\nserve")) } }
    end
    local d = helper.daemon(project "taken")
    d:ready "pbx1"
    for name, words in pairs { own = { "record", "pbx1", "-c", helper.project(project "own").config, "-o", folder .. "/own.ami" },
                               taken = { "ctl", "-s", d.project.folder .. "/console", "record", "pbx1", folder .. "/taken.ami" } } do
      -- Space for 4 KiB.
      local process = helper.start("sh", { "-c", [[trap "" XFSZ; ulimit -f 8; exec "$@"]], "sh", helper.binary, table.unpack(words) })
      local out = folder .. "/" .. name .. ".ami"
      await_bytes(out, #BANNER)
      helper.write_file(folder .. "/" .. name, "")
      assert.are.equal(1, process:ended())
      assert.matches("the recording cannot be written: File too large", process:stderr())
      local size = #helper.read(out)
      assert.are.equal(size, tonumber(process:stdout():match "(%d+) bytes in "))
      assert.is_true(size >= #BANNER and size < 4096, name .. " " .. size)
      for _, entry in ipairs(times(out)) do assert.is_true(entry[1] < size) end
      assert.are.equal(0, (helper.run("replay", "--summary", out)))
    end
  end)

  it("does not write over a file, and names what is wrong", function()
    local folder = helper.folder()
    local project = helper.project { servers = { pbx1 = helper.server(helper.dead_port()) } }
    helper.write_file(folder .. "/there.ami", "old")
    for _, case in ipairs {
      { 1, "it is there already", "pbx1", "-c", project.config, "-o", folder .. "/there.ami" },
      { 1, "refused", "pbx1", "-c", project.config, "-o", folder .. "/new.ami" },
      { 1, "has no server 'pbx9'", "pbx9", "-c", project.config },
      { 2, "name one server" },
    } do
      local code, _, err = helper.run("record", table.unpack(case, 3))
      assert.are.equal(case[1], code)
      assert.is_truthy(err:find(case[2], 1, true), err)
    end
    assert.are.equal("old", helper.read(folder .. "/there.ami"))
  end)
end)

describe("ctl record", function()
  after_each(helper.cleanup)

  local function start(d, out)
    return helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "record", "pbx1", out })
  end

  it("takes the bytes of the running session, without another one", function()
    local go = helper.folder() .. "/go"
    local peer = helper.peer(session("Event: Before\r\n\r\nEvent: Cut\r\nHalf: a li", go, "ne\r\n\r\n" .. EVENTS))
    local d = helper.daemon { servers = { pbx1 = helper.server(peer) } }
    d:ready "pbx1"
    local out = d.project.folder .. "/taken.ami"
    local process = start(d, out)
    helper.wait_for(function() return helper.exists(out) and #helper.read(out) > 0 end)
    local code, _, err = d:ctl("record", "pbx1", d.project.folder .. "/second.ami")
    assert.are.equal(1, code)
    assert.matches("records pbx1 already", err)
    helper.write_file(go, "")
    assert.are.equal(1, process:ended())
    assert.matches("the session has ended: eof", process:stderr())
    assert.are.equal(BANNER .. "Event: Cut\r\nHalf: a line\r\n\r\n" .. EVENTS, helper.read(out))
    assert.is_true(#times(out) >= 2)
  end)

  -- More comes while the client takes nothing than may wait for it; then it goes on reading.
  it("has no hole: a client that is too slow is closed, and counted", function()
    local frames, pad = {}, ("x"):rep(1000)
    for i = 1, 24000 do frames[i] = ("Event: Numbered\r\nNumber: %d\r\nPad: %s\r\n\r\n"):format(i, pad) end
    local folder, bytes = helper.folder(), table.concat(frames)
    helper.write_file(folder .. "/numbered.ami", "Asterisk Call Manager/13.0.0\r\n" .. bytes)
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--play", folder .. "/numbered.ami", "--on-ping")) } }
    d:ready "pbx1"
    local out = folder .. "/taken.ami"
    local process = start(d, out)
    helper.wait_for(function() return helper.exists(out) and #helper.read(out) > 0 end)
    process:signal "STOP"
    d:ctl("call", "pbx1", "Action=Ping")
    local function dropped(reason) return d:metric("hookswitch_console_dropped_total", { reason = reason }) end
    helper.wait_for(function() return d:metric "hookswitch_server_bytes_in_total" > #bytes or dropped "slow" == 1 end, 20)
    process:signal "CONT"
    assert.are.equal(3, process:ended())
    assert.matches("too slow for what the server sends", process:stderr())
    assert.are.equal(1, dropped "answer" + dropped "slow") -- slow: of a loaded machine that took longer than the patience with it
    local last = 0
    for number in helper.read(out):gmatch "\r\nNumber: (%d+)\r\n" do
      assert.are.equal(last + 1, tonumber(number))
      last = tonumber(number)
    end
    assert.is_true(last < #frames)
  end)

  it("ends when asked to, and leaves the session as it is", function()
    local d = helper.daemon { servers = { pbx1 = helper.server(helper.sim("--events", "0", "--rate", "500")) } }
    d:ready "pbx1"
    local out = d.project.folder .. "/taken.ami"
    local process = start(d, out)
    helper.wait_for(function() return helper.exists(out) and #helper.read(out) > 20000 end)
    process:signal "TERM"
    assert.are.equal(0, process:ended())
    assert.matches("^%d+ bytes in ", process:stdout())
    local json = helper.start(helper.binary, { "ctl", "-s", d.project.folder .. "/console", "record", "--json", "pbx1", out .. "2" })
    helper.wait_for(function() return helper.exists(out .. "2") and #helper.read(out .. "2") > 20000 end)
    json:signal "TERM"
    json:ended()
    assert.are.same({ file = out .. "2", bytes = #helper.read(out .. "2") }, helper.json(json:stdout()))
    assert.are.equal(1, d:status().servers[1].sessions)
    assert.are.equal(0, (helper.run("replay", "--summary", out)))
  end)
end)

describe("replay of a recording", function()
  after_each(helper.cleanup)

  it("follows the times beside it", function()
    local folder = helper.folder()
    local first, second = BANNER .. "Event: One\r\n\r\n", "Event: Two\r\n\r\n"
    helper.write_file(folder .. "/c.ami", first .. second)
    helper.write_file(folder .. "/c.ami.times", ("0 1700000000.250000\n%d 1700000000.850000\n"):format(#first))
    helper.write_file(folder .. "/scripts/t.lua", [[ami.on("*", function(ev) log.info("heard", { at = ("%.2f"):format(ami.time(ev)) }) end)]])
    local began = helper.now()
    local code, _, err = helper.run("replay", "--speed", "2x", "--json", "--rules", folder .. "/scripts", folder .. "/c.ami")
    assert.are.equal(0, code)
    assert.is_true(helper.now() - began >= 0.3)
    assert.matches('"at":"1700000000.25".*"at":"1700000000.85"', err)
  end)
end)
