/* The standard library that rules see: Lua 5.4's, without what reaches outside, and with every call bounded (P2, P4).
 *
 * Absent: io, package, debug, load, loadfile, dofile, string.dump, os beyond time, date, clock and difftime,
 * collectgarbage beyond "count". print, require and coroutine are the host's. What differs from the manual:
 * - pattern matching has a budget of steps, texts and ranges have caps: beyond them a call raises an error that the
 *   rule can catch ("pattern too expensive …", "text too long …", "too many elements …");
 * - setmetatable refuses `__gc` and `__mode`; rawset refuses sealed tables;
 * - after the deadline xpcall does not call its handler (Lua runs it with hooks off: it could not be stopped);
 * - table.sort is stable, and a table whose comparison raised is left as it was;
 * - no text shows an address: tostring and format give an object a number of its own in place of it;
 * - os.time() and os.date() follow the clock that is given here.
 * Every function may be left by an error of Lua at any call into Lua: nothing is held outside the Lua state. */
#ifndef SANDBOX_STDLIB_H
#define SANDBOX_STDLIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

struct stdlib_options {
	double (*wall)(void *ctx); /* epoch seconds for os.time and os.date; NULL: the real clock */
	void *ctx;                 /* handed to wall; lives as long as the state */
	void (*check)(lua_State *L); /* called every few thousand steps of a long call; raises when the deadline has
	                              * passed; leaves the stack as it was. NULL: none */
	bool (*passed)(void); /* whether the deadline has passed: a handler of xpcall is not called any more then. NULL: never */
	lua_CFunction random, randomseed; /* instead of Lua's own; NULL: Lua's own */
	size_t bytes;    /* longest text that one call may make; 0: 8 MiB */
	size_t elements; /* most elements of a table that one call may touch; 0: 1,000,000 */
	size_t values;   /* most values that one call may return (table.unpack, string.byte …); 0: 65,536 */
	uint64_t steps;  /* of matching in one call, and 16 more for each byte of the subject; 0: 1,000,000 */
};

/* Pushes a new table of the globals, its library tables (string, table, math, utf8, os) sealed, and gives the
 * state's strings their methods. NULL: the defaults. Call it once for each state, before any rule runs.
 * May raise (memory). The state's own global table is left as it was. */
void stdlib_open(lua_State *L, const struct stdlib_options *options);

/* As luaL_tolstring(), which rules must not see: without addresses. Pushes the text. May raise, may run Lua code. */
const char *stdlib_tostring(lua_State *L, int index, size_t *len);

/* From now on `__mode` means nothing in this state; tables whose metatable has it already stay weak. One collection of a chain of
 * tables with weak keys takes time that grows with the square of its length, and nothing can interrupt it. May raise (memory). */
void stdlib_end_weak_tables(lua_State *L);

/* Replaces the table on top of the stack by a read-only proxy of it: it reads and iterates like the table, refuses
 * every change (rawset too), and neither the table nor the metatable can be reached through it. `name` is for the
 * error text. Reading through it sees later changes of the table. May raise (memory). */
void stdlib_seal(lua_State *L, const char *name);
/* Marks the metatable on top of the stack: rawset refuses the tables that have it. May raise (memory). */
void stdlib_mark_sealed(lua_State *L);

#endif
