-- An error object whose __tostring loops when the engine asks for its text.
-- ends: deadline
timer.after(settings({ at = 0.1 }).at, function()
  error(setmetatable({}, { __tostring = function() while true do end end }))
end)
