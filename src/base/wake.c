#include "base/wake.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

void wake_init(struct wake *wake)
{
	sem_init(&wake->sem, 0, 0);
	atomic_init(&wake->posted, false);
}

void wake_close(struct wake *wake)
{
	sem_destroy(&wake->sem);
}

void wake_post(struct wake *wake)
{
	/* An exchange even when `posted` is set already: it orders the caller's work before the waiter's own exchange. */
	if (!atomic_exchange(&wake->posted, true))
		sem_post(&wake->sem);
}

bool wake_wait(struct wake *wake, uint64_t deadline)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / CLOCK_NS_PER_S),
		.tv_nsec = (long)(deadline % CLOCK_NS_PER_S),
	};
	int rc;

	do
		rc = deadline == WAKE_FOREVER ? sem_wait(&wake->sem) : sem_clockwait(&wake->sem, CLOCK_MONOTONIC, &until);
	while (rc == -1 && errno == EINTR);
	if (rc == -1)
		return false;
	atomic_exchange(&wake->posted, false);
	return true;
}
