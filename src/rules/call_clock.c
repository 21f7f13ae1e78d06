#include "rules/call_clock.h"

#include "base/clock.h"
#include "observe/log.h"
#include "rules/listener.h"
#include "rules/task.h"
#include "sandbox/deadline.h"

#define SHORT_CALL UINT64_C(100000) /* ns on average: a rule that takes less holds nobody up */

/* One of CALL_CLOCK_ONE_IN: fixed steps could follow a pattern of the events. */
static bool draw(struct rule *rule)
{
	rule->turn.lottery = rule->turn.lottery * UINT32_C(1664525) + UINT32_C(1013904223);
	return (rule->turn.lottery >> 16) % CALL_CLOCK_ONE_IN == 0;
}

struct call_clock call_clock_begin(struct rule *rule)
{
	const struct host *host = rule->host;
	struct call_clock clock = { .ticks = *deadline_ticks() };

	if (!host)
		return clock;
	bool same_turn = rule->turn.turn == host->turn;
	/* Its share of the turn is measured closely only for who has taken long calls. */
	if (same_turn && rule->turn.used > 0 && rule->turn.used / rule->turn.calls >= SHORT_CALL)
		clock.cpu = deadline_cpu_ns();
	if (!same_turn || rule->turn.calls < CALL_CLOCK_FIRST)
		clock.weight = 1;
	else if (draw(rule))
		clock.weight = CALL_CLOCK_ONE_IN;
	if (clock.weight > 0)
		clock.began = clock_mono_ns();
	return clock;
}

static void note_turn(struct rule *rule, const struct call_clock *began, unsigned ticks)
{
	const struct host *host = rule->host;

	if (rule->turn.turn != host->turn) {
		rule->turn.used = 0;
		rule->turn.calls = 0;
	}
	rule->turn.turn = host->turn;
	rule->turn.calls++;
	if (ticks == 0 && began->cpu == 0)
		return;
	rule->turn.used += began->cpu ? deadline_cpu_ns() - began->cpu : (uint64_t)(ticks * DEADLINE_TICK * 1e9);
	double over = (double)rule->turn.used / 1e9 - rule->limits.deadline, share = host->limits.turn_rules;
	/* Many short calls are a busy turn, not a rule that means harm: those of a thousand servers may come in one. Only those of one
	 * event, or of the rule's end, go on when the rules' share is used up. In a test or a replay there is none. */
	if (over >= 0 && (rule->turn.used / rule->turn.calls >= SHORT_CALL || (share > 0 && over >= share)))
		rule->turn.overrun = host->turn;
}

static void observe(struct rule *rule, double seconds, unsigned weight)
{
	struct slice name = slice_cstr(rule->name);

	rule->counts.seconds += seconds * weight;
	if (!rule->counts.s_call_seconds)
		rule->counts.s_call_seconds = metric_series(rule->host->m.call_seconds, &name, 1);
	if (rule->counts.s_call_seconds)
		series_observe_times(rule->counts.s_call_seconds, seconds, weight);
}

double call_clock_end(struct rule *rule, struct call_clock began)
{
	unsigned ticks = *deadline_ticks() - began.ticks;

	if (!rule->host)
		return 0;
	note_turn(rule, &began, ticks);
	/* Two ticks or more: a long call, whose time is known without a clock, and which stands for itself alone. */
	if (began.weight == 0 && ticks < 2)
		return 0;
	double least = ticks * DEADLINE_TICK, seconds = least;
	if (began.weight > 0) {
		seconds = (double)(clock_mono_ns() - began.began) / 1e9;
		if (seconds > least + DEADLINE_TICK)
			seconds = least + DEADLINE_TICK;
	}
	observe(rule, seconds, ticks < 2 ? began.weight : 1);
	return rule->limits.slow_call > 0 && seconds >= rule->limits.slow_call ? seconds : 0;
}

void call_clock_report(struct task *task, double seconds)
{
	struct rule *rule = task->rule;

	rule_count(rule, rule->host->m.slow, &rule->counts.s_slow, 1);
	/* One that is ended for its time has a record of its own. */
	if (task->outcome == OUTCOME_DEADLINE || !host_may_log(rule->host, &rule->counts.slow_logged))
		return;
	log_write(LOG_WARN, "a slow call", F_TEXT("rule", rule->name), F_TEXT("in", task->what),
	          F_TEXT("listener", task->listener ? listener_label(task->listener) : NULL),
	          F_TEXT(task_event_name(task), task->event[0] ? task->event : NULL),
	          F_TEXT("server", task->server[0] ? task->server : NULL), F_NUMBER("seconds", seconds),
	          F_NUMBER("limit", rule->limits.slow_call));
}
