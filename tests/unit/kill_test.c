/* Lua states that are killed: whatever they are at, in time, with everything given back and the host's lists consistent.
 * Not under ThreadSanitizer. */
#define KILL_AT_CALL /* the crossings of this file's functions count */

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/clock.h"
#include "base/list.h"
#include "check.h"
#include "sandbox/arena.h"
#include "sandbox/kill.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define MIB ((size_t)1024 * 1024)
#define THRESHOLD 0.05 /* seconds of CPU time */
#define LATER 0.1      /* how much later it may be */

/* ---- the tick: what deadline.c does ---- */

static volatile uint64_t begun, threshold; /* ns of CPU time; 0: no threshold */
static timer_t tick, once;

static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_tick(int sig, siginfo_t *info, void *context)
{
	int error = errno;
	(void)sig;
	if (info->si_value.sival_int == 1 || (threshold && cpu_ns() - begun >= threshold))
		kill_due(context);
	errno = error;
}

static void start_ticks(void)
{
	struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
	struct itimerspec every = { .it_interval = { .tv_nsec = 10000000 }, .it_value = { .tv_nsec = 10000000 } };

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	sigaction(SIGRTMIN, &action, NULL);
	CHECK(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &tick) == 0 && timer_settime(tick, 0, &every, NULL) == 0);
	event.sigev_value.sival_int = 1;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &once) == 0);
}

/* Due at one instant, after `ns`. */
static void due_after(long ns)
{
	struct itimerspec when = { .it_value = { .tv_nsec = ns } };
	timer_settime(once, 0, &when, NULL);
}

/* ---- the host: a list whose moves are in the middle of something when they call Lua ---- */

struct item {
	struct list of_host;
};

enum { ITEMS = 16 };

static struct item items[ITEMS];
static struct list host_a, host_b;
static volatile int host_busy;
static unsigned host_calls;

static void host_reset(void)
{
	list_init(&host_a);
	list_init(&host_b);
	for (size_t i = 0; i < ITEMS; i++)
		list_append(&host_a, &items[i].of_host);
	host_busy = 0;
}

static bool host_consistent(void)
{
	size_t count = 0;
	struct list *lists[] = { &host_a, &host_b };
	for (size_t i = 0; i < 2; i++)
		list_each(it, lists[i]) {
			if (it->next->prev != it || ++count > ITEMS)
				return false;
		}
	return count == ITEMS && !host_busy;
}

/* How often the flag was on in a held function. */
static unsigned held_wrong;

/* Calls of Lua that need no memory, and take a while in all. */
static void use_lua(lua_State *L)
{
	for (int i = 0; i < 50; i++) {
		lua_pushinteger(L, i);
		lua_rawlen(L, 1);
		lua_rawequal(L, -1, 1);
		lua_pop(L, 1);
	}
}

SANDBOX_FUNCTION(host_move)
{
	struct list *from = lua_toboolean(L, 1) ? &host_a : &host_b, *to = from == &host_a ? &host_b : &host_a;
	host_calls++;
	if (list_empty(from)) {
		struct list *other = from;
		from = to;
		to = other;
	}
	struct list *it = from->next;
	host_busy = 1;
	list_remove(it);
	use_lua(L);
	list_append(to, it);
	use_lua(L);
	host_busy = 0;
	return 0;
}

/* host_call(fn): consistent while Lua runs, not before and after. */
SANDBOX_FUNCTION(host_call)
{
	struct list *it = host_a.next != &host_a ? host_a.next : host_b.next;
	host_busy = 1;
	list_remove(it);
	use_lua(L);
	list_append(&host_b, it);
	host_busy = 0;
	lua_settop(L, 1);
	kill_call(L, 0, 0);
	host_busy = 1;
	list_remove(it);
	use_lua(L);
	list_append(&host_a, it);
	host_busy = 0;
	return 0;
}

/* host_try(fn): an error is its result. */
SANDBOX_FUNCTION(host_try)
{
	lua_settop(L, 1);
	lua_pushboolean(L, kill_pcall(L, 0, 0, 0) == LUA_OK);
	host_busy = 1;
	use_lua(L);
	host_busy = 0;
	return 1;
}

SANDBOX_FUNCTION(host_fail)
{
	return luaL_error(L, "failed");
}

/* Runs out of memory inside of a held function. */
SANDBOX_FUNCTION(host_fill)
{
	for (size_t size = MIB;; size += MIB)
		lua_newuserdatauv(L, size, 0);
	return 0;
}

/* An error in a state of the host's own, in the middle of a move. */
static lua_State *scratch;

