-- The files of the board, as the API serves them.
local helper = require "tests.spec.helper"
local support = require "tests.spec.web.support"

describe("the board's files", function()
  after_each(helper.cleanup)

  local function with_board(files)
    local project = helper.project { config = { web = { listen = "127.0.0.1:0", tokens = support.tokens() } } }
    for name, text in pairs(files) do helper.write_file(project.folder .. "/lib/board/" .. name, text) end
    local d = helper.daemon(project)
    d.web_port = math.tointeger(d:await({ msg = "the API is served" }).port)
    return d
  end

  it("are served without a token, under a strict policy, and follow a reload", function()
    local d = with_board { ["index.html"] = "<!doctype html>", ["views/a.js"] = "export {}", [".hidden"] = "x", ["notes.md"] = "x" }
    local status, headers = support.ask(d, { path = "/board?wall&queue=support" })
    assert.are.same({ 307, "/board/?wall&queue=support" }, { status, headers.location })
    local body
    status, headers, body = support.ask(d, { path = "/board/" })
    assert.are.same({ 200, "<!doctype html>", "text/html; charset=utf-8" }, { status, body, headers["content-type"] })
    for _, part in ipairs { "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
      "require-trusted-types-for 'script'" } do
      assert.truthy(headers["content-security-policy"]:find(part, 1, true), part)
    end
    assert.is_nil(headers["content-security-policy"]:find("unsafe", 1, true))
    assert.are.equal(304, (support.ask(d, { path = "/board/", headers = { ["If-None-Match"] = headers.etag } })))
    status, headers = support.ask(d, { path = "/board/views/a.js" })
    assert.are.same({ 200, "text/javascript; charset=utf-8" }, { status, headers["content-type"] })
    for _, path in ipairs { "/board/.hidden", "/board/notes.md", "/board/none", "/board/views/", "/board/views" } do
      assert.are.equal(404, (support.ask(d, { path = path })), path)
    end
    assert.are.equal(400, (support.ask(d, { path = "/board/../hookswitch.lua" })))
    assert.are.equal(405, (support.ask(d, { path = "/board/", method = "POST", body = "x" })))
    helper.write_file(d.project.folder .. "/lib/board/index.html", "new")
    assert.is_true(d:reload())
    assert.are.equal("new", (select(3, support.ask(d, { path = "/board/" }))))
  end)
end)
