-- Five hundred sleeps that end at once, each followed by a loop.
-- ends: deadline
for _ = 1, 500 do
  timer.after(0.05, function()
    timer.sleep(0.3)
    while true do end
  end)
end
