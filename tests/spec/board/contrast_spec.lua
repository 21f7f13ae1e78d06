-- WCAG 2.1, 1.4.3: the contrast of every text that the board shows against what is behind it, as the browser computes them.
local browser = require "tests.spec.board.browser"
local helper = require "tests.spec.helper"
local scene = require "tests.spec.board.scene"
local support = require "tests.spec.web.support"

local ESCAPE = utf8.char(0xE00C)

-- Returns { count = texts that were measured, poor = { "ratio wanted text (element)", … } }; the argument limits it to what is in that element.
local MEASURE = [[
  const root = document.querySelector(arguments[0] || "body");
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  // Any colour that CSS can write, as [r, g, b, a] of 0 to 1.
  const known = new Map();
  const rgba = (text) => {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      known.set(text, [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255));
    }
    return known.get(text);
  };
  const over = ([r, g, b, a], [R, G, B, A]) => {
    const alpha = a + A * (1 - a), mix = (c, C) => (alpha > 0 ? (c * a + C * A * (1 - a)) / alpha : 0);
    return [mix(r, R), mix(g, G), mix(b, B), alpha];
  };
  const grey = ([r, g, b, a]) => { const y = 0.2126 * r + 0.7152 * g + 0.0722 * b; return [y, y, y, a]; };
  // What is seen at a place of the innermost of these elements (from the outermost on), on which `ink` is painted.
  const seen = (styles, ink) => {
    let layer = ink;
    for (const style of [...styles].reverse()) {
      if (style.backgroundImage !== "none") throw new Error("a background that is a picture: " + style.backgroundImage);
      layer = over(layer, rgba(style.backgroundColor));
      if (style.filter.includes("grayscale(1)")) layer = grey(layer);
      else if (style.filter !== "none") throw new Error("a filter that is not known: " + style.filter);
      layer = [layer[0], layer[1], layer[2], layer[3] * Number(style.opacity)];
    }
    return over(layer, [1, 1, 1, 1]);
  };
  const light = ([r, g, b]) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const poor = new Set();
  let count = 0;
  const measure = (element, text, style = getComputedStyle(element)) => {
    const styles = [];
    for (let at = element; at; at = at.parentElement) styles.unshift(getComputedStyle(at));
    const ink = rgba(style.color);
    const [a, b] = [light(seen(styles, ink)), light(seen(styles, [0, 0, 0, 0]))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize), weight = Number(style.fontWeight);
    const wanted = size >= 24 || (size >= 18.66 && weight >= 700) ? 3 : 4.5;
    count++;
    if (ratio < wanted) poor.add(`${ratio.toFixed(2)} < ${wanted}: ${text.trim().slice(0, 40)} (${element.tagName.toLowerCase()}.${element.className})`);
  };
  const isShown = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1 && !element.closest(":disabled");
  };
  for (const element of root.querySelectorAll("*")) {
    if (element.matches("option, script, style, svg *") || !isShown(element)) continue;
    for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE && node.data.trim()) { measure(element, node.data); break; }
    if (element.matches("select")) measure(element, element.value || "select");
    if (element.matches("input") && element.value) measure(element, element.value);
    if (element.matches("input") && !element.value && element.placeholder) measure(element, element.placeholder, getComputedStyle(element, "::placeholder"));
    for (const part of ["::before", "::after"]) {
      const style = getComputedStyle(element, part);
      if (/^"[^"]/.test(style.content)) measure(element, style.content, style);
    }
  }
  return { count, poor: [...poor] };
]]

