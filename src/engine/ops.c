/* What rules ask of the engine. */
#include "engine/internal.h"

#include <stdlib.h>

#include "base/clock.h"
#include "observe/log.h"

struct server *engine_server(const struct engine *engine, uint32_t id)
{
	return id > 0 && id <= engine->id_count ? engine->by_id[id - 1] : NULL;
}

static uint64_t ops_now(void *ctx)
{
	(void)ctx;
	return clock_mono_ns();
}

static double ops_wall(void *ctx)
{
	(void)ctx;
	return clock_wall();
}

static bool describe(const struct server *s, struct host_server *out)
{
	enum link_state state = link_state(s->link);
	*out = (struct host_server){ .id = s->id, .name = s->name, .state = link_state_name(state),
	                             .version = link_version(s->link), .ready = state == LINK_READY, .pending = link_pending(s->link) };
	return true;
}

static bool ops_server_at(void *ctx, size_t index, struct host_server *out)
{
	const struct engine *engine = ctx;
	return index < engine->server_count && describe(engine->servers[index], out);
}

static bool ops_server_by_name(void *ctx, struct slice name, struct host_server *out)
{
	const struct server *s = engine_server(ctx, engine_server_id(ctx, name));
	return s && describe(s, out);
}

static bool ops_server_by_id(void *ctx, uint32_t id, struct host_server *out)
{
	const struct server *s = engine_server(ctx, id);
	return s && describe(s, out);
}

static void complete_rule(struct engine *engine, void *ctx, struct reply *reply)
{
	reply->tag = ctx;
	host_complete(engine->host, reply);
}

static int ops_send(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
                    char id[ACTION_ID_MAX + 1], struct err *err)
{
	static const struct engine_sender rules = { .name = "rule", .rule = host_tag_rule, .done = complete_rule };
	(void)rule;
	return engine_send(ctx, server, action, timeout, &rules, tag, id, err) ? 0 : -1;
}

static int find_sink(const struct engine *engine, struct slice name)
{
	for (size_t i = 0; i < engine->config->sink_count; i++)
		if (slice_eq(slice_cstr(engine->config->sinks[i].name), name))
			return (int)i;
	return -1;
}

static int ops_sink(void *ctx, struct slice name, const struct host_line *line, struct err *err)
{
	struct engine *engine = ctx;
	int id = find_sink(engine, name);
	if (id < 0)
		return err_set(err, ERR_INVALID, "the configuration has no sink '%.*s' any more", SLICE_ARG(name));
	if (engine->config->sinks[id].url)
		return engine_spool_write(engine, name, line, err);
	if (line->ttl > 0 || line->kept)
		return err_set(err, ERR_INVALID, "the sink '%.*s' is a file: ttl and sync are for sinks with a url", SLICE_ARG(name));
	if (log_sink_write((unsigned)id, line->text))
		return err_set(err, ERR_BACKPRESSURE, "the sink's queue is full");
	return 0;
}

static bool ops_sink_exists(void *ctx, struct slice name)
{
	return find_sink(ctx, name) >= 0;
}

static void destroy_rule(void *arg)
{
	struct rule *rule = arg;
	host_destroy_rule(&rule);
}

static void ops_heard(void *ctx, const struct host_own_event *event)
{
	const struct engine *engine = ctx;
	if (!list_empty(&engine->watches))
		engine_watch_event(engine, &(struct engine_event){ .server_id = event->server_id, .server = event->server,
		                                                   .message = event->message, .at = event->at, .own = true,
		                                                   .sender = event->sender, .rule = event->rule });
}

static void ops_wants(void *ctx)
{
	engine_events_update(ctx);
}

static void ops_retire(void *ctx, struct rule *rule)
{
	struct engine *engine = ctx;
	struct err err;
	/* Closing a large Lua state takes long: the loader does it, and only when it cannot, the loop. */
	if (loader_post(engine->loader, destroy_rule, NULL, rule, &err))
		host_destroy_rule(&rule);
}

const struct host_ops engine_ops = {
	.now = ops_now, .wall = ops_wall, .server_at = ops_server_at, .server_by_name = ops_server_by_name,
	.server_by_id = ops_server_by_id, .send = ops_send, .sink = ops_sink, .sink_exists = ops_sink_exists, .http = engine_http_request, .heard = ops_heard, .wants = ops_wants,
	.retire = ops_retire, .restart = engine_restart_rule,
};
