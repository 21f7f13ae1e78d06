/* table.*: like Lua's own, through metamethods, with caps on how far one call goes. */
#include "sandbox/stdlib_parts.h"

enum { READS = 1, WRITES = 2, HAS_LENGTH = 4 };

/* A table, or what behaves like one in the ways that are needed. */
static void check_table(lua_State *L, int arg, int needs)
{
	static const char *const names[] = { "__index", "__newindex", "__len" };

	if (lua_type(L, arg) == LUA_TTABLE)
		return;
	for (int i = 0; i < 3; i++) {
		if (!(needs & 1 << i))
			continue;
		if (luaL_getmetafield(L, arg, names[i]) == LUA_TNIL)
			luaL_checktype(L, arg, LUA_TTABLE);
		lua_pop(L, 1);
	}
}

static lua_Integer check_length(lua_State *L, int arg, int needs)
{
	check_table(L, arg, needs | HAS_LENGTH);
	return luaL_len(L, arg);
}

/* How many elements first..last are, checked against the cap. */
static size_t check_range(lua_State *L, lua_Integer first, lua_Integer last)
{
	if (first > last)
		return 0;
	size_t span = (size_t)((lua_Unsigned)last - (lua_Unsigned)first);
	if (span >= stdlib_of(L)->elements)
		luaL_error(L, "too many elements (more than %d in one call)", (int)stdlib_of(L)->elements);
	return span + 1;
}

/* to[to_at] = from[from_at] */
static void copy_element(lua_State *L, int from, lua_Integer from_at, int to, lua_Integer to_at, size_t *work)
{
	lua_geti(L, from, from_at);
	lua_seti(L, to, to_at);
	stdlib_poll(L, work, stdlib_element_cost(L, from) + stdlib_element_cost(L, to));
}

static int lib_insert(lua_State *L)
{
	/* A length of maxinteger wraps, as in Lua. */
	lua_Integer end = (lua_Integer)((lua_Unsigned)check_length(L, 1, READS | WRITES) + 1);
	size_t work = 0;

	switch (lua_gettop(L)) {
	case 2:
		lua_seti(L, 1, end);
		return 0;
	case 3: {
		lua_Integer at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
		check_range(L, at, end);
		for (lua_Integer i = end; i > at; i--)
			copy_element(L, 1, i - 1, 1, i, &work);
		lua_seti(L, 1, at);
		return 0;
	}
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
}

static int lib_remove(lua_State *L)
{
	lua_Integer length = check_length(L, 1, READS | WRITES);
	lua_Integer at = luaL_optinteger(L, 2, length);
	size_t work = 0;

	if (at != length) {
		luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)length, 2, "position out of bounds");
		check_range(L, at, length);
	}
	lua_geti(L, 1, at);
	for (; at < length; at++)
		copy_element(L, 1, at + 1, 1, at, &work);
	lua_pushnil(L);
	lua_seti(L, 1, at);
	return 1;
}

/* table.move(from, first, last, to_first [, to]) */
static int lib_move(lua_State *L)
{
	lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to_first = luaL_checkinteger(L, 4);
	int to = lua_isnoneornil(L, 5) ? 1 : 5;
	size_t work = 0;

	check_table(L, 1, READS);
	check_table(L, to, WRITES);
	if (first <= last) {
		lua_Integer count = (lua_Integer)check_range(L, first, last);
		luaL_argcheck(L, to_first <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
		/* Only where the target overlaps what is still to be read must the order be backward. */
		if (to_first > last || to_first <= first || (to != 1 && !lua_rawequal(L, 1, to))) {
			for (lua_Integer i = 0; i < count; i++)
				copy_element(L, 1, first + i, to, to_first + i, &work);
		} else {
			for (lua_Integer i = count - 1; i >= 0; i--)
				copy_element(L, 1, first + i, to, to_first + i, &work);
		}
	}
	lua_pushvalue(L, to);
	return 1;
}

/* Adds list[at], which must be a string or a number. */
static void add_element(lua_State *L, luaL_Buffer *out, lua_Integer at)
{
	size_t len;

	lua_geti(L, 1, at);
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1), (LUAI_UACINT)at);
	lua_tolstring(L, -1, &len);
	stdlib_check_bytes(L, luaL_bufflen(out), len);
	luaL_addvalue(out);
}

static int lib_concat(lua_State *L)
{
	lua_Integer length = check_length(L, 1, READS);
	size_t sep_len, work = 0;
	const char *sep = luaL_optlstring(L, 2, "", &sep_len);
	lua_Integer first = luaL_optinteger(L, 3, 1), last = luaL_optinteger(L, 4, length);
	luaL_Buffer out;

	size_t count = check_range(L, first, last);
	luaL_buffinit(L, &out);
	for (size_t i = 0; i < count; i++) {
		if (i > 0) {
			stdlib_check_bytes(L, luaL_bufflen(&out), sep_len);
			luaL_addlstring(&out, sep, sep_len);
		}
		add_element(L, &out, first + (lua_Integer)i);
		stdlib_poll(L, &work, stdlib_element_cost(L, 1));
	}
	luaL_pushresult(&out);
	return 1;
}

