/* A bounded lock-free queue of pointers from many threads to one.
 *
 * ring_push() may be called from any thread and never waits; ring_pop() from one thread at a time. Items that one
 * thread pushes come out in the order it pushed them. What the pusher wrote before the push, the popper sees.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* `capacity` is rounded up to a power of two, at least 2. */
struct ring *ring_create(size_t capacity);
/* Items that are still in it are the caller's: pop them first. */
void ring_destroy(struct ring **ring);
size_t ring_capacity(const struct ring *ring);
/* False when it is full. `item` is not NULL. */
bool ring_push(struct ring *ring, void *item);
/* NULL when it is empty, also while the next item's push has begun but not ended. So a wake-up for the popper
 * comes after the push (wake.h). */
void *ring_pop(struct ring *ring);

#endif
