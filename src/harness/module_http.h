/* Requests of `http` in a harness: kept until the test answers them. */
#ifndef HARNESS_MODULE_HTTP_H
#define HARNESS_MODULE_HTTP_H

#include <lua.h>

#include "harness/module_harness.h"

/* h:requests() and h:respond(index, answer). */
int rules_requests(lua_State *L);
int rules_respond(lua_State *L);

#endif
