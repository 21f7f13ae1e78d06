#include "sandbox/stdlib.h"

#include <lualib.h>
#include <string.h>

#include "base/clock.h"
#include "sandbox/stdlib_parts.h"

/* Its address marks the metatables of sealed tables, with the table's name; rules cannot make this key. Functions of these
 * metatables have no upvalues: each state has fourteen of them, and shall be small. */
static const char seal_mark;

static double real_wall(void *ctx)
{
	(void)ctx;
	return clock_wall();
}

/* The options with every default filled in, as a userdata. */
static void push_options(lua_State *L, const struct stdlib_options *options)
{
	struct stdlib_options *lib = lua_newuserdatauv(L, sizeof *lib, 0);

	*lib = options ? *options : (struct stdlib_options){ 0 };
	if (!lib->wall)
		lib->wall = real_wall;
	if (!lib->bytes)
		lib->bytes = (size_t)8 << 20;
	/* Lengths up to here can be shown in error texts and doubled without care for overflow. */
	if (lib->bytes > INT32_MAX)
		lib->bytes = INT32_MAX;
	if (!lib->elements)
		lib->elements = 1000000;
	if (lib->elements > INT32_MAX)
		lib->elements = INT32_MAX;
	if (!lib->values)
		lib->values = 65536;
	if (lib->values > 500000)
		lib->values = 500000;
	if (!lib->steps)
		lib->steps = 1000000;
}

/* Sealed tables */

static int seal_newindex(lua_State *L)
{
	lua_getmetatable(L, 1);
	lua_rawgetp(L, -1, &seal_mark);
	const char *name = lua_tostring(L, -1);
	if (lua_type(L, 2) == LUA_TSTRING)
		return luaL_error(L, "'%s' is read-only (field '%s' was assigned)", name, lua_tostring(L, 2));
	return luaL_error(L, "'%s' is read-only", name);
}

/* Upvalue 1 is the table behind the proxy. */
static int seal_next(lua_State *L)
{
	lua_settop(L, 2);
	if (!lua_next(L, lua_upvalueindex(1))) {
		lua_pushnil(L);
		return 1;
	}
	return 2;
}

/* The table behind the sealed one at 1. */
static void push_sealed(lua_State *L)
{
	lua_getmetatable(L, 1);
	lua_getfield(L, -1, "__index");
}

static int seal_pairs(lua_State *L)
{
	push_sealed(L);
	lua_pushcclosure(L, seal_next, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int seal_len(lua_State *L)
{
	push_sealed(L);
	lua_pushinteger(L, luaL_len(L, -1));
	return 1;
}

void stdlib_seal(lua_State *L, const char *name)
{
	int table = lua_gettop(L);

	luaL_checkstack(L, 6, NULL);
	lua_newtable(L);
	lua_createtable(L, 0, 6);
	lua_pushvalue(L, table);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, seal_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, seal_pairs);
	lua_setfield(L, -2, "__pairs");
	lua_pushcfunction(L, seal_len);
	lua_setfield(L, -2, "__len");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushstring(L, name);
	lua_rawsetp(L, -2, &seal_mark);
	lua_setmetatable(L, -2);
	lua_replace(L, table);
}

void stdlib_mark_sealed(lua_State *L)
{
	lua_pushboolean(L, 1);
	lua_rawsetp(L, -2, &seal_mark);
}

/* Globals that are not the stock ones */

static int lib_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	stdlib_tostring(L, 1, NULL);
	return 1;
}

static int lib_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (lua_getmetatable(L, 1)) {
		if (lua_rawgetp(L, -1, &seal_mark) != LUA_TNIL)
			return luaL_argerror(L, 1, "the table is read-only");
		lua_settop(L, 3);
	}
	lua_rawset(L, 1);
	return 1;
}

static int lib_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	lua_settop(L, 2);
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	/* A finalizer would run outside every limit. Lua looks for it here and never again. */
	if (type == LUA_TTABLE) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "'__gc' is not available to rules (use '__close' and a <close> variable)");
		/* Set later it has no effect, see stdlib_end_weak_tables(). */
		lua_pushliteral(L, "__mode");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "'__mode' is not available to rules: there are no weak tables");
		lua_settop(L, 2);
	}
	lua_setmetatable(L, 1);
	return 1;
}

