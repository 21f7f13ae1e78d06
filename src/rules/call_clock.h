/* What a rule's code takes: of a turn, in all, and call by call.
 *
 * Reading a clock costs as much as a short call. So the first CALL_CLOCK_FIRST calls of a rule in a turn are timed, and of the
 * others one in CALL_CLOCK_ONE_IN, by chance, which stands for as many; long calls are found by the ticks of CPU time that pass in
 * them. Time in which the thread had no core is left out as far as those ticks show it. */
#ifndef RULES_CALL_CLOCK_H
#define RULES_CALL_CLOCK_H

#include "rules/state.h"

#define CALL_CLOCK_FIRST 8
#define CALL_CLOCK_ONE_IN 16

struct call_clock {
	unsigned ticks;
	uint64_t cpu;    /* CPU time, ns; 0: not read */
	uint64_t began;  /* monotonic ns; 0: not timed */
	unsigned weight; /* calls that this one stands for */
};

struct call_clock call_clock_begin(struct rule *rule);
/* Seconds when the call took limits.slow_call or more, else 0. */
double call_clock_end(struct rule *rule, struct call_clock began);
/* Counts and logs such a call of `task`. */
void call_clock_report(struct task *task, double seconds);

#endif
