#include "base/clock.h"

#include <time.h>

uint64_t clock_mono_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

double clock_wall(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

uint64_t clock_from_seconds(double seconds)
{
	if (!(seconds > 0))
		return 0;
	double ns = seconds * 1e9;
	return ns >= 9.2e18 ? UINT64_C(9200000000000000000) : (uint64_t)ns;
}
