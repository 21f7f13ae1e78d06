/* Ends Lua code at any instant, also where no hook comes: a rehash of colliding keys, the parser, one huge instruction (P1, P4).
 *
 * A task enters Lua through kill_run(). When it is stuck, the signal handler of the CPU-time tick calls kill_due(), and
 * kill_run() returns false: the Lua state is lost. The caller marks it dead, never uses it again (lua_close() neither), and
 * releases what belongs to it from C; its arena is consistent.
 *
 * The jump is made only when both are true:
 * - The interrupted instruction belongs to the shared object that holds Lua. The code of this program, the allocator and libc
 *   (malloc and its locks) are never left half-way. A timer of 100 us tries again until it is so.
 * - The thread's flag `on` is set. It says that every frame above kill_run() can be dropped:
 *     off   in kill_run()'s function, and in each C function that Lua calls (SANDBOX_FUNCTION, SANDBOX_CONTINUATION):
 *           lists of the host may be half changed there
 *     on    in Lua code; around each call that can run Lua, load text, or take long (kill_callk(), kill_pcallk(),
 *           kill_resume(), kill_allow()); in pure functions: those that touch nothing but the Lua state and own nothing
 *           outside of it (most of the standard library), which are registered as they are
 *   What falls due while it is off is done when it turns on.
 *
 * An error leaves C functions by longjmp, and then handlers and __close run Lua code. So longjmp() itself is wrapped: it turns
 * the flag on, and kill_pcallk() and kill_resume() set it back to what it was when they were called. Therefore, inside of a
 * SANDBOX_FUNCTION: no bare lua_call, lua_pcall, lua_resume, lua_closethread, lua_load or luaL_load*.
 *
 * Not for ThreadSanitizer, which does not survive a jump out of a signal handler. Lua must be a shared library.
 */
#ifndef SANDBOX_KILL_H
#define SANDBOX_KILL_H

#include <lua.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Of one thread; only the functions below use it. */
struct kill_state {
	volatile sig_atomic_t on;
	volatile sig_atomic_t due;
	void *volatile target;  /* where the innermost kill_run() returns; NULL: nothing runs that could be killed */
	volatile sig_atomic_t keeps; /* errors leave the flag as it is */
	uint64_t at;            /* tests: the n-th crossing from now on is due; 0: none */
};

extern _Thread_local struct kill_state kill_state __attribute__((tls_model("initial-exec")));

/* Once for the calling thread. -1 with `err`: Lua is not a shared object of its own, or the system refused the timer. */
int kill_start(struct err *err);
void kill_stop(void);
/* Whether errors are seen that leave a C function (see above). Not so when Lua is part of the interpreter that has loaded us:
 * there, after such an error, nothing is killed until the pcall that catches it has returned. */
bool kill_sees_errors(void);

/* Calls fn(arg). True when it returned, false when it was killed. */
bool kill_run(void (*fn)(void *arg), void *arg);
/* For a signal handler, as the last thing that it does: the running kill_run() is to be ended. `context` is the handler's third
 * argument. Does not return when it is ended at once; does nothing when nothing runs. */
void kill_due(void *context);
/* Ends the running kill_run(), when the flag is on and it is due. */
void kill_take(void);

static inline void kill_crossing(void)
{
#ifdef KILL_AT_CALL
	if (kill_state.at > 0 && --kill_state.at == 0 && kill_state.target)
		kill_state.due = 1;
#endif
}

/* Sets the flag to what it was. */
static inline void kill_restore(int was)
{
	kill_crossing();
	atomic_signal_fence(memory_order_seq_cst);
	kill_state.on = was;
	if (__builtin_expect(kill_state.due, 0))
		kill_take();
}

/* Turns the flag off, or on; returns what it was. */
static inline int kill_hold(void)
{
	int was = kill_state.on;
	kill_state.on = 0;
	atomic_signal_fence(memory_order_seq_cst);
	kill_crossing();
	return was;
}

static inline int kill_allow(void)
{
	int was = kill_state.on;
	kill_restore(1);
	return was;
}

/* A C function that Lua calls: `SANDBOX_FUNCTION(name) { body }` in the place of `static int name(lua_State *L) { body }`. */
#define SANDBOX_FUNCTION(name) \
	static inline int name##_held(lua_State *L); \
	static int name(lua_State *L) \
	{ \
		int was_on = kill_hold(), results = name##_held(L); \
		kill_restore(was_on); \
		return results; \
	} \
	static inline int name##_held(lua_State *L)

/* A lua_KFunction: its body has the parameters L, status and ctx. */
#define SANDBOX_CONTINUATION(name) \
	static inline int name##_held(lua_State *L, int status, lua_KContext ctx); \
	static int name(lua_State *L, int status, lua_KContext ctx) \
	{ \
		int was_on = kill_hold(), results = name##_held(L, status, ctx); \
		kill_restore(was_on); \
		return results; \
	} \
	static inline int name##_held(lua_State *L, int status, lua_KContext ctx)

/* Like those of Lua. What they call can be killed, or leave by an error: the host is consistent when they are called. */
static inline void kill_callk(lua_State *L, int args, int results, lua_KContext ctx, lua_KFunction k)
{
	int was = kill_allow();
	lua_callk(L, args, results, ctx, k);
	kill_restore(was);
}

static inline int kill_pcallk(lua_State *L, int args, int results, int handler, lua_KContext ctx, lua_KFunction k)
{
	int was = kill_allow();
	int status = lua_pcallk(L, args, results, handler, ctx, k);
	kill_restore(was);
	return status;
}

static inline int kill_resume(lua_State *co, lua_State *from, int args, int *results)
{
	int was = kill_allow();
	int status = lua_resume(co, from, args, results);
	kill_restore(was);
	return status;
}

/* Calls into a state of the host's own (lua-cjson's): it is not killed, and its errors leave the flag off. It must not call into
 * the rule's state. */
static inline int kill_pcall_held(lua_State *own, int args, int results, int handler)
{
	int was = kill_hold(), kept = kill_state.keeps;
	kill_state.keeps = 1;
	int status = lua_pcall(own, args, results, handler);
	kill_state.keeps = kept;
	kill_restore(was);
	return status;
}

/* Closes the variables of a coroutine, which can run Lua. */
static inline int kill_reset_thread(lua_State *co)
{
	int was = kill_allow();
	int status = lua_resetthread(co);
	kill_restore(was);
	return status;
}

#define kill_call(L, args, results) kill_callk((L), (args), (results), 0, NULL)
#define kill_pcall(L, args, results, handler) kill_pcallk((L), (args), (results), (handler), 0, NULL)

#endif
