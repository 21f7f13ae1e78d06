#include "rules/revive.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/order.h"
#include "rules/own_event.h"
#include "rules/state.h"

#define PAUSE_FIRST (30 * CLOCK_NS_PER_S)
#define PAUSE_MAX (3600 * CLOCK_NS_PER_S)
#define RAN_WELL (3600 * CLOCK_NS_PER_S) /* after it, the first pause is short again */

void revive_give_up(struct rule *rule, const char *reason)
{
	rule->dead = rule->closing = true;
	rule->revival.reason = reason;
	if (rule->host)
		rule->host->deaths = true;
}

/* ---- going down ---- */

static void lengthen(struct revival *revival, uint64_t now)
{
	if (revival->pause == 0)
		revival->pause = PAUSE_FIRST;
	else
		revival->pause = revival->pause < PAUSE_MAX / 2 ? revival->pause * 2 : PAUSE_MAX;
	revival->at = now + revival->pause;
}

static void report(struct rule *rule)
{
	struct host *host = rule->host;
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(host->m.quarantined, &name, 1);

	if (s)
		s->value++;
	log_write(LOG_ERROR, "rule quarantined", F_TEXT("rule", rule->name), F_TEXT("reason", rule->revival.reason),
	          F_INT("begins_anew_in_seconds", rule->revival.pause / CLOCK_NS_PER_S));
	own_event_queue(host, "script.quarantined", NULL, NULL,
	                (const struct host_field[]){ { "rule", name }, { "reason", slice_cstr(rule->revival.reason) }, { "listener", SLICE("") } }, 3);
}

static void put_down(struct host *host, size_t index, uint64_t now)
{
	struct rule *rule = host->rules[index];

	rule->gap += (uint32_t)order_lose(rule, rule->revival.reason);
	struct rule *place = rule_create_down(rule);
	if (now - rule->began >= RAN_WELL)
		place->revival.pause = 0;
	lengthen(&place->revival, now);
	place->revival.arrived = host->arrived;
	/* host_part_with() shows them. */
	place->counts.calls_shown = rule->counts.calls;
	place->counts.seconds_shown = rule->counts.seconds;
	host->rules[index] = place;
	report(place);
	host_part_with(host, rule);
}

static void put_down_all(struct host *host, uint64_t now)
{
	host->deaths = false;
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i]->dead && host->rules[i]->L)
			put_down(host, i, now);
	/* One that drains has a successor already. */
	list_each_safe(it, &host->draining) {
		struct rule *rule = list_entry(it, struct rule, in_host);
		if (rule->dead && rule->L) {
			order_lose(rule, rule->revival.reason);
			host_part_with(host, rule);
		}
	}
}

/* ---- coming back ---- */

uint64_t revive_turn(struct host *host, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (host->deaths)
		put_down_all(host, now);
	for (size_t i = 0; i < host->rule_count; i++) {
		struct rule *rule = host->rules[i];
		struct revival *revival = &rule->revival;
		if (!rule->down || revival->under_way || !host->ops.restart)
			continue;
		if (revival->at <= now) {
			revival->under_way = true;
			host->ops.restart(host->ctx, rule->source); /* may have been done when it returns */
			revival = &host->rules[i]->revival;
		}
		if (host->rules[i]->down && !revival->under_way && revival->at < next)
			next = revival->at;
	}
	return next;
}

/* What came while it was down, and what it had missed before, is missed by the rule that takes its place. */
static void inherit_gap(struct host *host, struct rule *rule, const struct rule *place)
{
	uint64_t missed = host->arrived - place->revival.arrived;

	rule_count_skipped(rule, missed);
	missed += place->gap;
	rule->gap = missed < UINT32_MAX ? (uint32_t)missed : UINT32_MAX;
	if (missed == 0)
		return;
	rule->gap_reason = place->revival.reason;
	host->gaps = true;
}

void revive_replaced(struct host *host, struct rule *rule, const struct rule *before)
{
	if (before->down)
		inherit_gap(host, rule, before);
}

static struct rule **find_place(struct host *host, const struct rule_source *source)
{
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i]->down && host->rules[i]->revival.under_way && host->rules[i]->source == source)
			return &host->rules[i];
	return NULL;
}

void host_adopt_again(struct host *host, struct rule_source *source, struct rule *rule)
{
	struct rule **place = find_place(host, source);
	struct rule *before = place ? *place : NULL;

	if (!before) { /* it was loaded or removed by a reload meanwhile */
		if (rule)
			host->ops.retire(host->ctx, rule);
		return;
	}
	before->revival.under_way = false;
	if (!rule) {
		lengthen(&before->revival, host->ops.now(host->ctx));
		log_write(LOG_ERROR, "a rule could not begin anew", F_TEXT("rule", before->name),
		          F_INT("begins_anew_in_seconds", before->revival.pause / CLOCK_NS_PER_S));
		return;
	}
	rule->revival = (struct revival){ .pause = before->revival.pause, .reason = before->revival.reason };
	rule->counts = before->counts;
	rule->counts.refused_seen = 0;
	rule->disabled = before->disabled;
	rule->missed = before->missed;
	rule->last_error = before->last_error;
	before->last_error = NULL;
	rule->change = HOST_RULE_RESTARTED;
	*place = rule;
	host_make_live(host, rule, before->number);
	log_write(LOG_INFO, "rule began anew", F_TEXT("rule", rule->name), F_TEXT("reason", rule->revival.reason));
	host_greet(host, rule, slice_cstr(rule->revival.reason));
	inherit_gap(host, rule, before);
	rule_destroy(&before);
	if (host->ops.wants)
		host->ops.wants(host->ctx);
}
