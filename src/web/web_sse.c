#include "web/web_sse.h"

#include <inttypes.h>
#include <stdio.h>

#include "observe/log.h"

static const struct slice none = { "", 0 };

bool web_sse_allowed(const struct web_ask *ask)
{
	struct web *web = ask->web;
	int64_t most = engine_config(web->engine)->web.streams;

	if (slice_eq(ask->request->method, SLICE("HEAD"))) {
		web_fail(web, ask->c, 405, SLICE("Allow: GET\r\n"), "only GET here");
		return false;
	}
	if (web->stream_count < most)
		return true;
	web_refused(web, WEB_REFUSED_STREAMS, ask->client, ask->token->name);
	web_fail(web, ask->c, 503, SLICE("Retry-After: 5\r\n"), "too many streams; web.streams allows %lld", (long long)most);
	return false;
}

bool web_sse_begin(const struct web_ask *ask, void *reader, void (*cancel)(void *reader), void (*drained)(void *reader))
{
	ask->web->stream_count++;
	ask->c->cancel = cancel;
	ask->c->drained = drained;
	ask->c->work = reader;
	web_counted(ask->web, 200);
	/* nginx would hold it back otherwise. */
	return web_connection_stream(ask->c, "text/event-stream", SLICE("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"));
}

void web_sse_ended(struct web *web)
{
	web->stream_count--;
}

const char *web_sse_id(uint32_t epoch, uint64_t number, char text[WEB_SSE_ID])
{
	snprintf(text, WEB_SSE_ID, "%08" PRIx32 "-%" PRIu64, epoch, number);
	return text;
}

void web_sse_open(struct buf *out, const char *event, const char *id)
{
	if (event)
		buf_printf(out, "event: %s\n", event);
	if (id)
		buf_printf(out, "id: %s\n", id);
	buf_append_cstr(out, "data: ");
}

void web_sse_close(struct buf *out)
{
	buf_append_cstr(out, "\n\n");
}

void web_sse_frame(struct buf *out, const char *event, const char *id, struct slice data)
{
	web_sse_open(out, event, id);
	buf_append(out, data);
	web_sse_close(out);
}

struct web_token *web_sse_sight(const struct web_ask *ask, bool by_queue, web_sse_parameter_fn *other, void *ctx, const char *known)
{
	struct web_token *sight = web_token_copy(ask->token);
	size_t cursor = 0, name_len;
	bool good = true;
	struct buf text;
	int got;

	buf_init(&text, 0);
	while (good && (got = web_request_query(ask->request->query, &cursor, &text, &name_len)) != 0) {
		struct slice whole = buf_slice(&text), name = slice_make(whole.ptr, name_len), value = slice_make(whole.ptr + name_len, whole.len - name_len);
		good = false;
		if (got == -1) {
			web_fail(ask->web, ask->c, 400, none, "the query is badly encoded");
		} else if ((by_queue && slice_eq(name, SLICE("queue"))) || slice_eq(name, SLICE("server"))) {
			bool queue = name.ptr[0] == 'q';
			good = queue ? web_token_sees_queue(ask->token, value) : web_token_sees_server(ask->token, value);
			if (!good)
				web_fail(ask->web, ask->c, 403, none, "this token does not see this %s", queue ? "queue" : "server");
			else
				web_token_narrow(sight, queue, value);
		} else if (other && other(ctx, name, value)) {
			good = true;
		} else {
			web_fail(ask->web, ask->c, 400, none, "a parameter is not understood; there are %s", known);
		}
	}
	buf_close(&text);
	if (!good)
		web_token_release(&sight);
	return sight;
}
