/* Listeners and subscriptions: who hears which event, filtered in C. */
#ifndef RULES_LISTENER_H
#define RULES_LISTENER_H

#include "rules/filter.h"
#include "rules/state.h"

struct listener;
struct subscription;

const char *listener_label(const struct listener *listener);
struct quarantine *listener_quarantine(struct listener *listener);
/* How many of the rule's listeners are in quarantine. */
uint32_t listeners_quarantined(const struct rule *rule);
/* Makes one; takes over `filter` and `fn` (LUA_NOREF with a subscription). Names are event names or "*". */
struct listener *listener_add(struct rule *rule, const struct slice *names, size_t count, struct filter *filter,
                              lua_Integer priority, const char *label, bool once, int fn, struct subscription *subscription);
/* For the userdata of its rule, which holds it too. */
struct tie *listener_tie(struct listener *listener);
/* Notes one call; true when the listener (or its probe) has failed too often and is to be quarantined. */
bool listener_note(struct listener *listener, bool failed);
/* A task that it started begins, or has ended: it lives at least as long. */
void listener_begin(struct listener *listener);
void listener_end(struct listener *listener);
/* Takes it out of every list; freed by listeners_sweep() when nothing is dispatched. */
void listener_cancel(struct listener *listener);
void listeners_cancel_all(struct rule *rule);
void listeners_sweep(struct generation *gen);
void listeners_free_all(struct generation *gen);

/* One event to all that hear it in `gen`. `own`: an engine event, not from a server. `only`: one rule's listeners, NULL: all.
 * True when somebody heard it. */
struct heard {
	const struct message *message;
	const struct host_server *server; /* NULL: none */
	double at;
	bool own;
	struct rule *only;
};
bool listeners_dispatch(struct generation *gen, const struct heard *heard);
/* How many listeners and subscriptions name that engine event or emitted one; those of a disabled rule hear nothing. */
uint32_t listeners_of_own(const struct generation *gen, struct slice name);

/* The task that waits in `next` is gone. */
void subscription_forget_task(struct subscription *subscription);
/* Ends every subscription that hears only that server. */
void subscriptions_server_lost(struct generation *gen, const char *server);

#endif
