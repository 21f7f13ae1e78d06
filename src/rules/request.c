#include "rules/request.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"

static void not_pending(struct request *r)
{
	if (r->pending)
		r->rule->pending--;
	r->pending = false;
}

struct request *request_create(struct rule *rule, uint32_t server, const char *server_name, struct slice action)
{
	struct request *r = mem_zalloc(sizeof *r);
	r->rule = rule;
	r->callback = LUA_NOREF;
	r->server = server;
	slice_to_text(slice_cstr(server_name), r->server_name, sizeof r->server_name);
	slice_to_text(action, r->action, sizeof r->action);
	list_append(&rule->requests, &r->of_rule);
	r->pending = true;
	rule->pending++;
	return r;
}

void request_forget(struct request *r)
{
	if (!r->rule->closing)
		luaL_unref(r->rule->L, LUA_REGISTRYINDEX, r->callback);
	r->callback = LUA_NOREF;
	wait_end(&r->answer);
}

static void leave_rule(struct request *r)
{
	request_forget(r);
	list_remove(&r->of_rule);
	not_pending(r);
	if (r->charged)
		rule_credit(r->rule, sizeof *r);
	r->charged = false;
	r->rule = NULL;
}

void request_free(struct request *r)
{
	if (r->rule)
		leave_rule(r);
	reply_free(&r->reply);
	free(r);
}

void request_orphan(struct request *r)
{
	if (r->reply) /* nothing comes any more that would free it */
		request_free(r);
	else
		leave_rule(r);
}

/* ---- waiting ---- */

static bool is_answered(const struct wait *wait)
{
	return wait_entry_const(wait, struct request, answer)->reply != NULL;
}

static void cancel(struct wait *wait)
{
	struct request *r = wait_entry(wait, struct request, answer);
	if (r->reply)
		request_free(r);
}

static void describe(const struct wait *wait, struct buf *out)
{
	const struct request *r = wait_entry_const(wait, struct request, answer);
	buf_printf(out, "the answer to %s from %s", r->action, r->server_name);
}

static const struct wait_kind answer_kind = { is_answered, cancel, describe };

void request_await(struct request *r, struct task *task)
{
	wait_begin(&r->answer, &answer_kind, task);
}

void request_refuse(struct rule *rule, struct task *task, uint32_t server, const char *server_name, struct reply *reply)
{
	struct request *r = request_create(rule, server, server_name, slice_cstr(reply->action));
	not_pending(r);
	r->reply = reply;
	request_await(r, task);
	task_wake_later(task);
}

struct reply *request_take_reply(struct wait *answer)
{
	struct request *r = wait_entry(answer, struct request, answer);
	struct reply *reply = r->reply;
	r->reply = NULL;
	request_free(r);
	return reply;
}

/* ---- its end ---- */

static int push_callback(lua_State *co, struct task *task, void *arg)
{
	const struct request *request = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, request->callback);
	return event_push_answer(co, task);
}

void request_complete(struct request *request, struct reply *reply)
{
	if (request->answer.task) {
		not_pending(request);
		request->reply = reply;
		task_resume(request->answer.task);
		return;
	}
	struct task *task = request->rule && request->callback != LUA_NOREF ? task_take(request->rule, "callback") : NULL;
	if (!task) {
		reply_free(&reply);
		request_free(request);
		return;
	}
	slice_to_text(slice_cstr(request->server_name), task->server, sizeof task->server);
	slice_to_text(slice_cstr(reply->action), task->event, sizeof task->event);
	reply_id(reply, task->action_id);
	task->reply = reply;
	task_start(task, push_callback, request);
	request_free(request);
}

void request_cancel(struct request *r)
{
	struct request *ended = request_create(r->rule, r->server, r->server_name, slice_cstr(r->action));
	ended->callback = r->callback;
	r->callback = LUA_NOREF;
	request_complete(ended, reply_failed(ERR_CANCELLED, "newer rules were loaded, or the engine stops", NULL, ""));
}
