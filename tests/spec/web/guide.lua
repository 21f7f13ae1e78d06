-- The guides in examples/web.md, for the specs that run them.
local helper = require "tests.spec.helper"

local guide = { path = "examples/web.md" }

-- The text of a part, from its heading to the next one.
function guide.part(heading)
  local text = helper.read(guide.path) .. "\n## "
  return assert(text:match("\n## " .. heading:gsub("%p", "%%%0") .. "\n(.-)\n## "), guide.path .. " has no part " .. heading)
end

-- The block of a part whose first line names that file, without this line.
function guide.block(heading, file)
  for body in guide.part(heading):gmatch "```%w+\n(.-)```\n" do
    local named, rest = body:match "^[-#;<!/]+ ([%w_/.-]+)[^\n]*\n(.*)$"
    if named == file then return rest end
  end
  error(("%s: %s: no block has the file %s"):format(guide.path, heading, file))
end

-- The blocks of a language in a part, one after the other.
function guide.blocks(heading, language)
  local all = {}
  for body in guide.part(heading):gmatch("```" .. language .. "\n(.-)```\n") do all[#all + 1] = body end
  return table.concat(all)
end

-- A daemon with the configuration of a part, on a free port; its `web_port`. `options`: { servers =, rules =, env =, replace = { { what, with } … } in the configuration }.
function guide.daemon(heading, options)
  local section = guide.block(heading, "conf/hookswitch.lua"):gsub("127%.0%.0%.1:8080", "127.0.0.1:0")
  for _, pair in ipairs(options.replace or {}) do
    local at, to = section:find(pair[1], 1, true)
    assert(at, pair[1] .. " does not stand in the configuration")
    section = section:sub(1, at - 1) .. pair[2] .. section:sub(to + 1)
  end
  local project = helper.project { rules = options.rules or {} }
  helper.write_file(project.config, ('return {\nservers = %s,\ncontrol = { socket = "console" }, log = { throttle_burst = 1000000 },\n%s}\n')
    :format(helper.source(options.servers or {}), section))
  local daemon = helper.daemon(project, { env = options.env })
  if section:find("web =", 1, true) then daemon.web_port = math.tointeger(daemon:await({ msg = "the API is served" }).port) end
  return daemon
end

return guide
