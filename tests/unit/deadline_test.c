/* The time limit of rules: when a call ends and with which words, what counts towards it, and that nothing is left of it. All
 * times are CPU time. */
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "sandbox/deadline.h"
#include "timers.h"

#define LONG 1000.0 /* seconds that nobody waits for */

static lua_State *L;

/* The n-th call from now on fails; 0: none. */
static unsigned create_that_fails, settime_that_fails;

int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
	static int (*real)(clockid_t, struct sigevent *, timer_t *);
	if (create_that_fails > 0 && --create_that_fails == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "timer_create");
	return real(clock, event, timer);
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	static int (*real)(timer_t, int, const struct itimerspec *, struct itimerspec *);
	if (settime_that_fails > 0 && --settime_that_fails == 0) {
		errno = EINVAL;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "timer_settime");
	return real(timer, flags, when, before);
}

static void start(void)
{
	struct err err = { 0 };
	if (CHECK(deadline_start(&err) == 0))
		return;
	puts(err.text);
	exit(check_report());
}

/* CPU time passes outside of Lua. */
static void burn(double seconds)
{
	uint64_t end = deadline_cpu_ns() + (uint64_t)(seconds * 1e9);
	while (deadline_cpu_ns() < end)
		continue;
}

/* The time that a tick needs to come is not exact: what must come is awaited. */
static bool comes(bool (*what)(void))
{
	uint64_t end = deadline_cpu_ns() + 5000000000u;
	while (!what() && deadline_cpu_ns() < end)
		continue;
	return what();
}

static unsigned ticks_before;

static bool new_tick(void)
{
	return *deadline_ticks() != ticks_before;
}

static bool time_counts(void)
{
	return deadline_seconds() > 0;
}

static int lua_await_time(lua_State *from)
{
	CHECK(comes(time_counts));
	CHECK_NAMED(deadline_passed() || lua_gethook(from) == NULL, "before the deadline there is no hook");
	return 0;
}

/* A long loop in C. */
static int lua_check(lua_State *from)
{
	comes(deadline_passed);
	deadline_check(from);
	return 0;
}

static int lua_no_memory(lua_State *from)
{
	(void)from;
	deadline_end_for_memory();
	return 0;
}

/* The error's text, "" without an error; good until the next call. */
static const char *run(const char *text)
{
	lua_settop(L, 0);
	if (luaL_loadbuffer(L, text, strlen(text), "=rule") == LUA_OK && lua_pcall(L, 0, 0, 0) == LUA_OK)
		return "";
	return lua_tostring(L, -1);
}

static bool is(const char *text, const char *wanted)
{
	if (strcmp(text, wanted) == 0)
		return true;
	printf("\"%s\"\n", text);
	return false;
}

/* ---- its timers ---- */

static void nothing_is_left_of_a_thread_s_timers(void)
{
	int before = timers();
	start();
	int started = timers();
	CHECK(before == -1 || started > before);
	start();
	CHECK_NAMED(timers() == started, "a second start does nothing");
	deadline_stop();
	CHECK_NAMED(timers() == before, "each timer is given back");
	deadline_stop();
	ticks_before = *deadline_ticks();
	burn(0.05);
	CHECK(!new_tick());
	start();
	CHECK_NAMED(comes(new_tick), "it ticks again");
	CHECK(timers() == started);
}

static void a_start_that_fails_leaves_nothing(void)
{
	static const char *const texts[] = { "cannot make the timer that ends stuck rules", "cannot make the timer that limits rules",
		                             "cannot start the timer that limits rules" };
	int before = timers();
	for (unsigned i = 0; i < 3; i++) {
		struct err err = { 0 };
		create_that_fails = i < 2 ? i + 1 : 0;
		settime_that_fails = i == 2;
		CHECK(deadline_start(&err) == -1 && strstr(err.text, texts[i]) && strstr(err.text, strerror(i < 2 ? EAGAIN : EINVAL)));
		CHECK(timers() == before && create_that_fails == 0 && settime_that_fails == 0);
	}
}

