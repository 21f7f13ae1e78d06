#include "net/breaker.h"

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint64_t open_ns, uint32_t probes)
{
	*breaker = (struct breaker){ .failures_max = failures_max, .open_ns = open_ns, .probes = probes ? probes : 1 };
}

bool breaker_allow(struct breaker *breaker, uint64_t now)
{
	if (breaker->state == BREAKER_OPEN && now >= breaker->until) {
		breaker->state = BREAKER_HALF_OPEN;
		breaker->successes = 0;
	}
	return breaker->state != BREAKER_OPEN;
}

uint64_t breaker_allowed_at(const struct breaker *breaker, uint64_t now)
{
	return breaker->state == BREAKER_OPEN && breaker->until > now ? breaker->until : now;
}

void breaker_success(struct breaker *breaker)
{
	breaker->failures = 0;
	if (breaker->state == BREAKER_HALF_OPEN && ++breaker->successes >= breaker->probes)
		breaker->state = BREAKER_CLOSED;
}

bool breaker_failure(struct breaker *breaker, uint64_t now)
{
	if (breaker->failures < UINT32_MAX)
		breaker->failures++;
	if (breaker->failures_max == 0 || breaker->state == BREAKER_OPEN)
		return false;
	if (breaker->state == BREAKER_CLOSED && breaker->failures < breaker->failures_max)
		return false;
	breaker->state = BREAKER_OPEN;
	breaker->until = now + breaker->open_ns;
	return true;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {
		[BREAKER_CLOSED] = "closed",
		[BREAKER_OPEN] = "open",
		[BREAKER_HALF_OPEN] = "half_open",
	};
	return names[state];
}