describe("the contrast of the board", function()
  if not browser.available() then
    pending "needs chromium, chromium-driver and curl"
    return
  end

  local s, b

  setup(function()
    s = scene.start()
    b = s.b
  end)

  teardown(function() if s then s:stop() end end)

  -- In light and dark, with the pointer on no row and on every row, for as long as what `selector` names is shown.
  local function is_enough(least, selector, size)
    for _, dark in ipairs { false, true } do
      b:size(size or 1280, 900, dark)
      b:await("return matchMedia('(prefers-color-scheme: dark)').matches === arguments[0] && innerWidth === arguments[1]", dark, size or 1280)
      b:run "document.getAnimations().forEach((animation) => animation.finish())"
      for _, hover in ipairs { false, true } do
        b:run([[const sheet = new CSSStyleSheet();
          if (arguments[0]) sheet.replaceSync("tbody:not(.spacer) tr > *, button:not(:disabled):not(.primary) { background: var(--hover) !important }");
          document.adoptedStyleSheets = [sheet];]], hover)
        local found = b:run(MEASURE, selector or "body")
        assert.is_true(found.count >= least, found.count)
        assert.are.same({}, found.poor, dark and "dark" or "light")
      end
    end
    b:run "document.adoptedStyleSheets = []"
  end

  it("is measured: a text that is too pale is found", function()
    s:fresh()
    b:await "return document.activeElement.id === 'token'"
    b:run "document.querySelector('.signin h1').style.color = '#a0a0a0'; document.querySelector('.signin label').style.opacity = '0.5'"
    local found = b:run(MEASURE, "#signin")
    assert.are.equal(2, #found.poor)
    assert.matches("^2%.%d+ < 3: Board", found.poor[1]) -- of 24 px
    assert.matches("^3%.%d+ < 4%.5: Token", found.poor[2])
  end)

  it("is enough where one signs in, and where that fails", function()
    s:fresh()
    b:await "return document.activeElement.id === 'token'"
    is_enough(4)
    b:type("#token", "wrong-secret-0123456789")
    b:click "#signin-button"
    b:await "return document.getElementById('signin-error').textContent"
    is_enough(5)
    b:console()
  end)

  it("is enough on the board, on a desk and a phone, also of what is in doubt", function()
    s:board()
    b:await "return document.querySelectorAll('#ended-table tbody:not(.spacer) tr').length >= 2 && document.querySelector('.callers .timer')"
    b:await "return /pbx2: the picture is/.test(document.getElementById('problems').innerText)"
    is_enough(100)
    is_enough(60, nil, 390)
    -- A filter that nothing fits: an empty list.
    b:size(1280, 900)
    b:type("#call-search", "nobody has this name")
    b:await "return document.querySelector('#calls .empty').checkVisibility()"
    is_enough(60)
    b:type("#call-search", "")
    -- A server that is lost: its rows are in doubt.
    s.sim:signal "STOP"
    local sim = s.servers.pbx1
    s.servers.pbx1 = { host = "127.0.0.1", port = helper.dead_port(), username = sim.username, secret = sim.secret, auth = sim.auth }
    s:reload()
    b:await "return document.querySelector('#call-table .doubt') && document.querySelector('.problems [data-level=bad]')"
    is_enough(30)
    s.servers.pbx1 = sim
    s.sim:signal "CONT"
    s:reload()
    b:console()
  end)

  it("is enough in the dialogs, before and after the answer", function()
    s:board()
    b:click "#originate"
    is_enough(8, "dialog")
    b:type("#field-phone", "PJSIP/103")
    b:type("#field-exten", "900")
    b:click "dialog .primary"
    b:await "return document.querySelector('.result .error')"
    is_enough(9, "dialog")
    b:press(ESCAPE)
    b:await "return document.querySelector('#call-table .more')"
    b:click "#call-table .more"
    b:click "input[value=hangup]"
    is_enough(12, "dialog")
    b:click "dialog .primary"
    b:await "return document.querySelector('.result .good, .result .error')"
    is_enough(12, "dialog")
    b:console()
  end)

  it("is enough on the wall, at every threshold", function()
    for _, limits in ipairs { "waiting=1000,1001&wait=10000,10001&level=0.1,0.05", "waiting=0.1,1000&wait=0.1,10000&level=101,0.1", "waiting=0.1,0.2&wait=0.1,0.2&level=101,100.5" } do
      s:fresh("?wall&queue=support&" .. limits, support.WALL)
      b:await "return document.querySelector('[data-figure=level] dd')?.textContent"
      is_enough(13)
      is_enough(13, nil, 390)
    end
    s:fresh("?wall", support.READ)
    b:await "return document.querySelectorAll('#wall section').length >= 3"
    is_enough(30)
    b:console()
  end)

  it("is enough while the engine is not heard: greyed is not unreadable", function()
    s:board()
    b:await "return document.querySelectorAll('#ended-table tbody:not(.spacer) tr').length >= 1"
    s.d:signal "STOP"
    b:await "return document.body.classList.contains('stale')"
    local good, why = pcall(is_enough, 60)
    s.d:signal "CONT"
    if not good then error(why, 0) end
    b:await "return !document.body.classList.contains('stale')"
    s:fresh("?wall&queue=support&waiting=0.1,0.2&level=101,0.1", support.WALL)
    b:await "return document.querySelector('[data-figure=level] dd')?.textContent"
    s.d:signal "STOP"
    b:await "return document.body.classList.contains('stale')"
    good, why = pcall(is_enough, 10)
    s.d:signal "CONT"
    if not good then error(why, 0) end
    b:console()
  end)
end)
