/* Plain data between a Lua state and `struct value`: copied, never shared. */
#ifndef VALUE_LUAVALUE_H
#define VALUE_LUAVALUE_H

#include <lua.h>

#include "base/err.h"
#include "base/value.h"

struct luavalue_limits {
	unsigned depth; /* tables within tables; {} alone is 1. 0: 32; never more than LUAVALUE_DEPTH_MAX */
	size_t bytes;   /* of the whole tree, as value_size counts it. 0: 1 MiB */
};

#define LUAVALUE_DEPTH_MAX 100u

/* A read-only proxy of a table (what settings() and require return) carries the table in its metatable under the address of
 * luavalue_proxy, where no rule can reach it. Whoever reads tables raw looks behind the proxy first. */
extern const char luavalue_proxy;
/* Replaces a proxy at the absolute `index` by the table behind it; anything else stays. Needs two free stack slots, never
 * raises. */
void luavalue_unproxy(lua_State *L, int index);

/* Copies the value at `index` into `out` (which held nothing). Tables are read raw: no metamethod runs. Never
 * raises, leaves the stack as it was. nil, booleans, numbers, strings and tables of them pass; keys are booleans,
 * numbers or strings. Anything else, a cycle or a tree beyond the limits (NULL: the defaults) is -1 and ERR_INVALID
 * with a text that says where: "field 'a.b' is a function". Then `out` is nil. */
int luavalue_read(lua_State *L, int index, struct value *out, const struct luavalue_limits *limits, struct err *err);

/* Pushes a copy of `value`: one value. May raise (memory, stack): call it where a raise is caught. The task may be killed in it:
 * `value` belongs to something that outlives the task. */
void luavalue_push(lua_State *L, const struct value *value);

/* Pushes what value_pack() has packed, without anything in between; nil when `packed` is something else. May raise, and owns
 * nothing. */
void luavalue_push_packed(lua_State *L, struct slice packed);

#endif
