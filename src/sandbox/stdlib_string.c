/* string.*: all but matching (stdlib_match.c) and format (stdlib_format.c). */
#include <ctype.h>

#include <lualib.h>

#include "sandbox/stdlib_parts.h"

/* A position as the manual has it, negative ones counted from the end, made one of 1 … */
static size_t start_position(lua_Integer pos, size_t len)
{
	if (pos > 0)
		return (size_t)pos;
	if (pos == 0 || pos < -(lua_Integer)len)
		return 1;
	return len - (size_t)-pos + 1;
}

/* … and one of 0 … len. */
static size_t end_position(lua_Integer pos, size_t len)
{
	if (pos > (lua_Integer)len)
		return len;
	if (pos >= 0)
		return (size_t)pos;
	return pos < -(lua_Integer)len ? 0 : len - (size_t)-pos + 1;
}

static int lib_len(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)stdlib_check_text(L, 1).len);
	return 1;
}

static int lib_sub(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	size_t from = start_position(luaL_checkinteger(L, 2), s.len);
	size_t to = end_position(luaL_optinteger(L, 3, -1), s.len);

	if (from > to)
		lua_pushliteral(L, "");
	else
		lua_pushlstring(L, s.ptr + from - 1, to - from + 1);
	return 1;
}

static int lib_byte(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Integer first = luaL_optinteger(L, 2, 1);
	size_t from = start_position(first, s.len);
	size_t to = end_position(luaL_optinteger(L, 3, first), s.len);

	if (from > to)
		return 0;
	size_t count = to - from + 1;
	if (count > stdlib_of(L)->values)
		return luaL_error(L, "string slice too long (more than %d values)", (int)stdlib_of(L)->values);
	luaL_checkstack(L, (int)count, "string slice too long");
	for (size_t i = 0; i < count; i++)
		lua_pushinteger(L, (unsigned char)s.ptr[from - 1 + i]);
	return (int)count;
}

static int lib_char(lua_State *L)
{
	int count = lua_gettop(L);
	luaL_Buffer out;
	char *to = luaL_buffinitsize(L, &out, (size_t)count);

	for (int i = 1; i <= count; i++) {
		lua_Unsigned c = (lua_Unsigned)luaL_checkinteger(L, i);
		luaL_argcheck(L, c <= UINT8_MAX, i, "value out of range");
		to[i - 1] = (char)(unsigned char)c;
	}
	luaL_pushresultsize(&out, (size_t)count);
	return 1;
}

enum change { LOWER, UPPER, REVERSE };

/* A text of the same length, made byte by byte. */
static int change_bytes(lua_State *L, enum change how)
{
	struct slice s = stdlib_check_text(L, 1);
	luaL_Buffer out;

	stdlib_check_bytes(L, 0, s.len);
	char *to = luaL_buffinitsize(L, &out, s.len);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[how == REVERSE ? s.len - 1 - i : i];
		to[i] = (char)(how == LOWER ? tolower(c) : how == UPPER ? toupper(c) : c);
	}
	luaL_pushresultsize(&out, s.len);
	return 1;
}

static int lib_lower(lua_State *L)
{
	return change_bytes(L, LOWER);
}

static int lib_upper(lua_State *L)
{
	return change_bytes(L, UPPER);
}

static int lib_reverse(lua_State *L)
{
	return change_bytes(L, REVERSE);
}

static int lib_rep(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Integer n = luaL_checkinteger(L, 2);
	size_t sep_len;
	const char *sep = luaL_optlstring(L, 3, "", &sep_len);
	luaL_Buffer out;

	if (n <= 0 || s.len + sep_len == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	size_t unit = s.len + sep_len;
	/* n * unit - sep_len; a product beyond the range is beyond the cap too. */
	size_t total;
	if (__builtin_mul_overflow(unit, (size_t)n, &total))
		total = SIZE_MAX;
	else
		total -= sep_len;
	stdlib_check_bytes(L, 0, total);

	char *to = luaL_buffinitsize(L, &out, total);
	size_t done = s.len;
	memcpy(to, s.ptr, s.len);
	if (n > 1) {
		memcpy(to + done, sep, sep_len);
		done += sep_len;
	}
	/* What stands there already is a whole number of units: doubling it keeps the rhythm. */
	while (done < total) {
		size_t more = done < total - done ? done : total - done;
		memcpy(to + done, to, more);
		done += more;
	}
	luaL_pushresultsize(&out, total);
	return 1;
}

/* pack, packsize and unpack are Lua's own: they take one pass over format and arguments. Only what pack may build is
 * bounded before: texts and fixed sizes ("c1000") as given, at most 16 bytes and as many of padding for the others. */
static size_t pack_bound(lua_State *L, struct slice format)
{
	size_t bytes = 0, cap = stdlib_of(L)->bytes;

	for (int i = 2; i <= lua_gettop(L) && bytes <= cap; i++)
		if (lua_type(L, i) == LUA_TSTRING)
			bytes += lua_rawlen(L, i) + 1;
	for (size_t i = 0; i < format.len && bytes <= cap; i++) {
		bytes += 32;
		if (format.ptr[i] != 'c')
			continue;
		size_t n = 0;
		while (i + 1 < format.len && isdigit((unsigned char)format.ptr[i + 1]) && n <= cap)
			n = n * 10 + (size_t)(format.ptr[++i] - '0');
		bytes += n;
	}
	return bytes;
}

/* Upvalue 2 is Lua's own. Called as a C function, so that its errors name this call. */
static int call_stock(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static int lib_pack(lua_State *L)
{
	stdlib_check_bytes(L, 0, pack_bound(L, stdlib_check_text(L, 1)));
	return call_stock(L);
}

/* As many values as the format has letters, and one; packsize only reads it. */
static int lib_unpack(lua_State *L)
{
	if (stdlib_check_text(L, 1).len > stdlib_of(L)->values)
		return luaL_argerror(L, 1, "format too long");
	return call_stock(L);
}

static const luaL_Reg functions[] = {
	{ "byte", lib_byte },       { "char", lib_char }, { "format", stdlib_format }, { "len", lib_len },
	{ "lower", lib_lower },     { "rep", lib_rep },   { "reverse", lib_reverse },  { "sub", lib_sub },
	{ "upper", lib_upper },     { NULL, NULL },
};

/* Replaces Lua's own string library at the state's strings: methods come from the table on top, which rules cannot
 * reach; arithmetic on strings stays. */
static void adopt_strings(lua_State *L)
{
	int table = lua_gettop(L);

	lua_pushliteral(L, "");
	if (lua_getmetatable(L, -1)) {
		lua_pushvalue(L, table);
		lua_setfield(L, -2, "__index");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_settop(L, table);
}

void stdlib_push_string(lua_State *L, int lib)
{
	lua_newtable(L);
	int table = lua_gettop(L);
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, functions, 1);
	stdlib_add_matching(L, lib);

	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
	lua_pushvalue(L, lib);
	lua_getfield(L, -2, "packsize");
	lua_pushcclosure(L, lib_unpack, 2);
	lua_setfield(L, table, "packsize");
	lua_pushvalue(L, lib);
	lua_getfield(L, -2, "pack");
	lua_pushcclosure(L, lib_pack, 2);
	lua_setfield(L, table, "pack");
	lua_pushvalue(L, lib);
	lua_getfield(L, -2, "unpack");
	lua_pushcclosure(L, lib_unpack, 2);
	lua_setfield(L, table, "unpack");
	lua_settop(L, table);
	adopt_strings(L);
}
