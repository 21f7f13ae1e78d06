-- Real networks: two namespaces with a cable between them; the daemon in one, the servers in the other.
local support = require "scenarios.support"

local function needs()
  local probe = "hs" .. math.random(100000, 999999)
  local permitted = support.can(("test $(id -u) = 0 && ip netns add %s && ip -n %s link add %sa type veth peer name %sb; code=$?; ip netns del %s; exit $code")
    :format(probe, probe, probe, probe, probe))
  return not permitted and "network namespaces are not permitted here" or nil
end

local function needs_netem()
  local why = needs()
  if why then return why end
  return not support.can "unshare -n tc qdisc add dev lo root netem delay 1ms" and "this kernel has no netem" or nil
end

-- Runs fn(net): `near` and `far` are namespaces, far has the addresses 10.99.0.11, .12 and .13; run(text) is a shell command
-- in which $near and $far stand for them. Everything is taken down afterwards.
local function with_network(fn)
  local tag = "hs" .. math.random(100000, 999999)
  local net = { near = tag .. "n", far = tag .. "f" }
  function net.run(command)
    assert(os.execute((command:gsub("%$near", net.near):gsub("%$far", net.far):gsub("%$tag", tag))), command)
  end
  local good, why = pcall(function()
    net.run [[ip netns add $near && ip netns add $far && ip link add $tag netns $near type veth peer name $tag netns $far &&
ip -n $near addr add 10.99.0.1/24 dev $tag && ip -n $near link set $tag up && ip -n $near link set lo up &&
ip -n $far addr add 10.99.0.11/24 dev $tag && ip -n $far addr add 10.99.0.12/24 dev $tag && ip -n $far addr add 10.99.0.13/24 dev $tag &&
ip -n $far link set $tag up && ip -n $far link set lo up]]
    fn(net)
  end)
  support.cleanup()
  os.execute(("ip netns del %s; ip netns del %s"):format(net.near, net.far))
  assert(good, why)
end

local function far_sim(net, address, ...)
  local sim = support.start("ip", { "netns", "exec", net.far, support.binary, "sim", "--listen", address .. ":5038", "--user", support.USER, "--secret",
    support.SECRET, ... })
  support.wait_for(function() return sim:stdout():find "listening" end, nil, function() return sim:tail() end)
  return sim
end

local function near_daemon(t, net, servers, rules)
  local program = support.folder() .. "/hookswitch"
  support.write_file(program, ("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n"):format(net.near, support.binary))
  os.execute("chmod +x " .. program)
  local helper, binary = getmetatable(support).__index, support.binary
  helper.binary = program
  local good, daemon = pcall(t.daemon, t, { servers = servers, rules = rules })
  helper.binary = binary
  return assert(good and daemon, daemon)
end

local function options(address)
  return { host = address, port = 5038, username = support.USER, secret = support.SECRET, reconnect = { first = 0.05, max = 0.1, breaker_failures = 1000 },
    timeouts = { connect = 0.5, heartbeat_interval = 0.4, heartbeat = 0.4, read = 5, drain = 0.5 } }
end

-- Ends it while the network still stands, with the checks of every scenario's end.
local function finish(t, daemon)
  t.daemons = {}
  assert(daemon:stop() == 0, daemon:tail())
  assert(not daemon:stderr():find("Sanitizer", 1, true), daemon:stderr())
end

return {
  {
    name = "partition and heal",
    must = "a server that the network cuts off is found dead by its heartbeat, the others stay, and it is back when the network is",
    needs = needs,
    play = function(t)
      with_network(function(net)
        local servers = {}
        for n = 1, 3 do
          far_sim(net, "10.99.0.1" .. n)
          servers["pbx" .. n] = options("10.99.0.1" .. n)
        end
        local daemon = near_daemon(t, net, servers, { support.LISTEN, support.SEND })
        for n = 1, 3 do daemon:ready("pbx" .. n) end
        net.run "ip -n $far addr del 10.99.0.12/24 dev $tag"
        local lost = daemon:await { msg = "server.lost", server = "pbx2" }
        assert(lost.reason == "heartbeat" or lost.reason == "unreachable", lost.reason)
        daemon:await { msg = "no session", server = "pbx2" }
        t:report("cut off: ended as %s, tries end as %s", lost.reason, daemon:find({ msg = "no session", server = "pbx2" })[1].reason)
        net.run "ip -n $far addr add 10.99.0.12/24 dev $tag"
        local healed = support.now()
        daemon:ready("pbx2", { count = 2 })
        t:report("back %.2f s after the network", support.now() - healed)
        -- And now the whole cable.
        net.run "ip -n $far link set $tag down"
        for n = 1, 3 do daemon:await({ msg = "server.lost", server = "pbx" .. n }, { count = n == 2 and 2 or 1 }) end
        net.run "ip -n $far link set $tag up"
        for n = 1, 3 do daemon:ready("pbx" .. n, { count = n == 2 and 3 or 2 }) end
        for n = 1, 3, 2 do assert(#daemon:find { msg = "server.lost", server = "pbx" .. n } == 1) end
        finish(t, daemon)
      end)
    end,
  },
  {
    name = "short interruptions",
    must = "a network that is gone for moments again and again loses no event and ends no session",
    needs = needs,
    play = function(t)
      with_network(function(net)
        far_sim(net, "10.99.0.11", "--events", "3000", "--rate", "1500")
        local slow = options "10.99.0.11"
        slow.timeouts = { heartbeat_interval = 5, heartbeat = 20, read = 60, drain = 0.5 }
        local daemon = near_daemon(t, net, { pbx = slow }, { support.COUNT })
        daemon:ready "pbx"
        for _ = 1, 4 do
          local seen = support.server(daemon, "pbx").events
          net.run "ip -n $near link set $tag down && sleep 0.1 && ip -n $near link set $tag up"
          support.wait_for(function() return support.server(daemon, "pbx").events > seen or seen >= 3003 end)
        end
        support.await_metric(daemon, "hookswitch_rule_heard_total", { server = "pbx" }, 3003)
        assert(support.server(daemon, "pbx").sessions == 1)
        finish(t, daemon)
      end)
    end,
  },
  {
    name = "delay and loss",
    must = "with 20 ms of delay and 2 % of loss every event and every answer comes",
    needs = needs_netem,
    play = function(t)
      with_network(function(net)
        net.run "tc -n $near qdisc add dev $tag root netem delay 10ms loss 1% && tc -n $far qdisc add dev $tag root netem delay 10ms loss 1%"
        far_sim(net, "10.99.0.11", "--events", "3000")
        local slow = options "10.99.0.11"
        slow.timeouts = { heartbeat_interval = 5, heartbeat = 20, read = 60, drain = 0.5 }
        local daemon = near_daemon(t, net, { pbx = slow }, { support.COUNT, support.SEND })
        daemon:ready "pbx"
        daemon:emit("please.send", "server=pbx", "action=Ping", "times=100", "timeout=30")
        support.await_metric(daemon, "hookswitch_rule_heard_total", { server = "pbx" }, 3003)
        support.await_metric(daemon, "hookswitch_rule_ends_total", { code = "success" }, 100)
        finish(t, daemon)
      end)
    end,
  },
}
