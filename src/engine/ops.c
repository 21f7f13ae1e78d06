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
	const struct engine *engine = ctx;
	for (size_t i = 0; i < engine->server_count; i++)
		if (slice_eq(slice_cstr(engine->servers[i]->name), name))
			return describe(engine->servers[i], out);
	return false;
}

static bool ops_server_by_id(void *ctx, uint32_t id, struct host_server *out)
{
	const struct server *s = engine_server(ctx, id);
	return s && describe(s, out);
}

static int ops_send(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
                    char id[ACTION_ID_MAX + 1], struct err *err)
{
	const struct engine *engine = ctx;
	struct server *s = engine_server(engine, server);
	if (!s)
		return err_set(err, ERR_NOT_READY, "there is no such server any more");
	if (!link_send(s->link, action, timeout, tag, id, err))
		return -1;
	if (engine->watch)
		engine->watch->sent(engine->watch->ctx, s->name, "rule", rule, action, id);
	if (log_get_level() == LOG_DEBUG) {
		struct slice name = { "", 0 };
		action_get(action, SLICE("Action"), &name);
		log_write(LOG_DEBUG, "action sent", F_TEXT("server", s->name), F_TEXT("rule", rule), F_SLICE("action", name),
		          F_TEXT("action_id", id));
	}
	return 0;
}

static int find_sink(const struct engine *engine, struct slice name)
{
	for (size_t i = 0; i < engine->config->sink_count; i++)
		if (slice_eq(slice_cstr(engine->config->sinks[i].name), name))
			return (int)i;
	return -1;
}

static int ops_sink(void *ctx, struct slice name, struct slice line, struct err *err)
{
	int id = find_sink(ctx, name);
	if (id < 0)
		return err_set(err, ERR_INVALID, "the configuration has no sink '%.*s' any more", SLICE_ARG(name));
	if (log_sink_write((unsigned)id, line))
		return err_set(err, ERR_BACKPRESSURE, "the sink's queue is full");
	return 0;
}

static bool ops_sink_exists(void *ctx, struct slice name)
{
	return find_sink(ctx, name) >= 0;
}

static void destroy_generation(void *arg)
{
	struct generation *generation = arg;
	generation_destroy(&generation);
}

static void ops_retire(void *ctx, struct generation *generation)
{
	struct engine *engine = ctx;
	struct err err;
	/* Closing a large Lua state takes long: the loader does it, and only when it cannot, the loop. */
	if (loader_post(engine->loader, destroy_generation, NULL, generation, &err))
		generation_destroy(&generation);
}

const struct host_ops engine_ops = {
	.now = ops_now, .wall = ops_wall, .server_at = ops_server_at, .server_by_name = ops_server_by_name,
	.server_by_id = ops_server_by_id, .send = ops_send, .sink = ops_sink, .sink_exists = ops_sink_exists, .retire = ops_retire,
};
