-- A timer that makes itself again with 0, for ever.
-- ends: served
local function again() timer.after(0, again) end
timer.after(0, again)
