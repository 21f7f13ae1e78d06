#include "sandbox/kill.h"

#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Older headers lack the name of the union's member. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define RETRY_NS 100000L
#define RETRY_SIGNAL (SIGRTMIN + 1)
#define TICK_SIGNAL SIGRTMIN /* of deadline.c, whose handler calls kill_due() */

_Thread_local struct kill_state kill_state __attribute__((tls_model("initial-exec")));

static _Thread_local struct {
	timer_t timer;
	volatile sig_atomic_t armed;
	bool started;
} retry;

/* Written once, before the first thread is started for kills. */
static struct {
	uintptr_t from, to; /* Lua's code */
	bool own;           /* it is in the same object as this function */
	bool sees_errors;
} lua;

/* ---- where Lua is ---- */

/* `at`: of a function. */
static bool covers(const struct dl_phdr_info *object, uintptr_t at, uintptr_t *from, uintptr_t *to)
{
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + p->p_vaddr;
		if (p->p_type != PT_LOAD || at < start || at >= start + p->p_memsz)
			continue;
		*from = start;
		*to = start + p->p_memsz;
		return true;
	}
	return false;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *arg)
{
	uintptr_t from, to;
	(void)size;
	if (!covers(object, *(const uintptr_t *)arg, &lua.from, &lua.to))
		return 0;
	lua.own = covers(object, (uintptr_t)&kill_run, &from, &to);
	return 1;
}

/* ---- errors ---- */

typedef void jump_fn(void *env, int value);

/* Lua throws with one of these two, depending on how it was built. */
static jump_fn *real_checked, *real_plain;

static void find_jumps(void)
{
	*(void **)&real_checked = dlsym(RTLD_NEXT, "__longjmp_chk");
	*(void **)&real_plain = dlsym(RTLD_NEXT, "_longjmp");
}

static void leave(jump_fn *const *real, void *env, int value) __attribute__((noreturn));

static void leave(jump_fn *const *real, void *env, int value)
{
	if (kill_state.target && !kill_state.keeps)
		kill_state.on = 1;
	if (!*real)
		find_jumps();
	(*real)(env, value);
	__builtin_unreachable();
}

/* Under the names of libc, which Lua finds here first. */
__attribute__((visibility("default"), noreturn)) void kill_longjmp_checked(void *env, int value) __asm__("__longjmp_chk");
__attribute__((visibility("default"), noreturn)) void kill_longjmp_plain(void *env, int value) __asm__("_longjmp");

void kill_longjmp_checked(void *env, int value)
{
	leave(&real_checked, env, value);
}

void kill_longjmp_plain(void *env, int value)
{
	leave(&real_plain, env, value);
}

SANDBOX_FUNCTION(raise_error)
{
	return lua_error(L);
}

static void try_error(void *arg)
{
	lua_State *L = arg;
	lua_pushcfunction(L, raise_error);
	lua_pcall(L, 0, 0, 0);
	lua.sees_errors = kill_state.on;
}

/* ---- the jump ---- */

static bool in_lua(const void *context)
{
	const ucontext_t *uc = context;
#if defined(__x86_64__)
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.pc;
#else
#error "where does this machine keep the program counter?"
#endif
	return pc >= lua.from && pc < lua.to;
}

static void unblock(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, TICK_SIGNAL);
	sigaddset(&set, RETRY_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void arm(bool on)
{
	struct itimerspec every = { .it_interval = { .tv_nsec = on ? RETRY_NS : 0 }, .it_value = { .tv_nsec = on ? RETRY_NS : 0 } };
	if (!retry.started || (on && retry.armed))
		return;
	retry.armed = on;
	timer_settime(retry.timer, 0, &every, NULL);
}

static void jump(void) __attribute__((noreturn));

static void jump(void)
{
	sigjmp_buf *target = kill_state.target;
	kill_state.on = 0;
	siglongjmp(*target, 1);
}

static void try_jump(const void *context)
{
	if (!kill_state.on || !in_lua(context))
		return;
	/* sigsetjmp() saves no signal mask, which would cost a system call for each task. A signal that comes from here on finds the
	 * flag off. */
	kill_state.on = 0;
	unblock();
	jump();
}

void kill_due(void *context)
{
	if (!kill_state.target || !lua.from || lua.own)
		return;
	kill_state.due = 1;
	try_jump(context);
	arm(true);
}

static void on_retry(int sig, siginfo_t *info, void *context)
{
	int error = errno;
	(void)sig;
	(void)info;
	if (kill_state.target && kill_state.due)
		try_jump(context);
	errno = error;
}

void kill_take(void)
{
	if (kill_state.on && kill_state.due && kill_state.target)
		jump();
}

bool kill_run(void (*fn)(void *arg), void *arg)
{
	sigjmp_buf here;
	struct kill_state before = kill_state;
	volatile bool ended = false;

	kill_state.on = 0;
	kill_state.due = 0;
	kill_state.keeps = 0;
	kill_state.target = &here;
	if (sigsetjmp(here, 0) == 0) {
		fn(arg);
		ended = true;
	}
	kill_state.on = 0;
	kill_state.target = NULL;
	if (retry.armed)
		arm(false);
	kill_state.due = before.due;
	kill_state.keeps = before.keeps;
	kill_state.target = before.target;
	kill_state.on = before.on;
	return ended;
}

/* ---- its life ---- */

static void find_lua(void)
{
	uintptr_t at = (uintptr_t)dlsym(RTLD_DEFAULT, "lua_newstate");
	find_jumps();
	if (!at || dl_iterate_phdr(look_at, &at) == 0)
		return;
	lua_State *L = luaL_newstate();
	if (!L)
		return;
	kill_run(try_error, L);
	lua_close(L);
}

int kill_start(struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sigaction action = { .sa_sigaction = on_retry, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = RETRY_SIGNAL };

	if (retry.started)
		return 0;
	pthread_once(&once, find_lua);
	if (!lua.from || lua.own)
		return err_set(err, ERR_INVALID, "rules that are stuck cannot be ended: Lua must be a shared library (liblua5.4)");
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, TICK_SIGNAL);
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (sigaction(RETRY_SIGNAL, &action, NULL) == -1 || timer_create(CLOCK_MONOTONIC, &event, &retry.timer) == -1)
		return err_system(err, "cannot make the timer that ends stuck rules");
	unblock();
	retry.started = true;
	return 0;
}

void kill_stop(void)
{
	if (!retry.started)
		return;
	timer_delete(retry.timer);
	retry.started = false;
	retry.armed = 0;
}

bool kill_sees_errors(void)
{
	return lua.sees_errors;
}
