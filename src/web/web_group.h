/* Readers of /api/live that may see the same: what they get is chosen and put together once for all of them. Two readers are in one
 * group when they are limited to the same servers and queues, whatever their tokens' names and scopes. */
#ifndef WEB_WEB_GROUP_H
#define WEB_WEB_GROUP_H

#include "base/list.h"
#include "web/web_ring.h"

/* The changes that all readers get at about the same time. */
struct web_flush {
	uint64_t serial;     /* no two flushes of one `struct web_groups` have the same */
	uint64_t from, upto; /* numbers: the first change, and one past the last */
	size_t most;         /* bytes of a piece, about */
};

struct web_groups {
	struct list groups;
	struct buf rest; /* for one that has other changes to get than the others */
};

struct web_group;

void web_groups_init(struct web_groups *groups);
/* No group may be held. */
void web_groups_close(struct web_groups *groups);
/* The group of those who see what `sight` sees; it is held, and copies what it needs. */
struct web_group *web_group_hold(struct web_groups *groups, const struct web_token *sight);
void web_group_release(struct web_group **group);
/* The next piece for a reader of the group that has all before `*number`, which goes behind it. Empty: it may see none of what is left of
 * the flush. `*number` must be in the ring, and below `upto`. The bytes stand until the next call for any group and
 * the next change. */
struct slice web_group_read(struct web_group *group, const struct web_ring *ring, const struct web_flush *flush, uint64_t *number);

#endif
