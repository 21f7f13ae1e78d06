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
	struct task *task;    /* whom it wakes; NULL: calls `callback` */
	int callback;         /* registry; dropped with it */
	uint64_t interval;    /* ns; 0: once */
	struct task *last;    /* of an interval: its last tick, while that waits */
	bool armed;           /* it stands in the host's heap */
	struct order_item *item; /* it is due and waits for its place in the rule's order; NULL: not */
	uint64_t handle;      /* for the rule; 0: none */
};

/* `delay` and `interval` (0: once) in ns. It wakes `task`, or calls `callback`. NULL when memory is refused. */
struct rule_timer *rule_timer_add(struct rule *rule, uint64_t delay, uint64_t interval, struct task *task, int callback);
void rule_timer_cancel(struct rule_timer *timer);
/* Starts the timers that a file made while it was loaded. */
void rule_timer_arm_all(struct rule *rule);
/* Gives those that are due their place in the order of their rules. */
void rule_timer_collect_due(struct host *host, uint64_t now);
/* Its time has come: wakes the task or calls the callback. */
void rule_timer_fire(struct rule_timer *timer, uint64_t now);

#endif
