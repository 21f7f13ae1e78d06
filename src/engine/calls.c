/* Actions that somebody beside the rules sends (a console's operator), and what is pending of everybody. */
#include "engine/internal.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

struct engine_call {
	struct list node; /* in engine->calls */
	engine_call_fn *done; /* NULL: forgotten */
	void *ctx;
};

/* The operator at the console may send everything but the engine's own actions: who may open the socket is the policy. */
static int check_action(const struct action *action, struct err *err)
{
	struct policy *all = policy_create();
	policy_allow(all, "*", "*");
	policy_originate(all, "*", "*");
	int rc = policy_check(all, "*", action, err);
	policy_destroy(&all);
	return rc;
}

static struct server *find_server(const struct engine *e, struct slice name)
{
	for (size_t i = 0; i < e->server_count; i++)
		if (slice_eq(slice_cstr(e->servers[i]->name), name))
			return e->servers[i];
	return NULL;
}

struct link *engine_server_link(struct engine *e, struct slice name)
{
	struct server *s = find_server(e, name);
	return s ? s->link : NULL;
}

struct engine_call *engine_call(struct engine *e, struct slice server, const struct action *action, double timeout,
                                engine_call_fn *done, void *ctx, char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct server *s = find_server(e, server);

	if (!s) {
		err_set(err, ERR_INVALID, "the configuration has no server '%.*s'", SLICE_ARG(server));
		return NULL;
	}
	if (check_action(action, err))
		return NULL;
	struct engine_call *call = mem_zalloc(sizeof *call);
	call->done = done;
	call->ctx = ctx;
	if (!link_send(s->link, action, timeout, call, id, err)) {
		free(call);
		return NULL;
	}
	list_append(&e->calls, &call->node);
	if (log_get_level() == LOG_DEBUG) {
		struct slice name = { "", 0 };
		action_get(action, SLICE("Action"), &name);
		log_write(LOG_DEBUG, "action sent", F_TEXT("server", s->name), F_TEXT("sent_by", "console"), F_SLICE("action", name),
		          F_TEXT("action_id", id));
	}
	if (e->watch)
		e->watch->sent(e->watch->ctx, s->name, "console", NULL, action, id);
	return call;
}

void engine_call_forget(struct engine_call *call)
{
	call->done = NULL;
}

static struct engine_call *find_call(const struct engine *e, const void *tag)
{
	list_each(it, &e->calls) {
		struct engine_call *call = list_entry(it, struct engine_call, node);
		if (call == tag)
			return call;
	}
	return NULL;
}

bool engine_calls_complete(struct engine *e, struct reply *reply)
{
	struct engine_call *call = find_call(e, reply->tag);

	if (!call)
		return false;
	list_remove(&call->node);
	if (call->done)
		call->done(call->ctx, reply);
	free(call);
	reply_free(&reply);
	return true;
}

void engine_calls_close(struct engine *e)
{
	list_each_safe(it, &e->calls)
		free(list_entry(it, struct engine_call, node));
	list_init(&e->calls);
}

/* ---- looking ---- */

const char *engine_sender(const struct engine *e, const void *tag, const char **rule)
{
	*rule = NULL;
	if (!tag)
		return "session";
	if (find_call(e, tag))
		return "console";
	*rule = host_tag_rule(tag);
	return "rule";
}

struct pending_walk {
	const struct engine *engine;
	engine_pending_fn *fn;
	void *ctx;
	uint64_t now;
};

static void show_pending(void *ctx, const struct pending_view *view)
{
	const struct pending_walk *walk = ctx;
	struct engine_pending pending = { .sequence = view->sequence, .action = view->action };

	pending.sender = engine_sender(walk->engine, view->tag, &pending.rule);
	pending.age = walk->now > view->started ? (double)(walk->now - view->started) / 1e9 : 0;
	pending.left = view->deadline > walk->now ? (double)(view->deadline - walk->now) / 1e9 : 0;
	walk->fn(walk->ctx, &pending);
}

bool engine_pending_each(const struct engine *e, size_t index, engine_pending_fn *fn, void *ctx)
{
	struct pending_walk walk = { .engine = e, .fn = fn, .ctx = ctx, .now = clock_mono_ns() };

	if (index >= e->server_count)
		return false;
	link_pending_each(e->servers[index]->link, show_pending, &walk);
	return true;
}