static int lib_pack(lua_State *L)
{
	int count = lua_gettop(L);

	lua_createtable(L, count, 1);
	lua_insert(L, 1);
	for (int i = count; i > 0; i--)
		lua_rawseti(L, 1, i);
	lua_pushinteger(L, count);
	lua_setfield(L, 1, "n");
	return 1;
}

static int lib_unpack(lua_State *L)
{
	lua_Integer first = luaL_optinteger(L, 2, 1);
	lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);

	if (first > last)
		return 0;
	size_t span = (size_t)((lua_Unsigned)last - (lua_Unsigned)first);
	if (span >= stdlib_of(L)->values || !lua_checkstack(L, (int)span + 2))
		return luaL_error(L, "too many results to unpack (more than %d)", (int)stdlib_of(L)->values);
	/* Asked before: the values leave no slot for it. */
	size_t work = 0, cost = stdlib_element_cost(L, 1);
	for (size_t i = 0; i <= span; i++) {
		lua_geti(L, 1, first + (lua_Integer)i);
		stdlib_poll(L, &work, cost);
	}
	return (int)span + 1;
}

/* sort: a merge sort from the bottom up between two tables of our own, so that no comparison, however wrong, leads
 * out of bounds or into more than n log n of them, and the list changes only when all is done. */
enum { LIST = 1, LESS = 2, SORTED = 3, SPARE = 4 };

/* Whether a[i] < a[j]. */
static bool element_less(lua_State *L, int a, lua_Integer i, lua_Integer j, size_t *work)
{
	bool less;

	if (lua_isnil(L, LESS)) {
		lua_rawgeti(L, a, i);
		lua_rawgeti(L, a, j);
		/* Comparing two long strings costs their length. */
		stdlib_poll(L, work, 16 + (lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) / 16 : 256));
		less = lua_compare(L, -2, -1, LUA_OPLT) != 0;
		lua_pop(L, 2);
		return less;
	}
	stdlib_poll(L, work, 256);
	lua_pushvalue(L, LESS);
	lua_rawgeti(L, a, i);
	lua_rawgeti(L, a, j);
	lua_call(L, 2, 1);
	less = lua_toboolean(L, -1) != 0;
	lua_pop(L, 1);
	return less;
}

static void take_element(lua_State *L, int from, lua_Integer i, int to, lua_Integer at)
{
	lua_rawgeti(L, from, i);
	lua_rawseti(L, to, at);
}

/* Merges the sorted runs [low, middle) and [middle, high) of `from` into the same places of `to`. */
static void merge(lua_State *L, int from, int to, lua_Integer low, lua_Integer middle, lua_Integer high, size_t *work)
{
	lua_Integer left = low, right = middle;

	/* Runs that follow each other already, as in a sorted list, cost one comparison. */
	if (right < high && !element_less(L, from, right, middle - 1, work))
		middle = right = high;
	for (lua_Integer at = low; at < high; at++) {
		bool from_right = left == middle || (right < high && element_less(L, from, right, left, work));
		take_element(L, from, from_right ? right++ : left++, to, at);
	}
}

static int lib_sort(lua_State *L)
{
	lua_Integer length = check_length(L, LIST, READS | WRITES);
	int from = SORTED, to = SPARE;
	size_t work = 0;

	if (length < 2)
		return 0;
	if (!lua_isnoneornil(L, LESS))
		luaL_checktype(L, LESS, LUA_TFUNCTION);
	check_range(L, 1, length);
	lua_settop(L, LESS);
	lua_createtable(L, (int)length, 0);
	lua_createtable(L, (int)length, 0);
	for (lua_Integer i = 1; i <= length; i++) {
		lua_geti(L, LIST, i);
		lua_rawseti(L, SORTED, i);
		stdlib_poll(L, &work, stdlib_element_cost(L, LIST));
	}
	for (lua_Integer width = 1; width < length; width *= 2) {
		for (lua_Integer low = 1; low <= length; low += 2 * width) {
			lua_Integer middle = low + width <= length ? low + width : length + 1;
			lua_Integer high = middle + width <= length ? middle + width : length + 1;
			merge(L, from, to, low, middle, high, &work);
		}
		from = to;
		to = from == SORTED ? SPARE : SORTED;
	}
	for (lua_Integer i = 1; i <= length; i++) {
		lua_rawgeti(L, from, i);
		lua_seti(L, LIST, i);
		stdlib_poll(L, &work, stdlib_element_cost(L, LIST));
	}
	return 0;
}

static const luaL_Reg functions[] = {
	{ "concat", lib_concat }, { "insert", lib_insert }, { "move", lib_move },     { "pack", lib_pack },
	{ "remove", lib_remove }, { "sort", lib_sort },     { "unpack", lib_unpack }, { NULL, NULL },
};

void stdlib_push_table(lua_State *L, int lib)
{
	lua_newtable(L);
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, functions, 1);
}
