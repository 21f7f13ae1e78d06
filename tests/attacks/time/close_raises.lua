-- An error raised while the deadline's own error unwinds.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  local guard <close> = setmetatable({}, { __close = function() error "again" end })
  while true do end
end)
