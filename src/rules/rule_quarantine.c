/* Who may run: how calls ended, shares of a turn, quarantine (P4). */
#include <stdio.h>

#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "rules/listener.h"
#include "rules/own_event.h"
#include "rules/revive.h"
#include "rules/state.h"

#define PROBE_FIRST (30 * UINT64_C(1000000000))
#define PROBE_MAX (3600 * UINT64_C(1000000000))
#define OVERRUN_WINDOW (10 * UINT64_C(1000000000))
#define COLLECT_PAUSE UINT64_C(1000000000)

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = { "none", "error", "memory", "deadline", "killed" };
	return names[outcome];
}

static void quarantine_begin(struct quarantine *q, uint64_t now)
{
	q->backoff = q->backoff == 0 ? PROBE_FIRST : q->backoff * 2 > PROBE_MAX ? PROBE_MAX : q->backoff * 2;
	q->until = now + q->backoff;
	q->active = true;
}

static void report_quarantine(struct rule *rule, struct listener *listener, const char *reason, const struct quarantine *q)
{
	struct host *host = rule->host;
	const char *label = listener ? listener_label(listener) : "";
	log_write(LOG_ERROR, listener ? "listener quarantined" : "rule quarantined", F_TEXT("rule", rule->name),
	          F_TEXT("listener", listener ? label : NULL), F_TEXT("reason", reason),
	          F_INT("probe_in_seconds", q->backoff / UINT64_C(1000000000)));
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(host->m.quarantined, &name, 1);
	if (s)
		s->value++;
	own_event_queue(host, "script.quarantined", NULL, NULL,
	                (const struct host_field[]){ { "rule", name }, { "reason", slice_cstr(reason) },
	                                             { "listener", slice_cstr(label) } }, 3);
}

/* Its first call after a quarantine went well: it hears what it has missed (P9). */
static void leave_quarantine(struct rule *rule, struct quarantine *q)
{
	*q = (struct quarantine){ .active = false };
	log_write(LOG_INFO, "rule left quarantine", F_TEXT("rule", rule->name));
	rule_report_gap(rule, "quarantine");
}

void rule_report_gap(struct rule *rule, const char *reason)
{
	char count[16];
	int n = snprintf(count, sizeof count, "%u", rule->gap);
	rule->gap = 0;
	rule->gap_reason = NULL;
	own_event_queue(rule->host, "server.gap", NULL, rule,
	                (const struct host_field[]){ { "count", slice_make(count, (size_t)n) }, { "reason", slice_cstr(reason) } }, 2);
}

void rule_count(const struct rule *rule, struct metric *metric, struct series **series, uint64_t n)
{
	struct slice name = slice_cstr(rule->name);
	if (!*series)
		*series = metric_series(metric, &name, 1);
	if (*series)
		(*series)->value += (double)n;
}

void rule_count_skipped(struct rule *rule, uint64_t n)
{
	rule->counts.skipped += n;
	rule_count(rule, rule->host->m.gap, &rule->counts.s_skipped, n);
}

void rule_skips(struct rule *rule, const struct heard *heard, const char *reason)
{
	rule_count_skipped(rule, 1);
	if (host_may_log(rule->host, &rule->counts.gap_logged))
		log_write(LOG_WARN, "event not given to a rule", F_TEXT("rule", rule->name), F_SLICE("event", heard->message->name),
		          F_TEXT("server", heard->server ? heard->server->name : NULL), F_TEXT("reason", reason));
}

void rule_loses(struct rule *rule, uint64_t count, const char *reason)
{
	rule_count_skipped(rule, count);
	if (host_may_log(rule->host, &rule->counts.gap_logged))
		log_write(LOG_WARN, "events that waited for a rule were not given to it", F_TEXT("rule", rule->name), F_INT("count", count),
		          F_TEXT("reason", reason));
}

static void note_overrun(struct rule *rule, enum outcome outcome, uint64_t now)
{
	const char *reason = outcome_name(outcome);

	if (rule->dead)
		return;
	rule->turn.overrun = rule->host->turn;
	memmove(rule->overruns, rule->overruns + 1, sizeof rule->overruns - sizeof *rule->overruns);
	rule->overruns[OVERRUNS_MAX - 1] = now;
	uint64_t oldest = rule->overruns[0];
	if (!rule->quarantine.active && oldest != 0 && now - oldest <= OVERRUN_WINDOW) {
		memset(rule->overruns, 0, sizeof rule->overruns);
		if (outcome == OUTCOME_MEMORY) { /* what it holds serves nobody: its state is given back */
			revive_give_up(rule, "memory");
			return;
		}
		quarantine_begin(&rule->quarantine, now);
		report_quarantine(rule, NULL, reason, &rule->quarantine);
	} else if (rule->quarantine.active) {
		quarantine_begin(&rule->quarantine, now);
	}
}

