#include "live/live_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEPT 16 /* items of capacity that stay when the last object leaves: a few come and go all the time */

/* The first item whose number is at least `seq`; `end` when there is none. */
static uint32_t lower_bound(const struct live_set *set, uint64_t seq)
{
	uint32_t low = set->begin, high = set->end;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (set->items[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Closes up what was removed; half of the capacity is free afterwards. */
static void compact(struct live_set *set)
{
	uint32_t to = 0, cap = set->count * 2 > 8 ? set->count * 2 : 8;
	struct live_set_item *items = cap == set->cap ? set->items : mem_alloc(cap * sizeof *items);
	for (uint32_t i = set->begin; i < set->end; i++)
		if (set->items[i].object)
			items[to++] = set->items[i];
	if (items != set->items) {
		free(set->items);
		set->items = items;
		set->cap = cap;
	}
	set->begin = 0;
	set->end = to;
}

uint64_t live_set_add(struct live_set *set, struct live_object *object)
{
	if (set->end == set->cap)
		compact(set);
	set->items[set->end++] = (struct live_set_item){ ++set->last, object };
	set->count++;
	return set->last;
}

void live_set_remove(struct live_set *set, uint64_t seq)
{
	uint32_t i = lower_bound(set, seq);
	if (i == set->end || set->items[i].seq != seq || !set->items[i].object)
		return;
	set->items[i].object = NULL;
	set->count--;
	while (set->begin < set->end && !set->items[set->begin].object)
		set->begin++;
	while (set->end > set->begin && !set->items[set->end - 1].object)
		set->end--;
	if (set->count == 0 && set->cap > KEPT) {
		free(set->items);
		*set = (struct live_set){ .last = set->last };
	} else if (set->count == 0) {
		set->begin = set->end = 0;
	} else if (set->cap > 64 && set->count * 8 < set->cap) {
		compact(set);
	}
}

struct live_object *live_set_get(const struct live_set *set, uint64_t seq)
{
	uint32_t i = lower_bound(set, seq);
	return i < set->end && set->items[i].seq == seq ? set->items[i].object : NULL;
}

struct live_object *live_set_next(const struct live_set *set, uint64_t *seq)
{
	for (uint32_t i = lower_bound(set, *seq + 1); i < set->end; i++) {
		if (set->items[i].object) {
			*seq = set->items[i].seq;
			return set->items[i].object;
		}
	}
	return NULL;
}

void live_set_close(struct live_set *set)
{
	free(set->items);
	*set = (struct live_set){ 0 };
}
