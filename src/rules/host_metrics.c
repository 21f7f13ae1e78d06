/* What is counted of rules. */
#include <stdlib.h>

#include "rules/jobs.h"
#include "rules/listener.h"
#include "rules/state.h"
#include "rules/task.h"

#define RULES_MAX 4096u
#define RULE_SERIES (4 * RULES_MAX) /* each rule and what it fails by */

static struct metric *add_metric(struct metrics *metrics, enum metric_type type, const char *name, const char *help,
                                 const char *label, const char *second)
{
	const char *labels[] = { label, second };
	struct err err;
	struct metric *m = metrics_add(metrics, type, name, help, labels, label ? second ? 2 : 1 : 0, NULL, 0, label ? RULE_SERIES : 0, &err);
	if (!m)
		abort(); /* two parts of the engine use one name */
	return m;
}

void host_metrics_add(struct host *h)
{
	static const double call_bounds[] = { 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 1 };
	struct metrics *m = h->metrics;
	struct err err;
	h->m.calls = add_metric(m, METRIC_COUNTER, "hookswitch_rules_calls_total", "Calls of a rule's functions that have ended.", "rule", NULL);
	h->m.errors = add_metric(m, METRIC_COUNTER, "hookswitch_rules_errors_total", "Calls that failed, by kind: error, deadline, memory, killed.", "rule", "kind");
	h->m.seconds = add_metric(m, METRIC_COUNTER, "hookswitch_rules_cpu_seconds_total", "Time that a rule's code ran; in busy turns one call in 16 is timed and stands for all.", "rule", NULL);
	h->m.call_seconds = metrics_add(m, METRIC_HISTOGRAM, "hookswitch_rules_call_seconds", "Time of a rule's calls; in busy turns one in 16 is timed and stands for all.",
	                                (const char *const[]){ "rule" }, 1, call_bounds, sizeof call_bounds / sizeof *call_bounds, RULE_SERIES, &err);
	if (!h->m.call_seconds)
		abort(); /* as in add_metric() */
	h->m.slow = add_metric(m, METRIC_COUNTER, "hookswitch_rules_slow_calls_total", "Calls of a rule that took limits.slow_call or more.", "rule", NULL);
	h->m.quarantined = add_metric(m, METRIC_COUNTER, "hookswitch_rules_quarantined_total", "Times that a rule or one of its listeners was quarantined for failing.", "rule", NULL);
	h->m.timers = add_metric(m, METRIC_GAUGE, "hookswitch_rules_timers", "Timers of a rule.", "rule", NULL);
	h->m.listeners = add_metric(m, METRIC_GAUGE, "hookswitch_rules_listeners", "Listeners of a rule.", "rule", NULL);
	h->m.waiting = add_metric(m, METRIC_GAUGE, "hookswitch_rules_waiting", "Calls of a rule that wait.", "rule", NULL);
	h->m.quarantined_listeners = add_metric(m, METRIC_GAUGE, "hookswitch_rules_quarantined_listeners", "Listeners of a rule in quarantine; all of them while the rule itself is.", "rule", NULL);
	h->m.down = add_metric(m, METRIC_GAUGE, "hookswitch_rules_down", "1 while a rule that was killed or used up its memory waits to begin anew.", "rule", NULL);
	h->m.memory = add_metric(m, METRIC_GAUGE, "hookswitch_rules_memory_bytes", "Lua memory charged to a rule.", "rule", NULL);
	h->m.gap = add_metric(m, METRIC_COUNTER, "hookswitch_rules_events_skipped_total", "Events and ticks not given to a rule: too many waiting calls, an overrun, also of its filters, quarantine, a full subscription.", "rule", NULL);
	h->m.lag = add_metric(m, METRIC_GAUGE, "hookswitch_rules_longest_lag_seconds", "Longest time that an event waited for a rule since it was loaded.", "rule", NULL);
	h->m.denied = add_metric(m, METRIC_COUNTER, "hookswitch_rules_actions_refused_total", "Actions refused before anything was sent, by reason.", "rule", "reason");
	h->m.http_refused = add_metric(m, METRIC_COUNTER, "hookswitch_rules_http_refused_total", "Requests of `http` refused before anything was sent, by reason.", "rule", "reason");
	h->m.answers_dropped = add_metric(m, METRIC_COUNTER, "hookswitch_rules_answers_dropped_total", "Answers that ended as overflow, because a rule had limits.rule_bytes of them that it had not taken.", "rule", NULL);
	h->m.log_dropped = add_metric(m, METRIC_COUNTER, "hookswitch_rules_log_dropped_total", "Log lines of a rule beyond its rate.", "rule", NULL);
	h->m.dropped = metric_series(add_metric(m, METRIC_COUNTER, "hookswitch_engine_events_dropped_total", "Engine events and emitted ones dropped because too many waited.", NULL, NULL), NULL, 0);
	h->m.generation = metric_series(add_metric(m, METRIC_GAUGE, "hookswitch_generation", "Number of times that rules were loaded and taken over.", NULL, NULL), NULL, 0);
	jobs_add_metrics(h);
	h->m.draining = metric_series(add_metric(m, METRIC_GAUGE, "hookswitch_rules_draining", "Replaced rules that finish what they began.", NULL, NULL), NULL, 0);
	metrics_on_collect(m, host_metrics_collect, h);
}