/* ---- the end of a call ---- */

static void a_call_ends_at_its_deadline(void)
{
	CHECK(!deadline_passed() && !deadline_is_memory());
	deadline_begin(L, 0.03, LONG);
	uint64_t began = deadline_cpu_ns();
	CHECK(is(run("while true do pcall(function() while true do end end) end"),
	         "rule:1: deadline: ran longer than a rule may without waiting (limits.deadline)"));
	CHECK(deadline_cpu_ns() - began >= 30000000u);
	CHECK(deadline_seconds() >= 0.03 && deadline_seconds() <= (double)(deadline_cpu_ns() - began) / 1e9);
	CHECK(deadline_passed() && !deadline_is_memory());
	CHECK_NAMED(deadline_end(), "it was over its deadline");
	CHECK(!deadline_passed() && lua_gethook(L) == NULL);
	CHECK_NAMED(is(run("for i = 1, 100 do end"), ""), "what comes next has no hook");

	deadline_begin(L, LONG, LONG);
	CHECK(deadline_seconds() == 0);
	CHECK(is(run("await_time()"), ""));
	CHECK(!deadline_passed() && !deadline_end());
}

static void a_long_loop_in_c_asks(void)
{
	deadline_begin(L, 0.02, LONG);
	CHECK(is(run("\ncheck()"), "rule:2: deadline: ran longer than a rule may without waiting (limits.deadline)"));
	CHECK(deadline_end());
	deadline_begin(L, LONG, LONG);
	deadline_check(L);
	CHECK(!deadline_end());
}

static void each_call_has_its_own(void)
{
	deadline_begin(L, 0.02, LONG);
	CHECK(comes(deadline_passed));
	deadline_begin(L, LONG, LONG);
	CHECK(!deadline_passed() && deadline_seconds() == 0);
	CHECK_NAMED(is(run("for i = 1, 100 do end"), ""), "a hook that is left over ends nothing, and takes itself away");
	CHECK(lua_gethook(L) == NULL && !deadline_end());
}

static void a_call_ends_when_the_engine_stops(void)
{
	atomic_bool stop = false;
	CHECK(!deadline_stopped());
	deadline_stop_when(&stop);
	deadline_begin(L, LONG, LONG);
	CHECK(!deadline_stopped() && is(run("await_time()"), "") && !deadline_end());
	stop = true;
	CHECK(deadline_stopped());
	deadline_begin(L, LONG, LONG);
	CHECK(is(run("\nwhile true do end"), "rule:2: deadline: ended, because the engine stops"));
	CHECK(!deadline_is_memory() && deadline_end());
	deadline_stop_when(NULL);
	CHECK(!deadline_stopped());
}

static void a_call_ends_for_memory(void)
{
	static const char text[] = "no_memory() pcall(error) while true do end";
	deadline_begin(L, LONG, LONG);
	CHECK(is(run(text), "rule:1: memory: refused again and again (limits.rule_memory)"));
	CHECK(deadline_passed() && deadline_is_memory() && deadline_end());
	CHECK(!deadline_is_memory());
	/* What came first is what is said. */
	deadline_begin(L, 0.02, LONG);
	CHECK(comes(deadline_passed));
	deadline_end_for_memory();
	CHECK(!deadline_is_memory() && deadline_end());
	deadline_end_for_memory();
	CHECK_NAMED(!deadline_passed(), "where nothing runs, nothing ends");
}

static void a_killed_call_is_forgotten(void)
{
	deadline_begin(L, 0.02, LONG);
	CHECK(comes(deadline_passed));
	deadline_end_killed();
	CHECK(!deadline_passed());
	CHECK(is(run("for i = 1, 100 do end"), "") && lua_gethook(L) == NULL);
	burn(0.06);
	CHECK_NAMED(!deadline_passed(), "nothing runs");
}

/* ---- what counts ---- */

