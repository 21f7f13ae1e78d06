-- Deep stacks that wait: coroutines' stacks are the rule's too.
-- ends: memory
ami.on("attack.deep_stacks", function()
  for _ = 1, 200 do
    timer.after(0, function()
      local function deep(n)
        if n == 0 then timer.sleep(1e6) return 0 end
        return 1 + deep(n - 1)
      end
      deep(15000)
    end)
  end
end)
