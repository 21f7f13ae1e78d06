-- The live picture against captures of real traffic: at each mark what lists said, at the end what the phones lived.
local support = dofile "tests/spec/live/support.lua"

-- Calls that cannot agree: the bytes do not tell, or the truth names something else. What differs stands here word for word.
local NO_HOLD = "chan_sip let the re-INVITE leave no byte"
local excused = {
  s01 = { c025 = { "OriginateResponse of an endpoint without contact and of a missing technology are the same bytes",
                   "result is failed, not unreachable" } },
  s05 = { c009 = { "the truth names the conference, not the number that the Originate dialled", "to is 600, not 8600" } },
  ["s08-13"] = {
    c002 = { NO_HOLD, "hold is 0 s, not 3.77, talk is 6.198797 s, not 2.43" },
    c010 = { NO_HOLD .. ": the Unhold is missing", "hold is 2.71908 s, not 1.68, talk is 1.00118 s, not 2.04" },
    c023 = { NO_HOLD, "hold is 0 s, not 2.69, talk is 4.670789 s, not 1.98" },
    c028 = { NO_HOLD, "hold is 0 s, not 2.96, talk is 6.080454 s, not 3.12" },
    c040 = { NO_HOLD, "hold is 0 s, not 2.63, talk is 5.655406 s, not 3.02" },
    c060 = { NO_HOLD, "hold is 0 s, not 2.47, talk is 4.996772 s, not 2.52" },
    c064 = { NO_HOLD, "hold is 0 s, not 1.02, talk is 3.004751 s, not 1.99" },
  },
  -- Killed: nothing tells how they ended.
  s10 = {
    c001 = { "killed", "result is unseen, not answered" }, c002 = { "killed", "result is unseen, not answered" },
    c003 = { "killed", "result is unseen, not failed" }, c004 = { "killed", "result is unseen, not failed" },
    c005 = { "killed", "result is unseen, not answered" }, c006 = { "killed", "result is unseen, not answered" },
  },
}

local captures = {
  { "s01" }, { "s02", reset = "17" }, { "s02-13", reset = "17" }, { "s03" }, { "s03-18" }, { "s04" }, { "s05" }, { "s06" },
  { "s07" }, { "s08-13" }, { "s09", after = "s09-after" }, { "s10", after = "s10-after" },
}

-- What is left where the server was asked for `events = "auto"` and filters.
local function filtered(l)
  local read = {}
  for _, name in ipairs(l:variables()) do read[name] = true end
  return function(bytes)
    return (bytes:gsub("Event: VarSet\r\n.-\r\n\r\n", function(frame)
      return not read[frame:match "\r\nVariable: ([^\r]*)"] and "" or nil
    end))
  end
end

local function play(capture, way, at_mark)
  local name = capture[1]
  local truth = support.truth(name)
  local l = support.new()
  l:session("pbx", name:find "-13" and "2.10.6" or name:find "-18" and "7.0.3" or "13.0.0", 1)
  local chunk, bytes = way.chunk, way.filtered and filtered(l) or nil
  support.play(l, name, truth, chunk, at_mark, { reset = capture.reset, bytes = bytes })
  if capture.after then
    l:lost "pbx"
    -- FullyBooted bears no time; it came with the first event that does.
    l:session("pbx", "13.0.0", tonumber(support.read(capture.after .. ".ami"):match "Timestamp: ([%d.]+)"))
    support.play(l, capture.after, truth, chunk, at_mark, { bytes = bytes })
  end
  return l, truth
end

describe("the live picture of captured traffic", function()
  for _, capture in ipairs(captures) do
    local name = capture[1]
    for _, way in ipairs { { "whole" }, { "in pieces of 7 bytes", chunk = 7 }, { "without the VarSets that it does not read", filtered = true } } do
      it(("%s, %s: equals the truth at each mark, and so does each call"):format(name, way[1]), function()
        local faults, marks, ended = {}, 0, {}
        local l, truth = play(capture, way, function(l, mark, number)
          marks = marks + 1
          support.compare(l, mark, number, faults)
        end)
        assert.same({}, faults)
        local valid = 0
        for _, mark in pairs(truth.marks) do valid = valid + (mark.valid and 1 or 0) end
        assert.equal(valid, marks)

        for _, change in ipairs(l:changes()) do
          if change.kind == "call.ended" then
            assert.is_nil(ended[change.object.id], change.object.id .. " ended twice")
            ended[change.object.id] = change.object
          end
        end
        for _, want in ipairs(truth.calls) do
          if want.uniqueid then -- others never had a channel
            local have = ended[want.uniqueid]
            local excuse = (excused[name] or {})[want.id]
            assert(have, want.id .. " did not end: " .. want.what)
            assert.equal(excuse and excuse[2], support.differences(have, want), want.id .. ": " .. want.what)
            ended[want.uniqueid] = nil
          end
        end
        assert.is_nil(next(ended)) -- nothing but the calls that were made
        assert.equal(0, l:count "channel")
        assert.equal(0, l:count "call")
        l:close()
      end)
    end
  end
end)

describe("the words of the picture's fields", function()
  it("are those that real traffic brings, and every boolean has them", function()
    local words = require("hookswitch").live.words
    local open = { -- words of Asterisk, names and numbers
      state = { member = true }, reason = {}, result = {}, direction = {}, ended_by = {},
    }
    local fixed = 0
    local function check(kind, object)
      for field, value in pairs(object) do
        local known = words(kind, field)
        if type(value) == "boolean" then
          assert.same({ "true", "false" }, known, kind .. "." .. field)
        elseif known then
          local fits = false
          for _, word in ipairs(known) do fits = fits or word == value end
          assert.is_true(fits, kind .. "." .. field .. " is " .. tostring(value))
          fixed = fixed + 1
        else
          assert.is_true(not open[field] or open[field][kind] or false, kind .. "." .. field .. " has no words")
        end
      end
    end
    for _, name in ipairs { "s02", "s04", "s06", "s09" } do
      local l = play({ name }, {}, function(l)
        for _, kind in ipairs { "channel", "call", "bridge", "conference", "lot", "queue", "agent", "endpoint" } do
          for _, object in ipairs(l:walk(kind)) do
            check(kind, object)
            for _, item in ipairs(kind == "conference" and object.members or {}) do check("participant", item) end
            for _, item in ipairs(kind == "queue" and object.members or {}) do check("member", item) end
            for _, item in ipairs(kind == "queue" and object.waiting or {}) do check("caller", item) end
            for _, item in ipairs(kind == "call" and object.waits or {}) do check("wait", item) end
          end
        end
      end)
      for _, change in ipairs(l:changes()) do
        if change.kind:find "^call%." then check("call", change.object) end
        if change.kind:find "^queue%.[jl]" then check("caller", change.object) end
        if change.reason then
          local known = table.concat(words(change.kind, "reason"), " ")
          assert.is_truthy((" " .. known .. " "):find(" " .. change.reason .. " ", 1, true), change.kind .. ": " .. change.reason)
        end
      end
      l:close()
    end
    assert.is_true(fixed > 1000, fixed)
  end)
end)
