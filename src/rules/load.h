/* Rule files and modules: environments, require, settings. */
#ifndef RULES_LOAD_H
#define RULES_LOAD_H

#include "rules/state.h"

#define RULE_FILE_MAX (1024 * 1024) /* bytes of one file */

/* An owner for `path`; NULL with a fault when there are too many. */
struct rule *rule_create(struct generation *gen, const char *name, const char *file, const char *path, struct err *err);
void rule_destroy(struct rule *rule);
/* Runs the rule's file. False when it failed (told in the faults). */
bool rule_load(struct rule *rule);
/* Pushes and returns "scripts/x.lua:7", where the running C function was called, for warnings. RAISES. */
const char *rule_where(lua_State *L) RAISES;
/* Pushes the table that every rule's environment falls back to, made of the libraries. RAISES. */
void environment_open(lua_State *L, struct generation *gen) RAISES;

#endif
