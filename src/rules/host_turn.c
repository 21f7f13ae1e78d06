/* A turn of the host: all that waits for rules has its share of it. */
#include "persist/persist.h"
#include "rules/hooks.h"
#include "rules/http_call.h"
#include "rules/jobs.h"
#include "rules/order.h"
#include "rules/own_event.h"
#include "rules/picture_internal.h"
#include "rules/revive.h"
#include "rules/state.h"
#include "rules/task.h"
#include "rules/timer.h"

#define SWEEP_MAX 1000u /* expired store entries removed in one turn */
#define WORTH_COLLECTING ((size_t)1024 * 1024)

static struct rule *rule_of_task(const struct host *host, struct list *node)
{
	(void)host;
	return list_entry(node, struct task, in_queue)->rule;
}

static bool resume(struct host *host, struct list *node)
{
	(void)host;
	task_resume(list_entry(node, struct task, in_queue));
	return true;
}

static void report_gaps(struct host *host)
{
	host->gaps = false;
	for (size_t i = 0; i < host->rule_count; i++) {
		struct rule *rule = host->rules[i];
		if (rule->gap == 0 || rule->dead) /* one that begins anew hears it then */
			continue;
		if (rule->waiting < rule->limits.waiting && !rule->quarantine.active && !rule_is_spent(rule))
			rule_report_gap(rule, rule->gap_reason ? rule->gap_reason : "not started");
		else
			host->gaps = true;
	}
}

/* Garbage of one rule must not take what another one needs. */
static bool is_tight(const struct arena_budget *b)
{
	return b->limit && atomic_load_explicit(&b->used, memory_order_relaxed) > b->limit - b->limit / 4;
}

/* ---- the kinds of work that call rules; each returns when it is to be asked again, 0: in the next turn ---- */

static uint64_t serve_wakes(struct host *host, uint64_t now)
{
	(void)now;
	return order_serve_list(host, &host->wakes, &(const struct order_list){ rule_of_task, resume }) ? UINT64_MAX : 0;
}

static uint64_t serve_answers(struct host *host, uint64_t now)
{
	(void)now;
	return http_calls_deliver(host) ? UINT64_MAX : 0;
}

static uint64_t serve_hooks(struct host *host, uint64_t now)
{
	(void)now;
	return hooks_turn(host) ? UINT64_MAX : 0;
}

static uint64_t serve_pushes(struct host *host, uint64_t now)
{
	(void)now;
	return job_pushes_deliver(host) ? UINT64_MAX : 0;
}

static uint64_t serve_order(struct host *host, uint64_t now)
{
	rule_timer_collect_due(host, now);
	own_event_deliver_all(host);
	order_serve(host);
	return order_waits(host) ? 0 : UINT64_MAX;
}

/* A turn in which the rules' share is used up before all were asked is followed by one that begins with the next kind: else one
 * kind of work could keep rules waiting for ever that have work of another one. */
static uint64_t serve_all(struct host *host, uint64_t now)
{
	static uint64_t (*const kinds[])(struct host *, uint64_t) = { serve_wakes, serve_answers, serve_hooks, serve_pushes, jobs_turn,
	                                                                    serve_order };
	const unsigned count = sizeof kinds / sizeof *kinds, first = host->first_kind;
	uint64_t next = UINT64_MAX;

	host->first_kind = 0;
	for (unsigned n = 0; n < count; n++) {
		unsigned kind = (first + n) % count;
		bool spent = host->spent;
		uint64_t when = kinds[kind](host, now);
		if (when < next)
			next = when;
		if (!spent && order_is_spent(host))
			host->first_kind = (kind + 1) % count;
	}
	return next;
}

uint64_t host_turn(struct host *host)
{
	uint64_t now = host->ops.now(host->ctx);
	struct rule *rule;
	bool more = false, tight = is_tight(&host->budget);

	host->turn++;
	if (store_disk(host->store))
		persist_poll(store_disk(host->store), now);
	order_begin_phase(host, true);
	uint64_t picture = picture_turn(host->picture);
	order_overtake(host, now);
	uint64_t work = serve_all(host, now);
	if (host->gaps)
		report_gaps(host);
	order_begin_phase(host, false);
	/* Subscriptions that ended without an event of their names coming by are freed here. */
	listeners_sweep(host);
	host_each_rule(rule, host)
		more |= !rule->dead && (rule->pressed || (tight && rule->arena.used >= WORTH_COLLECTING)) && rule_relieve(rule);
	uint64_t next = host_end_drains(host, now), revival = revive_turn(host, now);
	if (revival < next)
		next = revival;
	if (picture < next)
		next = picture;
	if (work < next)
		next = work;
	uint64_t expiry = store_next_expiry(host->store);
	if (expiry <= now)
		store_sweep(host->store, now, SWEEP_MAX);
	expiry = store_next_expiry(host->store);
	if (store_disk(host->store)) {
		uint64_t disk = persist_next(store_disk(host->store));
		if (disk < expiry)
			expiry = disk;
	}
	if (more || !list_empty(&host->wakes) || !list_empty(&host->events) || order_waits(host) || jobs_changed(host))
		return 0;
	if (order_next_late(host) < next)
		next = order_next_late(host);
	const struct heap_node *timer = heap_top(&host->timers);
	if (timer && timer->key < next)
		next = timer->key;
	return expiry < next ? expiry : next;
}
