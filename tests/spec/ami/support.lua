-- Shared by the specs of the protocol layer. Specs run from the repository's root.
local hookswitch = require "hookswitch"

local support = { CAPTURES = "tests/fixtures/captures/" }

-- A frame of these lines, ended as Asterisk does.
function support.frame(...)
  return table.concat({ ... }, "\r\n") .. "\r\n\r\n"
end

function support.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

-- Cuts bytes into pieces of `size` (nil: one piece; a function: asked for each size).
function support.pieces(bytes, size)
  local at = 1
  return function()
    if at > #bytes then return nil end
    local n = size and (type(size) == "function" and size() or size) or #bytes
    local piece = bytes:sub(at, at + n - 1)
    at = at + n
    return piece
  end
end

-- Feeds a framer or a correlator in pieces; all results as one list.
function support.feed(object, bytes, size)
  local all = {}
  for piece in support.pieces(bytes, size) do
    for _, result in ipairs(object:feed(piece)) do
      all[#all + 1] = result
    end
  end
  return all
end

support.WAYS = { { "whole" }, { "byte by byte", 1 }, { "by 7 bytes", 7 } }

-- Frames the bytes whole, byte by byte and by 7 bytes, and gives each result to `check(results, framer)`.
function support.each_way(bytes, options, check)
  for _, way in ipairs(support.WAYS) do
    local framer = hookswitch.framer.new(options)
    local results = support.feed(framer, bytes, way[2])
    local good, problem = xpcall(check, function(e)
      return type(e) == "string" and way[1] .. ": " .. e or e
    end, results, framer)
    if not good then error(problem, 0) end
  end
end

-- { "frame Event Newchannel", … }: what came, in short.
function support.summary(results)
  local short = {}
  for i, r in ipairs(results) do
    short[i] = r.status .. " " .. r.kind .. " " .. r.name
  end
  return short
end

-- The first value of that header in a result's or reply's fields.
function support.value(fields, name)
  for _, header in ipairs(fields.headers) do
    if header[1]:lower() == name:lower() then return header[2] end
  end
end

function support.values(fields, name)
  local values = {}
  for _, header in ipairs(fields.headers) do
    if header[1]:lower() == name:lower() then values[#values + 1] = header[2] end
  end
  return values
end

-- A generator of its own, so that a seed gives the same history everywhere: next(n) is in 1 .. n.
function support.random(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return ((state >> 33) % n) + 1
  end
end

-- A correlator with one more convenience: p.session(version), p.ask(headers, options), p.answer(lines…).
function support.session(options, version)
  local p = hookswitch.pending.new(options)
  p:set_version(version or "13.0.0")
  local session = { pending = p, written = 0 }
  -- Registers an action { Action = …, … } or a name, as written to the kernel; its id.
  function session.ask(action, more)
    if type(action) == "string" then action = { Action = action } end
    local o = { offset = session.written }
    for k, v in pairs(more or {}) do o[k] = v end
    local id, sequence, text = p:add(action, o)
    if not id then return nil, sequence, text end
    if o.offset >= session.written and not (more and more.unwritten) then
      session.written = o.offset + 10
      p:written(session.written)
    end
    return id, sequence
  end
  -- What one frame of these lines did: word, reply.
  function session.answer(...)
    local results = p:feed(support.frame(...))
    assert(#results == 1, "one frame gives one result")
    return results[1][1], results[1][2]
  end
  return session
end

return support
