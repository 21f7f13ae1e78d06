-- Click-to-call with failover: a program asks for a call, the first server that is ready makes it.
--
-- It asks with `hookswitch ctl emit dial.request phone=PJSIP/101 number=200 id=42`, with a UserEvent on any of the servers
-- (`UserEvent: DialRequest`, `Phone: …`, `Number: …`, `Id: …`), or, another rule, with ami.emit. The phone rings, then it is connected to
-- the number. The event `dial.done` reports the end: id, result (answered, busy …), server, uniqueid.
local set = settings {
  servers = {},         -- names, the best first; none: all, in the configuration's order
  context = "default",  -- where the number is dialled
  ring = 20,            -- seconds that the phone rings
  tries = 3,
}

local route = ami.route("failover", #set.servers > 0 and { table.unpack(set.servers) } or nil)

-- The `Reason` of an OriginateResponse.
local reasons = { ["0"] = "failed", ["1"] = "no answer", ["3"] = "no answer", ["4"] = "answered", ["5"] = "busy", ["8"] = "congestion" }

local function dial(phone, number)
  local err
  for try = 1, set.tries do
    local server, res
    server, err = route:pick()
    if server then
      res, err = server:call {
        Action = "Originate", Channel = phone, Context = set.context, Exten = number, Priority = 1,
        CallerID = number, Timeout = set.ring * 1000,
      }
      if res then return "answered", server.name, res.Uniqueid end
      if err.response then return reasons[err.response.Reason] or tostring(err), server.name end
    end
    -- Only what surely was not sent may be sent again; after `lost` or `timeout` the phone may be ringing.
    if err.code ~= "not_ready" and err.code ~= "backpressure" then break end
    if try < set.tries then timer.sleep(1) end
  end
  return tostring(err)
end

local function on_request(ev)
  local phone, number = ev.phone, ev.number
  if not phone or not phone:match "^%u[%w%-]*/[%w@/_.-]+$" or not number or not number:match "^[%w*#+]+$" then
    log.warn("a request without a phone or a number", { request = tostring(ev) })
    return
  end
  local result, server, uniqueid = dial(phone, number)
  log.info("dialled", { phone = phone, number = number, result = result, server = server })
  ami.emit("dial.done", { id = ev.id or "", result = result, server = server or "", uniqueid = uniqueid or "" })
end

ami.on("dial.request", on_request)
ami.on("UserEvent", { where = { UserEvent = "DialRequest" } }, on_request)
