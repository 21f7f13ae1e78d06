#include "rules/handle.h"

#include <stdlib.h>

#include "base/mem.h"

/* A handle is the slot's index + 1 and, above it, how often the slot has been used. */
struct handle_slot {
	void *object;    /* NULL: free */
	uint32_t serial; /* of its use */
	uint32_t next;   /* of a free one: as handle_table.free */
};

void handle_close(struct handle_table *table)
{
	free(table->slots);
	*table = (struct handle_table){ .slots = NULL };
}

uint64_t handle_add(struct handle_table *t, void *object)
{
	uint32_t index;

	if (t->free) {
		index = t->free - 1;
		t->free = t->slots[index].next;
	} else {
		if (t->count == t->cap) {
			t->cap = t->cap ? t->cap * 2 : 8;
			t->slots = mem_realloc(t->slots, t->cap, sizeof *t->slots);
		}
		index = t->count++;
		t->slots[index].serial = 0;
	}
	t->slots[index].object = object;
	return (uint64_t)t->slots[index].serial << 32 | (index + 1);
}

static struct handle_slot *find(const struct handle_table *t, uint64_t handle)
{
	uint32_t place = (uint32_t)handle;
	if (place == 0 || place > t->count)
		return NULL;
	struct handle_slot *slot = &t->slots[place - 1];
	return slot->object && slot->serial == handle >> 32 ? slot : NULL;
}

void *handle_get(const struct handle_table *table, uint64_t handle)
{
	const struct handle_slot *slot = find(table, handle);
	return slot ? slot->object : NULL;
}

void handle_remove(struct handle_table *t, uint64_t handle)
{
	struct handle_slot *slot = find(t, handle);
	if (!slot)
		return;
	slot->object = NULL;
	/* A slot whose serials are used up is never used again. */
	if (++slot->serial == 0)
		return;
	slot->next = t->free;
	t->free = (uint32_t)handle;
}