static void what_is_held_does_not_count(void)
{
	deadline_begin(L, 0.2, LONG);
	burn(0.03);
	CHECK(!deadline_was_held());
	deadline_hold(true);
	burn(0.35);
	deadline_hold(false);
	CHECK(!deadline_passed() && deadline_was_held());
	CHECK_NAMED(deadline_seconds() > 0.15, "it is time of the call all the same");
	CHECK(comes(deadline_passed) && deadline_end());

	deadline_begin(L, 0.2, LONG);
	CHECK_NAMED(!deadline_was_held(), "each call has its own");
	deadline_hold(true);
	burn(0.45);
	CHECK(!deadline_passed());
	CHECK_NAMED(comes(deadline_passed), "half a second at most is not counted");
	CHECK(deadline_end());
	deadline_begin(L, 0.02, LONG);
	CHECK_NAMED(comes(deadline_passed) && !deadline_was_held(), "holding ends with its call");
	CHECK(deadline_end());
}

/* ---- where it is ---- */

static void the_place_is_the_rule_s_own_line(void)
{
	char place[64] = "left over";
	deadline_place(place, sizeof place);
	CHECK_NAMED(is(place, ""), "nothing runs");
	deadline_begin(L, LONG, LONG);
	CHECK(is(run("\nplace()"), ""));
	lua_getglobal(L, "at");
	CHECK(is(lua_tostring(L, -1), "rule:2"));
	CHECK(is(run("\n\nshort()"), ""));
	lua_getglobal(L, "at");
	CHECK_NAMED(is(lua_tostring(L, -1), "rul"), "cut to fit");
	deadline_end();
}

static int place_of(lua_State *from, size_t cap)
{
	char place[64];
	deadline_place(place, cap);
	lua_pushstring(from, place);
	lua_setglobal(from, "at");
	return 0;
}

static int lua_place(lua_State *from)
{
	return place_of(from, 64);
}

static int lua_short(lua_State *from)
{
	return place_of(from, 4);
}

/* ---- coroutines ---- */

static void the_hook_goes_to_the_thread_that_runs(void)
{
	static const char text[] = "while true do end";
	lua_settop(L, 0);
	lua_State *child = lua_newthread(L);
	lua_pushvalue(L, -1);
	lua_setglobal(L, "anchor");

	deadline_begin(L, 0.02, LONG);
	CHECK(deadline_switch(child) == L);
	CHECK(luaL_loadbuffer(child, text, sizeof text - 1, "=child") == LUA_OK && lua_pcall(child, 0, 0, 0) != LUA_OK);
	CHECK(is(lua_tostring(child, -1), "child:1: deadline: ran longer than a rule may without waiting (limits.deadline)"));
	CHECK_NAMED(lua_gethook(L) == NULL, "the parent has none yet");
	CHECK(deadline_switch(L) == child);
	CHECK(is(run("while true do end"), "rule:1: deadline: ran longer than a rule may without waiting (limits.deadline)"));
	CHECK(deadline_switch(NULL) == L && deadline_end());
	lua_sethook(L, NULL, 0, 0);
	deadline_begin(L, LONG, LONG);
	CHECK(deadline_switch(child) == L && lua_gethook(L) == NULL);
	CHECK(!deadline_end());
}

int main(void)
{
	L = luaL_newstate();
	luaL_openlibs(L);
	lua_register(L, "await_time", lua_await_time);
	lua_register(L, "check", lua_check);
	lua_register(L, "no_memory", lua_no_memory);
	lua_register(L, "place", lua_place);
	lua_register(L, "short", lua_short);
	a_start_that_fails_leaves_nothing();
	nothing_is_left_of_a_thread_s_timers();
	a_call_ends_at_its_deadline();
	a_long_loop_in_c_asks();
	each_call_has_its_own();
	a_call_ends_when_the_engine_stops();
	a_call_ends_for_memory();
	a_killed_call_is_forgotten();
	what_is_held_does_not_count();
	the_place_is_the_rule_s_own_line();
	the_hook_goes_to_the_thread_that_runs();
	lua_close(L);
	deadline_stop();
	return check_report();
}
