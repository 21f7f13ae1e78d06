-- Requests that hide a second one, in the forms with which proxies and servers have been made to disagree about where a request ends.
local support = require "tests.spec.web.support"

local forms = {}

local TOKEN = "Authorization: Bearer " .. support.READ .. "\r\n"
local HOST = "Host: localhost\r\n"
local HIDDEN = "GET /api/status HTTP/1.1\r\n" .. HOST .. TOKEN .. "\r\n"

local function request(line, headers, body)
  return line .. " HTTP/1.1\r\n" .. headers .. TOKEN .. "\r\n" .. (body or "")
end

forms.HOST, forms.HIDDEN, forms.request = HOST, HIDDEN, request

-- Name -> the bytes of a request with the other one in it.
forms.all = {
  ["a length and an encoding"] = request("POST /api/status", HOST .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["an encoding and a length"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n" .. HIDDEN),
  ["two lengths"] = request("POST /api/status", HOST .. "Content-Length: 0\r\nContent-Length: " .. #HIDDEN .. "\r\n", HIDDEN),
  ["a list of lengths"] = request("POST /api/status", HOST .. "Content-Length: 0, 0\r\n", HIDDEN),
  ["a blank before the colon"] = request("POST /api/status", HOST .. "Content-Length : " .. #HIDDEN .. "\r\n", HIDDEN),
  ["a tab before the colon"] = request("POST /api/status", HOST .. "Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a negative length"] = request("POST /api/status", HOST .. "Content-Length: -1\r\n", HIDDEN),
  ["a signed length"] = request("POST /api/status", HOST .. "Content-Length: +0\r\n", HIDDEN),
  ["an unknown encoding"] = request("POST /api/status", HOST .. "Transfer-Encoding: x, chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["an encoding with a control character"] = request("POST /api/status", HOST .. "Transfer-Encoding: \11chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a folded line"] = request("POST /api/status", HOST .. "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" .. HIDDEN),
  ["a bare LF"] = "GET /api/status HTTP/1.1\n" .. HOST .. TOKEN .. "\r\n" .. HIDDEN,
  ["a bare LF at the end"] = "GET /api/status HTTP/1.1\r\n" .. HOST .. "X: y\n\r\n" .. HIDDEN,
  ["a bare LF in a header"] = request("GET /api/status", HOST .. "X: y\nContent-Length: 9\r\n", HIDDEN),
  ["a bare CR"] = request("GET /api/status", HOST .. "X: y\rContent-Length: 9\r\n", HIDDEN),
  ["a chunk extension with a line end"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "1;\na\r\nb\r\n0\r\n\r\n" .. HIDDEN),
  ["a chunk with a bare LF"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "1\nb\n0\n\n" .. HIDDEN),
  ["a body of CONNECT"] = request("CONNECT /api/status", HOST .. "Content-Length: " .. #HIDDEN .. "\r\n", HIDDEN),
  ["a body of CONNECT to a URL"] = request("CONNECT http://localhost/api/status", HOST .. "Content-Length: " .. #HIDDEN .. "\r\n", HIDDEN),
  ["trailers"] = request("POST /api/status", HOST .. "Transfer-Encoding: chunked\r\n", "0\r\nHost: x\r\n\r\n" .. HIDDEN),
  ["two Hosts"] = request("GET /api/status", HOST .. "Host: evil.example\r\n", HIDDEN),
  ["no Host"] = request("GET /api/status", "", HIDDEN),
  ["NUL in Host"] = request("GET /api/status", "Host: localhost\0.evil.example\r\n", HIDDEN),
  ["a target of another host"] = request("GET http://evil.example/api/status", HOST, HIDDEN),
  ["dot segments"] = request("GET /board/../api/status", HOST, HIDDEN),
  ["encoded dot segments"] = request("GET /board/%2e%2E/api/status", HOST, HIDDEN),
  ["an encoded slash"] = request("GET /api%2fstatus", HOST, HIDDEN),
  ["an encoded NUL"] = request("GET /api/status%00", HOST, HIDDEN),
  ["an encoded line end"] = request("GET /api/status%0d%0aX:%20y", HOST, HIDDEN),
  ["a length in HTTP/1.0 with an encoding"] = ("POST /api/status HTTP/1.0\r\n" .. HOST .. TOKEN .. "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" .. HIDDEN),
}

return forms
