/* `timer` for rules. One heap for the host; a timer fires at the earliest in the turn after the one it was made in. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/state.h"

/* A year: beyond it a rule means something else. */
#define SECONDS_MAX (366.0 * 24 * 3600)
/* Ticks of an interval are not shorter than this, or one rule would be asked for all the time. */
#define INTERVAL_MIN 0.001

struct rule_timer *rule_timer_add(struct rule *rule, uint64_t delay, uint64_t interval, struct task *task, int callback)
{
	struct host *host = rule->gen->host;
	struct rule_timer *t = mem_zalloc(sizeof *t);
	t->rule = rule;
	t->task = task;
	t->callback = callback;
	t->interval = interval;
	list_append(&rule->timers, &t->of_rule);
	rule->timer_count += !task;
	t->due.key = delay;
	if (host) { /* while loading it keeps its delay until the generation goes live */
		uint64_t now = host->ops.now(host->ctx);
		t->due.key = delay < UINT64_MAX - now ? now + delay : UINT64_MAX; /* a wait for ever has a deadline too */
		t->made_turn = host->turn;
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
	return t;
}

void rule_timers_arm(struct rule *rule)
{
	struct host *host = rule->gen->host;
	uint64_t now = host->ops.now(host->ctx);
	list_each(it, &rule->timers) {
		struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
		if (t->armed)
			continue;
		t->due.key += now;
		t->made_turn = host->turn;
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
}

static void drop_callback(struct rule *rule, int callback)
{
	if (callback != LUA_NOREF && !rule->gen->closing)
		luaL_unref(rule->gen->L, LUA_REGISTRYINDEX, callback);
}

void rule_timer_cancel(struct rule_timer *t)
{
	struct rule *rule = t->rule;
	if (t->armed)
		heap_remove(&rule->gen->host->timers, &t->due);
	if (t->handle)
		t->handle->object = NULL;
	tie_drop(&t->handle);
	if (t->task)
		t->task->timer = NULL;
	if (t->last)
		t->last->tick_of = NULL;
	rule->timer_count -= !t->task;
	drop_callback(rule, t->callback);
	list_remove(&t->of_rule);
	free(t);
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
	struct host *host = t->rule->gen->host;
	t->due.key += t->interval;
	if (t->due.key <= now) /* late: no burst of missed ticks */
		t->due.key = now + t->interval;
	t->made_turn = host->turn;
	t->armed = true;
	heap_push(&host->timers, &t->due);
}

static void fire(struct rule_timer *t, uint64_t now)
{
	struct rule *rule = t->rule;
	if (t->task) {
		struct task *task = t->task;
		rule_timer_cancel(t);
		task_resume(task);
		return;
	}
	int callback = t->callback;
	bool once = t->interval == 0, skip = !once && (t->last || !rule_may_run(rule));
	struct task *task = NULL;
	if (!skip && rule->waiting < rule->gen->limits.waiting)
		task = task_take(rule, "timer");
	if (once) {
		t->callback = LUA_NOREF; /* dropped below, after the call */
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
		rule_count(rule, rule->gen->host->m_gap, &rule->s_skipped);
		rule->skipped++;
		log_write(LOG_WARN, "timer not run: too many calls of the rule wait", F_TEXT("rule", rule->name), F_TEXT("reason", "waiting"));
	}
}

void timers_run(struct host *host, uint64_t now)
{
	struct list later;
	struct heap_node *top;
	list_init(&later);
	while ((top = heap_top(&host->timers)) && top->key <= now) {
		struct rule_timer *t = heap_entry(top, struct rule_timer, due);
		heap_remove(&host->timers, &t->due);
		t->armed = false;
		/* A wait that ends is not a new call: it goes on even in quarantine, but not in the turn of an overrun. */
		bool blocked = t->task ? t->rule->overrun_turn == host->turn : t->interval == 0 && !rule_may_run(t->rule);
		if (t->made_turn == host->turn || blocked) {
			/* Its turn is the next one; a rule in quarantine is asked again a little later. */
			bool quarantine_begin = blocked && t->rule->overrun_turn != host->turn;
			t->due.key = quarantine_begin ? now + CLOCK_NS_PER_S / 10 : now;
			list_remove(&t->of_rule);
			list_append(&later, &t->of_rule);
			continue;
		}
		fire(t, now);
	}
	list_each_safe(it, &later) {
		struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
		list_remove(&t->of_rule);
		list_append(&t->rule->timers, &t->of_rule);
		t->armed = true;
		heap_push(&host->timers, &t->due);
	}
}

/* ---- for rules ---- */

static double check_seconds(lua_State *L, int index, double least)
{
	double s = luaL_checknumber(L, index);
	luaL_argcheck(L, isfinite(s) && s >= least && s <= SECONDS_MAX, index, "seconds are a number from 0 (an interval from 0.001) to a year");
	return s;
}

static int add_timer(lua_State *L, bool repeats)
{
	struct generation *gen = generation_of(L);
	struct rule *rule = gen->current_rule;
	double s = check_seconds(L, 1, repeats ? INTERVAL_MIN : 0);
	uint64_t ns = clock_from_seconds(s);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	if (gen->draining)
		check_live(L, "a new timer", true);
	if (rule->timer_count >= gen->limits.timers)
		return luaL_error(L, "too many timers (%d, limits.timers)", (int)rule->timer_count);
	struct tie **handle = lua_newuserdatauv(L, sizeof(struct tie *), 0);
	*handle = NULL;
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->timer_meta);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, 2);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	struct rule_timer *timer = rule_timer_add(rule, ns, repeats ? ns : 0, NULL, ref);
	*handle = timer->handle = tie_make(timer);
	return 1;
}

static int timer_after(lua_State *L)
{
	return add_timer(L, false);
}

static int timer_every(lua_State *L)
{
	return add_timer(L, true);
}

static int timer_cancel(lua_State *L)
{
	struct tie **handle = check_object(L, 1, generation_of(L)->timer_meta, "a timer");
	if (*handle && (*handle)->object)
		rule_timer_cancel((*handle)->object);
	return 0;
}

static int sleep_ended(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

static int timer_sleep(lua_State *L)
{
	double s = check_seconds(L, 1, 0);
	task_check_wait(L, "timer.sleep");
	struct task *task = generation_of(L)->current;
	task->timer = rule_timer_add(task->rule, clock_from_seconds(s), 0, task, LUA_NOREF);
	return task_wait(L, sleep_ended, "timer.sleep");
}

static int timer_now(lua_State *L)
{
	const struct generation *gen = generation_of(L);
	const struct host_ops *ops = gen->host ? &gen->host->ops : gen->options.ops;
	uint64_t now = ops->now ? ops->now(gen->host ? gen->host->ctx : gen->options.ctx) : clock_mono_ns();
	lua_pushnumber(L, (lua_Number)now / 1e9);
	return 1;
}

void timer_open(lua_State *L, struct generation *gen)
{
	static const luaL_Reg meta[] = { { "__gc", tie_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { "cancel", timer_cancel }, { NULL, NULL } };
	static const luaL_Reg functions[] = {
		{ "after", timer_after }, { "every", timer_every }, { "sleep", timer_sleep }, { "now", timer_now }, { NULL, NULL },
	};
	gen->timer_meta = make_meta(L, "timer", meta, methods);
	luaL_newlib(L, functions);
}
