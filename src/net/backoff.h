/* How long to wait before the next try: exponential, with full jitter and a cap. Pure. */
#ifndef NET_BACKOFF_H
#define NET_BACKOFF_H

#include <stdint.h>

/* A small generator for jitter; nothing secret depends on it. */
struct backoff_random {
	uint64_t state;
};

/* Any seed will do. */
void backoff_random_seed(struct backoff_random *random, uint64_t seed);
/* The next number in [0, 1). */
double backoff_random_next(struct backoff_random *random);

struct backoff {
	double first; /* seconds: ceiling of the first wait */
	double max;   /* ceiling of all of them */
	double min; /* no wait is shorter, 0: full jitter */
	uint32_t attempt;
};

/* Ceiling of the next wait: first * 2^attempt, at most max. */
double backoff_ceiling(const struct backoff *backoff);
/* The next wait in seconds, evenly spread from `min` to the ceiling by `random` in [0, 1); counts the attempt. */
double backoff_next(struct backoff *backoff, double random);
void backoff_reset(struct backoff *backoff);

#endif
