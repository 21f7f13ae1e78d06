/* The standard library for rules: runs stdlib_test.lua (or the file given) in a state that has Lua's own libraries, as `stock`,
 * ours, as `rule`, and ours with small limits, as `small`. Run from the top folder. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <lauxlib.h>
#include <lualib.h>

#include "check.h"
#include "sandbox/chunk.h"
#include "sandbox/kill.h"
#include "sandbox/stdlib_parts.h"
#include "starve.h"
#include "value/luavalue.h"

/* ---- memory: nobody writes behind a block, and fresh memory has no zeros by chance ---- */

enum { GUARD = 64, FRESH = 0xA5 };

static size_t largest; /* block that was asked for */
static unsigned refused;

static void check_guard(const unsigned char *behind)
{
	for (size_t i = 0; i < GUARD; i++)
		if (behind[i] != FRESH) {
			puts("FAILED: somebody wrote behind a block of memory");
			exit(1);
		}
}

static void *allocate(void *ctx, void *block, size_t old, size_t size)
{
	unsigned char *bytes = block;
	if (!bytes)
		old = 0;
	else
		check_guard(bytes + old);
	if (size > largest)
		largest = size;
	bytes = starve_allocate(ctx, bytes, old + GUARD, size > 0 ? size + GUARD : 0);
	refused += !bytes && size > 0;
	if (bytes)
		memset(bytes + (size < old ? size : old), FRESH, GUARD + (size > old ? size - old : 0));
	return bytes;
}

/* ---- in the place of the system's ---- */

static unsigned char random_byte = 1; /* 0: there is none */

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
	(void)flags;
	if (random_byte == 0)
		return -1;
	for (size_t i = 0; i < size; i++)
		((unsigned char *)to)[i] = (unsigned char)(random_byte + i);
	return (ssize_t)size;
}

/* ---- what the library is given ---- */

/* Checks of the deadline that are still granted; -1: any number. */
static long checks_left = -1;
static long checks_made;
static double virtual_time = -1;
static bool over;

static bool is_over(void)
{
	return over;
}

static void check_deadline(lua_State *L)
{
	checks_made++;
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

/* What a function forgets to set is 1 then. */
static void __attribute__((noinline)) scribble_on_the_stack(void)
{
	volatile uint64_t words[2048];
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		words[i] = 1;
}

/* granted(n, fn, ...): pcall(fn, ...) with n checks of the deadline; -1: any number */
static int lua_granted(lua_State *L)
{
	checks_left = (long)luaL_checkinteger(L, 1);
	scribble_on_the_stack();
	int rc = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
	checks_left = -1;
	lua_pushboolean(L, rc == LUA_OK);
	lua_replace(L, 1);
	return lua_gettop(L);
}

/* checks(fn): how often it asks for the deadline */
static int lua_checks(lua_State *L)
{
	checks_made = 0;
	lua_call(L, 0, 0);
	lua_pushinteger(L, checks_made);
	return 1;
}

/* greatest(fn): pcall(fn); bytes of the largest block that was asked for */
static int lua_greatest(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT);
	largest = 0;
	lua_pcall(L, 0, 0, 0);
	lua_pushinteger(L, (lua_Integer)largest);
	return 1;
}

/* too_late(fn): pcall(fn) after the deadline */
static int lua_too_late(lua_State *L)
{
	over = true;
	int rc = lua_pcall(L, 0, LUA_MULTRET, 0);
	over = false;
	lua_pushboolean(L, rc == LUA_OK);
	lua_insert(L, 1);
	return lua_gettop(L);
}

/* marked(mt): a metatable of tables that rawset refuses */
static int lua_marked(lua_State *L)
{
	lua_settop(L, 1);
	stdlib_mark_sealed(L);
	return lua_gettop(L);
}

/* text_of(v): through an index from the top; the flag of kill.h stays off */
static int lua_text_of(lua_State *L)
{
	size_t len = 0;
	int top = lua_gettop(L);
	kill_state.on = 0;
	const char *text = stdlib_tostring(L, -1, &len);
	CHECK(!kill_state.on && lua_gettop(L) == top + 1 && lua_tostring(L, -1) == text && lua_rawlen(L, -1) == len);
	return 1;
}

