/* What the files behind module_open_ami share. Whatever these own belongs to a userdata with __gc, for each may raise. */
#ifndef HARNESS_MODULE_AMI_H
#define HARNESS_MODULE_AMI_H

#include <lauxlib.h>

#include "ami/action.h"
#include "ami/framer.h"
#include "base/buf.h"

/* Each makes its types and sets its tables (see module.h) in the one on top of the stack. */
void ami_open_message(lua_State *L); /* framer, message */
void ami_open_action(lua_State *L);  /* action */
void ami_open_pending(lua_State *L); /* pending */

/* A table of the functions becomes the field `name` of the table on top of the stack. */
void ami_add_functions(lua_State *L, const char *name, const luaL_Reg *functions);
/* Makes the metatable `name`, with an __index of these methods; NULL: without one. */
void ami_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);

/* A framer and the bytes that it has not consumed yet. */
struct framing {
	struct framer framer;
	struct buf held;
};

/* With the options (max_frame, max_headers, banner) of the table at `options`. */
void framing_init(lua_State *L, int options, struct framing *framing);
void framing_close(struct framing *framing);
void framing_feed(lua_State *L, struct framing *framing, struct slice bytes);
/* The next result; what it consumed is dropped by the caller when it has read the message. */
enum framer_status framing_next(lua_State *L, struct framing *framing, struct message *m, size_t *consumed);
const char *framing_status_name(enum framer_status status);

/* Pushes what a message says, as a table. */
void push_fields(lua_State *L, const struct message *m);

/* Owns an action and its bytes while Lua may raise. */
struct scratch {
	struct action action;
	struct buf out;
};

/* Pushes one whose bytes are at most `max`; 0: any number. */
struct scratch *new_scratch(lua_State *L, size_t max);
/* Adds the headers of the table at `index`. 0, or -1 with `err`. */
int read_action(lua_State *L, int index, struct action *action, struct err *err);

#endif
