-- A table that forgets, for what a rule remembers of calls, agents or numbers: bounded in number and in time.
--
--   local recent = require "recent"
--   local seen = recent.new { cap = 1000, ttl = 3600 }
--   seen:put(ev.CallerIDNum, true)
--
-- recent.new { cap = n, ttl = seconds [, forgotten = fn(key, value, why)] } -> table
--   t:put(key, value)   puts or replaces; the ttl begins anew
--   t:get(key)          -> value or nil
--   t:remove(key)       -> the value that stood there, or nil
--   t:count()           -> number of entries
--   t:each()            -> an iterator over key, value, the oldest first; entries may be removed meanwhile, not put
--   t:sweep()           forgets what has expired; put() does it too
-- The oldest go first: beyond `cap` (why "cap"), or `ttl` seconds after they were put ("ttl"). `forgotten` is called for these two.
-- It lives in the memory of the rule that made it and ends with a reload; `store` keeps what must survive one.

local methods = {}

local function unlink(self, entry)
  local before, after = entry.before, entry.after
  if before then before.after = after else self.oldest = after end
  if after then after.before = before else self.newest = before end
  self.entries[entry.key] = nil
  self.size = self.size - 1
  entry.gone = true
end

local function forget(self, entry, why)
  unlink(self, entry)
  if self.forgotten then self.forgotten(entry.key, entry.value, why) end
end

function methods:sweep()
  local too_old = timer.now() - self.ttl
  while self.oldest and self.oldest.at <= too_old do forget(self, self.oldest, "ttl") end
end

function methods:put(key, value)
  local old = self.entries[key]
  if old then unlink(self, old) end
  local entry = { key = key, value = value, at = timer.now(), before = self.newest }
  if self.newest then self.newest.after = entry else self.oldest = entry end
  self.newest = entry
  self.entries[key] = entry
  self.size = self.size + 1
  self:sweep()
  if self.size > self.cap then forget(self, self.oldest, "cap") end
end

function methods:get(key)
  local entry = self.entries[key]
  if entry and entry.at > timer.now() - self.ttl then return entry.value end
  return nil
end

function methods:remove(key)
  local entry = self.entries[key]
  if not entry then return nil end
  unlink(self, entry)
  return entry.value
end

function methods:count()
  return self.size
end

function methods:each()
  local entry = self.oldest
  return function()
    while entry and entry.gone do entry = entry.after end
    if not entry then return nil end
    local found = entry
    entry = entry.after
    return found.key, found.value
  end
end

local meta = { __index = methods, __metatable = false }

local function new(options)
  assert(options.cap >= 1 and options.ttl > 0, "recent.new: cap is a number from 1, ttl one of seconds above 0")
  return setmetatable({ entries = {}, size = 0, cap = options.cap, ttl = options.ttl, forgotten = options.forgotten }, meta)
end

return { new = new }
