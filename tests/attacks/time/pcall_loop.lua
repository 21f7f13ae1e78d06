-- A loop around a protected loop: pcall must not swallow the deadline.
-- ends: deadline
ami.on("attack.pcall_loop", function()
  while true do
    pcall(function() while true do end end)
  end
end)
