/* Requests over HTTP that a test makes of rules (`web.on`). */
#ifndef HARNESS_MODULE_HOOKS_H
#define HARNESS_MODULE_HOOKS_H

#include <lua.h>

int rules_http_in(lua_State *L);
int rules_http_out(lua_State *L);

#endif
