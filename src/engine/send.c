/* Actions on their way: the one function through which rules, consoles and others send, who hears of each end, and what waits. */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

/* The tag of every reply that a link hands to the engine; the link keeps it. */
struct engine_request {
	const struct engine_sender *sender;
	void *ctx;
	bool forgotten;
};

static const char *rule_of(const struct engine_request *request)
{
	return request->sender->rule && !request->forgotten ? request->sender->rule(request->ctx) : NULL;
}

static void log_sent(const struct server *s, const struct engine_request *request, const struct action *action, const char *id)
{
	const char *rule = rule_of(request);

	log_write(LOG_DEBUG, "action sent", F_TEXT("server", s->name), F_TEXT("rule", rule),
	          F_TEXT("sent_by", rule ? NULL : request->sender->name), F_SLICE("action", action_name(action)), F_TEXT("action_id", id));
}

struct engine_request *engine_send(struct engine *e, uint32_t server, const struct action *action, double timeout,
                                   const struct engine_sender *sender, void *ctx, char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct server *s = engine_server(e, server);

	if (!s) {
		err_set(err, ERR_NOT_READY, "there is no such server any more");
		return NULL;
	}
	if (mem_is_short()) { /* the links' own Pings go on */
		err_set(err, ERR_BACKPRESSURE, "the system has no memory left for another action");
		return NULL;
	}
	struct engine_request *request = link_send(s->link, action, timeout, sender->item != NULL, sizeof *request, id, err);
	if (!request)
		return NULL;
	request->sender = sender;
	request->ctx = ctx;
	if (log_get_level() == LOG_DEBUG)
		log_sent(s, request, action, id);
	if (!list_empty(&e->watches))
		engine_watch_sent(e, s->name, sender->name, rule_of(request), action, id);
	return request;
}

void engine_send_forget(struct engine_request *request)
{
	request->forgotten = true;
}

static void log_reply(const struct server *s, const struct engine_request *request, const struct reply *reply)
{
	bool failed = reply->code != ERR_NONE;
	const char *rule = rule_of(request);
	char id[ACTION_ID_MAX + 1];

	reply_id(reply, id);
	log_write(LOG_DEBUG, "action ended", F_TEXT("server", s->name), F_TEXT("rule", rule),
	          F_TEXT("sent_by", rule ? NULL : request->sender->name), F_TEXT("action", reply->action), F_TEXT("action_id", id),
	          F_TEXT("reason", failed ? err_name(reply->code) : NULL), F_TEXT("error", failed ? reply->text : NULL),
	          F_NUMBER("seconds", (double)(clock_mono_ns() - reply->started) / 1e9));
}

void engine_sent_item(struct server *s, void *tag, const struct message *item)
{
	const struct engine_request *request = tag;
	if (!request->forgotten)
		request->sender->item(s->engine, request->ctx, item);
}

void engine_sent_completed(struct server *s, struct reply *reply)
{
	struct engine *e = s->engine;
	const struct engine_request *request = reply->tag;

	if (!list_empty(&e->watches))
		engine_watch_answered(e, s->name, request->sender->name, rule_of(request), reply);
	if (log_get_level() == LOG_DEBUG)
		log_reply(s, request, reply);
	if (request->forgotten)
		reply_free(&reply);
	else
		request->sender->done(e, request->ctx, reply);
}

/* ---- what waits ---- */

struct pending_walk {
	engine_pending_fn *fn;
	void *ctx;
	uint64_t now;
};

static void show_pending(void *ctx, const struct pending_view *view)
{
	const struct pending_walk *walk = ctx;
	const struct engine_request *request = view->tag;
	struct engine_pending pending = { .sequence = view->sequence, .action = view->action };

	pending.sender = request ? request->sender->name : "session";
	pending.rule = request ? rule_of(request) : NULL;
	pending.age = walk->now > view->started ? (double)(walk->now - view->started) / 1e9 : 0;
	pending.left = view->deadline > walk->now ? (double)(view->deadline - walk->now) / 1e9 : 0;
	walk->fn(walk->ctx, &pending);
}

static void show_answered(void *ctx, const char *rule, const struct reply *reply)
{
	const struct pending_walk *walk = ctx;
	struct engine_pending pending = { .sequence = reply->sequence, .action = reply->action, .sender = "rule", .rule = rule, .answered = true };

	pending.age = walk->now > reply->started ? (double)(walk->now - reply->started) / 1e9 : 0;
	pending.left = reply->deadline > walk->now ? (double)(reply->deadline - walk->now) / 1e9 : 0;
	walk->fn(walk->ctx, &pending);
}

bool engine_pending_each(const struct engine *e, size_t index, engine_pending_fn *fn, void *ctx)
{
	struct pending_walk walk = { .fn = fn, .ctx = ctx, .now = clock_mono_ns() };

	if (index >= e->server_count)
		return false;
	link_pending_each(e->servers[index]->link, show_pending, &walk);
	host_answered_each(e->host, e->servers[index]->id, show_answered, &walk);
	return true;
}
