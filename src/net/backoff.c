#include "net/backoff.h"

void backoff_random_seed(struct backoff_random *random, uint64_t seed)
{
	random->state = seed;
}

/* SplitMix64. */
double backoff_random_next(struct backoff_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return (double)(z >> 11) * 0x1p-53;
}

double backoff_ceiling(const struct backoff *backoff)
{
	double ceiling = backoff->first;
	for (uint32_t i = 0; i < backoff->attempt && ceiling < backoff->max; i++)
		ceiling *= 2;
	return ceiling < backoff->max ? ceiling : backoff->max;
}

double backoff_next(struct backoff *backoff, double random)
{
	double ceiling = backoff_ceiling(backoff);
	double least = backoff->min < ceiling ? backoff->min : ceiling;

	/* Past 64 doublings nothing changes any more. */
	if (backoff->attempt < 64)
		backoff->attempt++;
	return least + (ceiling - least) * random;
}

void backoff_reset(struct backoff *backoff)
{
	backoff->attempt = 0;
}
