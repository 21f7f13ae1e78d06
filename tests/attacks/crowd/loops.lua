-- A thousand listeners of one rule, all of which loop.
-- ends: deadline
for _ = 1, 1000 do
  ami.on("Newchannel", function() while true do end end)
end
