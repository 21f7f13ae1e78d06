#include "rules/request.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"

struct request *request_create(struct rule *rule, uint32_t server, const char *server_name)
{
	struct request *r = mem_zalloc(sizeof *r);
	r->rule = rule;
	r->callback = LUA_NOREF;
	r->server = server;
	slice_to_text(slice_cstr(server_name), r->server_name, sizeof r->server_name);
	list_append(&rule->requests, &r->of_rule);
	rule->pending++;
	return r;
}

void request_forget(struct request *r)
{
	if (!r->rule->closing)
		luaL_unref(r->rule->L, LUA_REGISTRYINDEX, r->callback);
	r->callback = LUA_NOREF;
	if (r->task)
		r->task->request = NULL;
	r->task = NULL;
}

void request_orphan(struct request *r)
{
	request_forget(r);
	list_remove(&r->of_rule);
	r->rule->pending--;
	if (r->charged)
		rule_credit(r->rule, sizeof *r);
	r->charged = false;
	r->rule = NULL;
}

void request_free(struct request *r)
{
	if (r->rule)
		request_orphan(r);
	free(r);
}

static int push_callback(lua_State *co, struct task *task, void *arg)
{
	const struct request *request = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, request->callback);
	return event_push_answer(co, task);
}

void request_complete(struct request *request, struct reply *reply)
{
	struct task *task = request->task;
	if (task) {
		task->reply = reply;
		request_free(request);
		task_resume(task);
		return;
	}
	task = request->rule && request->callback != LUA_NOREF ? task_take(request->rule, "callback") : NULL;
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
	struct request *ended = request_create(r->rule, r->server, r->server_name);
	ended->callback = r->callback;
	r->callback = LUA_NOREF;
	request_complete(ended, reply_failed(ERR_CANCELLED, "newer rules were loaded, or the engine stops", NULL, ""));
}
