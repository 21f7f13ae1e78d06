/* The options of a harness, read from a Lua table (see module.h). */
#ifndef HARNESS_MODULE_OPTIONS_H
#define HARNESS_MODULE_OPTIONS_H

#include <lua.h>

#include "harness/module_harness.h"

/* The table at `index`; what is not given stays as it was. May raise; what was read until then is set. */
void options_read(lua_State *L, int index, struct harness *h);

#endif
