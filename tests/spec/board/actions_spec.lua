-- What the board sends: from the click to the headers that Asterisk receives, and what it offers to whom.
local browser = require "tests.spec.board.browser"
local helper = require "tests.spec.helper"
local scene = require "tests.spec.board.scene"
local support = require "tests.spec.web.support"
local cjson = require "cjson"

local ESCAPE = utf8.char(0xE00C)

describe("an action of the board", function()
  if not browser.available() then
    pending "needs chromium, chromium-driver and curl"
    return
  end

  local s, b

  setup(function()
    s = scene.start { hostile = false, rate = "1" }
    b = s.b
  end)

  teardown(function() if s then s:stop() end end)

  -- Where the page moves between the pointer's aim and its click, the click misses: a person clicks again.
  local function new_call()
    helper.wait_for(function()
      if b:run "return document.getElementById('field-phone') !== null" then return true end
      b:click "#originate"
    end)
  end

  -- Begins a call by the dialog and opens its own dialog; the channel that this names.
  local function open_call(phone, exten)
    s:board()
    new_call()
    b:type("#field-phone", phone)
    b:type("#field-exten", exten)
    b:click "dialog .primary"
    b:await "return document.querySelector('.result .good')"
    b:press(ESCAPE)
    b:type("#call-search", phone)
    b:await "const rows = document.querySelectorAll('#call-table tbody:not(.spacer) tr'); return rows.length === 1 && rows[0].innerText.includes('answered') | rows[0]?.innerText.includes('up')"
    b:click "#call-table .more"
    return b:await "return [...document.querySelectorAll('dialog dt')].find((name) => name.textContent === 'Channel')?.nextSibling.textContent"
  end

  local function confirm()
    b:click "dialog .primary"
    return b:await "return document.querySelector('.result .good, .result .error')?.textContent"
  end

  -- Without what differs from time to time.
  local function sent(name)
    local actions = s:received(name)
    for _, action in ipairs(actions) do
      assert.is_string(action.ActionID)
      action.ActionID = nil
    end
    return actions
  end

  it("begins a call: Originate", function()
    s:received "Originate"
    s:board()
    new_call()
    b:type("#field-phone", "PJSIP/2010")
    b:type("#field-exten", "900")
    assert.are.equal("✓ Success", confirm())
    assert.are.same({ { Action = "Originate", Channel = "PJSIP/2010", Exten = "900", Context = "default", Priority = "1", CallerID = "900", Async = "true" } }, sent "Originate")
    s:no_errors()
  end)

  it("leaves the keyboard in the table when the row that it was in is gone", function()
    open_call("PJSIP/2015", "900")
    b:click "input[value=hangup]"
    assert.matches("^✓", confirm())
    b:await "return document.querySelector('#calls .empty')?.checkVisibility()"
    b:press(ESCAPE)
    assert.is_true(b:await "return document.activeElement === document.querySelector('#calls .sheet')")
    -- The same without a dialog.
    local channel = open_call("PJSIP/2016", "900")
    b:press(ESCAPE)
    b:await "return document.activeElement.matches('#call-table .more')"
    assert.are.equal(200, (support.ask(s.d, { method = "POST", path = "/api/servers/pbx1/actions", token = support.ALL, body = cjson.encode { Action = "Hangup", Channel = channel } })))
    b:await "return document.querySelector('#calls .empty')?.checkVisibility()"
    assert.is_true(b:run "return document.activeElement === document.querySelector('#calls .sheet')")
    s:no_errors()
  end)

  it("redirects a caller: Redirect, of the caller's channel, and the board shows where he is then", function()
    local channel = open_call("PJSIP/2011", "900")
    assert.matches("^PJSIP/2011%-", channel)
    b:click "input[value=redirect]"
    assert.are.equal("Redirect", b:text "dialog .primary")
    -- Nothing is sent before there is an extension.
    b:click "dialog .primary"
    assert.is_true(b:run "return document.activeElement.id === 'field-exten' && !document.querySelector('.result').textContent")
    b:type("#field-exten", "600")
    assert.are.equal("✓ Redirect successful", confirm())
    assert.are.same({ { Action = "Redirect", Channel = channel, Exten = "600", Context = "default", Priority = "1" } }, sent "Redirect")
    b:press(ESCAPE)
    b:await "return document.querySelector('#call-table tbody:not(.spacer) tr .state')?.textContent === 'conference'"
    s:no_errors()
  end)

  it("listens in: Originate of ChanSpy on the channel that the caller talks to", function()
    open_call("PJSIP/2012", "200")
    b:press(ESCAPE)
    b:await "return document.querySelector('#call-table tbody:not(.spacer) tr .state')?.textContent === 'up'"
    local _, _, calls = support.ask(s.d, "/api/calls?limit=10000")
    local peer
    for _, call in ipairs(calls.calls) do
      if tostring(call.caller):find("PJSIP/2012-", 1, true) then peer = call.peer end
    end
    assert.is_string(peer)
    b:click "#call-table .more"
    b:click "input[value=listen]"
    b:type("#field-phone", "PJSIP/2013")
    s:received "Originate"
    assert.are.equal("✓ Success", confirm())
    assert.are.same({ { Action = "Originate", Channel = "PJSIP/2013", Application = "ChanSpy", Data = peer .. ",qE", CallerID = "Listen in", Async = "true" } }, sent "Originate")
    s:no_errors()
  end)

  it("is refused by the engine where its policy does not allow it: nothing reaches Asterisk", function()
    s.config.policy.web.originate = nil
    s:reload()
    open_call("PJSIP/2014", "900")
    b:click "input[value=listen]"
    b:type("#field-phone", "PJSIP/2013")
    s:received "Originate"
    assert.matches("^✗ .*ChanSpy", confirm())
    assert.are.same({}, s:received "Originate")
    s.config.policy.web.originate = { "ChanSpy" }
    s:reload()
    b:console()
  end)

  local function refused(token, action)
    local status, _, body = support.ask(s.d, { method = "POST", path = "/api/servers/pbx1/actions", token = token, body = cjson.encode(action) })
    assert.are.equal(403, status, cjson.encode(body))
    assert.are.same({}, s:received(action.Action))
  end

  -- A call that is there, of the queue or of none.
  local function a_call(queued)
    return helper.wait_for(function()
      for _, call in ipairs((select(3, support.ask(s.d, "/api/calls?limit=10000"))).calls) do
        if (call.queue == "support") == queued and (queued or #call.waits == 0) and type(call.caller) == "string" then return call end
      end
    end)
  end

  it("is not offered to a token that only reads, and refused to it by the API", function()
    s:board(nil, support.READ)
    assert.is_true(b:run "return [...document.querySelectorAll('#originate, .act, .more')].every((each) => !each.checkVisibility())")
    assert.is_true(b:run "return document.querySelectorAll('.more').length === 0")
    local channel = a_call(false).caller
    s:received "Redirect"
    refused(support.READ, { Action = "Redirect", Channel = channel, Exten = "600", Context = "default", Priority = 1 })
    refused(support.READ, { Action = "Originate", Channel = "PJSIP/2013", Application = "ChanSpy", Data = channel .. ",qE" })
    refused(support.READ, { Action = "Hangup", Channel = channel })
    refused(support.READ, { Action = "QueuePause", Queue = "support", Interface = "PJSIP/101", Paused = true })
    s:no_errors()
  end)

  it("is offered within its queues to a token that is limited to some: no new call, no listening in", function()
    s:board(nil, scene.LEAD)
    assert.is_nil(b:text "#originate")
    b:await "return document.querySelector('#call-table .more')?.checkVisibility()"
    b:click "#call-table .more"
    assert.are.same({ "Redirect the caller", "Hang up" }, b:run "return [...document.querySelectorAll('dialog .choices label')].map((label) => label.textContent)")
    b:press(ESCAPE)
    s:received "Redirect"
    refused(scene.LEAD, { Action = "Redirect", Channel = a_call(false).caller, Exten = "600", Context = "default", Priority = 1 })
    refused(scene.LEAD, { Action = "Originate", Channel = "PJSIP/2013", Application = "ChanSpy", Data = a_call(true).caller .. ",qE" })
    refused(scene.LEAD, { Action = "QueuePause", Queue = "sales", Interface = "PJSIP/101", Paused = true })
    s:no_errors()
  end)
end)
