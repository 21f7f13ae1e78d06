-- An error raised while the deadline's own error unwinds.
-- ends: deadline
ami.on("attack.close_raises", function()
  local guard <close> = setmetatable({}, { __close = function() error "again" end })
  while true do end
end)
