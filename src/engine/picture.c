/* The live picture of the engine's servers: which of them it shows, and the lists that it asks for. Those are the engine's own
 * actions: no rule's policy and no rule's limits hold for them. */
#include "rules/picture.h"

#include <string.h>
#include <strings.h>

#include "engine/internal.h"
#include "engine/mapping.h"

void engine_picture_configure(struct engine *e)
{
	struct picture *p = host_picture(e->host);
	struct picture_options options;

	mapping_picture(e->config, &options);
	picture_configure(p, &options);
	for (size_t i = 0; i < e->server_count; i++) {
		const struct server *s = e->servers[i];
		/* Both are in the configuration's order. */
		if (!options.enabled || !e->config->servers[i].live) {
			picture_remove(p, s->id);
			engine_picture_metrics_forget(e, s->name);
			continue;
		}
		bool known = picture_server(p, s->id);
		picture_add(p, s->id, s->name);
		if (!known && link_state(s->link) == LINK_READY)
			picture_session(p, s->id, slice_cstr(link_version(s->link)));
	}
}

/* ---- lists ---- */

/* A server's id is what the requests of the picture carry. */
static void *to_ctx(uint32_t id)
{
	return (void *)(uintptr_t)id;
}

static uint32_t to_id(const void *ctx)
{
	return (uint32_t)(uintptr_t)ctx;
}

static void take_item(struct engine *e, void *ctx, const struct message *item)
{
	picture_item(host_picture(e->host), to_id(ctx), item);
}

static void take_answer(struct engine *e, void *ctx, struct reply *reply)
{
	enum live_answer how = reply->code == ERR_NONE ? LIVE_ANSWERED : reply->code == ERR_ERROR ? LIVE_REFUSED : LIVE_FAILED;

	picture_answer(host_picture(e->host), to_id(ctx), how, reply->response);
	struct server *s = engine_server(e, to_id(ctx));
	if (s && how == LIVE_ANSWERED && reply->response && strcasecmp(reply->action, "ListCommands") == 0)
		engine_events_commands(s, reply->response);
	reply_free(&reply);
}

static void ask(struct engine *e, uint32_t id, const struct live_request *request)
{
	static const struct engine_sender picture = { .name = "live", .item = take_item, .done = take_answer };
	struct action action;
	char action_id[ACTION_ID_MAX + 1];
	struct err err;

	action_init(&action);
	bool good = action_add(&action, SLICE("Action"), slice_cstr(request->action), &err) == 0;
	for (uint32_t i = 0; good && i < request->header_count; i++)
		good = action_add(&action, slice_cstr(request->headers[i].name), slice_cstr(request->headers[i].value), &err) == 0;
	if (!good || !engine_send(e, id, &action, e->config->live.resync_every, &picture, to_ctx(id), action_id, &err))
		picture_answer(host_picture(e->host), id, LIVE_FAILED, NULL);
	action_close(&action);
}

void engine_picture_turn(struct engine *e)
{
	struct live_request request;
	uint32_t id;

	while (!e->stopping && picture_next_request(host_picture(e->host), &id, &request))
		ask(e, id, &request);
}
