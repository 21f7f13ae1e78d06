/* A rule's table becomes an action. */
#ifndef RULES_API_ACTION_H
#define RULES_API_ACTION_H

#include <lua.h>

#include "ami/action.h"

/* Reads the table at `index` raw into `action` (cleared first): headers in the order of their names, list values repeated,
 * `Variable = { A = 1 }` as `A=1`, booleans as true and false, integral floats as integers. An Originate that does not say
 * Async gets `Async: true` (Q45). 0, or -1 with ERR_INVALID. May raise (memory, stack). */
int action_build(lua_State *L, int index, struct action *action, struct err *err);

#endif
