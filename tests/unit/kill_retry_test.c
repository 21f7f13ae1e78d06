/* When a kill is made at once, what is left to the timer that tries again, and that nothing is left of either. The interrupted
 * instruction is given by the test. Not under ThreadSanitizer. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <lua.h>

#include "check.h"
#include "sandbox/kill.h"
#include "timers.h"

/* ---- the system's calls ---- */

static unsigned creates_that_fail, armed, disarmed;

int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
	static int (*real)(clockid_t, struct sigevent *, timer_t *);
	if (creates_that_fail > 0) {
		creates_that_fail--;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "timer_create");
	return real(clock, event, timer);
}

/* Only counts: the timer would end the test's own calls at any time. */
int timer_settime(timer_t timer, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	(void)timer;
	(void)flags;
	(void)before;
	CHECK((when->it_value.tv_nsec > 0) == (when->it_interval.tv_nsec > 0));
	if (when->it_value.tv_nsec > 0)
		armed++;
	else
		disarmed++;
	return 0;
}

static bool was_set(unsigned on, unsigned off)
{
	bool same = armed == on && disarmed == off;
	if (!same)
		printf("armed %u times, disarmed %u times\n", armed, disarmed);
	armed = disarmed = 0;
	return same;
}

static bool is_blocked(int sig)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig);
}

static void block(int sig)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- instructions ---- */

static uintptr_t lua_begin, lua_end; /* of the segment that holds Lua's code */

static int find_segment(struct dl_phdr_info *object, size_t size, void *arg)
{
	(void)size;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + p->p_vaddr;
		if (p->p_type == PT_LOAD && start <= *(uintptr_t *)arg && *(uintptr_t *)arg < start + p->p_memsz) {
			lua_begin = start;
			lua_end = start + p->p_memsz;
		}
	}
	return 0;
}

/* The third argument of a handler of a signal that came there. */
static void *interrupted_at(uintptr_t pc)
{
	static ucontext_t context;
#if defined(__x86_64__)
	context.uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
#elif defined(__aarch64__)
	context.uc_mcontext.pc = pc;
#endif
	return &context;
}

/* ---- runs ---- */

struct attempt {
	int on;
	uintptr_t pc;
	bool went_on;
};

static void due_within(void *arg)
{
	struct attempt *attempt = arg;
	kill_state.on = attempt->on;
	kill_due(interrupted_at(attempt->pc));
	attempt->went_on = true;
	CHECK(kill_state.due);
	kill_due(interrupted_at(attempt->pc));
	kill_state.on = 0;
}

/* Whether what falls due at that instruction is ended at once. What is not, is tried again by the timer: once armed, until the run
 * has ended. */
static bool ends_at_once(int on, uintptr_t pc)
{
	struct attempt attempt = { .on = on, .pc = pc };
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		block(sig);
	bool ended = !kill_run(due_within, &attempt);
	for (int sig = 1; sig < SIGRTMIN; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig < 32)
			CHECK_NAMED(is_blocked(sig), "only its own signals");
	CHECK(ended == !attempt.went_on);
	CHECK(!kill_state.on && !kill_state.due && !kill_state.target);
	CHECK(ended ? was_set(0, 0) : was_set(1, 1));
	CHECK_NAMED(is_blocked(SIGRTMIN) == !ended, "who left a handler for good hears signals again");
	return ended;
}

static void only_lua_s_code_is_left(void)
{
	CHECK(lua_begin > 0 && lua_end > lua_begin);
	CHECK(ends_at_once(1, lua_begin) && ends_at_once(1, lua_end - 1));
	CHECK(!ends_at_once(1, lua_begin - 1) && !ends_at_once(1, lua_end) && !ends_at_once(1, (uintptr_t)&kill_run));
	CHECK(!ends_at_once(0, lua_begin));
}

/* As the timer does it. */
static void try_again(void)
{
	struct sigaction handler;
	sigaction(SIGRTMIN + 1, NULL, &handler);
	handler.sa_sigaction(SIGRTMIN + 1, NULL, interrupted_at(lua_begin));
}

static void tries_again(void *arg)
{
	bool *went_on = arg;
	kill_state.on = 1;
	try_again();
	*went_on = true;
	kill_state.due = 1;
	try_again();
	CHECK_NAMED(false, "it is ended at the second try");
}

static void the_timer_ends_what_is_due(void)
{
	bool went_on = false;
	struct sigaction handler;
	CHECK(!kill_run(tries_again, &went_on) && went_on);
	sigaction(SIGRTMIN + 1, NULL, &handler);
	CHECK_NAMED(sigismember(&handler.sa_mask, SIGRTMIN), "the tick waits meanwhile");
	kill_state.on = kill_state.due = 1;
	try_again();
	kill_state.on = kill_state.due = 0;
}

