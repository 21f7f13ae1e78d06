/* Who may run: how calls ended, shares of a turn, quarantine, and the release of a rule that hoards (P4). */
#include <stdio.h>

#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "rules/listener.h"
#include "rules/state.h"

#define TELL_PAUSE UINT64_C(1000000000)
#define SHORT_CALL UINT64_C(100000) /* ns on average: a rule that takes less holds nobody up */
#define COLLECT_PAUSE UINT64_C(1000000000)

const char *outcome_name(enum outcome outcome)
{
	static const char *const names[] = { "none", "error", "memory", "deadline" };
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
	struct host *host = rule->gen->host;
	const char *label = listener ? listener_label(listener) : "";
	log_write(LOG_ERROR, listener ? "listener quarantined" : "rule quarantined", F_TEXT("rule", rule->name),
	          F_TEXT("listener", listener ? label : NULL), F_TEXT("reason", reason),
	          F_INT("probe_in_seconds", q->backoff / UINT64_C(1000000000)));
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(host->m_quarantined, &name, 1);
	if (s)
		s->value++;
	own_event_queue(host, "script.quarantined", NULL, NULL, NULL,
	                (const struct host_field[]){ { "rule", name }, { "reason", slice_cstr(reason) },
	                                             { "listener", slice_cstr(label) } }, 3);
}

/* Its first call after a quarantine went well: it is told what it has missed (P9). */
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
	own_event_queue(rule->gen->host, "server.gap", NULL, rule, rule->gen,
	                (const struct host_field[]){ { "count", slice_make(count, (size_t)n) }, { "reason", slice_cstr(reason) } }, 2);
}

void rule_count(const struct rule *rule, struct metric *metric, struct series **series)
{
	struct slice name = slice_cstr(rule->name);
	if (!*series)
		*series = metric_series(metric, &name, 1);
	if (*series)
		(*series)->value++;
}

void rule_skips(struct rule *rule, const struct heard *heard, const char *reason)
{
	rule_count(rule, rule->gen->host->m_gap, &rule->s_skipped);
	rule->skipped++;
	if (may_log(rule->gen->host, &rule->gap_logged))
		log_write(LOG_WARN, "event not given to a rule", F_TEXT("rule", rule->name), F_SLICE("event", heard->message->name),
		          F_TEXT("server", heard->server ? heard->server->name : NULL), F_TEXT("reason", reason));
}

static void note_overrun(struct rule *rule, enum outcome outcome, uint64_t now)
{
	const char *reason = outcome_name(outcome);
	bool memory = outcome == OUTCOME_MEMORY;

	/* When all memory is used up, the one that has most of it is to blame, not the one that asks for some more. */
	if (memory && rule->gen->alloc.cap_hit)
		return;
	rule->overrun_turn = rule->gen->host->turn;
	memmove(rule->overruns, rule->overruns + 1, sizeof rule->overruns - sizeof *rule->overruns);
	rule->overruns[OVERRUNS_MAX - 1] = now;
	uint64_t oldest = rule->overruns[0];
	if (!rule->quarantine.active && oldest != 0 && now - oldest <= OVERRUN_WINDOW) {
		memset(rule->overruns, 0, sizeof rule->overruns);
		quarantine_begin(&rule->quarantine, now);
		report_quarantine(rule, NULL, reason, &rule->quarantine);
	} else if (rule->quarantine.active) {
		/* No probe was due: what it began before still hoards, and would collect everything at each of its turns. */
		if (memory && now < rule->quarantine.until)
			rule->release = rule->gen->release = true;
		quarantine_begin(&rule->quarantine, now);
	}
}

static void count_error(struct rule *rule, enum outcome outcome)
{
	struct slice labels[2] = { slice_cstr(rule->name), slice_cstr(outcome_name(outcome)) };
	struct series *s = metric_series(rule->gen->host->m_errors, labels, 2);
	if (s)
		s->value++;
}

bool may_log(struct host *host, uint64_t *told)
{
	uint64_t now = host->ops.now(host->ctx);
	if (*told != 0 && now - *told < TELL_PAUSE)
		return false;
	*told = now;
	return true;
}