/* can_be_killed(): as Lua code can */
static int lua_can_be_killed(lua_State *L)
{
	lua_pushboolean(L, kill_state.on);
	return 1;
}

/* compiled(text, name): the error's text, "" without one */
static int lua_compiled(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	int rc = chunk_load(L, slice_make(text, len), luaL_checkstring(L, 2));
	CHECK(lua_gettop(L) == 3);
	if (rc == LUA_OK)
		lua_pushliteral(L, "");
	return 1;
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
	CHECK(lua_gettop(L) == 1);
	return 1;
}

static const luaL_Reg helpers[] = {
	{ "test", lua_test },     { "granted", lua_granted }, { "interrupted", lua_interrupted }, { "starved", lua_starved },
	{ "copied", lua_copied }, { "at_time", lua_at_time }, { "cpu", lua_cpu },                 { "sealed", lua_sealed },
	{ "checks", lua_checks }, { "greatest", lua_greatest }, { "too_late", lua_too_late },     { "marked", lua_marked },
	{ "text_of", lua_text_of }, { "can_be_killed", lua_can_be_killed }, { "compiled", lua_compiled }, { NULL, NULL },
};

/* ---- states of their own ---- */

/* A state with Lua's own libraries, and ours as `rule`. */
static lua_State *state(const struct stdlib_options *options)
{
	lua_State *L = lua_newstate(allocate, NULL);
	luaL_openlibs(L);
	stdlib_open(L, options);
	CHECK(lua_gettop(L) == 1);
	lua_setglobal(L, "rule");
	return L;
}

static void run(lua_State *L, const char *script)
{
	if (!CHECK(luaL_dostring(L, script) == LUA_OK))
		printf("%s\n", lua_tostring(L, -1));
	lua_settop(L, 0);
}

/* Not at the first date on the loop. Before anything else asks for the time zone. */
static void the_time_zone_is_read_when_the_library_opens(void)
{
	setenv("TZ", "XXX+5", 1);
	lua_State *L = state(NULL);
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	run(L, "assert(rule.os.date('%H', 0) == '19')");
	lua_close(L);
	tzset();
}

static int own_random(lua_State *L)
{
	lua_pushliteral(L, "random");
	return 1;
}

static int own_randomseed(lua_State *L)
{
	lua_pushliteral(L, "randomseed");
	return 1;
}

static void options_have_defaults(void)
{
	lua_State *L = state(NULL);
	run(L, "assert(math.abs(rule.os.time() - os.time()) <= 1 and rule._VERSION == _VERSION)\n"
	       "assert(math.type(rule.math.random(5)) == 'integer' and rule.math.randomseed ~= nil)\n"
	       "assert(rule.string.rep('x', 2000000):find('b', 1, true) == nil)\n"
	       "local good, why = rule.xpcall(error, function(e) return e .. '!' end, 'why', 0) assert(not good and why == 'why!')\n");
	lua_close(L);
	L = state(&(struct stdlib_options){ .random = own_random, .randomseed = own_randomseed });
	run(L, "assert(rule.math.random() == 'random' and rule.math.randomseed() == 'randomseed')");
	lua_close(L);
}

static int open_library(lua_State *L)
{
	stdlib_open(L, NULL);
	return 0;
}

static void a_library_that_finds_no_memory_leaves_the_globals_alone(void)
{
	long n = 1;
	for (bool opened = false; !opened && n < 10000; n++) {
		lua_State *L = lua_newstate(allocate, NULL);
		lua_pushglobaltable(L);
		lua_pushcfunction(L, open_library);
		starve_after = n;
		refused = 0;
		int rc = lua_pcall(L, 0, 0, 0);
		starve_after = 0;
		opened = refused == 0;
		CHECK(rc == (opened ? LUA_OK : LUA_ERRMEM));
		lua_pushglobaltable(L);
		lua_pushnil(L);
		CHECK(lua_rawequal(L, 1, -2) && !lua_next(L, -2));
		lua_close(L);
	}
	CHECK(n > 50 && n < 10000);
}

/* Where the caller has no slot left. */
static void a_full_stack_grows(void)
{
	lua_State *L = lua_newstate(allocate, NULL), *full = lua_newthread(L);
	while (lua_checkstack(full, 1) && lua_gettop(full) < 38)
		lua_pushboolean(full, 1);
	int top = lua_gettop(full);
	stdlib_open(full, NULL);
	CHECK(lua_gettop(full) == top + 1);
	lua_close(L);
}

