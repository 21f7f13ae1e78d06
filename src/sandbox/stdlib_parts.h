/* What the files of the standard library share; nobody else includes it. */
#ifndef SANDBOX_STDLIB_PARTS_H
#define SANDBOX_STDLIB_PARTS_H

#include <lauxlib.h>

#include "base/slice.h"
#include "sandbox/stdlib.h"

enum { STDLIB_POLL_EVERY = 4096 };

/* Every library function finds the options in its first upvalue, a userdata. */
static inline const struct stdlib_options *stdlib_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* Counts `cost` steps of work; asks for the deadline when enough came together. May raise. */
static inline void stdlib_poll(lua_State *L, size_t *count, size_t cost)
{
	*count += cost;
	if (*count < STDLIB_POLL_EVERY)
		return;
	*count = 0;
	const struct stdlib_options *lib = stdlib_of(L);
	if (lib->check)
		lib->check(L);
}

/* What reading or writing one element of the value at `index` may cost: a chain of __index has up to 2,000 links. */
static inline size_t stdlib_element_cost(lua_State *L, int index)
{
	if (!lua_getmetatable(L, index))
		return 8;
	lua_pop(L, 1);
	return STDLIB_POLL_EVERY / 2;
}

/* Raises when a text of `have + more` bytes would pass the cap. */
static inline void stdlib_check_bytes(lua_State *L, size_t have, size_t more)
{
	size_t bytes = stdlib_of(L)->bytes;
	if (have > bytes || more > bytes - have)
		luaL_error(L, "text too long (more than %d bytes in one call)", (int)bytes);
}

static inline struct slice stdlib_check_text(lua_State *L, int arg)
{
	size_t len;
	const char *text = luaL_checklstring(L, arg, &len);
	return slice_make(text, len);
}

/* What stands in place of an object's address. May raise (stack). */
enum { STDLIB_NUMBER_SIZE = 17 };
void stdlib_number(lua_State *L, const void *object, char out[STDLIB_NUMBER_SIZE]);
/* Makes the state's key for it. May raise (memory). */
void stdlib_open_text(lua_State *L);

/* Each pushes one table; the options' userdata is at `lib`. May raise. */
void stdlib_push_string(lua_State *L, int lib);
void stdlib_push_table(lua_State *L, int lib);
void stdlib_push_utf8(lua_State *L, int lib);
void stdlib_push_os(lua_State *L, int lib);
/* string.find, match, gmatch and gsub, into the table on top. */
void stdlib_add_matching(lua_State *L, int lib);
/* string.format */
int stdlib_format(lua_State *L);

#endif
