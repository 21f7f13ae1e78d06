/* The engine's own events and those that rules emit: queued, never nested, told apart from a server's by where they come
 * from. */
#ifndef RULES_OWN_EVENT_H
#define RULES_OWN_EVENT_H

#include "rules/state.h"

/* Queues one for `only` (NULL: for all rules). 0, or -1 when the queue is full (counted). */
int own_event_queue(struct host *host, const char *name, const struct host_server *server, struct rule *only,
                    const struct host_field *fields, size_t count);
/* Counts and logs one that found no room. */
void own_event_dropped(struct host *host, struct slice name);
void own_event_deliver_all(struct host *host);
/* Forgets those for `rule` only; NULL: all. */
void own_event_forget(struct host *host, const struct rule *rule);

#endif
