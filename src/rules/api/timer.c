/* `timer` for rules. */
#include <math.h>

#include "base/clock.h"
#include "rules/api/api.h"
#include "rules/timer.h"
#include "sandbox/kill.h"

/* A year: beyond it a rule means something else. */
#define SECONDS_MAX (366.0 * 24 * 3600)
/* Ticks of an interval are not shorter than this, or one rule would be asked for all the time. */
#define INTERVAL_MIN 0.001

static double check_seconds(lua_State *L, int index, double least)
{
	double s = luaL_checknumber(L, index);
	luaL_argcheck(L, isfinite(s) && s >= least && s <= SECONDS_MAX, index, "seconds are a number from 0 (an interval from 0.001) to a year");
	return s;
}

/* An interval of a rule that drains would never end. */
static void check_interval(lua_State *L, const struct rule *rule)
{
	if (rule->draining)
		task_check_live(L, "timer.every", true);
}

static int add_timer(lua_State *L, bool repeats)
{
	struct rule *rule = rule_of(L);
	double s = check_seconds(L, 1, repeats ? INTERVAL_MIN : 0);
	uint64_t ns = clock_from_seconds(s);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	if (repeats)
		check_interval(L, rule);
	if (rule->timer_count >= rule->limits.timers)
		return luaL_error(L, "too many timers (%d, limits.timers)", (int)rule->timer_count);
	uint64_t *handle = lua_newuserdatauv(L, sizeof *handle, 0);
	*handle = 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.timer);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, 2);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	struct rule_timer *timer = rule_timer_add(rule, ns, repeats ? ns : 0, ref);
	if (!timer) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		return luaL_error(L, "no memory left for a timer (limits.rule_memory)");
	}
	*handle = timer->handle = handle_add(&rule->handles, timer);
	return 1;
}

SANDBOX_FUNCTION(timer_after)
{
	return add_timer(L, false);
}

SANDBOX_FUNCTION(timer_every)
{
	return add_timer(L, true);
}

SANDBOX_FUNCTION(timer_cancel)
{
	const uint64_t *handle = object_check(L, 1, rule_of(L)->meta.timer, "a timer");
	struct rule_timer *timer = handle_get(&rule_of(L)->handles, *handle);
	if (timer)
		rule_timer_cancel(timer);
	return 0;
}

SANDBOX_CONTINUATION(sleep_ended)
{
	(void)L;
	(void)status;
	rule_timer_slept((struct wait *)ctx);
	return 0;
}

SANDBOX_FUNCTION(timer_sleep)
{
	double s = check_seconds(L, 1, 0);
	task_check_wait(L, "timer.sleep");
	if (!rule_timer_sleep(rule_of(L)->current, clock_from_seconds(s)))
		return luaL_error(L, "no memory left for a timer (limits.rule_memory)");
	return task_wait(L, sleep_ended);
}

static int timer_now(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)rule_now(rule_of(L)) / 1e9);
	return 1;
}

void timer_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = { { NULL, NULL } };
	static const luaL_Reg methods[] = { { "cancel", timer_cancel }, { NULL, NULL } };
	static const luaL_Reg functions[] = {
		{ "after", timer_after }, { "every", timer_every }, { "sleep", timer_sleep }, { "now", timer_now }, { NULL, NULL },
	};
	rule->meta.timer = object_meta(L, "timer", meta, methods);
	luaL_newlib(L, functions);
}