static void set_by_rule(struct metric *m, const struct rule *rule, double value)
{
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(m, &name, 1);
	if (s)
		s->value = value;
}

void host_metrics_begin(struct host *h, const struct rule *rule)
{
	static const enum outcome kinds[] = { OUTCOME_ERROR, OUTCOME_DEADLINE, OUTCOME_MEMORY, OUTCOME_KILLED };
	struct slice labels[2] = { slice_cstr(rule->name) };

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		labels[1] = slice_cstr(outcome_name(kinds[i]));
		metric_series(h->m.errors, labels, 2);
	}
	metric_series(h->m.quarantined, labels, 1);
	metric_series(h->m.gap, labels, 1);
	metric_series(h->m.log_dropped, labels, 1);
	metric_series(h->m.answers_dropped, labels, 1);
	metric_series(h->m.slow, labels, 1);
	metric_series(h->m.call_seconds, labels, 1);
}

void host_metrics_count(struct host *h, struct rule *r)
{
	struct slice name = slice_cstr(r->name);
	struct series *calls = metric_series(h->m.calls, &name, 1), *seconds = metric_series(h->m.seconds, &name, 1);
	if (calls)
		calls->value += (double)(r->counts.calls - r->counts.calls_shown);
	if (seconds)
		seconds->value += r->counts.seconds - r->counts.seconds_shown;
	r->counts.calls_shown = r->counts.calls;
	r->counts.seconds_shown = r->counts.seconds;
}

void host_metrics_collect(void *ctx)
{
	struct host *h = ctx;
	struct rule *r;

	host_each_rule(r, h)
		host_metrics_count(h, r);
	for (size_t i = 0; i < h->rule_count; i++) {
		r = h->rules[i];
		set_by_rule(h->m.timers, r, r->timer_count);
		set_by_rule(h->m.listeners, r, r->listener_count);
		set_by_rule(h->m.waiting, r, r->waiting);
		set_by_rule(h->m.lag, r, r->order.longest_lag);
		set_by_rule(h->m.down, r, r->down);
		set_by_rule(h->m.memory, r, (double)r->arena.used);
		set_by_rule(h->m.quarantined_listeners, r, r->quarantine.active ? r->listener_count : listeners_quarantined(r));
	}
	jobs_collect(h);
	h->m.generation->value = h->last_number;
	h->m.draining->value = 0;
	list_each(it, &h->draining)
		h->m.draining->value++;
}
