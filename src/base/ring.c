#include "base/ring.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

/* For a cell at index i, in its n-th round (capacity c): `sequence` is i + n*c while it is free for the push of that
 * position, one more while it holds that item; popping it sets i + (n+1)*c. Positions only grow and may wrap. */
struct cell {
	atomic_size_t sequence;
	void *item;
};

/* Pushers and the popper write different cache lines. */
#define CACHE_LINE 64

struct ring {
	struct cell *cells;
	size_t mask;
	char pad_tail[CACHE_LINE];
	atomic_size_t tail; /* next position to push */
	char pad_head[CACHE_LINE];
	size_t head; /* next position to pop; the popper's own */
};

struct ring *ring_create(size_t capacity)
{
	size_t cells = 2;
	while (cells < capacity && cells <= SIZE_MAX / 4)
		cells *= 2;
	struct ring *ring = mem_zalloc(sizeof *ring);
	ring->cells = mem_realloc(NULL, cells, sizeof *ring->cells);
	ring->mask = cells - 1;
	atomic_init(&ring->tail, 0);
	for (size_t i = 0; i < cells; i++) {
		atomic_init(&ring->cells[i].sequence, i);
		ring->cells[i].item = NULL;
	}
	return ring;
}

void ring_destroy(struct ring **ring)
{
	if (!*ring)
		return;
	free((*ring)->cells);
	free(*ring);
	*ring = NULL;
}

size_t ring_capacity(const struct ring *ring)
{
	return ring->mask + 1;
}

bool ring_push(struct ring *ring, void *item)
{
	size_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	struct cell *cell;

	for (;;) {
		cell = &ring->cells[position & ring->mask];
		size_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
		if (sequence == position) {
			if (atomic_compare_exchange_weak_explicit(&ring->tail, &position, position + 1, memory_order_relaxed,
			                                          memory_order_relaxed))
				break;
		} else if (position - sequence <= ring->mask + 1) {
			/* The cell still waits for the push or the pop of the round before. */
			return false;
		} else {
			position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
		}
	}
	cell->item = item;
	atomic_store_explicit(&cell->sequence, position + 1, memory_order_release);
	return true;
}

void *ring_pop(struct ring *ring)
{
	struct cell *cell = &ring->cells[ring->head & ring->mask];

	if (atomic_load_explicit(&cell->sequence, memory_order_acquire) != ring->head + 1)
		return NULL;
	void *item = cell->item;
	atomic_store_explicit(&cell->sequence, ring->head + ring->mask + 1, memory_order_release);
	ring->head++;
	return item;
}
