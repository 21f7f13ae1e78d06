/* Compiling a text of Lua, with a place for every error. */
#ifndef SANDBOX_CHUNK_H
#define SANDBOX_CHUNK_H

#include <lua.h>

#include "base/slice.h"

/* As luaL_loadbufferx() of a text: leaves the function, or the message. What is nested more deeply than Lua can compile, of
 * which Lua says only "C stack overflow", is reported as "NAME:LINE: nested too deeply" like every other error. `name` begins
 * with `@` or `=`. */
int chunk_load(lua_State *L, struct slice source, const char *name);

#endif
