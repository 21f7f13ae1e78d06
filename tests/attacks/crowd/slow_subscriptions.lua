-- A hundred tasks whose subscriptions get the same event at once, each 25 ms slow: below the deadline, above the share of a turn.
-- ends: served
for _ = 1, 100 do
  timer.after(0.1, function()
    local sub <close> = ami.subscribe "attack.slow_subscriptions"
    sub:next()
    local began = os.clock()
    while os.clock() - began < 0.025 do end
  end)
end