/* Whether it was refused memory since the last look. */
static bool take_refusals(struct rule *rule)
{
	uint64_t refused = rule->gen->alloc.owners[rule->owner].refused;
	bool was_refused = refused != rule->refused_seen;
	rule->refused_seen = refused;
	return was_refused;
}

void rule_note_refusals(struct rule *rule)
{
	struct generation *gen = rule->gen;
	if (!gen->host || !take_refusals(rule))
		return;
	count_error(rule, OUTCOME_MEMORY);
	rule->refused++;
	note_overrun(rule, OUTCOME_MEMORY, gen->host->ops.now(gen->host->ctx));
}

struct rule_clock rule_begins(const struct rule *rule)
{
	const struct host *host = rule->gen->host;
	/* Reading the clock costs as much as a short call: only for who has taken long ones. */
	bool closely = host && rule->share_turn == host->turn && rule->share > 0 && rule->share / rule->share_calls >= SHORT_CALL;
	return (struct rule_clock){ .ticks = *deadline_ticks(), .cpu = closely ? deadline_cpu_ns() : 0 };
}

void rule_ends(struct rule *rule, struct rule_clock began)
{
	struct host *host = rule->gen->host;
	unsigned ticks = *deadline_ticks() - began.ticks;
	rule->sampled += ticks;
	if (!host)
		return;
	if (rule->share_turn != host->turn) {
		rule->share = 0;
		rule->share_calls = 0;
	}
	rule->share_turn = host->turn;
	rule->share_calls++;
	if (ticks == 0 && began.cpu == 0)
		return;
	rule->share += began.cpu ? deadline_cpu_ns() - began.cpu : (uint64_t)(ticks * DEADLINE_TICK * 1e9);
	/* Many short calls are a busy turn, not a rule that means harm: those of a thousand servers may come in one. */
	if ((double)rule->share >= rule->gen->limits.deadline * 1e9 && rule->share / rule->share_calls >= SHORT_CALL)
		rule->overrun_turn = host->turn;
}

void rule_filtered(struct rule *rule, unsigned ticks, bool spent)
{
	uint64_t turn = rule->gen->host->turn;
	if (rule->filter_turn != turn)
		rule->filter_ticks = 0;
	rule->filter_turn = turn;
	rule->filter_ticks += ticks;
	rule->sampled += ticks;
	if (spent || rule->filter_ticks * DEADLINE_TICK >= rule->gen->limits.deadline)
		rule->filters_spent_turn = turn;
}

bool rule_filters_spent(const struct rule *rule)
{
	return rule->filters_spent_turn == rule->gen->host->turn;
}

void rule_note(struct rule *rule, struct listener *listener, enum outcome outcome)
{
	struct generation *gen = rule->gen;
	struct host *host = gen->host;
	bool was_refused = take_refusals(rule);

	rule->calls++;
	if (!host || (outcome == OUTCOME_OK && !was_refused && !rule->quarantine.active && !listener))
		return;
	if (was_refused && outcome != OUTCOME_DEADLINE)
		outcome = OUTCOME_MEMORY; /* it failed even if the rule caught it */
	if (outcome != OUTCOME_OK) {
		count_error(rule, outcome);
		rule->errors += outcome == OUTCOME_ERROR;
		rule->deadlines += outcome == OUTCOME_DEADLINE;
		rule->refused += outcome == OUTCOME_MEMORY;
	}
	if (outcome == OUTCOME_DEADLINE || outcome == OUTCOME_MEMORY) {
		note_overrun(rule, outcome, host->ops.now(host->ctx));
	} else if (rule->quarantine.active && host->ops.now(host->ctx) >= rule->quarantine.until) {
		leave_quarantine(rule, &rule->quarantine); /* the probe went well; the end of an older wait proves nothing */
	}
	if (!listener)
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

bool rule_may_run(struct rule *rule)
{
	struct host *host = rule->gen->host;
	if (!host)
		return true;
	if (rule->released || rule->disabled || rule->overrun_turn == host->turn)
		return false;
	return !rule->quarantine.active || host->ops.now(host->ctx) >= rule->quarantine.until;
}

/* ---- release ---- */

/* Its environment and what its file returned go with the last reference. */
static int forget_module(lua_State *L)
{
	struct rule *rule = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->gen->modules);
	lua_pushnil(L);
	lua_setfield(L, -2, rule->file);
	return 0;
}

