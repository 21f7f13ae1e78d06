/* What a rule holds of a C object: a number, never a pointer, so that neither side depends on when Lua collects the other.
 * Numbers are not used again. One table for each rule. */
#ifndef RULES_HANDLE_H
#define RULES_HANDLE_H

#include <stdint.h>

struct handle_slot;

struct handle_table {
	struct handle_slot *slots; /* owned */
	uint32_t count, cap, free; /* free: index + 1 of the first free slot; 0: none */
};

void handle_close(struct handle_table *table);
/* A number for `object`, never 0. */
uint64_t handle_add(struct handle_table *table, void *object);
/* The object, or NULL when it is gone. */
void *handle_get(const struct handle_table *table, uint64_t handle);
/* The object is gone. 0 and numbers that are gone are ignored. */
void handle_remove(struct handle_table *table, uint64_t handle);

#endif
