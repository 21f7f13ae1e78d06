/* One configured server: its link and what is counted of its events. */
#ifndef ENGINE_SERVER_H
#define ENGINE_SERVER_H

#include "base/list.h"
#include "config/config.h"
#include "link/link.h"
#include "rules/host.h"

struct engine;

/* What its session was asked for, see events.c. */
struct server_events {
	bool automatic;        /* events = "auto" */
	uint32_t login;        /* classes of the next login */
	uint32_t asked;        /* of the session: they come, or will once it has answered */
	uint64_t fewer_at;     /* monotonic ns from which on fewer are asked for; 0: all are wanted */
	bool filters;          /* it is known to filter as events.c writes it */
	char *filter;          /* of the session, owned; NULL: none */
	bool opened;           /* and after it one that lets all pass again */
	bool again;            /* it did not take what it was asked for: it is to log in again */
	uint64_t again_since, busy_at, seen; /* monotonic ns, when events came last, how many had come then */
};

struct server {
	struct engine *engine;
	uint32_t id;              /* from 1; kept by a successor of the same name */
	char *name;
	struct link *link;
	struct host_feed *feed;   /* of its link, once it is installed */
	struct list leaving;      /* being stopped, after a reload took it out */
	struct server *successor; /* starts when this one has stopped; NULL: none */
	bool stopped;
	struct series *dispatched, *unmatched;
	struct server_events events;
};

/* Not started. NULL with `err` when the link cannot be made. */
struct server *server_create(struct engine *engine, struct link_hub *hub, const struct config_server *config,
                             const struct link_owner *owner, struct err *err);
void server_destroy(struct server **server);

#endif
