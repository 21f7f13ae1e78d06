-- The metatables of what the engine hands out cannot be had, changed, or led round.
-- says: held
ami.once("Newchannel", function(ev, server)
  local sub = ami.subscribe "Newchannel"
  local failed, err = server:call { Action = "NoSuchAction" }
  assert(not failed)
  local objects = { ev, server, sub, err, ami.on("Newstate", function() end), timer.after(1e6, function() end), ami.prefix "x", ami.route "failover",
    store.open "x", metric.counter("attack_objects", "x") }
  for i, object in ipairs(objects) do
    assert(getmetatable(object) == false, i)
    assert(not pcall(setmetatable, object, {}), i)
    if object ~= err then
      assert(not pcall(function() object.new_field = 1 end), i)
      assert(not pcall(rawset, object, 1, 1), i)
    end
    tostring(object)
  end
  for _, method in ipairs { server.send, server.call, sub.next, sub.cancel, objects[5].cancel, objects[6].cancel, objects[9].get, objects[9].set, objects[10].inc } do
    for _, wrong in ipairs { ev, "x", 1, false, sub.next, {}, coroutine.create(print) } do assert(not pcall(method, wrong, {})) end
    assert(not pcall(method))
  end
  for _, fn in ipairs { ami.values, ami.table, ami.time } do
    for _, wrong in ipairs { "x", 1, sub, {}, server } do assert(not pcall(fn, wrong, "x")) end
  end
  local iterate, state = pairs(ev)
  for _, wrong in ipairs { {}, 1, "x" } do pcall(iterate, wrong, wrong) end
  iterate(state)
  log.info "held"
end)
