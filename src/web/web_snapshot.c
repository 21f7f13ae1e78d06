#include "web/web_snapshot.h"

#include <math.h>

#include "base/clock.h"
#include "base/version.h"
#include "rules/picture.h"
#include "view/engine_json.h"
#include "view/live_json.h"
#include "web/web_sight.h"
#include "web/web_sse.h"

#define FRAME (16u << 10) /* bytes of items in one frame, about */

enum { STEP_BEGIN, STEP_SERVERS, STEP_QUEUES, STEP_AGENTS, STEP_CALLS, STEP_ENDPOINTS, STEP_RULES, STEP_END };

static const struct {
	const char *name;
	int kind; /* -1: not of the picture */
} steps[] = {
	[STEP_SERVERS] = { "servers", -1 }, [STEP_QUEUES] = { "queues", LIVE_QUEUE }, [STEP_AGENTS] = { "agents", LIVE_AGENT },
	[STEP_CALLS] = { "calls", LIVE_CALL }, [STEP_ENDPOINTS] = { "endpoints", LIVE_ENDPOINT }, [STEP_RULES] = { "rules", -1 },
};

/* ---- servers and rules ---- */

bool web_snapshot_server(struct web *web, size_t index, double since, struct slice *name, struct writer *writer)
{
	struct live *live = picture_live(host_picture(engine_host(web->engine)));
	struct link_view view;

	if (!engine_server_view(web->engine, index, &view))
		return false;
	*name = slice_cstr(view.name);
	struct live_server *server = live ? live_server_find(live, *name) : NULL;
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", view.name);
	writer_text(writer, "state", view.state);
	if (since > 0)
		writer_number(writer, "since", since);
	writer_text(writer, "live", server ? live_state_name(live_state(server)) : "none");
	if (server)
		live_json_unknown(writer, server);
	if (view.version[0])
		writer_text(writer, "version", view.version);
	if (view.heartbeat_rtt >= 0)
		writer_number(writer, "heartbeat_rtt", round(view.heartbeat_rtt * 1000) / 1000);
	if (view.last_reason[0])
		writer_text(writer, "last_reason", view.last_reason);
	if (view.last_text[0])
		writer_text(writer, "last_text", view.last_text);
	writer_integer(writer, "shed", view.shed);
	writer_close(writer, '}');
	return true;
}

bool web_snapshot_rule(struct web *web, size_t index, struct slice *name, struct writer *writer)
{
	struct host_rule_view view;

	if (!host_rule_view(engine_host(web->engine), index, &view) || view.draining)
		return false;
	*name = slice_cstr(view.name);
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", view.name);
	writer_text(writer, "state", engine_json_rule_state(&view));
	writer_number(writer, "since", view.since);
	writer_integer(writer, "errors", view.errors);
	writer_integer(writer, "skipped", view.skipped);
	if (view.last_error[0])
		writer_text(writer, "last_error", view.last_error);
	writer_close(writer, '}');
	return true;
}

/* ---- the frames ---- */

static void write_list(struct writer *writer, const char *key, const struct config_list *list)
{
	if (list->count == 0) {
		writer_null(writer, key);
		return;
	}
	writer_open(writer, key, '[');
	for (size_t i = 0; i < list->count; i++)
		writer_item(writer, slice_cstr(list->items[i]));
	writer_close(writer, ']');
}

static double now_of(struct web *web)
{
	return (double)picture_now(host_picture(engine_host(web->engine))) / 1e6;
}

static void write_begin(struct web *web, const struct web_token *sight, struct buf *out)
{
	static const char *const scopes[] = { "read", "emit", "act", "hooks" };
	struct writer writer;
	struct buf data;

	buf_init(&data, 0);
	writer_init(&writer, &data);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "part", "begin");
	writer_number(&writer, "now", now_of(web));
	writer_text(&writer, "version", HOOKSWITCH_VERSION);
	writer_text(&writer, "label", sight->name);
	writer_open(&writer, "scopes", '[');
	for (unsigned i = 0; i < sizeof scopes / sizeof *scopes; i++)
		if (sight->scopes >> i & 1)
			writer_item(&writer, slice_cstr(scopes[i]));
	writer_close(&writer, ']');
	write_list(&writer, "queues", &sight->queues);
	write_list(&writer, "servers", &sight->servers);
	writer_close(&writer, '}');
	web_sse_frame(out, "snapshot", NULL, buf_slice(&data));
	buf_close(&data);
}

static bool next_object(struct web_snapshot *s, struct web *web, const struct web_token *sight, struct writer *writer)
{
	struct picture *picture = host_picture(engine_host(web->engine));
	struct live *live = picture_live(picture);
	const struct live_object *object;
	int64_t now = picture_now(picture);

	if (!live)
		return false;
	if (!s->walking)
		live_walk(live, (enum live_kind)steps[s->step].kind, NULL, &s->cursor);
	s->walking = true;
	while ((object = live_next(&s->cursor, now)) && !web_sight(sight, object, now))
		;
	if (object)
		live_json_brief(writer, NULL, object, now);
	return object != NULL;
}

static bool next_other(struct web_snapshot *s, struct web *web, const struct web_token *sight, struct writer *writer)
{
	struct link_view view;
	struct slice name;

	if (s->step == STEP_RULES)
		return !web_token_is_narrow(sight) && web_snapshot_rule(web, s->index++, &name, writer);
	while (engine_server_view(web->engine, s->index, &view) && !web_token_sees_server(sight, slice_cstr(view.name)))
		s->index++;
	if (!engine_server_view(web->engine, s->index, &view))
		return false;
	return web_snapshot_server(web, s->index++, clock_wall() - view.state_age, &name, writer);
}

/* One frame of items; goes to the next step when there are no more. */
static void write_items(struct web_snapshot *s, struct web *web, const struct web_token *sight, struct buf *out)
{
	struct writer writer;
	struct buf data;
	bool more = true;

	buf_init(&data, 0);
	writer_init(&writer, &data);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "part", "items");
	writer_text(&writer, "kind", steps[s->step].name);
	writer_open(&writer, "items", '[');
	size_t empty = buf_len(&data);
	while (more && buf_len(&data) < FRAME)
		more = steps[s->step].kind >= 0 ? next_object(s, web, sight, &writer) : next_other(s, web, sight, &writer);
	bool any = buf_len(&data) > empty;
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	if (any)
		web_sse_frame(out, "snapshot", NULL, buf_slice(&data));
	buf_close(&data);
	if (more)
		return;
	s->step++;
	s->index = 0;
	s->walking = false;
}

void web_snapshot_begin(struct web_snapshot *snapshot)
{
	*snapshot = (struct web_snapshot){ .step = STEP_BEGIN };
}

bool web_snapshot_write(struct web_snapshot *s, struct web *web, const struct web_token *sight, const char *id, size_t most, struct buf *out)
{
	size_t limit = buf_len(out) + most;

	if (s->step == STEP_BEGIN) {
		write_begin(web, sight, out);
		s->step++;
	}
	while (s->step < STEP_END && buf_len(out) < limit)
		write_items(s, web, sight, out);
	if (s->step < STEP_END)
		return true;
	char data[64];
	int n = snprintf(data, sizeof data, "{\"part\":\"end\",\"now\":%.6f}", now_of(web));
	web_sse_frame(out, "snapshot", id, slice_make(data, (size_t)n));
	return false;
}
