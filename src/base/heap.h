/* A binary heap of nodes inside their owners' structs, the smallest key on top, of equal keys the one that was
 * pushed first: deadlines and timers. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t key;
	uint64_t order; /* its age and place, kept by the heap */
	uint32_t index;
};

struct heap {
	struct heap_node **nodes; /* owned array of borrowed nodes */
	uint32_t count, cap;
	uint64_t pushes;
};

#define heap_entry(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

void heap_close(struct heap *heap);
/* `node->key` is set by the caller and stays while it is in the heap. */
void heap_push(struct heap *heap, struct heap_node *node);
/* The same with an age of the caller's instead: of equal keys the lowest `order` is on top. All nodes of a heap are pushed in one of
 * the two ways. */
void heap_push_in_order(struct heap *heap, struct heap_node *node, uint64_t order);
void heap_remove(struct heap *heap, struct heap_node *node);
static inline struct heap_node *heap_top(const struct heap *heap)
{
	return heap->count > 0 ? heap->nodes[0] : NULL;
}

#endif