static void tables_can_stop_being_weak(void)
{
	static const char script[] = "local t = setmetatable({}, { __mode = 'k' }) t[{}] = 1 collectgarbage() return next(t) ~= nil";
	lua_State *L = state(NULL);
	CHECK(luaL_dostring(L, script) == LUA_OK && !lua_toboolean(L, -1));
	lua_settop(L, 0);
	stdlib_end_weak_tables(L);
	CHECK(lua_gettop(L) == 0);
	CHECK(luaL_dostring(L, script) == LUA_OK && lua_toboolean(L, -1));
	lua_close(L);
}

/* What stands for an object's address. */
static const char *number_of(lua_State *L, uintptr_t address)
{
	static char out[4][STDLIB_NUMBER_SIZE];
	static unsigned turn;
	char *to = out[turn++ % 4];
	int top = lua_gettop(L);
	stdlib_number(L, (const void *)address, to);
	CHECK(lua_gettop(L) == top && strlen(to) == STDLIB_NUMBER_SIZE - 1);
	return to;
}

static void numbers_come_of_the_state_s_own_key(void)
{
	lua_State *none = luaL_newstate(), *a = state(NULL), *same = state(NULL);
	random_byte = 77;
	lua_State *b = state(NULL);
	CHECK(strcmp(number_of(none, 1), "19fab091a4fb97a4") == 0);
	CHECK(strcmp(number_of(none, 0x7f1234567890), "c6318d832ac142d9") == 0);
	CHECK(strcmp(number_of(a, 1), "9bbca74582d47d38") == 0);
	CHECK(strcmp(number_of(a, 0x7f1234567890), "42c64ce85a25b5e8") == 0);
	CHECK(strcmp(number_of(same, 0x7f1234567890), number_of(a, 0x7f1234567890)) == 0);
	CHECK(strcmp(number_of(b, 0x7f1234567890), number_of(a, 0x7f1234567890)) != 0);
	lua_close(same);
	lua_close(b);
	/* Without the system's help, too. */
	random_byte = 0;
	b = state(NULL);
	same = state(NULL);
	CHECK(strcmp(number_of(b, 1), number_of(same, 1)) != 0 && strcmp(number_of(b, 1), number_of(none, 1)) != 0);
	random_byte = 1;
	lua_close(none);
	lua_close(a);
	lua_close(same);
	lua_close(b);
}

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
	lua_State *L = state(&(struct stdlib_options){ .bytes = SIZE_MAX, .elements = SIZE_MAX, .values = SIZE_MAX });
	run(L, script);
	lua_close(L);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "tests/unit/stdlib_test.lua";
	struct stdlib_options options = { .wall = wall, .check = check_deadline, .passed = is_over };
	struct stdlib_options small = { .bytes = 100, .elements = 5, .values = 3, .steps = 100 };
	lua_State *L = lua_newstate(allocate, NULL);

	the_time_zone_is_read_when_the_library_opens();
	luaL_openlibs(L);
	lua_getglobal(L, "debug");
	lua_getfield(L, -1, "traceback");
	lua_setfield(L, LUA_REGISTRYINDEX, "traceback");
	lua_pushglobaltable(L);
	luaL_setfuncs(L, helpers, 0);
	lua_settop(L, 0);
	lua_pushglobaltable(L);
	lua_setglobal(L, "stock");
	stdlib_open(L, &small);
	lua_setglobal(L, "small");
	stdlib_open(L, &options);
	lua_setglobal(L, "rule");
	if (lua_gettop(L) != 0 || luaL_dofile(L, path) != LUA_OK) {
		printf("FAILED to run %s: %s\n", path, lua_gettop(L) ? lua_tostring(L, -1) : "stack");
		check_failed++;
	}
	lua_close(L);
	options_have_defaults();
	options_have_upper_bounds();
	a_library_that_finds_no_memory_leaves_the_globals_alone();
	a_full_stack_grows();
	tables_can_stop_being_weak();
	numbers_come_of_the_state_s_own_key();
	return check_report();
}
