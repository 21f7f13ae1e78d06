/* JSON for rules, through lua-cjson. */
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lualib.h>

#include "check.h"
#include "value/json.h"
#include "value/json_text.h"
#include "starve.h"

static int starved(lua_State *L)
{
	starve_after = (long)luaL_checkinteger(L, 1);
	int rc = lua_pcall(L, 0, 0, 0);
	bool all = starve_after > 1;
	starve_after = 0;
	lua_pushboolean(L, all && rc == LUA_OK);
	return 1;
}

static int push_error(lua_State *L, const struct err *err)
{
	lua_createtable(L, 0, 2);
	lua_pushstring(L, err_name(err->code));
	lua_setfield(L, -2, "code");
	lua_pushstring(L, err->text);
	lua_setfield(L, -2, "message");
	return 1;
}

/* Each of these is a chunk that returns true when all is well. */
static const char *const snippets[] = {
	"return json.encode({ 1, 2.5, 'x', true }) == '[1,2.5,\"x\",true]'",
	"return json.encode({ a = { b = 1 } }) == '{\"a\":{\"b\":1}}'",
	"return json.encode({}) == '{}' and json.encode(json.array({})) == '[]' and json.encode(json.array()) == '[]'",
	"return json.encode({ a = json.array() }) == '{\"a\":[]}' and json.encode({ json.null }) == '[null]'",
	"return json.encode(nil) == 'null' and json.encode(json.null) == 'null' and json.encode('a') == '\"a\"'",
	"return json.encode(true) == 'true' and json.encode(7) == '7' and json.encode('') == '\"\"'",
	"return json.encode(math.maxinteger) == '9223372036854775807' and json.encode(math.mininteger) == '-9223372036854775808'",
	"return json.encode((1 << 53) + 1) == '9007199254740993'",
	"return json.encode(0.1) == '0.1' and json.encode(0.1 + 0.2) == '0.30000000000000004' and json.encode(3.0) == '3'",
	"return json.encode(-0.0) == '0' and json.encode(1e300) == '1e+300' and json.encode(1e16) == '1e+16'",
	"return json.encode('a/b\"\\\\\\n\\0') == [[\"a/b\\\"\\\\\\n\\u0000\"]]",
	"return json.encode('r1') == '\"r1\"' and json.encode({ s = 's', r = 'r' }):find('\"r\":\"r\"', 1, true) ~= nil",
	"return json.encode('\\xff\\u{e9}\\xe2\\x82') == '\"\\xef\\xbf\\xbd\\u{e9}\\xef\\xbf\\xbd\\xef\\xbf\\xbd\"'",
	"return json.encode({ 1, nil, 3 }) == '[1,null,3]' and json.encode({ [3] = 1 }) == '[null,null,1]'",
	"return json.encode({ [6001] = 'x' }) == '{\"6001\":\"x\"}' and json.encode({ [1.5] = 1 }) == '{\"1.5\":1}'",
	"return json.encode({ [-1] = 1 }) == '{\"-1\":1}' and json.encode({ [1 << 62] = 1 }) == '{\"4611686018427387904\":1}'",
	"local t = json.array { x = 1 } local v, e = json.encode(t) return v == nil and e.code == 'invalid'",
	"local t = json.array { 5 } return json.encode(t) == '[5]'",
	"local v, e = json.encode({ a = { b = { 1, print } } }) return v == nil and e.message:find(\"field 'a.b[2]' is a function\", 1, true)",
	"local v, e = json.encode(print) return v == nil and e.message:find('the value is a function', 1, true)",
	"local v, e = json.encode({ [true] = 1 }) return v == nil and e.message:find('boolean as a key', 1, true)",
	"local v, e = json.encode({ x = 0/0 }) return v == nil and e.message:find(\"field 'x' is not a finite number\", 1, true)",
	"local v, e = json.encode(1/0) return v == nil and e.code == 'invalid'",
	"local t = { a = {} } t.a.b = t local v, e = json.encode(t) return v == nil and e.message:find(\"field 'a.b' is a table that holds itself\", 1, true)",
	"local t = {} for i = 1, 100000 do t = { t } end local v, e = json.encode(t) return v == nil and e.code == 'overflow'",
	"local t = 1 for i = 1, 64 do t = { t } end local s = json.encode(t) return #s == 129 and json.encode(json.decode(s)) == s and not json.encode({ t })",
	"local t = { 'x' } for i = 1, 40 do t = { t, t } end local v, e = json.encode(t) return v == nil and e.code == 'overflow'",
	"local v, e = json.encode(('x'):rep(1 << 20)) return v == nil and e.code == 'overflow'",
	"local v, e = json.encode(('\\1'):rep(300000)) return v == nil and e.code == 'overflow'",
	"return #json.encode(('x'):rep((1 << 20) - 2)) == 1 << 20",
	"return json.encode(setmetatable({ 1 }, { __index = error, __pairs = error, __len = error })) == '[1]'",
	"return math.type(json.decode('1')) == 'integer' and json.decode('1') == 1 and math.type(json.decode('1.0')) == 'float'",
	"return json.decode('1.5') == 1.5 and json.decode('-0') == 0 and json.decode('1e2') == 100.0 and json.decode(' 7 ') == 7",
	"return json.decode('9223372036854775807') == math.maxinteger and json.decode('-9223372036854775808') == math.mininteger",
	"local n = json.decode('9223372036854775808') return math.type(n) == 'float' and n == 2^63",
	"local v, e = json.decode('1e999') return v == nil and e.message:find('out of range', 1, true)",
	"return json.decode('null') == json.null and json.decode('{\"a\":null}').a == json.null and type(json.null) == 'userdata'",
	"return json.decode('{\"a\":1,\"a\":2}').a == 2 and next(json.decode('{}')) == nil and #json.decode('[1,[2],{}]') == 3",
	"return json.encode(json.decode('[]')) == '[]' and json.encode(json.decode('[ \\n]')) == '[]' and json.encode(json.decode('{}')) == '{}'",
	"return json.encode(json.decode('{\"a\":[],\"b\":{}}')):gsub('[^%[%]{}]', ''):len() == 6",
	"return json.decode([[\"a\\u00e9\\ud83d\\ude00\\n\\/\\u0000\\\\\\\"\"]]) == 'a\\u{e9}\\u{1f600}\\n/\\0\\\\\"'",
	"return json.decode('\"\"') == '' and json.decode('[\"r1\",\"s\",\"a\"]')[3] == 'a' and json.decode('{\"\":1}')[''] == 1",
	"local v, e = json.decode('[1 2]') return v == nil and e.message:find('comma or array end at character 4', 1, true)",
	"local v, e = json.decode('[100, 200, x]') return v == nil and e.message:find('invalid token at character 12', 1, true)",
	"local v, e = json.decode('[\"abc\", \"d') return v == nil and e.message:find('unexpected end of string', 1, true)",
	"local v, e = json.decode('[\"ab\\\\qc\"]') return v == nil and e.message:find('invalid escape code at character 5', 1, true)",
	"local v, e = json.decode('{1:2}') return v == nil and e.code == 'invalid' and e.message:find('key string, found 1', 1, true)",
	"local v, e = json.decode('[] []') return v == nil and e.code == 'invalid'",
	"for _, s in ipairs { '', ' ', '{', '[', '}', ']', '[}', '[1,]', '{\"a\"}', '{\"a\":}', ',', 'nul', 'truex', \"'a'\", '[[]', '{[]:1}', "
	"'01', '1.', '.5', '1e', '-', '--1', '+1', '0x10', 'NaN', 'Infinity', '-Infinity', 'nan', '1 2', '\"\\\\u12\"', '\"\\\\ud800\"', '\"', '\"\\\\', '\\0' } do "
	"  local v, e = json.decode(s) if v ~= nil or e.code ~= 'invalid' then error(s) end end return true",
	"local v, e = json.decode(('['):rep(10000)) return v == nil and e.code == 'overflow' and e.message:find('character 65', 1, true)",
	"local v, e = json.decode(('{\"a\":'):rep(10000)) return v == nil and e.code == 'overflow'",
	"return json.decode(('['):rep(64) .. (']'):rep(64)) and json.decode('[' .. ('[],'):rep(1000) .. '{}]')[1001]",
	"local v, e = json.decode((' '):rep((1 << 20) + 1)) return v == nil and e.code == 'overflow'",
	"for i = 1, 20 do assert(not json.decode('[' .. ('1,'):rep(300000))) end return true",
	"return not pcall(json.decode) and not pcall(json.decode, {}) and not pcall(json.encode) and not pcall(json.array, 1)",
	"local function build(n) if n == 0 then return { 1.25, 'two', false, json.null } end local t = {} for i = 1, 3 do t['k' .. i] = build(n - 1) end "
	"  t.list = json.array() return t end "
	"local function same(a, b) if type(a) ~= 'table' then return a == b end for k, v in pairs(a) do if not same(v, b[k]) then return false end end return true end "
	"local t = build(5) local back = json.decode(json.encode(t)) return same(t, back) and same(back, t)",
	"local seed = 1 local function r(n) seed = (seed * 1103515245 + 12345) & 0x7fffffff return (seed >> 8) % n + 1 end "
	"local parts = { '[', ']', '{', '}', ',', ':', '\"', '\\\\', '1', '-', '.5', 'e', 'true', 'null', '\"a\"', ' ', '\"k\":', '[]', '\\0', '/' } "
	"for i = 1, 20000 do local t = {} for j = 1, r(12) do t[j] = parts[r(#parts)] end local s = table.concat(t) "
	"  local v, e = json.decode(s) if v ~= nil then local back = json.encode(v) assert(back, s) assert(json.encode(json.decode(back)) == back, s) end end return true",
	"local function work() local t = json.decode('{\"a\":[1,2.5,\"x\",[],{\"b\":null}],\"c\":\"' .. ('y'):rep(5000) .. '\"}') assert(json.decode(json.encode(t)).a[1] == 1) "
	"  local v, e = json.decode('[1 2') return e.message end "
	"local n = 1 while not starved(n, work) do n = n + 1 end return n > 20 and n < 1000",
};

