-- Every change of one statement that `run` can make to a C file of this project. Pure: text in, changes out.
--
-- It knows no C beyond the project's style: the body of a function stands between a line "{" and a line "}", operators have
-- spaces around them, a statement begins on a line of its own.
local change = {}

-- The text with spaces where comments, strings and characters stand: same length, same lines.
function change.masked(text)
	local out, at = {}, 1
	local function keep(to)
		out[#out + 1] = text:sub(at, to)
		at = to + 1
	end
	local function blank(to)
		out[#out + 1] = (text:sub(at, to):gsub("[^\n]", " "))
		at = to + 1
	end
	while at <= #text do
		local from = text:find("[\"'/]", at)
		if not from then break end
		local sign = text:sub(from, from)
		if sign == "/" then
			local two = text:sub(from, from + 1)
			local _, to
			if two == "/*" then _, to = text:find("*/", from + 2, true)
			elseif two == "//" then to = (text:find("\n", from, true) or #text + 1) - 1 end
			keep(to and from - 1 or from)
			if to then blank(to) end
		else
			-- The quotes stay, so that an argument stays one.
			keep(from)
			local to = from
			repeat
				to = to + 1
				local c = text:sub(to, to)
				if c == "\\" then to = to + 1 end
			until c == sign or to > #text
			blank(to - 1)
			keep(to)
		end
	end
	keep(#text)
	return table.concat(out)
end

local function lines_of(text)
	local lines = {}
	for line in (text:sub(-1) == "\n" and text or text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
	return lines
end

local function balance(text)
	local _, open = text:gsub("%(", "")
	local _, close = text:gsub("%)", "")
	return open - close
end

-- The place of the parenthesis that closes the one at `open`, on the same line; nil when it is on another.
local function closing(line, open)
	local depth = 0
	for at = open, #line do
		local c = line:sub(at, at)
		if c == "(" then depth = depth + 1 elseif c == ")" then depth = depth - 1 end
		if depth == 0 then return at end
	end
end

-- Of the function whose body begins with the line "{" of that number: its name, and whether it returns nothing.
local function head_of(code, brace)
	local first = brace - 1
	while first > 1 and code[first - 1]:match "%S" and not code[first - 1]:match "[;}]%s*$" and not code[first - 1]:match "^#" do
		first = first - 1
	end
	local head = table.concat(code, " ", first, brace - 1)
	return head:match "([%a_][%w_]*)%s*%(" or "?", head:match "^[^(]*%f[%w_]void%s+[%a_][%w_]*%s*%(" ~= nil
end

local COMPARISONS = { ["<"] = "<=", ["<="] = "<", [">"] = ">=", [">="] = ">", ["=="] = "!=", ["!="] = "==" }
local KEYWORDS = { "return", "goto", "case", "default", "else", "for", "while", "do", "if", "switch" }

-- A whole statement that can go: a call, an assignment, a break. Its last line, or nil.
local function statement(code, i)
	local line, before = code[i], code[i - 1] or ""
	if not line:match "^\t+[%w_*(+-]" or before:match "[,(&|?+=-]%s*$" or before:match "^\t+[%w_ ]*=[^;]*$" then return nil end
	for _, word in ipairs(KEYWORDS) do
		if line:match("^\t+" .. word .. "%f[^%w_]") then return nil end
	end
	-- Two words in a row declare something; a void cast does nothing.
	if line:match "^\t+[%a_][%w_]*%s+%**%s*[%a_(]" or line:match "^\t+[%a_][%w_]*%s*:" or line:match "^\t+%(void%)%s*[%a_][%w_]*[;,]" then return nil end
	local open = 0
	for last = i, math.min(i + 7, #code) do
		if code[last]:match "[{}]" then return nil end
		open = open + balance(code[last])
		if code[last]:match ";%s*$" then return open == 0 and last or nil end
	end
end

-- All changes of a file's text, in its order: { line = first line, last = last line, func = the function's name, before = the
-- lines as they are, after = the lines as they become }, both as lists of lines.
function change.all(text)
	local lines, code = lines_of(text), lines_of(change.masked(text))
	local found, seen = {}, {}
	local func

	local function add(first, last, after)
		local before = table.move(lines, first, last, 1, {})
		local key = first .. "\n" .. table.concat(after, "\n")
		if seen[key] or table.concat(before, "\n") == table.concat(after, "\n") then return end
		seen[key] = true
		found[#found + 1] = { line = first, last = last, func = func, before = before, after = after }
	end
	-- Puts `new` for the bytes `from` to `to` of line i.
	local function replace(i, from, to, new)
		add(i, i, { lines[i]:sub(1, from - 1) .. new .. lines[i]:sub(to + 1) })
	end

	local function negate(i)
		for _, head in ipairs { "%f[%w_]if %(", "%f[%w_]while %(" } do
			local from, open = code[i]:find(head)
			local close = open and closing(code[i], open)
			if close then
				local condition = code[i]:sub(open + 1, close - 1)
				-- The same as dropping the "!", or as the opposite comparison.
				local single = not condition:find(" && ", 1, true) and not condition:find(" || ", 1, true)
				local simple = single and (condition:match "^!" or condition:find(" == ", 1, true) or condition:find(" != ", 1, true))
				if not simple and from then replace(i, open, close, "(!(" .. lines[i]:sub(open + 1, close - 1) .. "))") end
			end
		end
	end

	local function swap(i)
		for from, sign, to in code[i]:gmatch "() ([<>=!]=?) ()" do
			if COMPARISONS[sign] then replace(i, from + 1, to - 2, COMPARISONS[sign]) end
		end
		for from, to in code[i]:gmatch "() && ()" do replace(i, from + 1, to - 2, "||") end
		for from, to in code[i]:gmatch "() || ()" do replace(i, from + 1, to - 2, "&&") end
		-- A condition that goes on in the next line.
		local from = code[i]:find " &&$" or code[i]:find " ||$"
		if from then replace(i, from + 1, from + 2, code[i]:sub(-2) == "&&" and "||" or "&&") end
	end

	local function off_by_one(i)
		for from, to in code[i]:gmatch "() [+-] 1%f[^%w_.]()" do replace(i, from, to - 1, "") end
	end

	local function drop_not(i)
		for from in code[i]:gmatch "()![%w_(*]" do replace(i, from, from, "") end
	end

	local function answers(i)
		for _, pair in ipairs { { "return 0;", "return -1;" }, { "return -1;", "return 0;" }, { "return true;", "return false;" },
			{ "return false;", "return true;" }, { " = true;", " = false;" }, { " = false;", " = true;" } } do
			local from, to = code[i]:find(pair[1], 1, true)
			if from then replace(i, from, to, pair[2]) end
		end
	end

	local function drop(i)
		local last = statement(code, i)
		if not last then return end
		local after = { (lines[i]:match "^\t+") .. ";" }
		for k = i + 1, last do after[k - i + 1] = "" end
		add(i, last, after)
	end

	for i, line in ipairs(code) do
		if line == "{" then
			local void
			func, void = head_of(code, i)
			add(i, i, { void and "{ return;" or "{ return 0;" })
		elseif line == "}" then
			func = nil
		elseif func and not line:match "^#" then
			negate(i)
			swap(i)
			off_by_one(i)
			drop_not(i)
			answers(i)
			drop(i)
		end
	end
	return found
end

-- The text with one of its changes; as many lines as before.
function change.apply(text, one)
	local lines = lines_of(text)
	for i, line in ipairs(one.after) do lines[one.line + i - 1] = line end
	return table.concat(lines, "\n") .. "\n"
end

-- What stays the same when the file grows elsewhere: the file, the function, the lines before and after without indentation.
function change.key(file, one)
	local parts = { file, one.func }
	for _, side in ipairs { "before", "after" } do
		parts[#parts + 1] = side
		for _, line in ipairs(one[side]) do
			local bare = line:match "^%s*(.-)%s*$"
			if bare ~= "" then parts[#parts + 1] = bare end
		end
	end
	return table.concat(parts, "\n")
end

return change
