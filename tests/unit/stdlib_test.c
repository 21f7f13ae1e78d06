/* The standard library for rules: runs stdlib_test.lua (or the file given) in a state that has both Lua's own libraries, as
 * `stock`, and ours, as `rule`. Run from the top folder. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <lauxlib.h>
#include <lualib.h>

#include "check.h"
#include "value/luavalue.h"
#include "sandbox/stdlib.h"
#include "starve.h"

/* Checks of the deadline that are still granted; -1: any number. */
static long checks_left = -1;
static double virtual_time = -1;

static void check_deadline(lua_State *L)
{
	if (checks_left < 0)
		return;
	if (checks_left-- == 0) {
		checks_left = 0;
		luaL_error(L, "deadline");
	}
}

static double wall(void *ctx)
{
	(void)ctx;
	return virtual_time >= 0 ? virtual_time : (double)time(NULL);
}

/* test(name, fn) */
static int lua_test(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_settop(L, 2);
	lua_getfield(L, LUA_REGISTRYINDEX, "traceback");
	lua_insert(L, 2);
	if (lua_pcall(L, 0, 0, 2) == LUA_OK) {
		check_passed++;
	} else {
		check_failed++;
		printf("FAILED %s: %s\n", name, lua_tostring(L, -1));
	}
	return 0;
}

/* granted(n, fn): pcall(fn) with n checks of the deadline; -1: any number */
static int lua_granted(lua_State *L)
{
	checks_left = (long)luaL_checkinteger(L, 1);
	int rc = lua_pcall(L, 0, LUA_MULTRET, 0);
	checks_left = -1;
	lua_pushboolean(L, rc == LUA_OK);
	lua_replace(L, 1);
	return lua_gettop(L);
}

static void raise_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	luaL_error(L, "hook");
}

/* interrupted(n, fn): pcall(fn), an error raised after n instructions */
static int lua_interrupted(lua_State *L)
{
	int count = (int)luaL_checkinteger(L, 1);

	lua_sethook(L, raise_hook, LUA_MASKCOUNT, count);
	int rc = lua_pcall(L, 0, 1, 0);
	lua_sethook(L, NULL, 0, 0);
	lua_pushboolean(L, rc == LUA_OK);
	lua_insert(L, 2);
	return 2;
}

/* starved(n, fn): pcall(fn), allocations fail from the n-th on; true when there were fewer */
static int lua_starved(lua_State *L)
{
	starve_after = (long)luaL_checkinteger(L, 1);
	int rc = lua_pcall(L, 0, 0, 0);
	bool all = starve_after > 1;
	starve_after = 0;
	lua_pushboolean(L, all && rc == LUA_OK);
	return 1;
}

/* copied(v [, depth [, bytes]]): through struct value and back, or nil and the error */
static int lua_copied(lua_State *L)
{
	struct luavalue_limits limits = { .depth = (unsigned)luaL_optinteger(L, 2, 0),
		                          .bytes = (size_t)luaL_optinteger(L, 3, 0) };
	struct value value;
	struct err err = { 0 };
	int top = lua_gettop(L);

	if (luavalue_read(L, 1, &value, &limits, &err)) {
		lua_pushnil(L);
		lua_pushstring(L, err.text);
		return lua_gettop(L) == top + 2 ? 2 : luaL_error(L, "the stack changed");
	}
	if (lua_gettop(L) != top)
		return luaL_error(L, "the stack changed");
	luavalue_push(L, &value);
	value_close(&value);
	return 1;
}

static int lua_at_time(lua_State *L)
{
	virtual_time = luaL_checknumber(L, 1);
	return 0;
}

static int lua_cpu(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock() / CLOCKS_PER_SEC);
	return 1;
}

static int lua_sealed(lua_State *L)
{
	lua_settop(L, 1);
	stdlib_seal(L, "thing");
	return 1;
}

static const luaL_Reg helpers[] = {
	{ "test", lua_test },     { "granted", lua_granted }, { "interrupted", lua_interrupted }, { "starved", lua_starved },
	{ "copied", lua_copied }, { "at_time", lua_at_time }, { "cpu", lua_cpu },                 { "sealed", lua_sealed },
	{ NULL, NULL },
};

/* However large the options are, a call leaves Lua's stack some of its million slots, and sizes fit into error texts. */
static void options_have_upper_bounds(void)
{
	static const char script[] = "local unpack, rep = rule.table.unpack, rule.string.rep\n"
	                             "local good, err = pcall(unpack, {}, 1, 500001)\n"
	                             "assert(not good and err:find('more than 500000)', 1, true), err)\n"
	                             "assert(select('#', unpack({}, 1, 499999)) == 499999)\n"
	                             "good, err = pcall(rep, 'x', 1 << 31)\n"
	                             "assert(not good and err:find('text too long', 1, true), err)\n"
	                             "good, err = pcall(rule.table.move, {}, 1, 1 << 31, 2)\n"
	                             "assert(not good and err:find('more than 2147483647 in one call', 1, true), err)\n";
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	stdlib_open(L, &(struct stdlib_options){ .bytes = SIZE_MAX, .elements = SIZE_MAX, .values = SIZE_MAX });
	lua_setglobal(L, "rule");
	if (!CHECK(luaL_dostring(L, script) == LUA_OK))
		printf("%s\n", lua_tostring(L, -1));
	lua_close(L);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "tests/unit/stdlib_test.lua";
	struct stdlib_options options = { .wall = wall, .check = check_deadline };
	lua_State *L = lua_newstate(starve_allocate, NULL);

	luaL_openlibs(L);
	lua_getglobal(L, "debug");
	lua_getfield(L, -1, "traceback");
	lua_setfield(L, LUA_REGISTRYINDEX, "traceback");
	lua_pushglobaltable(L);
	luaL_setfuncs(L, helpers, 0);
	lua_settop(L, 0);
	lua_pushglobaltable(L);
	lua_setglobal(L, "stock");
	stdlib_open(L, &options);
	lua_setglobal(L, "rule");
	if (lua_gettop(L) != 0 || luaL_dofile(L, path) != LUA_OK) {
		printf("FAILED to run %s: %s\n", path, lua_gettop(L) ? lua_tostring(L, -1) : "stack");
		check_failed++;
	}
	lua_close(L);
	options_have_upper_bounds();
	return check_report();
}
