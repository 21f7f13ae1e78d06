-- Events of megabytes.
-- ends: error
ami.on("attack.emit_large", function()
  local big = ("x"):rep(1 << 20)
  local ok, err = ami.emit("attack.large", { a = big, b = big })
  if not ok then error(tostring(err)) end
end)
