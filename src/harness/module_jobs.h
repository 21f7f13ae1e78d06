/* Methods of a harness for jobs (module.h). */
#ifndef HARNESS_MODULE_JOBS_H
#define HARNESS_MODULE_JOBS_H

#include <lua.h>

#include "harness/module_harness.h"

/* The harness at 1. May raise; so may the others. */
struct harness *rules_check(lua_State *L);
int rules_work(lua_State *L);
int rules_jobs(lua_State *L);

#endif
