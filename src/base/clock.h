/* The two clocks. Deadlines and waits use the monotonic one only: a jump of the wall clock breaks nothing. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S UINT64_C(1000000000)
#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_US UINT64_C(1000)

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_mono_ns(void);
/* Epoch seconds of CLOCK_REALTIME, for people. */
double clock_wall(void);
/* Seconds to nanoseconds; negative gives 0, anything beyond the range its end. */
uint64_t clock_from_seconds(double seconds);

#endif
