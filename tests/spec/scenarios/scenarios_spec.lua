-- Plays every scenario of tests/scenarios against the real binary. SCENARIO names the only ones to play (texts of their names,
-- with commas between); SCENARIO_REPORT is a file to which each says what it must hold and what it measured.
package.path = "tests/spec/?.lua;tests/?.lua;" .. package.path
local helper = require "helper"
local support = require "scenarios.support"

local only = os.getenv "SCENARIO"
local report_path = os.getenv "SCENARIO_REPORT"

local function is_wanted(scenario)
  if not only then return true end
  for text in only:gmatch "[^,]+" do
    if scenario.name:find(text, 1, true) then return true end
  end
  return false
end

local function report(scenario, reports)
  if not report_path then return end
  local file = assert(io.open(report_path, "a"))
  file:write(("%s: %s\n"):format(scenario.name, scenario.must))
  for _, line in ipairs(reports) do file:write("    ", line, "\n") end
  file:close()
end

for _, part in ipairs { "frames", "answers", "sessions", "floods", "tls", "names", "host", "network", "reloads" } do
  describe("scenarios: " .. part, function()
    after_each(helper.cleanup)

    for _, scenario in ipairs(require("scenarios." .. part)) do
      if is_wanted(scenario) then
        it(("%s: %s"):format(scenario.name, scenario.must), function()
          local reports, why = support.play(scenario)
          if not reports then
            pending(why)
            return
          end
          report(scenario, reports)
        end)
      end
    end
  end)
end
