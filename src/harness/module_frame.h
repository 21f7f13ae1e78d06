/* Frames and replies made of a test's Lua tables. */
#ifndef HARNESS_MODULE_FRAME_H
#define HARNESS_MODULE_FRAME_H

#include <lua.h>

#include "ami/pending.h"

/* Makes the metatable that the functions below need. */
void frame_open(lua_State *L);
/* A frame of `first: value` and the headers at `index`: a list of { name, value }, or a table name = value, sorted by name, in
 * which a list repeats the header; none or nil: no more headers. Valid as long as the userdata that is pushed. Raises. */
const struct message *frame_read(lua_State *L, int index, const char *first, struct slice value);
/* The reply that the table at `index` describes (see module.h), to the action of that name; the caller's. Raises. */
struct reply *reply_read(lua_State *L, int index, struct slice action);

#endif
