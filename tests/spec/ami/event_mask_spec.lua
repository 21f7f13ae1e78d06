local mask = require "hookswitch".event_mask

-- As Asterisk reads the `Events` header: words for all and none, a number of bits, or classes with commas between.
local HEARS_CALL = { "", "on", "ON", "yes", "true", "y", "t", "all", "call", "call,agent", "agent,call", "system,call,user", "agent,all", "2", "6",
  "4294967295" }
local HEARS_NONE = { "off", "Off", "no", "false", "n", "f", "0", "00", "none", "agent", "agent,user", "system,log,verbose,command,agent,user,config",
  "1", "4", "32", "CALL", "calls", "cal,agent", "agent,callx", ",", "originate" }

describe("the mask of events", function()
  it("Q62 lets an event of the class call pass only if call is in it", function()
    for _, text in ipairs(HEARS_CALL) do assert.is_true(mask.hears(text, "call"), text) end
    for _, text in ipairs(HEARS_NONE) do assert.is_false(mask.hears(text, "call"), text) end
  end)

  it("Q62 has a bit for each class when it is a number", function()
    local bits = { system = 1, call = 2, log = 4, verbose = 8, command = 16, agent = 32, user = 64, config = 128, dtmf = 256, reporting = 512,
      cdr = 1024, dialplan = 2048, originate = 4096, agi = 8192, cc = 32768, aoc = 65536, test = 131072, security = 262144,
      message = 1 << 30 }
    for class, bit in pairs(bits) do
      assert.is_true(mask.hears(tostring(bit), class), class)
      assert.is_false(mask.hears(tostring(~bit & 0x7fffffff), class), class)
      assert.is_true(mask.hears(class, class))
      assert.is_nil(mask.unknown(class))
    end
    assert.is_false(mask.hears("1", "nonsense"))
  end)

  it("names the word that is no class", function()
    assert.equal("calls", mask.unknown "calls")
    assert.equal("Agent", mask.unknown "call,Agent,user")
    assert.equal("", mask.unknown "call,")
    for _, good in ipairs { "on", "off", "0", "call,agent", "all", "none", "6" } do assert.is_nil(mask.unknown(good), good) end
  end)
end)
