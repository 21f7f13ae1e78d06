-- Makes a manual page of one or more Markdown files, so that there is one source for both.
--
--     lua5.4 conf/man.lua NAME SECTION "what it is" [--command PROGRAM COMMAND…] FILE.md… > NAME.SECTION
--
-- It knows what our documents use: headings, paragraphs, lists, code, tables, emphasis, links. A table becomes a list: the
-- first cell is the term. With --command the page begins with what `PROGRAM COMMAND --help` says.
local name, section, what = arg[1], arg[2], arg[3]

local out = {}
local function put(line) out[#out + 1] = line end

-- Backslashes and what roff would take for a request.
local function escape(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("`", "\\`"):gsub("…", "..."):gsub("→", "\\(->"):gsub("µ", "\\(mc")
  return (text:gsub("^([.'])", "\\&%1"):gsub("\n([.'])", "\n\\&%1"))
end

-- `code` and **strong** are bold, links are their text. A code span is kept from the other rules.
local function inline(text)
  local spans = {}
  local function keep(font, body)
    spans[#spans + 1] = "\\f" .. font .. escape(body) .. "\\fR"
    return "\1" .. #spans .. "\2"
  end
  text = text:gsub("`([^`]+)`", function(body) return keep("B", body) end)
  text = text:gsub("%[([^%]]+)%]%(([^)]+)%)", function(label, target)
    return target:match "^https?:" and label .. " <" .. target .. ">" or label
  end)
  text = text:gsub("%*%*([^*]+)%*%*", function(body) return keep("B", body) end)
  text = escape(text)
  for _ = 1, 2 do
    text = text:gsub("\1(%d+)\2", function(i) return spans[tonumber(i)] end)
  end
  return (text:gsub("^([.'])", "\\&%1"))
end

local function code(lines)
  put ".PP"
  put ".RS 4"
  put ".nf"
  for _, line in ipairs(lines) do put(line == "" and "" or escape(line)) end
  put ".fi"
  put ".RE"
end

-- The cells of one row; a pipe inside code is written \|.
local function cells(row)
  local list = {}
  row = row:gsub("\\|", "\3"):gsub("^%s*|", ""):gsub("|%s*$", "")
  for cell in (row .. "|"):gmatch "(.-)|" do
    list[#list + 1] = cell:gsub("\3", "|"):match "^%s*(.-)%s*$"
  end
  return list
end

local function table_of(rows)
  local titles = cells(rows[1])
  for i = 3, #rows do
    local row = cells(rows[i])
    put ".TP"
    put(inline(row[1] or ""))
    local facts = {}
    for k = 2, #row - 1 do
      if row[k] ~= "" then
        facts[#facts + 1] = titles[k] and titles[k] ~= "" and titles[k]:lower() .. " " .. row[k] or row[k]
      end
    end
    put(inline(row[#row] or ""))
    if #facts > 0 then
      put ".br"
      put(inline("(" .. table.concat(facts, ", ") .. ")"))
    end
  end
end

local function document(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  local i = 1
  local function gather(continues)
    local text = {}
    while lines[i] and lines[i] ~= "" and (#text == 0 or continues(lines[i])) do
      text[#text + 1] = lines[i]:match "^%s*(.-)%s*$"
      i = i + 1
    end
    return table.concat(text, " ")
  end
  local function plain(line)
    return not (line:match "^%s*```" or line:match "^|" or line:match "^#" or line:match "^%s*[-*] " or line:match "^%s*%d+%. ")
  end
  while lines[i] do
    local line = lines[i]
    local level, title = line:match "^(#+) (.+)$"
    if level then
      if #level == 2 then put(".SH " .. inline(title:upper())) elseif #level > 2 then put(".SS " .. inline(title)) end
      i = i + 1
    elseif line:match "^%s*```" then
      local block = {}
      i = i + 1
      while lines[i] and not lines[i]:match "^%s*```" do
        block[#block + 1] = lines[i]
        i = i + 1
      end
      i = i + 1
      code(block)
    elseif line:match "^|" then
      local rows = {}
      while lines[i] and lines[i]:match "^|" do
        rows[#rows + 1] = lines[i]
        i = i + 1
      end
      table_of(rows)
    elseif line:match "^<!%-%-" or line:match "^%s*$" then
      i = i + 1
    else
      local mark, rest = line:match "^%s*([-*]) (.+)$"
      if not mark then mark, rest = line:match "^%s*(%d+%.) (.+)$" end
      if mark then
        lines[i] = rest
        put(".IP " .. (mark == "-" and "\\(bu" or mark) .. " 4")
      else
        put ".PP"
      end
      put(inline(gather(plain)))
    end
  end
end

put((".TH %s %s"):format(name:upper(), section))
put ".SH NAME"
put(escape(name) .. " \\- " .. escape(what))
local i = 4
if arg[i] == "--command" then
  local program = arg[i + 1]
  i = i + 2
  put ".SH SYNOPSIS"
  put ".B hookswitch"
  put "COMMAND [OPTION...]"
  put ".SH COMMANDS"
  while arg[i] and not arg[i]:match "%.md$" do
    local pipe = assert(io.popen(("'%s' %s --help"):format(program, arg[i])))
    local text = {}
    for line in pipe:lines() do text[#text + 1] = line end
    assert(pipe:close(), arg[i])
    put(".SS hookswitch " .. arg[i])
    code(text)
    i = i + 1
  end
end
for k = i, #arg do document(arg[k]) end
io.write(table.concat(out, "\n"), "\n")
