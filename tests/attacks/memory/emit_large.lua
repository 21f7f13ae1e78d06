-- Events of megabytes.
-- ends: error
timer.after(settings({ at = 0.1 }).at, function()
  local big = ("x"):rep(1 << 20)
  local ok, err = ami.emit("attack.large", { a = big, b = big })
  if not ok then error(tostring(err)) end
end)
