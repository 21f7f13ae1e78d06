-- Names of callers from the CRM: who joins a queue is looked up by number, and the phones of the agents show the name.
--
-- The CRM is asked as GET <url>?number=<number> and answers { "name": "…" }, or 404 for a number that it does not know. Needs
-- `policy = { rules = { caller_name = { http = { "https://crm.example.net/api/" } } } }` in the configuration.
local set = settings {
  url = "https://crm.example.net/api/customer",
  token = "",      -- sent as `Authorization: Bearer …`; give it as env "CRM_TOKEN"
  timeout = 2,     -- seconds: a caller does not wait for the CRM, his name comes late or not at all
  remember = 3600, -- seconds that an answer holds, also that a number is unknown
}

local names = store.open "caller_name"
local headers = #set.token > 0 and { Authorization = "Bearer " .. set.token } or {}

-- "": the CRM does not know the number; nil: it could not be asked.
local function look_up(number)
  local name = names:get(number)
  if name then return name end
  local res, err = http.get(set.url, { query = { number = number }, headers = headers, timeout = set.timeout })
  if not res or not (res.ok or res.status == 404) then
    log.warn("the CRM does not answer", { reason = err and err.code or "status", status = res and res.status })
    return nil
  end
  local customer = res.ok and res:json()
  name = type(customer) == "table" and type(customer.name) == "string" and customer.name or ""
  -- It comes from outside: what a header of AMI cannot hold, or would end the name in Asterisk, has no place in it.
  name = name:gsub("[%c,\"\\<>|]", " "):sub(1, 60)
  names:set(number, name, set.remember)
  return name
end

ami.on("QueueCallerJoin", function(ev, server)
  local number = ev.CallerIDNum
  if not number or not number:match "^%+?%d+$" then return end -- "anonymous" and their like
  local name = look_up(number)
  if not name or name == "" then return end
  local res, err = server:call { Action = "Setvar", Channel = ev.Channel, Variable = "CALLERID(name)", Value = name }
  if not res and err.code ~= "error" then log.warn("name not set", { reason = tostring(err) }) end -- `error`: he has hung up meanwhile
end)