/* Everything that it holds is dropped, its coroutines without running any more of its code. */
static void release(struct rule *rule)
{
	struct generation *gen = rule->gen;
	struct host *host = gen->host;
	size_t used = gen->alloc.owners[rule->owner].used;

	rule->release = false;
	rule->released = true;
	list_each_safe(it, &rule->tasks)
		task_drop(list_entry(it, struct task, of_rule));
	list_each_safe(it, &rule->timers)
		rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	listeners_cancel_all(rule);
	listeners_sweep(gen);
	list_each(it, &rule->requests)
		request_forget(list_entry(it, struct request, of_rule));
	lua_pushcfunction(gen->L, forget_module);
	lua_pushlightuserdata(gen->L, rule);
	if (lua_pcall(gen->L, 1, 0, 0) != LUA_OK)
		lua_pop(gen->L, 1); /* no memory for the key: it stays known, and empty of listeners */
	gen->collecting = true;
	rule->quarantine.active = true;
	rule->quarantine.until = UINT64_MAX;
	log_write(LOG_ERROR, "rule released: it used up memory; reload to start it again", F_TEXT("rule", rule->name),
	          F_TEXT("reason", "memory"), F_INT("bytes", used));
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(host->m_quarantined, &name, 1);
	if (s)
		s->value++;
	own_event_queue(host, "script.quarantined", NULL, NULL, NULL,
	                (const struct host_field[]){ { "rule", name }, { "reason", SLICE("memory") }, { "listener", SLICE("") } }, 3);
}

/* The generation is full: whoever has most of it goes. */
static void release_largest(struct generation *gen)
{
	struct rule *largest = NULL;
	for (size_t i = 0; i < gen->rule_count; i++) {
		struct rule *rule = gen->rules[i];
		if (rule->released || rule->release)
			continue;
		if (!largest || gen->alloc.owners[rule->owner].used > gen->alloc.owners[largest->owner].used)
			largest = rule;
	}
	if (largest)
		release(largest);
}

static bool nearly_full(const struct generation *gen)
{
	return gen->alloc.used > gen->alloc.cap - gen->alloc.cap / 8;
}

/* One step of a collection; the last one tells when it helped too little. */
static void collect_step(struct generation *gen)
{
	if (!lua_gc(gen->L, LUA_GCSTEP, 0))
		return;
	gen->collecting = false;
	gen->alloc.pressed = false;
	bool full = gen->alloc.used > gen->alloc.cap - gen->alloc.cap / 4;
	if (full && !gen->logged_full)
		log_write(LOG_WARN, "the rules use more than three quarters of their memory (limits.memory)",
		          F_INT("bytes", gen->alloc.used), F_INT("limit", gen->alloc.cap));
	gen->logged_full = full;
	gen->collected = gen->host->ops.now(gen->host->ctx);
	/* Before the cap is reached and a neighbour is refused what it needs. */
	if (nearly_full(gen))
		release_largest(gen);
}

bool generation_relieve(struct generation *gen)
{
	struct host *host = gen->host;
	for (size_t i = 0; gen->release && i < gen->rule_count; i++)
		if (gen->rules[i]->release)
			release(gen->rules[i]);
	gen->release = false;
	if (gen->alloc.cap_hit) {
		gen->alloc.cap_hit = false;
		release_largest(gen);
	}
	/* While much stays in use, a collection a second is enough. */
	if (gen->alloc.pressed && !gen->collecting &&
	    (nearly_full(gen) || host->ops.now(host->ctx) - gen->collected >= COLLECT_PAUSE))
		gen->collecting = true;
	if (gen->collecting)
		collect_step(gen);
	return gen->collecting;
}
