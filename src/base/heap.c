#include "base/heap.h"

#include <stdlib.h>

#include "base/mem.h"

void heap_close(struct heap *heap)
{
	free(heap->nodes);
	*heap = (struct heap){ 0 };
}

static void place(struct heap *heap, uint32_t i, struct heap_node *node)
{
	heap->nodes[i] = node;
	node->index = i;
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void sift_up(struct heap *heap, uint32_t i)
{
	struct heap_node *node = heap->nodes[i];
	while (i > 0 && before(node, heap->nodes[(i - 1) / 2])) {
		place(heap, i, heap->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(heap, i, node);
}

static void sift_down(struct heap *heap, uint32_t i)
{
	struct heap_node *node = heap->nodes[i];
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= heap->count)
			break;
		if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (!before(heap->nodes[child], node))
			break;
		place(heap, i, heap->nodes[child]);
		i = child;
	}
	place(heap, i, node);
}

void heap_push(struct heap *heap, struct heap_node *node)
{
	heap_push_in_order(heap, node, heap->pushes++);
}

void heap_push_in_order(struct heap *heap, struct heap_node *node, uint64_t order)
{
	if (heap->count == heap->cap) {
		heap->cap = heap->cap ? heap->cap * 2 : 16;
		heap->nodes = mem_realloc(heap->nodes, heap->cap, sizeof *heap->nodes);
	}
	node->order = order;
	place(heap, heap->count, node);
	sift_up(heap, heap->count++);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	uint32_t i = node->index;
	struct heap_node *last = heap->nodes[--heap->count];
	if (last == node)
		return;
	place(heap, i, last);
	sift_up(heap, i);
	sift_down(heap, last->index);
}
