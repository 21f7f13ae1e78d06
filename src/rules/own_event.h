/* The engine's own events and those that rules emit: queued, never nested, distinguished from a server's by where they come
 * from. */
#ifndef RULES_OWN_EVENT_H
#define RULES_OWN_EVENT_H

#include "rules/state.h"

/* One event, shared by the rules that it waits for. */
struct own_event {
	struct list queue;         /* host->events, while the engine has not reported it */
	unsigned holders;
	struct message *message;
	uint64_t stamp;
	double at;                 /* epoch seconds */
	uint32_t server;           /* 0: none */
	char server_name[RULE_NAME_MAX + 1];
	struct rule *only;         /* for one rule, NULL: all */
	bool change;               /* of the live picture */
	uint32_t chain;            /* emitted events and timers without a delay, each begun by the one before, this one included */
	const char *sender;        /* of an emitted one: who emitted it, a static text; else NULL */
	char *rule;                /* owned; of an emitted one: the rule that did, or NULL */
};

/* Whose emitted events wait for a rule: one emitter may hold a quarter of what may. */
struct emit_share {
	struct list of_rule;
	uint32_t count;
	size_t bytes;
	char *emitter; /* owned */
};

/* Queues one for `only` (NULL: for all rules). 0, or -1 when too many wait (counted). */
int own_event_queue(struct host *host, const char *name, const struct host_server *server, struct rule *only,
                    const struct host_field *fields, size_t count);
/* Queues a change of the live picture for all rules, `at` epoch seconds; takes over the message (NULL: no memory for it). -1 as
 * above. */
int own_event_queue_change(struct host *host, struct message *m, const struct host_server *server, double at);
struct own_event *own_event_hold(struct own_event *event);
void own_event_release(struct own_event **event);
/* To one rule, now. `pending`: it arrived before the rule was replaced, if it was. */
void own_event_give(struct own_event *event, struct rule *rule, bool pending);
/* server.gap of one rule, now: what its cursor skipped. */
void own_event_give_gap(struct rule *rule, const struct host_feed *feed, uint64_t count, const char *names, bool pending);
/* Counts and logs one that found no place. */
void own_event_dropped(struct host *host, struct slice name);
/* Those that are queued, to every rule: at once, or behind what waits for it. */
void own_event_deliver_all(struct host *host);
/* Forgets those for `rule` only; NULL: all. */
void own_event_forget(struct host *host, const struct rule *rule);
/* An emitted event or a change that waited for the rule was taken, or is dropped. */
void own_event_taken(struct rule *rule, const struct own_event *event);

#endif
