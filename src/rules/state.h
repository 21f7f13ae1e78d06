/* What the host's files share, and nobody outside of rules/ sees. */
#ifndef RULES_STATE_H
#define RULES_STATE_H

#include "ami/frame_log.h"
#include "base/heap.h"
#include "base/list.h"
#include "rules/listener.h"
#include "rules/rule.h"

struct jobs;

struct host_metrics {
	struct metric *calls, *errors, *seconds, *quarantined, *timers, *memory, *gap, *denied, *listeners, *waiting, *log_dropped, *answers_dropped,
		*quarantined_listeners, *call_seconds, *slow, *lag, *down, *http_refused;
	struct series *dropped, *generation, *draining;
};

struct picture;

struct host {
	struct rule_limits limits;
	struct host_ops ops;
	void *ctx;
	struct metrics *metrics;
	struct arena_budget budget; /* limits.memory: of all rules, those that load and those that are being freed too */
	struct store *store;
	struct picture *picture;
	struct jobs *jobs;
	struct scratch scratch;
	bool scratch_ready;
	struct rule **rules;  /* owned; by name */
	size_t rule_count;
	struct list draining; /* struct rule.in_host */
	unsigned last_number; /* of adoptions */
	double since;         /* epoch seconds of the last one */
	uint64_t turn;        /* counts host_turn() calls */
	struct listener_table listeners;
	struct heap timers;   /* struct rule_timer.due */
	struct list wakes;    /* tasks to resume in the next turn */
	struct list hooks;      /* struct hook.in_host: endpoints that take requests */
	struct list hook_calls; /* struct hook_call.in_host: requests that wait for the next turn */
	uint64_t hook_number;
	struct list http_answers; /* struct http_call.answered */
	struct list events;   /* struct own_event: the engine's, on their way to the rules */
	uint32_t event_count; /* without changes of the picture, of which there are: */
	uint32_t change_count;
	size_t change_bytes;
	uint64_t dropped_logged, spent_logged, skip_logged; /* see host_may_log() */
	struct list feeds;    /* struct host_feed.in_host */
	struct list behind;   /* struct rule.order.behind: who lags, the next one to be served first */
	uint32_t behind_count;
	const struct rule *last_served; /* only compared */
	struct heap late;     /* answers that wait, by their deadline */
	uint64_t stamp;       /* of the last arrival */
	uint64_t phase;       /* counts halves of turns */
	uint64_t phase_began; /* monotonic ns of the first call of a rule in it; 0: none yet */
	uint64_t turn_used;   /* ns that rules had in the other half */
	unsigned tick_seen, checks;
	bool spent;           /* the rules' share of this turn is used up */
	unsigned first_kind;  /* of work, that this turn begins with */
	bool deaths;          /* some rule is `dead` and stands there still */
	uint32_t chain;       /* of what a rule is given now, see struct own_event; 0: something else calls it */
	uint64_t arrived;     /* events of servers so far */
	bool gaps;            /* some rule has missed events and has not heard of it */
	struct host_metrics m;
};

/* At most once a second: what may happen a thousand times in a turn must not fill the log's queue, where others stand. */
bool host_may_log(struct host *host, uint64_t *logged);

/* host.c */
/* Adopts a rule that a reload with that number brought, or brought first. */
void host_make_live(struct host *host, struct rule *rule, unsigned number);
/* Queues what a rule that was loaded hears first. `reason` may be empty. */
void host_greet(struct host *host, struct rule *rule, struct slice reason);
/* Ends a rule without running any of its code. */
void host_part_with(struct host *host, struct rule *rule);
/* Ends the rules that drain and are over their time, or have nothing left to do. Returns when the next one is over. */
uint64_t host_end_drains(struct host *host, uint64_t now);

/* host_metrics.c */
void host_metrics_add(struct host *host);
/* Failures stand at 0 before the first one: an alert on an increase does not see a series that begins at 1. */
void host_metrics_begin(struct host *host, const struct rule *rule);
/* Counters go on over a reload: each state of a rule adds what is new since the last time. */
void host_metrics_count(struct host *host, struct rule *rule);
/* Brings all of them up to date; `host` as a metrics_collect_fn has it. */
void host_metrics_collect(void *host);

/* Visits the rules that run and then those that drain: `for (size_t i = 0; (rule = host_each(host, &i, &rule)); )`. A rule may be
 * taken out while it is visited. */
#define host_each_rule(rule, host) \
	for (size_t host_i_ = 0; host_i_ == 0; host_i_ = 1) \
		for (struct host_walk host_w_ = { 0 }; ((rule) = host_walk_next((host), &host_w_));)
struct host_walk {
	size_t index;
	struct list *next;
};
struct rule *host_walk_next(const struct host *host, struct host_walk *walk);

#endif
