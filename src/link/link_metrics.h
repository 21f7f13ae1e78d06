/* What is counted of each server, as Prometheus sees it. The links count in their own struct; the registry's values are
 * refreshed when somebody asks. Loop's thread only. */
#ifndef LINK_LINK_METRICS_H
#define LINK_LINK_METRICS_H

#include "ami/pending.h"
#include "observe/metrics.h"

struct link;
struct link_hub;

#define LINK_FAMILIES 24

struct link_families {
	struct metric *plain[LINK_FAMILIES]; /* one series for each server, see link_metrics.c */
	struct metric *events, *shed, *failures, *actions, *seconds;
};

struct link_series {
	/* Of Originate and of the other actions. */
	struct series **ends[2];   /* by how they ended, ERR_CODES of them, owned; NULL: none has ended yet, nor one in this way */
	struct series *seconds[2]; /* NULL: none */
};

int link_metrics_init(struct link_hub *hub, struct err *err);
void link_metrics_close(struct link_hub *hub);
void link_metrics_add(struct link *link);
/* Its series go, unless another link of the hub has the same name. */
void link_metrics_remove(struct link *link);

/* An action of the owner has ended. */
void link_metrics_action(struct link *link, const struct reply *reply, double seconds);
void link_metrics_shed(struct link *link, struct slice event);

#endif
