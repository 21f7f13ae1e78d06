/* The globals of rules: each file of this folder opens one of them, and what several of them push. All of it RAISES. */
#ifndef RULES_API_API_H
#define RULES_API_API_H

#include "ami/pending.h"
#include "rules/rule.h"

/* Add their functions to the table `ami` on top of the stack, or push the table of that name. */
void event_open(lua_State *L, struct rule *rule) RAISES;
void listen_open(lua_State *L, struct rule *rule) RAISES;
void subscription_open(lua_State *L, struct rule *rule) RAISES;
void server_open(lua_State *L, struct rule *rule) RAISES;
void coroutine_open(lua_State *L, struct rule *rule) RAISES;
void timer_open(lua_State *L, struct rule *rule) RAISES;
void log_open(lua_State *L) RAISES;
void log_open_print(lua_State *L) RAISES; /* pushes `print` */
void store_open_table(lua_State *L, struct rule *rule) RAISES;
void sink_open(lua_State *L, struct rule *rule) RAISES;
void metric_open(lua_State *L, struct rule *rule) RAISES;
void work_open(lua_State *L, struct rule *rule) RAISES;
void web_open(lua_State *L, struct rule *rule) RAISES;
void http_open(lua_State *L, struct rule *rule) RAISES;
/* Makes everything that rules see, for the rule whose light userdata is at 1. A lua_CFunction. */
int library_set_up(lua_State *L) RAISES;
/* Pushes the library of that name, sealed, when it is one that is made when a rule first asks for it; else returns false. */
bool library_open_late(lua_State *L, const char *name) RAISES;
/* math.random and math.randomseed. */
int random_number(lua_State *L);
int random_seed(lua_State *L);
/* Adds require to the table on top of the stack, and settings. */
void require_open(lua_State *L) RAISES;
void settings_open(lua_State *L) RAISES;

/* Runs the rule's own file, whose struct rule is a light userdata at 1. */
int require_run_main(lua_State *L);
/* Pushes and returns "scripts/x.lua:7", where the running C function was called, for warnings. */
const char *require_where(lua_State *L) RAISES;

/* Pushes the function `*fn` (of the registry) and the job that the task was started for; a task_push_fn. */
int work_push_call(lua_State *co, struct task *task, void *fn) RAISES;

/* The same with the request that it serves. */
int web_push_call(lua_State *co, struct task *task, void *fn) RAISES;

/* Pushes an event object that owns a copy of `m`'s bytes. */
void event_push(lua_State *L, struct rule *rule, const struct message *m, double at) RAISES;
/* Pushes `res`, or nil and the error, of the reply that came for the task, and frees that; returns how many. */
int event_push_answer(lua_State *L, struct task *task) RAISES;
/* Pushes the error; `reply` may be NULL. */
void error_push(lua_State *L, struct rule *rule, const struct err *err, const struct reply *reply) RAISES;
/* The same for a state whose rule is looked up; returns 1. */
int error_push_one(lua_State *L, const struct err *err) RAISES;
/* Pushes `nil, err`; returns 2. */
int error_push_failure(lua_State *L, struct rule *rule, const struct err *err) RAISES;
void server_push(lua_State *L, struct rule *rule, uint32_t id, struct slice name) RAISES;
/* The name of the handle at `index`, or NULL when it is no server handle. */
const char *server_test(lua_State *L, int index);

/* object.c: makes a metatable that rules can neither reach nor change, with `name` in error texts; returns its reference.
 * Functions of `methods` stand behind __index when it is not NULL. */
int object_meta(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) RAISES;
/* For error texts: "bad argument #1 to 'timer.after'" where the caller has no name for the function. The libraries of the table of
 * globals on top of the stack; one method of an object (object_meta() does it for those in `methods`). */
void object_name_libraries(lua_State *L) RAISES;
/* The same for the library on top of the stack, which is not sealed yet. */
void object_name_library(lua_State *L, const char *name) RAISES;
void object_name_method(lua_State *L, const char *object, const char *method, lua_CFunction fn) RAISES;
/* The object of that metatable at `index`, or NULL. */
void *object_test(lua_State *L, int index, int meta);
void *object_check(lua_State *L, int index, int meta, const char *what) RAISES;

#endif
