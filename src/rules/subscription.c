#include "rules/subscription.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

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
	struct rule *rule;
	struct listener *listener; /* NULL once cancelled */
	struct task *task;         /* who waits in next() */
	struct list queue;
	uint32_t count;
	struct err end;            /* code set: no more events come */
	bool has_handle;
};

static void drop_kept(struct subscription *sub, struct kept *kept)
{
	list_remove(&kept->queue);
	sub->count--;
	alloc_credit(&sub->rule->gen->alloc, sub->rule->owner, kept->size);
	message_free(&kept->message);
	free(kept);
}

static void free_if_unused(struct subscription *sub)
{
	if (sub->has_handle || sub->listener || sub->task)
		return;
	list_each_safe(it, &sub->queue)
		drop_kept(sub, list_entry(it, struct kept, queue));
	free(sub);
}

void subscription_listener_gone(struct subscription *sub)
{
	sub->listener = NULL;
	free_if_unused(sub);
}

void subscription_forget_task(struct subscription *sub)
{
	sub->task = NULL;
	free_if_unused(sub);
}

void subscription_end(struct subscription *sub, enum err_code code, const char *text)
{
	if (sub->end.code != ERR_NONE)
		return;
	err_set(&sub->end, code, "%s", text);
	if (sub->listener)
		listener_cancel(sub->listener);
	if (sub->task)
		task_wake_later(sub->task);
}

void subscription_take(struct subscription *sub, const struct heard *heard)
{
	const struct host_limits *limits = &sub->rule->gen->limits;
	size_t size = message_copy_size(heard->message) + sizeof(struct kept);
	struct message *copy = NULL;

	if (sub->end.code != ERR_NONE)
		return;
	if (sub->count < limits->subscription_events && alloc_charge(&sub->rule->gen->alloc, sub->rule->owner, size)) {
		copy = message_copy(heard->message);
		if (!copy)
			alloc_credit(&sub->rule->gen->alloc, sub->rule->owner, size);
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
	if (sub->task)
		task_wake_later(sub->task);
}

/* ---- for rules ---- */

static struct subscription **check_handle(lua_State *L, int index)
{
	return check_object(L, index, generation_of(L)->subscription_meta, "a subscription");
}

/* Pushes what `next` returns now. */
static int push_result(lua_State *L, struct subscription *sub)
{
	struct generation *gen = generation_of(L);
	if (sub->count > 0) {
		struct kept *kept = list_entry(sub->queue.next, struct kept, queue);
		event_push(L, gen, kept->message, kept->at);
		if (kept->server != 0)
			server_push(L, gen, kept->server, slice_cstr(kept->server_name));
		else
			lua_pushnil(L);
		drop_kept(sub, kept);
		return 2;
	}
	struct err err = sub->end;
	if (err.code == ERR_NONE)
		err_set(&err, ERR_TIMEOUT, "no such event came in time");
	return push_failure(L, gen, &err);
}

static int next_ended(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	struct task *task = (struct task *)ctx;
	struct subscription *sub = task->subscription;
	if (task->timer)
		rule_timer_cancel(task->timer);
	task->subscription = NULL;
	sub->task = NULL;
	return push_result(L, sub);
}

/* `seconds` < 0: for ever. */
static int next(lua_State *L, struct subscription *sub, double seconds)
{
	if (sub->count > 0 || sub->end.code != ERR_NONE)
		return push_result(L, sub);
	task_check_wait(L, "subscription:next");
	if (sub->task)
		return luaL_error(L, "another task waits for this subscription already");
	struct task *task = generation_of(L)->current;
	sub->task = task;
	task->subscription = sub;
	if (seconds >= 0)
		task->timer = rule_timer_add(task->rule, clock_from_seconds(seconds), 0, task, LUA_NOREF);
	return task_wait(L, next_ended, "subscription:next");
}

static double read_seconds(lua_State *L, int index, double otherwise)
{
	double seconds = luaL_optnumber(L, index, otherwise);
	luaL_argcheck(L, seconds == otherwise || seconds >= 0, index, "a number of seconds, not negative, is expected");
	return seconds;
}

static int sub_next(lua_State *L)
{
	struct subscription *sub = *check_handle(L, 1);
	return next(L, sub, read_seconds(L, 2, -1));
}

static int sub_cancel(lua_State *L)
{
	subscription_end(*check_handle(L, 1), ERR_CANCELLED, "the subscription was cancelled");
	return 0;
}

static int sub_gc(lua_State *L)
{
	struct subscription **handle = lua_touserdata(L, 1);
	struct subscription *sub = *handle;
	if (!sub)
		return 0;
	*handle = NULL;
	sub->has_handle = false;
	if (sub->listener && !sub->rule->gen->closing)
		listener_cancel(sub->listener);
	free_if_unused(sub);
	return 0;
}

static int sub_tostring(lua_State *L)
{
	const struct subscription *sub = *check_handle(L, 1);
	lua_pushfstring(L, "subscription (%d events wait)", (int)sub->count);
	return 1;
}

/* Pushes the handle of a new one. */
static struct subscription *create(lua_State *L)
{
	struct generation *gen = generation_of(L);
	struct rule *rule = gen->current_rule;
	struct listen_arguments args;

	if (gen->draining)
		check_live(L, "a new subscription", true);
	read_listen_arguments(L, 1, 2, &args);
	if (rule->subscription_count >= gen->limits.subscriptions)
		listeners_sweep(gen);
	if (rule->subscription_count >= gen->limits.subscriptions)
		luaL_error(L, "too many subscriptions (%d, limits.subscriptions); cancel them with sub:cancel() or `local sub <close>`",
		           (int)rule->subscription_count);
	struct subscription **handle = lua_newuserdatauv(L, sizeof(struct subscription *), 0);
	*handle = NULL;
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->subscription_meta);
	lua_setmetatable(L, -2);
	struct subscription *sub = mem_zalloc(sizeof *sub);
	sub->rule = rule;
	sub->has_handle = true;
	list_init(&sub->queue);
	*handle = sub;
	charge_listener(L, &args);
	sub->listener = listener_add(rule, args.names, args.count, args.filter, args.priority, args.label, false, LUA_NOREF, sub);
	return sub;
}

int subscription_new(lua_State *L)
{
	create(L);
	return 1;
}

int subscription_wait(lua_State *L)
{
	double seconds = read_seconds(L, 3, WAIT_DEFAULT);
	task_check_wait(L, "ami.wait");
	lua_settop(L, 2);
	struct subscription *sub = create(L);
	/* However this call ends, the subscription ends with it. */
	lua_toclose(L, -1);
	return next(L, sub, seconds);
}

void subscription_open(lua_State *L, struct generation *gen)
{
	static const luaL_Reg meta[] = { { "__gc", sub_gc }, { "__close", sub_cancel }, { "__tostring", sub_tostring }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { "next", sub_next }, { "cancel", sub_cancel }, { NULL, NULL } };
	gen->subscription_meta = make_meta(L, "subscription", meta, methods);
}
