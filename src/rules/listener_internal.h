/* What listener.c and listener_dispatch.c share. */
#ifndef RULES_LISTENER_INTERNAL_H
#define RULES_LISTENER_INTERNAL_H

#include "rules/listener.h"
#include "rules/state.h"

/* A name and who hears it. `merged` is what a dispatch walks: the named ones and those for "*", by priority and age; it is
 * rebuilt when one of them has changed, never while it is walked. */
struct bucket {
	struct map *map;      /* where it stands; NULL: the one for "*" */
	char *name;           /* owned; any byte may stand in it */
	size_t name_len;
	struct listener **own;
	uint32_t own_count, own_cap;
	struct listener **merged;
	uint32_t merged_count;
	struct share *shares; /* the same by their rules, for events that a single one takes; made when first needed */
	struct listener **by_rule;
	uint32_t share_count; /* rules; 0: not made */
	uint64_t any_version; /* of the table when merged was made */
	uint64_t swept;       /* the last sweep that came by */
	struct bucket *next_empty;
	bool dirty;
};

/* One rule's listeners in a bucket. */
struct share {
	const struct rule *rule;
	uint32_t first, count; /* in by_rule, where they stand as in `merged` */
};

struct listener {
	struct list of_rule;
	struct list in_dead;
	struct rule *rule;
	int fn;                      /* registry, LUA_NOREF for a subscription */
	struct subscription *subscription;
	uint64_t handle;             /* what its rule holds of it; 0: nothing */
	char **names;                /* owned; of a rule that loads, until it is live */
	struct bucket **buckets;     /* where it stands; NULL: not live yet */
	uint32_t name_count, bucket_count;
	struct filter filter;
	lua_Integer priority;
	uint64_t sequence;           /* age */
	char *label;
	uint32_t tasks;              /* calls that have not ended */
	bool once, cancelled;
	bool detached;               /* cancelled and in no bucket: freed with its last task */
	uint16_t history;            /* the last calls, bit 0 the newest; 1: failed */
	struct quarantine quarantine;
};

/* Makes `merged` anew; not while an event is dispatched. */
void listener_bucket_merge(struct listener_table *table, struct bucket *bucket);

#endif
