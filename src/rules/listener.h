/* Listeners and subscriptions: who hears which event, filtered in C. */
#ifndef RULES_LISTENER_H
#define RULES_LISTENER_H

#include "base/map.h"
#include "rules/rule.h"

struct bucket;
struct listener;
struct subscription;

/* Who hears which name: one table for all rules of a host. */
struct listener_table {
	struct map ami_names, own_names; /* event name -> struct bucket */
	struct bucket *any;    /* listeners for "*" */
	uint64_t any_version;  /* changes with `any` */
	uint64_t own_version;  /* changes with the names in own_names */
	uint64_t last, sweep;
	uint32_t dispatching;
	uint64_t dispatches;   /* events so far */
	uint64_t walks;        /* listeners_each_rule() so far */
	struct list dead;      /* cancelled listeners */
};
void listener_table_init(struct listener_table *table);
void listener_table_close(struct listener_table *table);

/* Its filter lets events of that server through alone. */
bool listener_hears_only(const struct listener *listener, const char *server);
const char *listener_label(const struct listener *listener);
struct quarantine *listener_quarantine(struct listener *listener);
/* How many of the rule's listeners are in quarantine. */
uint32_t listeners_quarantined(const struct rule *rule);
/* Makes one; takes over `filter` and `fn` (LUA_NOREF with a subscription). Names are event names or "*". While its rule loads it
 * hears nothing yet. */
struct listener *listener_add(struct rule *rule, const struct slice *names, size_t count, struct filter *filter,
                              lua_Integer priority, const char *label, bool once, int fn, struct subscription *subscription);
/* What its rule holds of it. */
uint64_t listener_handle(struct listener *listener);
/* Notes one call; true when the listener (or its probe) has failed too often and is to be quarantined. */
bool listener_note(struct listener *listener, bool failed);
/* A task that it started begins, or has ended: it lives at least as long. */
void listener_begin(struct listener *listener);
void listener_end(struct listener *listener);
/* It hears nothing any more; freed by listeners_sweep() when nothing is dispatched. */
void listener_cancel(struct listener *listener);
void listeners_sweep(struct host *host);
/* Those of a rule that is dropped next: they leave the table at once. Not while an event is dispatched. */
void listeners_free_all(struct rule *rule);
/* Those that a file made while it was loaded begin to hear. */
void listeners_arm(struct rule *rule);

/* One event to all that hear it. `own`: an engine event, not from a server. `only`: one rule's listeners, NULL: all.
 * True when somebody heard it. */
struct heard {
	const struct message *message;
	const struct host_server *server; /* NULL: none */
	double at;
	bool own;
	struct rule *only;
	bool pending; /* for `only`: it arrived before the rule was replaced, if it was */
	/* Of an event that has just arrived, for all rules: those that are not up to date with `feed` (NULL: of no server) do not take
	 * it now; `late` is called for each of them, once. Both NULL: everybody takes it. */
	struct host_feed *feed;
	void (*late)(void *ctx, struct rule *rule);
	void *late_ctx;
	bool held; /* nobody takes it now */
};
bool listeners_dispatch(struct host *host, const struct heard *heard);
/* Calls `fn` once for each rule that hears an engine event or an emitted one of that name. */
void listeners_each_rule(struct host *host, struct slice name, void (*fn)(void *ctx, struct rule *rule), void *ctx);
/* Somebody names that engine event or emitted one, whether or not it can run now. */
bool listeners_name_own(const struct host *host, struct slice name);
/* How many listeners and subscriptions name that engine event or emitted one; those of a disabled rule hear nothing. */
uint32_t listeners_of_own(const struct host *host, struct slice name);

#endif
