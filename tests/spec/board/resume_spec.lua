-- The board's connection is cut while calls change: what it shows afterwards, and how it came to know.
local browser = require "tests.spec.board.browser"
local helper = require "tests.spec.helper"
local scene = require "tests.spec.board.scene"
local support = require "tests.spec.web.support"

-- The streams that the page has asked for, in order: { id = the Last-Event-ID that it sent, events = names of the events that came so far }.
local WATCH = [[
  delete window.SharedWorker;
  window.streams = [];
  const ask = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await ask(url, options);
    if (!String(url).startsWith("/api/live") || !answer.ok) return answer;
    const stream = { id: options.headers["Last-Event-ID"] ?? null, events: [] };
    window.streams.push(stream);
    const [mine, theirs] = answer.body.tee();
    (async () => {
      const reader = mine.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const event = part.match(/^event: (.*)$/m)?.[1], name = part.match(/"part":"(\w+)"/)?.[1];
          if (event) stream.events.push(event === "snapshot" ? `snapshot ${name}` : event);
        }
      }
    })().catch(() => {});
    return new Response(theirs, { status: answer.status, headers: answer.headers });
  };
]]

describe("a board whose connection was cut", function()
  if not browser.available() or not os.execute "command -v nginx >/dev/null 2>&1" then
    pending "needs chromium, chromium-driver, curl and nginx"
    return
  end

  local s, b, folder, port, proxy

  local function join()
    proxy = helper.start("nginx", { "-p", folder, "-c", folder .. "/nginx.conf", "-e", folder .. "/error.log" })
  end

  local function cut()
    proxy:signal "KILL"
    proxy:ended()
  end

  setup(function()
    s = scene.start { hostile = false, rate = "3" }
    b = s.b
    folder, port = helper.folder(), helper.dead_port()
    helper.write_file(folder .. "/nginx.conf", ([[
daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error.log; events {}
http {
  access_log off;
  client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
  server { listen 127.0.0.1:PORT; location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_set_header Host 127.0.0.1; proxy_buffering off; } }
}
]]):format(s.d.web_port):gsub("FOLDER", folder):gsub("PORT", tostring(port)))
    join()
    s.url = ("http://127.0.0.1:%d/board/"):format(port)
    helper.wait_for(function() return helper.run("-so", "/dev/null", s.url, { program = "curl" }) == 0 end)
    b:devtools("Page.addScriptToEvaluateOnNewDocument", { source = WATCH })
  end)

  teardown(function() if s then s:stop() end end)

  local function changes() return s.d:metric "hookswitch_web_changes_total" end

  -- Cuts the board off until so many changes have passed it by.
  local function miss(count)
    local before = changes()
    cut()
    b:await "return document.body.classList.contains('stale')"
    helper.wait_for(function() return changes() >= before + count end)
    join()
    b:await "return !document.body.classList.contains('stale') && window.streams.length > 1"
  end

  -- With the simulation standing still: each call, queue and agent that the board shows, as the API has it.
  local function is_equal_to_the_engine()
    b:size(1280, 12000) -- so that every row is drawn
    s.sim:signal "STOP"
    local function rows(selector)
      return b:run(([[return [...document.querySelectorAll('#%s tbody:not(.spacer) > tr:not(.detail)')].map((row) => [...row.cells].map((cell) => cell.textContent))]]):format(selector))
    end
    local function text(value) return type(value) == "string" and value or nil end
    local function sorted(list)
      table.sort(list)
      return list
    end
    local engine, shown
    local good = pcall(helper.wait_for, function()
      engine, shown = { calls = {}, queues = {}, agents = {} }, { calls = {}, queues = {}, agents = {} }
      for _, call in ipairs((select(3, support.ask(s.d, "/api/calls?limit=10000"))).calls) do
        local state = call.state == "up" and not tonumber(call.connected) and "answered" or call.state
        table.insert(engine.calls, ("%s>%s %s %s"):format(text(call.from_name) or text(call.from) or "–", text(call.to_name) or text(call.to) or "–", state, text(call.queue) or "–"))
      end
      for _, queue in ipairs((select(3, support.ask(s.d, "/api/queues"))).queues) do
        table.insert(engine.queues, ("%s %d %d %d"):format(queue.name, #queue.waiting, queue.answered_today, queue.abandoned_today))
      end
      for _, agent in ipairs((select(3, support.ask(s.d, "/api/agents"))).agents) do
        table.insert(engine.agents, ("%s %s"):format(text(agent.name) or agent.interface, agent.state))
      end
      local name = "const name = (cell) => cell.firstElementChild?.textContent ?? cell.textContent;"
      shown.calls = b:run(name .. [[return [...document.querySelectorAll('#call-table tbody:not(.spacer) tr')].map(({ cells }) => `${name(cells[1])}>${name(cells[2])} ${cells[3].textContent} ${cells[4].textContent}`)]])
      for _, row in ipairs(rows "queue-table") do table.insert(shown.queues, ("%s %s %s %s"):format(row[1]:match "^(.-)%s*$", row[2], row[5], row[6])) end
      for _, row in ipairs(rows "agent-table") do table.insert(shown.agents, row[1] .. " " .. row[2]) end
      for _, lists in ipairs { engine, shown } do for _, list in pairs(lists) do sorted(list) end end
      return #engine.calls > 0 and pcall(assert.are.same, engine, shown)
    end, 10)
    s.sim:signal "CONT"
    if not good then assert.are.same(engine, shown) end
  end

  -- The two streams of a board that missed so many changes.
  local function cut_and_join(changes)
    s:board()
    b:await "return window.streams[0].events.some((event) => event.startsWith('call.'))"
    miss(changes)
    is_equal_to_the_engine()
    local streams = b:run "return window.streams"
    assert.are.equal(2, #streams)
    return streams
  end

  it("goes on where it was, without a new snapshot", function()
    local streams = cut_and_join(20)
    assert.are.equal("snapshot begin", streams[1].events[1])
    assert.matches("^%x+%-%d+$", streams[2].id)
    assert.are.equal("resumed", streams[2].events[1])
    assert.is_true(#streams[2].events > 20)
    for _, event in ipairs(streams[2].events) do assert.is_nil(event:find "^snapshot") end
    b:console()
  end)

  it("loads a new snapshot when more has happened than the engine keeps", function()
    s.config.web.replay = 65536
    s:reload()
    local streams = cut_and_join(200)
    assert.matches("^%x+%-%d+$", streams[2].id)
    assert.are.equal("snapshot begin", streams[2].events[1])
    assert.are.equal("Live", b:text "#status")
    b:console()
  end)
end)
