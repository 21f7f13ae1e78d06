/* What rules ask of a replay: actions and lines of sinks are printed, answers come as the options say. */
#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/value_json.h"
#include "engine/headers.h"
#include "engine/replay_internal.h"
#include "observe/redact.h"

static uint64_t ops_now(void *ctx)
{
	return ((const struct replay *)ctx)->now;
}

static double ops_wall(void *ctx)
{
	return ((const struct replay *)ctx)->wall;
}

static bool describe(struct replay *r, struct host_server *out)
{
	*out = (struct host_server){ .id = REPLAY_SERVER_ID, .name = r->options.server, .state = r->ready ? "ready" : "waiting",
	                             .version = r->version, .ready = r->ready };
	return true;
}

static bool ops_server_at(void *ctx, size_t index, struct host_server *out)
{
	return index == 0 && describe(ctx, out);
}

static bool ops_server_by_name(void *ctx, struct slice name, struct host_server *out)
{
	struct replay *r = ctx;
	return slice_eq(name, slice_cstr(r->options.server)) && describe(r, out);
}

static bool ops_server_by_id(void *ctx, uint32_t id, struct host_server *out)
{
	return id == REPLAY_SERVER_ID && describe(ctx, out);
}

static void append_masked(struct buf *out, struct slice text)
{
	char *copy;
	buf_append_json(out, redact_text(text, &copy));
	free(copy);
}

/* Headers of that name are one member of the object: a text, or a list where it repeats. */
static void append_header(struct buf *out, const struct action *action, uint32_t first)
{
	const struct headers headers = { .action = action };
	struct slice name = action_field_name(action, first);
	uint32_t repeats = 0;
	for (uint32_t i = 0; i < action->count; i++)
		repeats += slice_eq_nocase(action_field_name(action, i), name);
	buf_append_json(out, name);
	buf_append_cstr(out, repeats > 1 ? ":[" : ":");
	for (uint32_t i = first, n = 0; i < action->count; i++) {
		if (!slice_eq_nocase(action_field_name(action, i), name))
			continue;
		if (n++ > 0)
			buf_append_char(out, ',');
		append_masked(out, headers_masked(&headers, i));
	}
	if (repeats > 1)
		buf_append_char(out, ']');
}

static void print_action(struct replay *r, const char *rule, const struct action *action)
{
	struct buf *out = &r->line;
	bool first = true;
	buf_clear(out);
	buf_append_cstr(out, "{\"server\":");
	buf_append_json(out, slice_cstr(r->options.server));
	buf_append_cstr(out, ",\"rule\":");
	buf_append_json(out, slice_cstr(rule));
	buf_append_cstr(out, ",\"action\":{");
	for (uint32_t i = 0; i < action->count; i++) {
		bool seen = false;
		for (uint32_t k = 0; k < i && !seen; k++)
			seen = slice_eq_nocase(action_field_name(action, k), action_field_name(action, i));
		if (seen)
			continue;
		if (!first)
			buf_append_char(out, ',');
		first = false;
		append_header(out, action, i);
	}
	buf_append_cstr(out, "}}");
	r->options.line(r->options.ctx, buf_slice(out));
}

static struct reply *make_answer(const struct replay *r, void *tag, struct slice name)
{
	static const struct {
		enum err_code code;
		const char *text;
	} ends[] = {
		[REPLAY_CANCELLED] = { ERR_CANCELLED, "nothing is sent in a replay" },
		[REPLAY_SUCCESS] = { ERR_NONE, "" },
		[REPLAY_ERROR] = { ERR_ERROR, "the replay answers every action with an error" },
		[REPLAY_TIMEOUT] = { ERR_TIMEOUT, "no answer within the action's timeout" },
	};
	const struct action_info *info = catalogue_action(name);
	char *action = mem_slicedup(name);
	struct reply *reply = reply_failed(ends[r->options.answer].code, ends[r->options.answer].text, tag, action);
	reply->is_list = info && info->terminal;
	free(action);
	return reply;
}

static int ops_send(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
                    char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct replay *r = ctx;
	if (server != REPLAY_SERVER_ID)
		return err_set(err, ERR_NOT_READY, "a replay has one server, '%s'", r->options.server);
	if (!r->ready)
		return err_set(err, ERR_NOT_READY, "the session has not begun");
	print_action(r, rule, action);
	struct waiting_answer *answer = mem_zalloc(sizeof *answer);
	answer->reply = make_answer(r, tag, action_name(action));
	answer->due = r->now + (r->options.answer == REPLAY_TIMEOUT ? clock_from_seconds(timeout > 0 ? timeout : 10) : 0);
	*r->last_answer = answer;
	r->last_answer = &answer->next;
	snprintf(id, ACTION_ID_MAX + 1, "replay-1-%llu", (unsigned long long)++r->sequence);
	return 0;
}

static int ops_sink(void *ctx, struct slice name, const struct host_line *line, struct err *err)
{
	struct replay *r = ctx;
	if (line->kept && persist_sync(r->persist, line->kept, line->arg, err))
		return -1;
	buf_clear(&r->line);
	buf_append_cstr(&r->line, "{\"sink\":");
	buf_append_json(&r->line, name);
	buf_append_cstr(&r->line, ",\"line\":");
	buf_append_json(&r->line, line->text);
	buf_append_char(&r->line, '}');
	r->options.line(r->options.ctx, buf_slice(&r->line));
	return 0;
}

static void ops_pushes(void *ctx, const char *rule, struct slice queue, const struct value *job)
{
	struct replay *r = ctx;
	struct buf text;

	buf_init(&text, 0);
	value_json(&text, job);
	buf_clear(&r->line);
	buf_append_cstr(&r->line, "{\"rule\":");
	buf_append_json(&r->line, slice_cstr(rule));
	buf_append_cstr(&r->line, ",\"queue\":");
	buf_append_json(&r->line, queue);
	buf_append_cstr(&r->line, ",\"job\":");
	char *masked;
	buf_append(&r->line, redact_text(buf_slice(&text), &masked));
	free(masked);
	buf_append_char(&r->line, '}');
	buf_close(&text);
	r->options.line(r->options.ctx, buf_slice(&r->line));
}

/* Sinks are printed, so every name will do unless a configuration was given. */
static bool ops_sink_exists(void *ctx, struct slice name)
{
	const struct replay *r = ctx;
	for (size_t i = 0; i < r->config->sink_count; i++)
		if (slice_eq(slice_cstr(r->config->sinks[i].name), name))
			return true;
	return !r->options.config;
}

static void ops_retire(void *ctx, struct rule *rule)
{
	(void)ctx;
	host_destroy_rule(&rule);
}

const struct host_ops replay_ops = {
	.now = ops_now, .wall = ops_wall, .server_at = ops_server_at, .server_by_name = ops_server_by_name,
	.server_by_id = ops_server_by_id, .send = ops_send, .sink = ops_sink, .sink_exists = ops_sink_exists, .http = replay_http_request, .pushes = ops_pushes,
	.retire = ops_retire,
};