static void where_nothing_runs_nothing_is_due(void)
{
	kill_state.on = 1;
	kill_due(interrupted_at(lua_begin));
	CHECK(!kill_state.due && was_set(0, 0));
	kill_state.due = 1;
	kill_take();
	kill_state.on = kill_state.due = 0;
}

static bool reached;

static void take_when(void *arg)
{
	const int *flags = arg;
	kill_state.on = flags[0];
	kill_state.due = flags[1];
	kill_take();
	reached = true;
}

static bool is_taken(int on, int due)
{
	int flags[] = { on, due };
	reached = false;
	bool taken = !kill_run(take_when, flags);
	CHECK(taken == !reached);
	return taken;
}

static void what_is_due_is_taken_when_it_may(void)
{
	CHECK(is_taken(1, 1));
	CHECK(!is_taken(1, 0) && !is_taken(0, 1) && !is_taken(0, 0));
}

static void has_its_own_flags(void *arg)
{
	(void)arg;
	CHECK(!kill_state.on && !kill_state.due && !kill_state.keeps && kill_state.target);
	kill_state.on = kill_state.due = kill_state.keeps = 2;
}

static void a_run_leaves_the_flags_as_they_were(void)
{
	void *target = &target;
	kill_state.on = kill_state.due = kill_state.keeps = 1;
	kill_state.target = target;
	CHECK(kill_run(has_its_own_flags, NULL));
	CHECK(kill_state.on == 1 && kill_state.due == 1 && kill_state.keeps == 1 && kill_state.target == target);
	kill_state.on = kill_state.due = kill_state.keeps = 0;
	kill_state.target = NULL;
	CHECK(was_set(0, 0));
}

/* ---- errors ---- */

/* By the name that Lua calls, which depends on how it was built. */
static void jump_by(void *name)
{
	static jmp_buf place;
	static int was;
	static void (*jump)(void *env, int value);
	*(void **)&jump = dlsym(RTLD_DEFAULT, name);
	was = kill_state.on;
	if (setjmp(place) == 0)
		jump(place, 1);
	CHECK(kill_state.on == (kill_state.target && !kill_state.keeps ? 1 : was));
	kill_state.on = was;
}

static void jump_kept(void *name)
{
	kill_state.keeps = 1;
	jump_by(name);
}

static void an_error_turns_the_flag_on(void)
{
	static char names[][16] = { "__longjmp_chk", "_longjmp" };
	for (size_t i = 0; i < 2; i++) {
		CHECK(kill_run(jump_by, names[i]) && kill_run(jump_kept, names[i]));
		jump_by(names[i]);
	}
	CHECK(was_set(0, 0));
}

/* ---- start and stop ---- */

static void stops_meanwhile(void *arg)
{
	struct err err = { 0 };
	(void)arg;
	kill_due(interrupted_at(0));
	CHECK(was_set(1, 0));
	kill_stop();
	kill_due(interrupted_at(0));
	CHECK_NAMED(was_set(0, 0), "there is no timer");
	CHECK(kill_start(&err) == 0);
	kill_due(interrupted_at(0));
	CHECK_NAMED(was_set(1, 0), "the new one is armed");
}

static void nothing_is_left_of_a_stop(void)
{
	struct err err = { 0 };
	int with = timers();
	CHECK(kill_start(&err) == 0 && timers() == with);
	kill_stop();
	CHECK(with == -1 || timers() == with - 1);
	kill_stop();
	CHECK(kill_start(&err) == 0 && timers() == with);
	CHECK(kill_run(stops_meanwhile, NULL) && was_set(0, 1) && timers() == with);
}

static void a_start_can_fail(void)
{
	struct err err = { 0 };
	int before = timers();
	creates_that_fail = 1;
	CHECK(kill_start(&err) == -1 && strstr(err.text, "cannot make the timer that ends stuck rules"));
	CHECK(timers() == before);
	block(SIGRTMIN);
	block(SIGRTMIN + 1);
	CHECK(kill_start(&err) == 0);
	CHECK_NAMED(!is_blocked(SIGRTMIN) && !is_blocked(SIGRTMIN + 1), "its signals can come");
	CHECK(kill_sees_errors());
}

int main(void)
{
	uintptr_t inside = (uintptr_t)dlsym(RTLD_DEFAULT, "lua_newstate");
	dl_iterate_phdr(find_segment, &inside);
	an_error_turns_the_flag_on();
	a_start_can_fail();
	only_lua_s_code_is_left();
	the_timer_ends_what_is_due();
	where_nothing_runs_nothing_is_due();
	what_is_due_is_taken_when_it_may();
	a_run_leaves_the_flags_as_they_were();
	an_error_turns_the_flag_on();
	nothing_is_left_of_a_stop();
	kill_stop();
	return check_report();
}
