#include "rules/subscription.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/api/listen.h"
#include "rules/state.h"
#include "rules/task.h"
#include "rules/timer.h"
#include "sandbox/kill.h"

#define WAIT_DEFAULT 60.0 /* seconds of ami.wait */

/* A kept event: its own bytes, outside of Lua, because it comes while no rule runs. */
struct kept {
	struct list queue;
	struct message *message;
	size_t size;
	double at;
	uint32_t server; /* 0: none */
	char server_name[RULE_NAME_MAX + 1];
};

struct subscription {
	struct list of_rule;
	struct rule *rule;
	struct listener *listener; /* NULL once cancelled */
	struct wait next;          /* who waits in next() */
	struct list queue;
	uint32_t count;
	struct err end;            /* code set: no more events come */
	bool has_handle;
};

static void drop_kept(struct subscription *sub, struct kept *kept)
{
	list_remove(&kept->queue);
	sub->count--;
	rule_credit(sub->rule, kept->size);
	message_free(&kept->message);
	free(kept);
}

static void subscription_free(struct subscription *sub)
{
	list_each_safe(it, &sub->queue)
		drop_kept(sub, list_entry(it, struct kept, queue));
	list_remove(&sub->of_rule);
	free(sub);
}

static void free_if_unused(struct subscription *sub)
{
	/* Of a rule that is dropped they are freed all together. */
	if (!sub->has_handle && !sub->listener && !sub->next.task && !sub->rule->closing)
		subscription_free(sub);
}

void subscriptions_free_all(struct rule *rule)
{
	list_each_safe(it, &rule->subscriptions)
		subscription_free(list_entry(it, struct subscription, of_rule));
}

void subscription_listener_gone(struct subscription *sub)
{
	sub->listener = NULL;
	free_if_unused(sub);
}

void subscription_end(struct subscription *sub, enum err_code code, const char *text)
{
	if (sub->end.code != ERR_NONE)
		return;
	err_set(&sub->end, code, "%s", text);
	if (sub->listener)
		listener_cancel(sub->listener);
	if (sub->next.task)
		task_wake_later(sub->next.task);
}

void subscription_server_lost(struct rule *rule, const char *server)
{
	list_each_safe(it, &rule->subscriptions) {
		struct subscription *sub = list_entry(it, struct subscription, of_rule);
		if (sub->listener && listener_hears_only(sub->listener, server))
			subscription_end(sub, ERR_LOST, "the server's session ended");
	}
}

void subscription_take(struct subscription *sub, const struct heard *heard)
{
	const struct rule_limits *limits = &sub->rule->limits;
	size_t size = message_copy_size(heard->message) + sizeof(struct kept);
	struct message *copy = NULL;

	if (sub->end.code != ERR_NONE)
		return;
	if (sub->count < limits->subscription_events && rule_charge(sub->rule, size)) {
		copy = message_copy(heard->message);
		if (!copy)
			rule_credit(sub->rule, size);
	}
	if (!copy) {
		rule_skips(sub->rule, heard, "subscription");
		subscription_end(sub, ERR_OVERFLOW, "more events came than the subscription may keep (limits.subscription_events)");
		return;
	}
	struct kept *kept = mem_zalloc(sizeof *kept);
	kept->message = copy;
	kept->size = size;
	kept->at = heard->at;
	if (heard->server) {
		kept->server = heard->server->id;
		strncpy(kept->server_name, heard->server->name, RULE_NAME_MAX);
	}
	list_append(&sub->queue, &kept->queue);
	sub->count++;
	if (sub->next.task)
		task_wake_later(sub->next.task);
}

/* ---- for rules ---- */

static struct subscription **check_handle(lua_State *L, int index)
{
	return object_check(L, index, rule_of(L)->meta.subscription, "a subscription");
}

/* Pushes what `next` returns now. */
static int push_result(lua_State *L, struct subscription *sub)
{
	struct rule *rule = rule_of(L);
	if (sub->count > 0) {
		struct kept *kept = list_entry(sub->queue.next, struct kept, queue);
		event_push(L, rule, kept->message, kept->at);
		if (kept->server != 0)
			server_push(L, rule, kept->server, slice_cstr(kept->server_name));
		else
			lua_pushnil(L);
		drop_kept(sub, kept);
		return 2;
	}
	struct err err = sub->end;
	if (err.code == ERR_NONE)
		err_set(&err, ERR_TIMEOUT, "no such event came in time");
	return error_push_failure(L, rule, &err);
}

static bool has_something(const struct wait *wait)
{
	const struct subscription *sub = wait_entry_const(wait, struct subscription, next);
	return sub->count > 0 || sub->end.code != ERR_NONE;
}

static void cancel_next(struct wait *wait)
{
	free_if_unused(wait_entry(wait, struct subscription, next));
}