static void run_snippets(lua_State *L)
{
	for (size_t i = 0; i < sizeof snippets / sizeof *snippets; i++) {
		bool good = luaL_dostring(L, snippets[i]) == LUA_OK && lua_toboolean(L, -1);
		CHECK_NAMED(good, snippets[i]);
		if (!good && lua_isstring(L, -1))
			printf("       %s\n", lua_tostring(L, -1));
		lua_settop(L, 0);
	}
}

static void appends_only_whole_texts(lua_State *L, struct json *json)
{
	struct buf out;
	struct err err;

	buf_init(&out, 10);
	buf_append_cstr(&out, "x=");
	lua_pushliteral(L, "abc");
	CHECK_NAMED(json_encode(json, L, -1, &out, &err) == 0 && slice_eq(buf_slice(&out), SLICE("x=\"abc\"")), "appends");
	CHECK_NAMED(json_encode(json, L, -1, &out, &err) == -1 && err.code == ERR_OVERFLOW && buf_len(&out) == 7,
	      "a full buffer stays as it was");
	lua_pushcfunction(L, starved);
	CHECK_NAMED(json_encode(json, L, -1, &out, &err) == -1 && err.code == ERR_INVALID && lua_gettop(L) == 2, "refuses");
	lua_settop(L, 0);
	CHECK_NAMED(json_decode(json, L, SLICE("[1"), &err) == -1 && lua_gettop(L) == 0, "pushes nothing when it fails");
	buf_close(&out);
}

