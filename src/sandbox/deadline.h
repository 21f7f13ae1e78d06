/* The time limit of rules. One timer on the thread's CPU time ticks every 10 ms: nothing to arm for a call, no tick while
 * the thread is idle or stopped. After the limit its handler sets a hook on the running Lua thread that raises at every
 * instruction until the call has ended, so pcall cannot swallow it. What no hook can end is killed a little later. State is per thread (the loop, the loader).
 */
#ifndef SANDBOX_DEADLINE_H
#define SANDBOX_DEADLINE_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define DEADLINE_TICK 0.010 /* seconds of CPU time */

/* Starts the timer for the calling thread; 0 or -1 with `err`. Calling it again does nothing. */
int deadline_start(struct err *err);
/* Stops the calling thread's timer. */
void deadline_stop(void);

/* Once `*stop` is true, every call of the calling thread ends as if over its deadline, at the next tick. Another thread sets it.
 * `stop` must outlive the thread's calls; NULL: none. */
void deadline_stop_when(const atomic_bool *stop);
/* Whether it is. */
bool deadline_stopped(void);

/* `thread` begins to run with `limit` seconds from now on; after `stuck` seconds it is killed (kill.h), when kill_run() runs it. */
void deadline_begin(lua_State *thread, double limit, double stuck);
/* The call has ended. True when its deadline had passed. */
bool deadline_end(void);
/* The same for one that was killed, whose Lua thread is not touched. */
void deadline_end_killed(void);
/* CPU time of the running call, from the first tick that found it running to the last one. */
double deadline_seconds(void);
/* Another Lua thread runs within the same call (a rule's own coroutine); returns the one that ran before. When the deadline
 * has passed already, `thread` gets the hook too. */
lua_State *deadline_switch(lua_State *thread);
/* True from the moment the deadline passed until deadline_end(), also when it was ended for memory. */
bool deadline_passed(void);
/* "scripts/missed.lua:7", where the running call is in its rule's code; cut to fit `cap` bytes, empty when it is nowhere. Raises
 * nothing and allocates nothing: also for a signal handler or an allocator. */
void deadline_place(char *to, size_t cap);
/* The running call ends as if over its deadline, because it was refused memory again and again. */
void deadline_end_for_memory(void);
bool deadline_is_memory(void);
/* The thread's CPU time: a system call, not for every call of a rule. */
uint64_t deadline_cpu_ns(void);
/* While held, time does not count towards the deadline (a full collection runs that Lua makes before it gives up an
 * allocation), half a second in one call at most. */
void deadline_hold(bool on);
/* Whether this call was held for two ticks or more. */
bool deadline_was_held(void);
/* Raises in `L` when the deadline has passed: for long loops in C. */
void deadline_check(lua_State *L);
/* Ticks of this thread so far: a turn's owner sees that time was used without reading a clock. */
const volatile unsigned *deadline_ticks(void);

#endif
