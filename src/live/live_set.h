/* Objects in the order in which they came, each with a number that grows: a walk that keeps the last number tolerates any
 * change between two of its steps. Adding and removing cost O(log n), amortised; so does finding by number. */
#ifndef LIVE_SET_H
#define LIVE_SET_H

#include <stdint.h>

struct live_object;

struct live_set {
	struct live_set_item {
		uint64_t seq;
		struct live_object *object; /* NULL: removed, not yet closed up */
	} *items;
	uint32_t begin, end, cap; /* items[begin .. end) are in use */
	uint32_t count;           /* of them not removed */
	uint64_t last;            /* the last number given */
};

/* Returns its number, > 0. */
uint64_t live_set_add(struct live_set *set, struct live_object *object);
/* A number that is not in the set is ignored. */
void live_set_remove(struct live_set *set, uint64_t seq);
/* NULL: not there. */
struct live_object *live_set_get(const struct live_set *set, uint64_t seq);
/* The first with a number above `*seq`, which becomes its number; NULL at the end. Begin with 0. */
struct live_object *live_set_next(const struct live_set *set, uint64_t *seq);
void live_set_close(struct live_set *set);

#endif