static void respects_small_limits(void)
{
	struct json_limits limits = { .bytes = 20, .depth = 2 };
	struct err err = { 0 };
	struct json *json = json_create(&limits, NULL, &err);
	lua_State *L = luaL_newstate();

	CHECK_NAMED(json != NULL, err.text);
	CHECK_NAMED(json_decode(json, L, SLICE("[[1]]"), &err) == 0 && lua_gettop(L) == 1, "depth 2");
	CHECK_NAMED(json_decode(json, L, SLICE("[[[]]]"), &err) == -1 && err.code == ERR_OVERFLOW, "depth 3");
	CHECK_NAMED(json_decode(json, L, SLICE("[1,2,3,4,5,6,7,8,9,1]"), &err) == -1 && err.code == ERR_OVERFLOW, "21 bytes");
	luaL_openlibs(L);
	json_open(L, &json);
	lua_setglobal(L, "json");
	CHECK_NAMED(luaL_dostring(L, "local v, e = json.decode('[[[1]]]') return v == nil and type(e) == 'string'") == LUA_OK &&
	              lua_toboolean(L, -1), "an error is a text without push_error");
	lua_close(L);
	json_destroy(&json);
	json_destroy(&json);
}

int main(void)
{
	struct err err = { 0 };
	struct json *json = json_create(NULL, push_error, &err);
	lua_State *L = lua_newstate(starve_allocate, NULL);

	if (!json) {
		printf("FAILED %s\n0 passed, 1 failed\n", err.text);
		return EXIT_FAILURE;
	}
	luaL_openlibs(L);
	lua_register(L, "starved", starved);
	json_open(L, &json);
	lua_setglobal(L, "json");
	run_snippets(L);
	appends_only_whole_texts(L, json);
	lua_close(L);
	json_destroy(&json);
	respects_small_limits();
	return check_report();
}
