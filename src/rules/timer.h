/* Timers of rules: one heap for the host. A timer fires at the earliest in the turn after the one it was made in. */
#ifndef RULES_TIMER_H
#define RULES_TIMER_H

#include "rules/task.h"

struct order_item;

struct rule_timer {
	struct heap_node due; /* monotonic ns; a delay while its rule loads */
	uint64_t made_turn;   /* it fires in a later turn than it was made in */
	struct list of_rule;
	struct rule *rule;
	struct wait sleep;    /* whom it wakes, where it is waited for */
	struct task *limits;  /* whose wait it ends; NULL: nobody's */
	bool fired;           /* of a sleep: it is over */
	int callback;         /* registry, dropped with it; LUA_NOREF: it ends a wait */
	uint64_t interval;    /* ns; 0: once */
	struct task *last;    /* of an interval: its last tick, while that waits */
	uint32_t chain;       /* without a delay: as that of an emitted event, else 0 */
	bool armed;           /* it stands in the host's heap */
	struct order_item *item; /* it is due and waits for its place in the rule's order; NULL: not */
	uint64_t handle;      /* for the rule; 0: none */
};

/* Calls `callback`. `delay` and `interval` (0: once) in ns. NULL when memory is refused. */
struct rule_timer *rule_timer_add(struct rule *rule, uint64_t delay, uint64_t interval, int callback);
/* The task begins to wait for this time to pass. False when memory is refused. */
bool rule_timer_sleep(struct task *task, uint64_t delay);
/* What the task waits for is given up after this time. False when memory is refused. */
bool rule_timer_limit(struct task *task, uint64_t delay);
/* The end of a sleep, for its continuation. */
void rule_timer_slept(struct wait *sleep);
void rule_timer_cancel(struct rule_timer *timer);
/* Starts the timers that a file made while it was loaded. */
void rule_timer_arm_all(struct rule *rule);
/* Gives those that are due their place in the order of their rules. */
void rule_timer_collect_due(struct host *host, uint64_t now);
/* Its time has come: the task goes on, or the callback is called. */
void rule_timer_fire(struct rule_timer *timer, uint64_t now);

#endif
