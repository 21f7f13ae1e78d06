/* How much of a turn rules and servers may take. */
#include "base/clock.h"
#include "observe/log.h"
#include "rules/order.h"
#include "sandbox/deadline.h"

#define CLOCK_EVERY 64u /* events of a server between two looks at the clock */
#define CHECK_EVERY 16u /* calls of rules between two looks at the clock, while no tick of CPU time comes */

void order_begin_phase(struct host *host, bool turn)
{
	uint64_t used = host->phase_began ? clock_mono_ns() - host->phase_began : 0;
	host->turn_used = turn ? 0 : host->turn_used + used;
	if (turn)
		host->spent = false;
	host->phase++;
	host->phase_began = 0;
}

/* Who had most of the turn is named. */
static void log_spent(struct host *host)
{
	struct rule *rule, *most = NULL;

	if (!host_may_log(host, &host->spent_logged))
		return;
	host_each_rule(rule, host)
		if (rule->turn.turn == host->turn && (!most || rule->turn.used > most->turn.used))
			most = rule;
	log_write(LOG_WARN, "the rules have used up their share of a turn: what is left waits for the next one (limits.turn_rules)",
	          F_TEXT("rule", most ? most->name : NULL), F_NUMBER("seconds", most ? (double)most->turn.used / 1e9 : 0));
}

bool order_is_spent(struct host *host)
{
	unsigned tick = *deadline_ticks();

	if (host->spent || host->limits.turn_rules <= 0)
		return host->spent;
	if (host->phase_began == 0) {
		host->phase_began = clock_mono_ns();
		host->tick_seen = tick;
		return false;
	}
	if (tick == host->tick_seen && ++host->checks % CHECK_EVERY != 0)
		return false;
	host->tick_seen = tick;
	uint64_t used = host->turn_used + clock_mono_ns() - host->phase_began;
	host->spent = used >= clock_from_seconds(host->limits.turn_rules);
	if (host->spent)
		log_spent(host);
	return host->spent;
}

bool order_take_budget(struct host_feed *feed, size_t bytes)
{
	const struct host *host = feed->host;
	const struct rule_limits *limits = &host->limits;

	if (limits->turn_events == 0)
		return true;
	if (feed->phase != host->phase) {
		feed->phase = host->phase;
		feed->events = limits->turn_events;
		feed->bytes = limits->turn_bytes ? limits->turn_bytes : UINT32_MAX;
		feed->until = limits->turn_microseconds ? clock_mono_ns() + limits->turn_microseconds * CLOCK_NS_PER_US : UINT64_MAX;
	}
	if (feed->events == 0 || feed->bytes == 0)
		return false;
	if (--feed->events % CLOCK_EVERY == 0 && clock_mono_ns() >= feed->until)
		feed->events = 0;
	feed->bytes -= bytes < feed->bytes ? (uint32_t)bytes : feed->bytes;
	return true;
}

bool order_take_delivery(struct host_feed *feed)
{
	if (feed->deliveries == 0 || feed->phase != feed->host->phase) {
		feed->deliveries = 0;
		if (!order_take_budget(feed, 0))
			return false;
		feed->deliveries = feed->stream_count;
	}
	feed->deliveries--;
	if (++feed->clock % CLOCK_EVERY == 0 && clock_mono_ns() >= feed->until)
		feed->events = feed->deliveries = 0;
	return true;
}

static void move(struct list *from, struct list *to)
{
	list_each_safe(it, from) {
		list_remove(it);
		list_append(to, it);
	}
}

bool order_serve_list(struct host *host, struct list *list, const struct order_list *kind)
{
	const struct rule *last = NULL; /* only compared: it may be gone */
	struct list now, left, same, added;

	if (list_empty(list))
		return true;
	list_init(&now);
	list_init(&left);
	list_init(&same);
	list_init(&added);
	move(list, &now);
	while (!list_empty(&now)) {
		struct list *node = now.next;
		struct rule *rule = kind->rule(host, node);
		if (!order_is_spent(host) && !(rule && rule_is_spent(rule)) && kind->serve(host, node)) {
			last = rule;
			continue;
		}
		list_remove(node);
		list_append(&left, node);
	}
	move(list, &added); /* by those that were served */
	/* Only now is it known whose comes behind: each rule's own stays in its order. */
	list_each_safe(it, &left) {
		list_remove(it);
		list_append(last && kind->rule(host, it) == last ? &same : list, it);
	}
	move(&same, list);
	move(&added, list);
	return list_empty(list);
}
