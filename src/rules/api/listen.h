/* What on(), once(), subscribe() and wait() have in common: event names and a filter. */
#ifndef RULES_API_LISTEN_H
#define RULES_API_LISTEN_H

#include "rules/listener.h"

struct listen_arguments {
	struct slice *names; /* in a userdata on the stack */
	size_t count;
	struct filter *filter; /* the thread's scratch: taken over by listener_add() */
	lua_Integer priority;
	const char *label;   /* on the stack */
};
/* Reads them from the stack at `names` and `filter`; leaves more on it. */
void listen_read(lua_State *L, int names, int filter, struct listen_arguments *out) RAISES;
/* Charges the rule for the listener that is about to be made of them. False when its memory is used up. Raises nothing. */
bool listen_charge(lua_State *L, const struct listen_arguments *args);
#define LISTEN_NO_MEMORY "no memory left for a listener (limits.rule_memory)"
/* ami.subscribe and ami.wait, in subscription.c. */
int subscription_new(lua_State *L);
int subscription_wait(lua_State *L);

#endif
