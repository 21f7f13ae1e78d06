/* The changes of one commit: of several to one row only the last is written. For the writer's thread. */
#ifndef PERSIST_GROUP_H
#define PERSIST_GROUP_H

#include "persist/change.h"

struct group {
	struct change **writes; /* puts and deletes, owned */
	size_t write_count, write_cap;
	struct change **waiting; /* all that come back, in order; those that are no writes (any more) are owned */
	size_t waiting_count, waiting_cap;
	uint32_t *slots; /* (table, id) -> place in `writes` + 1; 0: free; open addressing */
	size_t slot_count; /* a power of two */
};

void group_close(struct group *group);
static inline bool group_empty(const struct group *group)
{
	return group->write_count == 0 && group->waiting_count == 0;
}
/* Takes `change` over. Returns the bytes that are not needed any more, because it took another one's place. */
size_t group_add(struct group *group, struct change *change);
/* All is on disk: gives what comes back to `back` in order and frees the rest. Returns the bytes of all writes. */
size_t group_committed(struct group *group, struct change_queue *back);
/* The commit failed: what comes back is taken out and given to `back` with `err`; the rest stays. Returns the bytes of the writes
 * that were taken out. */
size_t group_failed(struct group *group, struct change_queue *back, const struct err *err);

#endif