/* After the error, before lua_pcall() returns. */
static int scratch_closed(lua_State *S)
{
	(void)S;
	held_wrong += kill_state.on != 0;
	return 0;
}

static int scratch_fail(lua_State *S)
{
	lua_newtable(S);
	lua_newtable(S);
	lua_pushcfunction(S, scratch_closed);
	lua_setfield(S, -2, "__close");
	lua_setmetatable(S, -2);
	lua_toclose(S, -1);
	return luaL_error(S, "failed");
}

SANDBOX_FUNCTION(host_scratch)
{
	host_busy = 1;
	lua_pushcfunction(scratch, scratch_fail);
	CHECK(kill_pcall_held(scratch, 0, 0, 0) == LUA_ERRRUN);
	lua_settop(scratch, 0);
	held_wrong += kill_state.on != 0;
	use_lua(L);
	host_busy = 0;
	return 0;
}

SANDBOX_CONTINUATION(host_resumed)
{
	(void)status;
	(void)ctx;
	host_busy = 1;
	use_lua(L);
	host_busy = 0;
	return lua_gettop(L);
}

SANDBOX_FUNCTION(host_yield)
{
	lua_settop(L, 0);
	return lua_yieldk(L, 0, 0, host_resumed);
}

SANDBOX_FUNCTION(host_check)
{
	(void)L;
	held_wrong += kill_state.on != 0;
	return 0;
}

static unsigned free_wrong;

/* Registered as it is, like a pure function: the flag must be on. */
static int pure_check(lua_State *L)
{
	(void)L;
	free_wrong += kill_state.on == 0;
	return 0;
}

/* ---- what rules have instead of Lua's own ---- */

static int try_ended(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	kill_allow();
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int rule_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return try_ended(L, kill_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, try_ended), 0);
}