static void count_error(struct rule *rule, enum outcome outcome)
{
	struct slice labels[2] = { slice_cstr(rule->name), slice_cstr(outcome_name(outcome)) };
	struct series *s = metric_series(rule->host->m.errors, labels, 2);
	if (s)
		s->value++;
}

/* Whether it was refused memory since the last look. */
static bool take_refusals(struct rule *rule)
{
	uint64_t refused = rule->arena.refused;
	bool was_refused = refused != rule->counts.refused_seen;
	rule->counts.refused_seen = refused;
	return was_refused;
}

void rule_note_refusals(struct rule *rule)
{
	if (!rule->host || !take_refusals(rule))
		return;
	count_error(rule, OUTCOME_MEMORY);
	rule->counts.refused++;
	note_overrun(rule, OUTCOME_MEMORY, rule->host->ops.now(rule->host->ctx));
}

void rule_filtered(struct rule *rule, unsigned ticks, bool spent)
{
	uint64_t turn = rule->host->turn;
	if (rule->turn.filter_turn != turn)
		rule->turn.filter_ticks = 0;
	rule->turn.filter_turn = turn;
	rule->turn.filter_ticks += ticks;
	rule->counts.seconds += ticks * DEADLINE_TICK;
	if (spent || rule->turn.filter_ticks * DEADLINE_TICK >= rule->limits.deadline)
		rule->turn.filters_spent = turn;
}

bool rule_filters_spent(const struct rule *rule)
{
	return rule->turn.filters_spent == rule->host->turn;
}

void rule_note(struct rule *rule, struct listener *listener, enum outcome outcome)
{
	struct host *host = rule->host;
	bool was_refused = take_refusals(rule);

	rule->counts.calls++;
	if (!host || (outcome == OUTCOME_OK && !was_refused && !rule->quarantine.active && !listener))
		return;
	if (was_refused && outcome != OUTCOME_DEADLINE)
		outcome = OUTCOME_MEMORY; /* it failed even if the rule caught it */
	if (outcome != OUTCOME_OK) {
		count_error(rule, outcome);
		rule->counts.errors += outcome == OUTCOME_ERROR;
		rule->counts.deadlines += outcome == OUTCOME_DEADLINE;
		rule->counts.refused += outcome == OUTCOME_MEMORY;
	}
	if (outcome == OUTCOME_DEADLINE || outcome == OUTCOME_MEMORY) {
		note_overrun(rule, outcome, host->ops.now(host->ctx));
	} else if (rule->quarantine.active && host->ops.now(host->ctx) >= rule->quarantine.until) {
		leave_quarantine(rule, &rule->quarantine); /* the probe went well; the end of an older wait proves nothing */
	}
	if (!listener || outcome == OUTCOME_KILLED)
		return;
	struct quarantine *q = listener_quarantine(listener);
	if (listener_note(listener, outcome != OUTCOME_OK)) {
		bool first = !q->active;
		quarantine_begin(q, host->ops.now(host->ctx));
		if (first)
			report_quarantine(rule, listener, "errors", q);
	} else if (q->active && outcome == OUTCOME_OK && host->ops.now(host->ctx) >= q->until) {
		leave_quarantine(rule, q);
	}
}

bool rule_is_spent(const struct rule *rule)
{
	return rule->host && rule->turn.overrun == rule->host->turn;
}

bool rule_may_run(const struct rule *rule)
{
	const struct host *host = rule->host;
	if (!host)
		return true;
	if (rule->disabled || rule->dead || rule->turn.overrun == host->turn)
		return false;
	return !rule->quarantine.active || host->ops.now(host->ctx) >= rule->quarantine.until;
}

/* ---- memory ---- */

bool rule_relieve(struct rule *rule)
{
	uint64_t now = rule_now(rule);
	/* While much stays in use, a collection a second is enough. */
	if (!rule->collecting && now - rule->collected >= COLLECT_PAUSE)
		rule->collecting = true;
	if (rule->collecting && lua_gc(rule->L, LUA_GCSTEP, 0)) {
		rule->collecting = false;
		rule->pressed = false;
		arena_trim(&rule->arena);
		rule->collected = now;
	}
	return rule->collecting;
}

bool rule_take_token(struct token_bucket *bucket, uint32_t rate, uint64_t now)
{
	if (rate == 0)
		return true;
	if (bucket->filled == 0)
		bucket->tokens = rate; /* one second's worth at first */
	else
		bucket->tokens += (double)(now - bucket->filled) / 1e9 * rate;
	bucket->filled = now;
	if (bucket->tokens > rate)
		bucket->tokens = rate;
	if (bucket->tokens < 1)
		return false;
	bucket->tokens -= 1;
	return true;
}
