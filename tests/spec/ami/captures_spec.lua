local cjson = require "cjson"
local hookswitch = require "hookswitch"
local support = dofile "tests/spec/ami/support.lua"

local expected = cjson.decode(support.read(support.CAPTURES .. "expected.json"))
local names = {}
for name in pairs(expected) do names[#names + 1] = name end
table.sort(names)

-- What the framer makes of a stream, counted as expected.json does.
local function count(bytes, size)
  local f = hookswitch.framer.new { banner = true }
  local c = { bytes = #bytes, frames = 0, events = 0, responses = 0, other_frames = 0, headers = 0, value_bytes = 0, by_event = {},
    by_response = {} }
  for piece in support.pieces(bytes, size) do
    for _, r in ipairs(f:feed(piece)) do
      if r.status ~= "banner" then
        assert(r.status == "frame", r.status)
        c.frames = c.frames + 1
        local counter, by = "other_frames", nil
        if r.kind == "event" then counter, by = "events", c.by_event
        elseif r.kind == "response" then counter, by = "responses", c.by_response end
        c[counter] = c[counter] + 1
        if by then by[r.name] = (by[r.name] or 0) + 1 end
        for _, header in ipairs(r.headers) do
          if header[1] ~= "" then
            c.headers = c.headers + 1
            c.value_bytes = c.value_bytes + #header[2]
          end
        end
      end
    end
  end
  c.partial_tail = f:partial()
  return c
end

-- Whatever else expected.json may say is compared too.
local function agree(name, size, way)
  local counted = count(support.read(support.CAPTURES .. name), size)
  for key, want in pairs(expected[name]) do
    assert.same(want, counted[key], name .. " " .. way .. " " .. key)
  end
end

describe("the captures of real servers", function()
  for _, name in ipairs(names) do
    describe(name, function()
      for _, way in ipairs(support.WAYS) do
        it("Q11 is read as an independent reader counted it, " .. way[1], function()
          agree(name, way[2], way[1])
        end)
      end

      it("Q11 is read as an independent reader counted it, in random pieces", function()
        for seed = 1, 3 do
          local random = support.random(seed)
          agree(name, function() return random(random(4) == 1 and 3000 or 40) end, "seed " .. seed)
        end
      end)

      it("Q51 cut anywhere is partial or whole, and never gives a frame that is not there", function()
        local bytes = support.read(support.CAPTURES .. name):sub(1, 40000)
        local whole = hookswitch.framer.new({ banner = true }):feed(bytes)
        local random = support.random(11)
        for _ = 1, 50 do
          local f = hookswitch.framer.new { banner = true }
          local r = f:feed(bytes:sub(1, random(#bytes)))
          for i, result in ipairs(r) do assert.equal(whole[i].bytes, result.bytes) end
        end
      end)
    end)
  end
end)
