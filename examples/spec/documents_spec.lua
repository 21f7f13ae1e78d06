-- What the documents show works: every rule in them loads and runs on a real capture without an error.
local support = require "examples.spec.support"

local function blocks(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  local found = {}
  for before, block in text:gmatch "()\n```lua\n(.-)```" do
    local _, line = text:sub(1, before):gsub("\n", "")
    found[#found + 1] = { line = line + 2, text = block }
  end
  return found
end

for _, path in ipairs { "README.md", "lib/README.md" } do
  describe(path, function()
    for _, block in ipairs(blocks(path)) do
      if not block.text:find "^return {" then
        it("shows at line " .. block.line .. " a rule that runs", function()
          local folder = support.folder({}, { ["scripts/shown.lua"] = block.text })
          local _, log = folder:replay(support.CAPTURES .. "queue.ami", "--jobs", nil,
            "web = { tokens = { crm = { secret = 'only-for-this-spec-00', scopes = { 'hooks' } } } },") -- that the rules name
          folder:close()
          assert.is_nil(log:match '"level":"error"[^\n]*', log)
          log = log:gsub("[^\n]*has no server 'pbx%d?'\n", "") -- they are not in this capture
          assert.is_nil(log:match "warning: [^\n]*", log)
        end)
      end
    end
  end)
end

describe("examples/README.md", function()
  it("names every example, and every example has its spec", function()
    local text = assert(io.open "examples/README.md"):read "a"
    local pipe = io.popen "ls examples/*.lua"
    for path in pipe:lines() do
      local name = path:match "([^/]+)%.lua$"
      assert.truthy(text:find(name .. ".lua", 1, true), name)
      assert(io.open("examples/spec/" .. name .. "_spec.lua")):close()
    end
    pipe:close()
  end)
end)