static void describe_next(const struct wait *wait, struct buf *out)
{
	const struct subscription *sub = wait_entry_const(wait, struct subscription, next);
	buf_printf(out, "an event for the subscription %s", sub->listener ? listener_label(sub->listener) : "that has ended");
}

static const struct wait_kind next_kind = { has_something, cancel_next, describe_next };

SANDBOX_CONTINUATION(next_ended)
{
	struct subscription *sub = wait_entry((struct wait *)ctx, struct subscription, next);
	(void)status;
	wait_end(&sub->next);
	return push_result(L, sub);
}

/* `seconds` < 0: for ever. */
static int next(lua_State *L, struct subscription *sub, double seconds)
{
	struct task *task = rule_of(L)->current;
	if (has_something(&sub->next))
		return push_result(L, sub);
	task_check_wait(L, "subscription:next");
	if (sub->next.task)
		return luaL_error(L, "another task waits for this subscription already");
	if (seconds >= 0 && !rule_timer_limit(task, clock_from_seconds(seconds)))
		return luaL_error(L, "no memory left for a timer (limits.rule_memory)");
	wait_begin(&sub->next, &next_kind, task);
	return task_wait(L, next_ended);
}

static double read_seconds(lua_State *L, int index, double otherwise)
{
	if (lua_isnoneornil(L, index))
		return otherwise;
	double seconds = luaL_checknumber(L, index);
	luaL_argcheck(L, seconds >= 0, index, "a number of seconds, not negative, is expected");
	return seconds;
}

SANDBOX_FUNCTION(sub_next)
{
	struct subscription *sub = *check_handle(L, 1);
	return next(L, sub, read_seconds(L, 2, -1));
}

SANDBOX_FUNCTION(sub_cancel)
{
	subscription_end(*check_handle(L, 1), ERR_CANCELLED, "the subscription was cancelled");
	return 0;
}

SANDBOX_FUNCTION(sub_gc)
{
	struct subscription **handle = lua_touserdata(L, 1);
	struct subscription *sub = *handle;
	if (!sub || rule_of(L)->closing)
		return 0;
	*handle = NULL;
	sub->has_handle = false;
	if (sub->listener)
		listener_cancel(sub->listener);
	free_if_unused(sub);
	return 0;
}

SANDBOX_FUNCTION(sub_tostring)
{
	const struct subscription *sub = *check_handle(L, 1);
	lua_pushfstring(L, "subscription (%d events wait)", (int)sub->count);
	return 1;
}

/* Those that ended without an event of their names coming by. */
static void sweep(struct rule *rule)
{
	if (rule->host)
		listeners_sweep(rule->host);
}

/* Pushes the handle of a new one. */
static struct subscription *create(lua_State *L)
{
	struct rule *rule = rule_of(L);
	struct listen_arguments args;

	listen_read(L, 1, 2, &args);
	if (rule->subscription_count >= rule->limits.subscriptions)
		sweep(rule);
	if (rule->subscription_count >= rule->limits.subscriptions)
		luaL_error(L, "too many subscriptions (%d, limits.subscriptions); cancel them with sub:cancel() or `local sub <close>`",
		           (int)rule->subscription_count);
	struct subscription **handle = lua_newuserdatauv(L, sizeof(struct subscription *), 0);
	*handle = NULL;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.subscription);
	lua_setmetatable(L, -2);
	struct subscription *sub = mem_zalloc(sizeof *sub);
	sub->rule = rule;
	sub->has_handle = true;
	list_init(&sub->queue);
	list_append(&rule->subscriptions, &sub->of_rule);
	*handle = sub;
	if (!listen_charge(L, &args))
		luaL_error(L, LISTEN_NO_MEMORY);
	sub->listener = listener_add(rule, args.names, args.count, args.filter, args.priority, args.label, false, LUA_NOREF, sub);
	return sub;
}

SANDBOX_FUNCTION(new)
{
	create(L);
	return 1;
}

SANDBOX_FUNCTION(wait)
{
	double seconds = read_seconds(L, 3, WAIT_DEFAULT);
	task_check_wait(L, "ami.wait");
	lua_settop(L, 2);
	struct subscription *sub = create(L);
	/* However this call ends, the subscription ends with it. */
	lua_toclose(L, -1);
	return next(L, sub, seconds);
}

int subscription_new(lua_State *L)
{
	return new(L);
}

int subscription_wait(lua_State *L)
{
	return wait(L);
}

void subscription_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = { { "__gc", sub_gc }, { "__close", sub_cancel }, { "__tostring", sub_tostring }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { "next", sub_next }, { "cancel", sub_cancel }, { NULL, NULL } };
	rule->meta.subscription = object_meta(L, "subscription", meta, methods);
}
