#include "sandbox/deadline.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/kill.h"

/* Older headers lack the name of the union's member. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define TICK_NS 10000000L

enum passed { NOT_PASSED, PASSED_TIME, PASSED_MEMORY, PASSED_STOP };

#define HELD_NS_MAX UINT64_C(500000000)

/* Written by the thread and by its own signal handler only. */
static _Thread_local struct {
	lua_State *volatile running;
	volatile uint64_t limit, limit_stuck; /* ns of CPU time */
	volatile uint64_t first;       /* CPU time at the first tick of this call, less what it was held; 0: none yet */
	volatile uint64_t first_stuck; /* the same with what it was held */
	volatile uint64_t last;        /* CPU time at the last tick */
	volatile uint64_t held_ns;
	volatile sig_atomic_t passed; /* enum passed */
	volatile sig_atomic_t held;
	volatile unsigned ticks;
	const atomic_bool *volatile stop;
	bool started;
	timer_t timer;
} state;

uint64_t deadline_cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* `level` of the rule's own code: 0 inside a hook, 1 from a C function that it called. */
static void raise_deadline(lua_State *L, int level)
{
	luaL_where(L, level);
	static const char *const texts[] = {
		[PASSED_TIME] = "deadline: ran longer than a rule may without waiting (limits.deadline)",
		[PASSED_MEMORY] = "memory: refused again and again (limits.rule_memory)",
		[PASSED_STOP] = "deadline: ended, because the engine stops",
	};
	lua_pushstring(L, texts[state.passed]);
	lua_concat(L, 2);
	lua_error(L);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	if (state.passed)
		raise_deadline(L, 0);
	/* Left over from a call that ended before its hook could run. */
	lua_sethook(L, NULL, 0, 0);
}

void deadline_place(char *to, size_t cap)
{
	lua_Debug ar;
	lua_State *L = state.running;
	to[0] = '\0';
	for (int level = 0; L && lua_getstack(L, level, &ar); level++) {
		if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0)
			continue;
		snprintf(to, cap, "%s:%d", ar.short_src, ar.currentline);
		return;
	}
}

/* Ticks may come late, and then some are lost: what counts is the clock that they follow. The call began before the first
 * tick that finds it running; it is given the time up to there, so that it never pays for another's. */
static void tick(void *context)
{
	state.ticks++;
	lua_State *L = state.running;
	if (!L)
		return;
	uint64_t now = deadline_cpu_ns();
	if (state.first == 0)
		state.first = state.first_stuck = state.last = now;
	if (state.held && state.held_ns < HELD_NS_MAX) {
		state.held_ns += now - state.last;
		state.first += now - state.last;
	}
	state.last = now;
	if (!state.passed && now - state.first >= state.limit)
		state.passed = PASSED_TIME;
	if (!state.passed && deadline_stopped())
		state.passed = PASSED_STOP;
	/* Once: Lua walks all calls to set it, and those of a recursion that ran away can take longer than a tick. */
	if (state.passed && lua_gethook(L) != on_hook)
		lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
	if (now - state.first_stuck >= state.limit_stuck)
		kill_due(context);
}

static void on_tick(int sig, siginfo_t *info, void *context)
{
	int error = errno;
	(void)sig;
	(void)info;
	tick(context);
	errno = error;
}

int deadline_start(struct err *err)
{
	if (state.started)
		return 0;
	if (kill_start(err))
		return -1;
	struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO };
	sigemptyset(&action.sa_mask);
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	struct itimerspec every = { .it_interval = { .tv_nsec = TICK_NS }, .it_value = { .tv_nsec = TICK_NS } };
	timer_t timer;

	if (sigaction(SIGRTMIN, &action, NULL) == -1 || timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == -1) {
		err_system(err, "cannot make the timer that limits rules");
		kill_stop();
		return -1;
	}
	if (timer_settime(timer, 0, &every, NULL) == -1) {
		err_system(err, "cannot start the timer that limits rules");
		timer_delete(timer);
		kill_stop();
		return -1;
	}
	state.timer = timer;
	state.started = true;
	return 0;
}

void deadline_stop(void)
{
	if (!state.started)
		return;
	timer_delete(state.timer);
	state.started = false;
	kill_stop();
}

void deadline_stop_when(const atomic_bool *stop)
{
	state.stop = stop;
}

bool deadline_stopped(void)
{
	return state.stop && atomic_load_explicit(state.stop, memory_order_relaxed);
}

void deadline_begin(lua_State *thread, double limit, double stuck)
{
	state.limit = (uint64_t)(limit * 1e9);
	state.limit_stuck = (uint64_t)(stuck * 1e9);
	state.passed = NOT_PASSED;
	state.held = 0;
	state.held_ns = 0;
	state.first = state.first_stuck = state.last = 0;
	state.running = thread;
}

bool deadline_end(void)
{
	lua_State *L = state.running;
	state.running = NULL;
	bool passed = state.passed;
	if (passed && L)
		lua_sethook(L, NULL, 0, 0);
	state.passed = NOT_PASSED;
	return passed;
}

void deadline_end_killed(void)
{
	state.running = NULL;
	state.passed = NOT_PASSED;
}

double deadline_seconds(void)
{
	return state.first_stuck ? (double)(state.last - state.first_stuck) / 1e9 : 0;
}

lua_State *deadline_switch(lua_State *thread)
{
	lua_State *before = state.running;
	state.running = thread;
	if (state.passed && thread)
		lua_sethook(thread, on_hook, LUA_MASKCOUNT, 1);
	return before;
}

bool deadline_passed(void)
{
	return state.passed;
}

void deadline_end_for_memory(void)
{
	lua_State *L = state.running;
	if (!L || state.passed)
		return;
	state.passed = PASSED_MEMORY;
	lua_sethook(L, on_hook, LUA_MASKCOUNT, 1);
}

bool deadline_is_memory(void)
{
	return state.passed == PASSED_MEMORY;
}

void deadline_hold(bool on)
{
	state.held = on;
}

bool deadline_was_held(void)
{
	return state.held_ns >= 2 * TICK_NS;
}

void deadline_check(lua_State *L)
{
	if (state.passed)
		raise_deadline(L, 1);
}

const volatile unsigned *deadline_ticks(void)
{
	return &state.ticks;
}
