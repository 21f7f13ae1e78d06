/* A circuit breaker: after so many failures in a row nothing is tried for a while, then a few tries decide. Pure.
 *
 *   CLOSED --- `failures` failures in a row ---> OPEN --- `open_ns` later ---> HALF_OPEN
 *     ^                                           ^                               |  |
 *     |                                           +---------- a failure ----------+  |
 *     +------------------------------ `probes` successes ----------------------------+
 *
 * What a success or a failure is, its user decides.
 */
#ifndef NET_BREAKER_H
#define NET_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
	uint32_t failures_max; /* 0: it never opens */
	uint32_t probes;
	uint64_t open_ns;
	enum breaker_state state;
	uint32_t failures, successes;
	uint64_t until; /* monotonic ns, while OPEN */
};

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint64_t open_ns, uint32_t probes);
/* May a try begin at `now` (monotonic ns)? An OPEN one whose time is over becomes HALF_OPEN. */
bool breaker_allow(struct breaker *breaker, uint64_t now);
/* The earliest time at which breaker_allow() says yes. */
uint64_t breaker_allowed_at(const struct breaker *breaker, uint64_t now);
void breaker_success(struct breaker *breaker);
/* True when this failure opened it. */
bool breaker_failure(struct breaker *breaker, uint64_t now);
const char *breaker_state_name(enum breaker_state state);

#endif
