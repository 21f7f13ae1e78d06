/* Wakes one thread that waits for work. Posting never blocks and posts that come before the wait is over are one. */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAKE_FOREVER UINT64_MAX

struct wake {
	sem_t sem;          /* 0 or 1 */
	atomic_bool posted; /* a post stands that no wait has taken */
};

void wake_init(struct wake *wake);
/* No thread waits or posts any more. */
void wake_close(struct wake *wake);
/* From any thread, also from a signal handler. What was done before the post is seen after the wait. */
void wake_post(struct wake *wake);
/* Blocks until a post or until `deadline` (nanoseconds of clock_mono_ns(), or WAKE_FOREVER); true when posted.
 * Look for work after it in both cases. One thread at a time. */
bool wake_wait(struct wake *wake, uint64_t deadline);

#endif
