-- One listener that takes 20 ms of each event: below its deadline, and far more than its share of the turns.
-- ends: served
ami.on("*", function()
  local till = os.clock() + 0.02
  while os.clock() < till do end
end)
