-- What the documents quote of messages stands in the source, and what the daemon warns of stands in the documents.
local helper = require "tests.spec.helper"

-- The source with the parts of split literals joined.
local function sources()
  local pipe = assert(io.popen "find src -name '*.c' | sort")
  local files = {}
  for path in pipe:lines() do
    local text = helper.read(path):gsub('"%s*\n%s*"', ""):gsub('\\"', "'")
    files[#files + 1] = { path = path, text = text }
  end
  pipe:close()
  assert(#files > 50)
  return files
end

-- The quotes in the first cells of the tables between two headings, and in the headings between: { at, text }.
local function quotes(path, from, to)
  local list, inside, number = {}, false, 0
  for line in (helper.read(path)):gmatch "([^\n]*)\n" do
    number = number + 1
    if line == from then inside = true elseif line == to then inside = false end
    local cell = inside and (line:match "^| (.-) | " or line:match "^### (.*)$")
    for quote in (cell or ""):gmatch "`([^`]+)`" do
      list[#list + 1] = { at = path .. ":" .. number, text = quote }
    end
  end
  assert(#list > 15, path)
  return list
end

local function all_quotes()
  local list = quotes("README.md", "## When something is wrong", "## What it is made of")
  for _, quote in ipairs(quotes("conf/README.md", "## What the log says", "## Options")) do list[#list + 1] = quote end
  return list
end

-- Words of others: Lua's own, and Asterisk's.
local FOREIGN = { ["attempt to index a nil value"] = true, ["Permission denied"] = true }

describe("troubleshooting", function()
  it("quotes messages that there are", function()
    local files = sources()
    for _, quote in ipairs(all_quotes()) do
      local wanted = quote.text:gsub("^reason=(.*)$", '"%1"')
      local found = FOREIGN[wanted] or false
      for _, file in ipairs(files) do found = found or file.text:find(wanted, 1, true) ~= nil end
      assert.is_true(found, quote.at .. ": no message has " .. wanted)
    end
  end)

  local function is_quoted(message, list)
    for _, quote in ipairs(list) do
      if message:find(quote.text, 1, true) then return true end
    end
    return false
  end

  it("has every warning and error that the daemon logs", function()
    local list, seen = all_quotes(), 0
    for _, file in ipairs(sources()) do
      for _, pattern in ipairs { "[%w_]+%(([^;{}]-LOG_WARN[^;]-);", "[%w_]+%(([^;{}]-LOG_ERROR[^;]-);", "%f[%w]lose%(([^;]-);", "%f[%w]refuse%(metric([^;]-);", "tell_errors%(writer([^;]-);" } do
        for call in file.text:gmatch(pattern) do
          for message in call:gsub("F_%u+.*", ""):gmatch '"([^"]+)"' do
            if message:find " " then
              seen = seen + 1
              assert.is_true(is_quoted(message, list), file.path .. ": no document has the message " .. message)
            end
          end
        end
      end
    end
    assert.is_true(seen > 35, seen)
  end)

  it("has every reason for which a server has no session", function()
    local names = helper.read "src/link/link.c":match "%[REASON_NONE%] = (.-)};"
    local list, seen = {}, 0
    for _, quote in ipairs(all_quotes()) do list[quote.text] = true end
    for name in names:gmatch '= "([%l_]+)"' do
      if name ~= "stopped" then -- asked for
        seen = seen + 1
        assert.is_true(list["reason=" .. name] or false, name)
      end
    end
    assert.is_true(seen > 12)
  end)
end)
