local support = require "examples.spec.support"

describe("examples/queue_metrics.lua", function()
  local folder

  before_each(function() folder = support.folder { "examples/queue_metrics.lua" } end)
  after_each(function() folder:close() end)

  it("shows what the queues have, and nothing of a server that is gone", function()
    local port = folder:sim "asterisk"
    folder:put("scripts/step.lua", [[
      ami.on("server.ready", function(_, server)
        server:call { Action = "QueuePause", Queue = "support", Interface = "PJSIP/102", Paused = true }
        server:call { Action = "Originate", Channel = "Local/100@default/n", CallerID = "5551234", Context = "default", Exten = "300", Priority = 1 }
        timer.sleep(0.5)
        log.info("set up")
      end)
      ami.on("server.lost", function() timer.sleep(0.3) log.info("taken down") end)]])
    folder:engine({ { "pbx1", port } }, "rules = { queue_metrics = { every = 0.1 } }")
    folder:await("run", '"msg":"set up"')
    local text = folder:ctl "metrics"
    for _, line in ipairs {
      'hookswitch_rule_queue_callers{server="pbx1",queue="support"} 1', 'hookswitch_rule_queue_callers{server="pbx1",queue="sales"} 0',
      'hookswitch_rule_queue_free{server="pbx1",queue="support"} 1', 'hookswitch_rule_queue_abandoned{server="pbx1",queue="support"} 0',
    } do assert.truthy(text:find(line, 1, true), line) end

    folder:stop "asterisk"
    folder:await("run", '"msg":"taken down"')
    assert.is_nil(folder:ctl("metrics"):find('hookswitch_rule_queue_callers{', 1, true))
  end)
end)