static int lib_collectgarbage(lua_State *L)
{
	const char *what = luaL_optstring(L, 1, "collect");

	if (strcmp(what, "count") != 0)
		return luaL_error(L, "collectgarbage(\"%s\") is not available to rules, only collectgarbage(\"count\")", what);
	lua_pushnumber(L, (lua_Number)lua_gc(L, LUA_GCCOUNT) + (lua_Number)lua_gc(L, LUA_GCCOUNTB) / 1024);
	return 1;
}

/* Upvalue 1: the rule's handler; 2: the options. */
static int guarded_handler(lua_State *L)
{
	const struct stdlib_options *lib = lua_touserdata(L, lua_upvalueindex(2));
	if (lib->passed && lib->passed())
		return 1;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

/* The stack: guard, true, and what the call left. */
static int xpcall_ended(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - 1;
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

/* xpcall(f, handler, ...) */
static int lib_xpcall(lua_State *L)
{
	int args = lua_gettop(L) - 2;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, guarded_handler, 2);
	/* f, handler, ... becomes guard, true, f, ... */
	lua_pushvalue(L, 1);
	lua_replace(L, 2);
	lua_replace(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 2);
	int status = lua_pcallk(L, args, LUA_MULTRET, 1, 0, xpcall_ended);
	return xpcall_ended(L, status, 0);
}

static const luaL_Reg own_globals[] = {
	{ "xpcall", lib_xpcall },
	{ "rawset", lib_rawset },
	{ "tostring", lib_tostring },
	{ "setmetatable", lib_setmetatable },
	{ "collectgarbage", lib_collectgarbage },
	{ NULL, NULL },
};

/* Lua's own, which do a bounded amount of work or call back into Lua code that the deadline can stop. */
static const char *const stock_globals[] = {
	"assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget",
	"rawlen", "select", "tonumber", "type", NULL,
};

static const char *const stock_math[] = {
	"abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max", "maxinteger",
	"min", "mininteger", "modf", "pi", "rad", "random", "randomseed", "sin", "sqrt", "tan", "tointeger", "type", "ult",
	NULL,
};

/* Copies the named fields of the table on top into the one at `to`; takes the table off the stack. */
static void take_fields(lua_State *L, int to, const char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		lua_getfield(L, -1, names[i]);
		lua_setfield(L, to, names[i]);
	}
	lua_pop(L, 1);
}

/* Lua's base library writes into the state's global table: it gets another one for the moment, so that `load` and
 * the like never stand in the real one. */
static void take_base(lua_State *L, int to)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_pushcfunction(L, luaopen_base);
	int rc = lua_pcall(L, 0, 1, 0);
	lua_pushvalue(L, -2);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	if (rc != LUA_OK)
		lua_error(L);
	take_fields(L, to, stock_globals);
	lua_pop(L, 1);
}

static void add_library(lua_State *L, int to, const char *name)
{
	stdlib_seal(L, name);
	lua_setfield(L, to, name);
}

/* Lua has no switch for this. It finds `__mode` by the identity of one interned string, made with the state and kept for ever;
 * once that one reads otherwise, the `__mode` of a rule is another string. */
void stdlib_end_weak_tables(lua_State *L)
{
	lua_pushliteral(L, "__mode");
	memcpy((void *)(uintptr_t)lua_tostring(L, -1), "\1", 1);
	lua_pop(L, 1);
}

void stdlib_open(lua_State *L, const struct stdlib_options *options)
{
	luaL_checkstack(L, 12, NULL);
	lua_newtable(L);
	int globals = lua_gettop(L);
	push_options(L, options);
	stdlib_open_text(L);
	int lib = globals + 1;

	take_base(L, globals);
	lua_pushvalue(L, globals);
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, own_globals, 1);
	lua_pop(L, 1);
	lua_pushliteral(L, LUA_VERSION);
	lua_setfield(L, globals, "_VERSION");

	lua_newtable(L);
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	take_fields(L, lib + 1, stock_math);
	if (options && options->random) {
		lua_pushcfunction(L, options->random);
		lua_setfield(L, -2, "random");
		lua_pushcfunction(L, options->randomseed);
		lua_setfield(L, -2, "randomseed");
	}
	add_library(L, globals, "math");

	stdlib_push_string(L, lib);
	add_library(L, globals, "string");
	stdlib_push_table(L, lib);
	add_library(L, globals, "table");
	stdlib_push_utf8(L, lib);
	add_library(L, globals, "utf8");
	stdlib_push_os(L, lib);
	add_library(L, globals, "os");
	lua_settop(L, globals);
}
