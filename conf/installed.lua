-- A document of the source as it is installed: lua5.4 conf/installed.lua FILE.md > OUT
--
-- What stands between the lines `<!-- source -->` and `<!-- end -->` is left out, what stands in a comment that begins with the
-- line `<!-- installed` is there instead. Paths of the source become those of the installed files; @DOC@ and @ETC@ are the folders
-- of documents and of the configuration, which `make install` fills in.
local text = "\n" .. assert(io.open(arg[1])):read "a"

-- Rows about what is not installed; in a table no comment may stand.
for _, file in ipairs { "tests/", "src/", "CHANGELOG" } do text = text:gsub("\n| %[" .. file .. "[^\n]*", "") end
text = text:gsub("\n<!%-%- source %-%->\n.-\n<!%-%- end %-%->", ""):gsub("\n<!%-%- installed\n(.-)\n%-%->", "\n%1")

-- Documents by their file, whatever folder a link counts from.
local documents = {
  ["README.md"] = "hookswitch(1)", ["conf/README.md"] = "hookswitch.lua(5)", ["lib/README.md"] = "hookswitch-rules(7)",
  ["examples/README.md"] = "@DOC@/examples/README.md", ["examples/web.md"] = "@DOC@/examples/web.md",
}

-- [words](document#part): the words, and where they are.
text = text:gsub("%[([^%]\n]+)%]%(([^)#\n]+)#?([^)\n]*)%)", function(words, target, part)
  local file = target:gsub("^%.%./", "")
  local document = not target:find "^https?:" and (documents[file] or documents[file:match "/$" and file .. "README.md" or ""])
  if not document then return end
  if words:find "README%.md$" or words == file then return document end
  return words .. " (" .. document .. ")"
end)
-- [words](#part) of the same document.
text = text:gsub("%[([^%]\n]+)%]%(#[^)\n]*%)", "%1")

for _, pair in ipairs {
  { "build/hookswitch", "hookswitch" }, { ", see %[LICENSE%]%(LICENSE%)", "" },
  { "`?conf/README%.md`?", "hookswitch.lua(5)" }, { "`?lib/README%.md`?", "hookswitch-rules(7)" }, { "%f[%w@/]examples/README%.md", "@DOC@/examples/README.md" },
  { "%f[%w@/]examples/([%w_]+%.lua)", "@DOC@/examples/%1" },
  { "tests/fixtures/captures/([%w_]+%.ami)", "@DOC@/examples/%1" },
  { "`conf/grafana%.json`", "`@DOC@/grafana.json`" }, { "`grafana%.json`", "`@DOC@/grafana.json`" },
  { "`alerts%.yml`", "`@ETC@/alerts.yml`" },
  { "%-%-rules scripts ", "--rules @ETC@/scripts " },
} do text = text:gsub(pair[1], pair[2]) end

io.write((text:sub(2)))
