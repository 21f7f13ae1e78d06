#include "rules/timer.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/order.h"
#include "rules/state.h"

#define NO_TIME (CLOCK_NS_PER_S / 1000) /* a delay that is none */

struct rule_timer *rule_timer_add(struct rule *rule, uint64_t delay, uint64_t interval, int callback)
{
	struct host *host = rule->host;
	if (!rule_charge(rule, sizeof(struct rule_timer)))
		return NULL;
	struct rule_timer *t = mem_zalloc(sizeof *t);
	t->rule = rule;
	t->callback = callback;
	t->interval = interval;
	list_append(&rule->timers, &t->of_rule);
	rule->timer_count += callback != LUA_NOREF;
	t->due.key = delay;
	if (host) { /* while loading it keeps its delay until its rule is live */
		uint64_t now = host->ops.now(host->ctx);
		t->due.key = delay < UINT64_MAX - now ? now + delay : UINT64_MAX; /* a wait for ever has a deadline too */
		t->made_turn = host->turn;
		t->chain = delay < NO_TIME ? host->chain + 1 : 0;
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
	return t;
}

void rule_timer_arm_all(struct rule *rule)
{
	struct host *host = rule->host;
	uint64_t now = host->ops.now(host->ctx);
	list_each(it, &rule->timers) {
		struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
		if (t->armed)
			continue;
		t->due.key = t->due.key < UINT64_MAX - now ? t->due.key + now : UINT64_MAX;
		t->made_turn = host->turn;
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
}

static void drop_callback(struct rule *rule, int callback)
{
	if (callback != LUA_NOREF && !rule->closing)
		luaL_unref(rule->L, LUA_REGISTRYINDEX, callback);
}

void rule_timer_cancel(struct rule_timer *t)
{
	struct rule *rule = t->rule;
	if (t->armed)
		heap_remove(&rule->host->timers, &t->due);
	order_remove_timer(t);
	handle_remove(&rule->handles, t->handle);
	wait_end(&t->sleep);
	if (t->limits)
		t->limits->limit = NULL;
	if (t->last)
		t->last->tick_of = NULL;
	rule->timer_count -= t->callback != LUA_NOREF;
	drop_callback(rule, t->callback);
	list_remove(&t->of_rule);
	rule_credit(rule, sizeof *t);
	free(t);
}

/* ---- waiting ---- */

static bool sleep_is_over(const struct wait *wait)
{
	return wait_entry_const(wait, struct rule_timer, sleep)->fired;
}

static void cancel_sleep(struct wait *wait)
{
	rule_timer_cancel(wait_entry(wait, struct rule_timer, sleep));
}

static void describe_sleep(const struct wait *wait, struct buf *out)
{
	const struct rule_timer *t = wait_entry_const(wait, struct rule_timer, sleep);
	uint64_t now = rule_now(t->rule);
	buf_printf(out, "timer.sleep, for another %.1f s", t->armed && t->due.key > now ? (double)(t->due.key - now) / 1e9 : 0);
}

static const struct wait_kind sleep_kind = { sleep_is_over, cancel_sleep, describe_sleep };

bool rule_timer_sleep(struct task *task, uint64_t delay)
{
	struct rule_timer *t = rule_timer_add(task->rule, delay, 0, LUA_NOREF);
	if (t)
		wait_begin(&t->sleep, &sleep_kind, task);
	return t != NULL;
}

void rule_timer_slept(struct wait *sleep)
{
	rule_timer_cancel(wait_entry(sleep, struct rule_timer, sleep));
}

bool rule_timer_limit(struct task *task, uint64_t delay)
{
	struct rule_timer *t = rule_timer_add(task->rule, delay, 0, LUA_NOREF);
	if (t)
		t->limits = task;
	task->limit = t;
	return t != NULL;
}

/* ---- firing ---- */

static int push_callback(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	lua_rawgeti(co, LUA_REGISTRYINDEX, *(int *)arg);
	return 0;
}

static void arm_again(struct rule_timer *t, uint64_t now)
{
	struct host *host = t->rule->host;
	t->due.key += t->interval;
	if (t->due.key <= now) /* late: no burst of missed ticks */
		t->due.key = now + t->interval;
	t->made_turn = host->turn;
	t->armed = true;
	heap_push(&host->timers, &t->due);
}

void rule_timer_fire(struct rule_timer *t, uint64_t now)
{
	struct rule *rule = t->rule;
	if (t->sleep.task) {
		t->fired = true;
		task_resume(t->sleep.task);
		return;
	}
	if (t->limits) {
		struct task *task = t->limits;
		task->limit_passed = true;
		rule_timer_cancel(t);
		task_resume(task);
		return;
	}
	int callback = t->callback;
	bool once = t->interval == 0, skip = !once && (t->last || !rule_may_run(rule));
	struct task *task = NULL;
	if (!skip && rule->waiting < rule->limits.waiting)
		task = task_take(rule, "timer");
	if (once) {
		t->callback = LUA_NOREF; /* dropped below, after the call */
		rule->timer_count--;
		rule_timer_cancel(t);
		t = NULL;
	} else {
		arm_again(t, now);
		if (task) {
			t->last = task;
			task->tick_of = t;
		}
	}
	if (task)
		task_start(task, push_callback, &callback);
	if (once)
		drop_callback(rule, callback);
	if (!task && !skip) {
		rule_count_skipped(rule, 1);
		log_write(LOG_WARN, "timer not run: too many calls of the rule wait", F_TEXT("rule", rule->name), F_TEXT("reason", "waiting"));
	}
}

void rule_timer_collect_due(struct host *host, uint64_t now)
{
	struct list later;
	struct heap_node *top;
	list_init(&later);
	while ((top = heap_top(&host->timers)) && top->key <= now) {
		struct rule_timer *t = heap_entry(top, struct rule_timer, due);
		heap_remove(&host->timers, &t->due);
		t->armed = false;
		/* A wait that ends is not a new call: it goes on even in quarantine. A callback is asked for again a little later. */
		bool quarantined = t->callback != LUA_NOREF && t->interval == 0 && !rule_is_spent(t->rule) && !rule_may_run(t->rule);
		if (t->made_turn != host->turn && !quarantined) {
			order_add_timer(t->rule, t);
			continue;
		}
		t->due.key = quarantined ? now + CLOCK_NS_PER_S / 10 : now;
		list_remove(&t->of_rule);
		list_append(&later, &t->of_rule);
	}
	list_each_safe(it, &later) {
		struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
		list_remove(&t->of_rule);
		list_append(&t->rule->timers, &t->of_rule);
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
}