/* Lua runs a handler while the held function that failed has not been left yet. */
SANDBOX_FUNCTION(guarded_handler)
{
	lua_settop(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	kill_call(L, 1, 1);
	return 1;
}

/* xpcall(fn, handler): the stack is guard, true, fn. */
static int rule_xpcall(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushcclosure(L, guarded_handler, 1);
	lua_insert(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 2);
	return try_ended(L, kill_pcallk(L, 0, LUA_MULTRET, 1, 0, try_ended), 0) - 1;
}

SANDBOX_FUNCTION(rule_create)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_State *co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

SANDBOX_FUNCTION(rule_resume)
{
	lua_State *co = lua_tothread(L, 1);
	int args = lua_gettop(L) - 1, count = 0;
	lua_xmove(L, co, args);
	int status = kill_resume(co, L, args, &count);
	bool ok = status == LUA_OK || status == LUA_YIELD;
	lua_pushboolean(L, ok);
	lua_xmove(co, L, ok ? count : 1);
	return 1 + (ok ? count : 1);
}

SANDBOX_FUNCTION(rule_yield)
{
	return lua_yield(L, lua_gettop(L));
}

SANDBOX_FUNCTION(rule_close)
{
	lua_pushboolean(L, kill_reset_thread(lua_tothread(L, 1)) == LUA_OK);
	return 1;
}

static int object_index(lua_State *L)
{
	return host_move(L);
}

static const luaL_Reg functions[] = {
	{ "move", host_move }, { "call", host_call }, { "try", host_try }, { "fail", host_fail }, { "fill", host_fill },
	{ "wait", host_yield }, { "scratch", host_scratch }, { "held", host_check }, { "free", pure_check }, { "pcall", rule_pcall },
	{ "xpcall", rule_xpcall }, { "create", rule_create }, { "resume", rule_resume }, { "yield", rule_yield },
	{ "close", rule_close }, { NULL, NULL },
};

static int open_all(lua_State *L)
{
	static const luaL_Reg meta[] = { { "__index", object_index }, { "__len", host_move }, { "__eq", host_move }, { NULL, NULL } };
	luaL_openlibs(L);
	lua_pushglobaltable(L);
	luaL_setfuncs(L, functions, 0);
	lua_newuserdatauv(L, 1, 0);
	luaL_newlib(L, meta);
	lua_setmetatable(L, -2);
	lua_setglobal(L, "object");
	return 0;
}

/* ---- one run ---- */

struct run {
	struct arena arena;
	lua_State *L;
	const char *text;
	size_t len;
	int status;
	long due_ns;        /* it falls due so long after its begin; 0: never */
	/* Of a whole life: made, run, closed, over. */
	volatile int stage;
	int due_stage;      /* `due_ns` counts from the begin of this one */
	uint64_t begun[4];
};

static void enter(void *arg)
{
	struct run *run = arg;
	lua_State *L = run->L;
	if (run->stage == 0 && run->due_ns)
		due_after(run->due_ns);
	int was = kill_allow();
	run->status = luaL_loadbufferx(L, run->text, run->len, "=rule", "t");
	kill_restore(was);
	if (run->status == LUA_OK)
		run->status = kill_pcall(L, 0, 0, 0);
}

static bool prepare(struct run *run, struct arena_budget *budget)
{
	arena_init(&run->arena, 256 * MIB, budget);
	run->L = lua_newstate(arena_lua, &run->arena);
	lua_pushcfunction(run->L, open_all);
	return lua_pcall(run->L, 0, 0, 0) == LUA_OK;
}

static const char *const prelude =
	"local function ints(t) for k = 1, 131073 do t[k * 262143] = true end end\n"
	"local function floats(t) for i = 1, 131073 do t[1 + i * 2^-52] = true end end\n";

/* Runs until it is killed; it must be, in time. `after` follows the prelude. */
static void stuck_text(const char *what, const char *text, size_t len)
{
	struct arena_budget budget = { 0 };
	struct run run = { .text = text, .len = len };
	CHECK(prepare(&run, &budget));
	host_reset();
	begun = cpu_ns();
	threshold = (uint64_t)(THRESHOLD * 1e9);
	bool ended = kill_run(enter, &run);
	threshold = 0;
	double took = (double)(cpu_ns() - begun) / 1e9;
	if (!CHECK_NAMED(!ended, "it was killed"))
		printf("%s: not killed, status %d %s\n", what, run.status, run.status ? lua_tostring(run.L, -1) : "");
	if (!CHECK_NAMED(took <= THRESHOLD + LATER, "it was killed in time"))
		printf("%s: took %.3f s\n", what, took);
	CHECK_NAMED(host_consistent(), "the host is consistent");
	while (arena_release_some(&run.arena, MIB))
		continue;
	arena_close(&run.arena);
	CHECK_NAMED(budget.used == 0, "all memory was released");
	sigset_t blocked;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	CHECK(!sigismember(&blocked, SIGRTMIN) && !sigismember(&blocked, SIGRTMIN + 1));
	CHECK(!kill_state.on && !kill_state.due && !kill_state.target);
}

static void stuck(const char *what, const char *text)
{
	char *all = malloc(strlen(prelude) + strlen(text) + 1);
	strcpy(all, prelude);
	strcat(all, text);
	stuck_text(what, all, strlen(all));
	free(all);
}

static void every_stuck_rule_is_killed(void)
{
	stuck("integers", "ints({})");
	stuck("floats", "floats({})");
	stuck("loop", "while true do end");
	stuck("pcall", "while true do pcall(error, 'x') end");
	stuck("pcall of a held function's error", "while true do pcall(fail) end");
	stuck("caught and stuck", "pcall(fail) ints({})");
	stuck("nested pcall", "pcall(function() pcall(fail) pcall(function() pcall(fail) ints({}) end) end)");
	stuck("from C", "try(function() call(function() ints({}) end) end)");
	stuck("after an error in C", "try(fail) try(function() pcall(fail) ints({}) end)");
	stuck("close after an error",
	      "pcall(function() local x <close> = setmetatable({}, { __close = function() ints({}) end }) fail() end)");
	stuck("close after an error in C",
	      "try(function() local x <close> = setmetatable({}, { __close = function() floats({}) end }) fail() end)");
	stuck("close after memory",
	      "pcall(function() local x <close> = setmetatable({}, { __close = function() ints({}) end }) fill() end)");
	stuck("close in a coroutine",
	      "local co = create(function() local x <close> = setmetatable({}, { __close = function() ints({}) end }) fail() end) "
	      "resume(co) close(co)");
	stuck("close of a coroutine",
	      "local co = create(function() local x <close> = setmetatable({}, { __close = function() ints({}) end }) yield() end) "
	      "resume(co) close(co)");
	stuck("coroutines",
	      "local function deep(n) if n == 0 then ints({}) else return resume(create(function() return deep(n - 1) end)) end end deep(50)");
	stuck("after a wait", "local co = create(function() wait() pcall(fail) wait() ints({}) end) while true do resume(co) end");
	stuck("a wait in pcall",
	      "local co = create(function() pcall(function() wait() fail() end) ints({}) end) while true do resume(co) end");
	stuck("collector", "local t = {} for i = 1, 300000 do t[i] = { i } end while true do collectgarbage() end");
	stuck("rep", "while true do local s = ('x'):rep(20000000) end");
	stuck("pattern", "return ('a'):rep(30000):find(('a-'):rep(20) .. 'b')");
	stuck("comparison",
	      "local a, b = ('\\0'):rep(40000000) .. 'a', ('\\0'):rep(40000000) .. 'b' while true do local c = a < b end");
	stuck("sort", "local t = {} for i = 1, 200000 do t[i] = ('\\0'):rep(100) .. i end while true do table.sort(t) end");
	stuck("comparator", "local t = {} for i = 1, 300000 do t[i] = i % 1000 end table.sort(t, function(a, b) held() return a < b end) "
	                    "table.sort(t, function(a, b) ints({}) return a < b end)");
	stuck("unpack", "while true do table.unpack(table.pack(table.unpack({}, 1, 200000))) end");
	stuck("concat", "local t = {} for i = 1, 200000 do t[i] = 'abc' .. i end while true do table.concat(t) end");
	stuck("metamethods", "while true do local x, y = object.name, #object end");
	stuck("a chain of __call", "local t = setmetatable({}, {}) getmetatable(t).__call = t while true do pcall(t) end");
	stuck("recursion", "local function f() f() f() end while true do pcall(f) end");
	stuck("handler", "xpcall(fail, function() ints({}) end)");
	stuck("format", "while true do string.format('%99.99f', 1e308) end");
}

/* A text whose constants collide while it is parsed. */
static void the_parser_is_killed(void)
{
	enum { COUNT = 140000 };
	char *text = malloc(COUNT * 24 + 100);
	size_t len = 0;
	len += (size_t)sprintf(text, "return {");
	for (uint64_t i = 1; i <= COUNT; i++)
		len += (size_t)sprintf(text + len, "%llu,", (unsigned long long)(i * 262143));
	len += (size_t)sprintf(text + len, "}");
	stuck_text("parser, integers", text, len);
	len = (size_t)sprintf(text, "return {");
	for (int i = 1; i <= COUNT; i++)
		len += (size_t)sprintf(text + len, "%.17g,", 1 + i * 0x1p-52);
	len += (size_t)sprintf(text + len, "}");
	stuck_text("parser, floats", text, len);
	free(text);
}

/* ---- random instants ---- */

static const char busy[] =
	"local t = {}\n"
	"for round = 1, 1e9 do\n"
	"  move(round % 2 == 0) move(round % 3 == 0)\n"
	"  call(function() move(true) t[round % 100] = { round } end)\n"
	"  pcall(function() call(function() move(false) fail() end) end)\n"
	"  try(function() move(true) fail() end)\n"
	"  local co = create(function() move(true) wait() move(false) yield(1) fail() end)\n"
	"  resume(co) resume(co) resume(co)\n"
	"  local x = object.name\n"
	"  scratch() held() free()\n"
	"end\n";

static void killed_at_random_instants(void)
{
	struct arena_budget budget = { 0 };
	unsigned killed = 0, good = 0;
	host_calls = held_wrong = free_wrong = 0;
	for (unsigned i = 0; i < 400; i++) {
		struct run run = { .text = busy, .len = sizeof busy - 1 };
		prepare(&run, &budget);
		host_reset();
		run.due_ns = 1 + random() % 1000000;
		killed += !kill_run(enter, &run);
		good += host_consistent();
		arena_close(&run.arena);
	}
	CHECK(killed == 400 && good == killed && host_calls > 400);
	CHECK_NAMED(held_wrong == 0, "the flag is off in held functions");
	CHECK_NAMED(free_wrong == 0, "the flag is on in pure functions");
	CHECK(budget.used == 0);
}

/* A state's whole life, with the kill anywhere in it. */
static void stage_begins(struct run *run, int stage)
{
	run->stage = stage;
	run->begun[stage] = clock_mono_ns();
	due_after(stage == run->due_stage ? run->due_ns : 0);
}

static void live(void *arg)
{
	struct run *run = arg;
	stage_begins(run, 0);
	int was = kill_allow();
	run->L = lua_newstate(arena_lua, &run->arena);
	lua_pushcfunction(run->L, open_all);
	lua_pcall(run->L, 0, 0, 0);
	kill_restore(was);
	stage_begins(run, 1);
	enter(run);
	stage_begins(run, 2);
	was = kill_allow();
	lua_close(run->L);
	kill_restore(was);
	stage_begins(run, 3);
}

static void a_life_is_killed_anywhere(void)
{
	static const char text[] = "kept = {} for i = 1, 3000 do kept[i] = { i, name = 'n' .. i } end move(true)";
	enum { WHOLE = 5, LIVES = 600 }; /* the first ones show how long each stage takes */
	struct arena_budget budget = { 0 };
	unsigned killed[4] = { 0 };
	uint64_t takes[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	for (unsigned i = 0; i < WHOLE + LIVES; i++) {
		int stage = (int)(i % 3);
		struct run run = { .text = text, .len = sizeof text - 1, .due_stage = stage };
		if (i >= WHOLE)
			run.due_ns = 1 + (long)((uint64_t)random() % takes[stage]);
		arena_init(&run.arena, 64 * MIB, &budget);
		host_reset();
		bool ended = kill_run(live, &run);
		due_after(0);
		killed[run.stage]++;
		for (size_t s = 0; i < WHOLE && s < 3; s++)
			if (run.begun[s + 1] - run.begun[s] < takes[s])
				takes[s] = run.begun[s + 1] - run.begun[s];
		CHECK(ended == (run.stage == 3) && host_consistent());
		arena_close(&run.arena);
		CHECK(budget.used == 0);
	}
	printf("of %u lives, %u killed when made, %u when run, %u when closed\n", LIVES, killed[0], killed[1], killed[2]);
	CHECK(killed[0] > 20 && killed[1] > 20 && killed[2] > 20);
}

/* ---- at every crossing ---- */

static const char few[] =
	"move(true) scratch() held() free()\n"
	"call(function() move(true) move(false) end)\n"
	"pcall(function() call(function() move(false) fail() end) end)\n"
	"held() free()\n"
	"try(function() move(true) pcall(fail) fail() end)\n"
	"local co = create(function() move(true) wait() held() free() pcall(function() wait() free() fail() end) free() yield(1) fail() end)\n"
	"for i = 1, 5 do resume(co) held() free() end\n"
	"local other = create(function() local x <close> = setmetatable({}, { __close = function() held() free() fail() end }) yield() end)\n"
	"resume(other) close(other) held() free()\n"
	"local x, y = object.name, #object\n"
	"table.sort({ 3, 2, 1 }, function(a, b) held() free() return a < b end)\n";

static void killed_at_every_crossing(void)
{
	struct arena_budget budget = { 0 };
	unsigned n = 0;
	held_wrong = free_wrong = 0;
	for (bool ended = false; !ended; n++) {
		struct run run = { .text = few, .len = sizeof few - 1 };
		prepare(&run, &budget);
		host_reset();
		kill_state.at = n + 1;
		ended = kill_run(enter, &run);
		CHECK(!ended || run.status == LUA_OK);
		kill_state.at = 0;
		CHECK(host_consistent());
		arena_close(&run.arena);
	}
	printf("killed at each of %u crossings\n", n - 1);
	CHECK(n > 100 && budget.used == 0 && held_wrong == 0 && free_wrong == 0);
}

/* ---- nested ---- */

static void inner_is_stuck(void *arg)
{
	struct run run = { .text = "while true do end", .len = 17 };
	CHECK(prepare(&run, arg));
	threshold = (uint64_t)(THRESHOLD * 1e9);
	begun = cpu_ns();
	CHECK(!kill_run(enter, &run));
	threshold = 0;
	arena_close(&run.arena);
	CHECK(kill_state.target && !kill_state.due);
}

static void nested(void)
{
	struct arena_budget budget = { 0 };
	CHECK_NAMED(kill_run(inner_is_stuck, &budget), "the outer run goes on");
	CHECK(budget.used == 0);
}

/* What falls due when nothing runs, or as it ends, hits nobody. */
static void does_nothing(void *arg)
{
	(void)arg;
	kill_state.due = 1;
}

static void late_comes_to_nothing(void)
{
	struct run run = { .text = "for i = 1, 1000 do move(true) end", .len = 33 };
	due_after(1);
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	CHECK(!kill_state.due && kill_run(does_nothing, NULL) && !kill_state.due);
	CHECK(prepare(&run, NULL));
	host_reset();
	CHECK(kill_run(enter, &run) && run.status == LUA_OK);
	lua_close(run.L);
	arena_close(&run.arena);
}

int main(void)
{
	struct err err = { 0 };
	setlocale(LC_ALL, "C.UTF-8");
	if (!CHECK(kill_start(&err) == 0)) {
		puts(err.text);
		return check_report();
	}
	CHECK_NAMED(kill_sees_errors(), "errors that leave a held function turn the flag on");
	start_ticks();
	scratch = luaL_newstate();
	late_comes_to_nothing();
	nested();
	killed_at_every_crossing();
	killed_at_random_instants();
	a_life_is_killed_anywhere();
	the_parser_is_killed();
	every_stuck_rule_is_killed();
	lua_close(scratch);
	timer_delete(tick);
	timer_delete(once);
	kill_stop();
	return check_report();
}
