-- A thousand intervals of a millisecond.
-- ends: served
for _ = 1, 1000 do timer.every(0.001, function() end) end
