/* utf8.*, as section 6.5 of the manual has it. */
#include "sandbox/stdlib_parts.h"

/* The largest code that the original encoding of up to six bytes holds. */
#define CODE_MAX 0x7FFFFFFFu

static bool is_continuation(struct slice s, size_t at)
{
	return at < s.len && ((unsigned char)s.ptr[at] & 0xC0) == 0x80;
}

/* Bytes of the sequence at `at`, or 0 when it is none. `lax` lets pass what is beyond Unicode. */
static size_t decode(struct slice s, size_t at, bool lax, uint32_t *code)
{
	static const uint32_t smallest[] = { 0, 0x80, 0x800, 0x10000, 0x200000, 0x4000000 };
	unsigned char lead = (unsigned char)s.ptr[at];
	size_t more = 0;

	if (lead < 0x80) {
		*code = lead;
		return 1;
	}
	while (more < 6 && lead & (0x40u >> more))
		more++;
	if (more == 0 || more > 5)
		return 0;
	uint32_t c = lead & (0x3Fu >> more);
	for (size_t i = 1; i <= more; i++) {
		if (!is_continuation(s, at + i))
			return 0;
		c = c << 6 | ((unsigned char)s.ptr[at + i] & 0x3Fu);
	}
	if (c < smallest[more] || (!lax && (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))))
		return 0;
	*code = c;
	return more + 1;
}

/* Bytes that `code` takes, written to `to` (six at most). */
static size_t encode(uint32_t code, char *to)
{
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : code < 0x200000 ? 4 : code < 0x4000000 ? 5 : 6;
	for (size_t i = len - 1; i > 0; i--) {
		to[i] = (char)(0x80 | (code & 0x3F));
		code >>= 6;
	}
	to[0] = (char)(unsigned char)((0xFF00u >> len & 0xFF) | code);
	return len;
}

/* Negative positions count from the end; before the beginning is 0. */
static lua_Integer position(lua_Integer pos, size_t len)
{
	if (pos >= 0)
		return pos;
	return pos < -(lua_Integer)len ? 0 : (lua_Integer)len + pos + 1;
}

static int lib_char(lua_State *L)
{
	int count = lua_gettop(L);
	char bytes[8];
	luaL_Buffer out;

	luaL_buffinit(L, &out);
	for (int i = 1; i <= count; i++) {
		lua_Unsigned code = (lua_Unsigned)luaL_checkinteger(L, i);
		luaL_argcheck(L, code <= CODE_MAX, i, "value out of range");
		luaL_addlstring(&out, bytes, encode((uint32_t)code, bytes));
	}
	luaL_pushresult(&out);
	return 1;
}

static int lib_len(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Integer first = position(luaL_optinteger(L, 2, 1), s.len);
	lua_Integer last = position(luaL_optinteger(L, 3, -1), s.len);
	bool lax = lua_toboolean(L, 4) != 0;
	lua_Integer count = 0;
	size_t work = 0;
	uint32_t code;

	luaL_argcheck(L, 1 <= first && first - 1 <= (lua_Integer)s.len, 2, "initial position out of bounds");
	luaL_argcheck(L, last <= (lua_Integer)s.len, 3, "final position out of bounds");
	for (size_t at = (size_t)first - 1; (lua_Integer)at < last; count++) {
		size_t len = decode(s, at, lax, &code);
		if (len == 0) {
			lua_pushnil(L);
			lua_pushinteger(L, (lua_Integer)at + 1);
			return 2;
		}
		at += len;
		stdlib_poll(L, &work, 1);
	}
	lua_pushinteger(L, count);
	return 1;
}

static int lib_codepoint(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Integer first = position(luaL_optinteger(L, 2, 1), s.len);
	lua_Integer last = position(luaL_optinteger(L, 3, first), s.len);
	bool lax = lua_toboolean(L, 4) != 0;
	int count = 0;
	uint32_t code;

	luaL_argcheck(L, first >= 1, 2, "out of bounds");
	luaL_argcheck(L, last <= (lua_Integer)s.len, 3, "out of bounds");
	for (size_t at = (size_t)first - 1; (lua_Integer)at < last; count++) {
		if ((size_t)count >= stdlib_of(L)->values)
			return luaL_error(L, "string slice too long (more than %d values)", (int)stdlib_of(L)->values);
		luaL_checkstack(L, 1, "string slice too long");
		size_t len = decode(s, at, lax, &code);
		if (len == 0)
			return luaL_error(L, "invalid UTF-8 code");
		lua_pushinteger(L, code);
		at += len;
	}
	return count;
}

/* Where a step over continuation bytes ends. */
static size_t step_back(struct slice s, size_t at)
{
	do
		at--;
	while (at > 0 && is_continuation(s, at));
	return at;
}

static size_t step_on(struct slice s, size_t at)
{
	do
		at++;
	while (is_continuation(s, at));
	return at;
}

static int lib_offset(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Integer n = luaL_checkinteger(L, 2);
	lua_Integer first = position(luaL_optinteger(L, 3, n >= 0 ? 1 : (lua_Integer)s.len + 1), s.len);
	size_t work = 0;

	luaL_argcheck(L, 1 <= first && first - 1 <= (lua_Integer)s.len, 3, "position out of bounds");
	size_t at = (size_t)first - 1;
	if (n == 0) {
		while (at > 0 && is_continuation(s, at)) {
			at--;
			stdlib_poll(L, &work, 1);
		}
		lua_pushinteger(L, (lua_Integer)at + 1);
		return 1;
	}
	if (is_continuation(s, at))
		return luaL_error(L, "initial position is a continuation byte");
	for (; n < 0 && at > 0; n++) {
		at = step_back(s, at);
		stdlib_poll(L, &work, 1);
	}
	/* The first character is where `at` stands already. */
	if (n > 0)
		for (n--; n > 0 && at < s.len; n--) {
			at = step_on(s, at);
			stdlib_poll(L, &work, 1);
		}
	if (n != 0)
		lua_pushnil(L);
	else
		lua_pushinteger(L, (lua_Integer)at + 1);
	return 1;
}

/* Upvalue 2: whether it is lax. */
static int codes_next(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	lua_Unsigned at = (lua_Unsigned)lua_tointeger(L, 2);
	uint32_t code;

	if (at > 0)
		while (at < s.len && is_continuation(s, (size_t)at))
			at++;
	if (at >= s.len)
		return 0;
	size_t len = decode(s, (size_t)at, lua_toboolean(L, lua_upvalueindex(2)) != 0, &code);
	if (len == 0 || is_continuation(s, (size_t)at + len))
		return luaL_error(L, "invalid UTF-8 code");
	lua_pushinteger(L, (lua_Integer)at + 1);
	lua_pushinteger(L, code);
	return 2;
}

static int lib_codes(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);

	luaL_argcheck(L, !is_continuation(s, 0), 1, "invalid UTF-8 code");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushboolean(L, lua_toboolean(L, 2));
	lua_pushcclosure(L, codes_next, 2);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

static const luaL_Reg functions[] = {
	{ "char", lib_char },           { "codes", lib_codes },   { "codepoint", lib_codepoint },
	{ "len", lib_len },             { "offset", lib_offset }, { NULL, NULL },
};

void stdlib_push_utf8(lua_State *L, int lib)
{
	static const char one_character[] = "[\0-\x7F\xC2-\xFD][\x80-\xBF]*";

	lua_newtable(L);
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, functions, 1);
	lua_pushlstring(L, one_character, sizeof one_character - 1);
	lua_setfield(L, -2, "charpattern");
}
