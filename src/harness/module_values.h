/* What the proxies of the module read from Lua and push there. Each may raise. */
#ifndef HARNESS_MODULE_VALUES_H
#define HARNESS_MODULE_VALUES_H

#include <lua.h>

#include "base/err.h"
#include "base/slice.h"

/* The string at `index`: valid as long as it stands there. */
struct slice check_slice(lua_State *L, int index);
/* The integer option `key` of the table at `index` (none or nil: the default). */
uint64_t option_integer(lua_State *L, int index, const char *key, uint64_t otherwise);
/* Whether the table at `index` (none or nil: no) has the option `key`, neither nil nor false. */
bool option_set(lua_State *L, int index, const char *key);

/* `s.ptr` may be NULL when it is empty. */
void push_slice(lua_State *L, struct slice s);
/* nil, code, text. Returns 3, for a C function to return. */
int push_error(lua_State *L, const struct err *err);

/* Set the field `key` of the table on top of the stack. */
void set_slice(lua_State *L, const char *key, struct slice s);
void set_text(lua_State *L, const char *key, const char *text); /* NULL: nil */
void set_integer(lua_State *L, const char *key, uint64_t n);
void set_number(lua_State *L, const char *key, double n);
void set_boolean(lua_State *L, const char *key, bool b);

#endif
