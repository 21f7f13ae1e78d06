/* A bounded queue of events between dispatch and a task that calls `next`. */
#ifndef RULES_SUBSCRIPTION_H
#define RULES_SUBSCRIPTION_H

#include "rules/listener.h"

/* An event for it: wakes the task that waits, or is kept; beyond the bound it ends as `overflow`. */
void subscription_take(struct subscription *subscription, const struct heard *heard);
/* No more events; `next` gives what is kept, then this error. */
void subscription_end(struct subscription *subscription, enum err_code code, const char *text);
void subscription_listener_gone(struct subscription *subscription);
/* ami.subscribe and ami.wait. */
int subscription_new(lua_State *L);
int subscription_wait(lua_State *L);
void subscription_open(lua_State *L, struct generation *gen) RAISES;
/* Reads names and filter of on(), once(), subscribe() and wait() from the stack (api_listen.c). */
struct listen_arguments {
	struct slice *names; /* in a userdata on the stack */
	size_t count;
	struct filter *filter; /* in a userdata on the stack that frees it */
	lua_Integer priority;
	const char *label;
};
void read_listen_arguments(lua_State *L, int names, int filter, struct listen_arguments *out) RAISES;
/* Charges the rule for the listener that is about to be made of them. */
void charge_listener(lua_State *L, const struct listen_arguments *args) RAISES;

#endif
