/* One configured server: its link and what is counted of its events. */
#ifndef ENGINE_SERVER_H
#define ENGINE_SERVER_H

#include "base/list.h"
#include "config/config.h"
#include "link/link.h"
#include "rules/host.h"

struct engine;

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
};

/* Not started. NULL with `err` when the link cannot be made. */
struct server *server_create(struct engine *engine, struct link_hub *hub, const struct config_server *config,
                             const struct link_owner *owner, struct err *err);
void server_destroy(struct server **server);

#endif
