-- An error object whose __tostring loops when the engine asks for its text.
-- ends: deadline
ami.on("attack.error_object", function()
  error(setmetatable({}, { __tostring = function() while true do end end }))
end)
