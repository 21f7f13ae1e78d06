/* What there is now, as JSON: the live picture and the engine. */
#include <openssl/sha.h>
#include <stdio.h>

#include "rules/picture.h"
#include "view/engine_json.h"
#include "view/live_json.h"
#include "web/web_internal.h"
#include "web/web_sight.h"

#define ROWS_DEFAULT 500
#define ROWS_MAX 10000

static const struct slice none = { "", 0 };

/* With an ETag, so that who asks again for what has not changed gets 304. */
static void answer(const struct web_ask *ask, struct slice body)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char headers[96];
	int n = 0;

	SHA256((const unsigned char *)body.ptr, body.len, digest);
	n += snprintf(headers, sizeof headers, "Cache-Control: no-cache\r\nETag: \"");
	for (int i = 0; i < 12; i++)
		n += snprintf(headers + n, sizeof headers - (size_t)n, "%02x", digest[i]);
	n += snprintf(headers + n, sizeof headers - (size_t)n, "\"\r\n");
	struct slice lines = slice_make(headers, (size_t)n), tag = slice_make(headers + n - 28, 26);
	if (web_request_has(ask->request, tag))
		web_answer(ask->web, ask->c, &(struct web_answer){ .status = 304, .headers = lines });
	else
		web_answer(ask->web, ask->c, &(struct web_answer){ .status = 200, .type = "application/json", .body = body, .headers = lines });
}

/* ---- the live picture ---- */

struct query {
	struct live_filter filter;
	struct buf texts[LIVE_FILTERS]; /* that the filter's values stand in */
	uint32_t limit;
};

static void query_close(struct query *q)
{
	for (uint32_t i = 0; i < LIVE_FILTERS; i++)
		buf_close(&q->texts[i]);
}

static void list_fields(enum live_kind kind, struct buf *out)
{
	const char *name;
	for (uint32_t i = 0; (name = live_field_name(kind, i)); i++)
		buf_printf(out, "%s%s", i ? ", " : "", name);
}

/* False: the fault is answered. */
static bool read_parameter(const struct web_ask *ask, enum live_kind kind, struct query *q, struct slice name, struct slice value)
{
	int64_t n;

	if (slice_eq(name, SLICE("limit"))) {
		if (slice_to_int(value, &n) && n >= 1 && n <= ROWS_MAX) {
			q->limit = (uint32_t)n;
			return true;
		}
		web_fail(ask->web, ask->c, 400, none, "limit is a number from 1 to %d", ROWS_MAX);
		return false;
	}
	int field = live_field(kind, name);
	if (field < 0) {
		struct buf known;
		buf_init(&known, 0);
		list_fields(kind, &known);
		web_fail(ask->web, ask->c, 400, none, "there is no parameter '%.*s'; there are limit, %.*s", (int)(name.len < 64 ? name.len : 64), name.ptr,
		         SLICE_ARG(buf_slice(&known)));
		buf_close(&known);
		return false;
	}
	if (q->filter.count == LIVE_FILTERS) {
		web_fail(ask->web, ask->c, 400, none, "at most %d conditions", LIVE_FILTERS);
		return false;
	}
	char why[LIVE_FAULT_MAX];
	if (!live_value_fits(kind, field, value, why)) {
		web_fail(ask->web, ask->c, 400, none, "%s", why);
		return false;
	}
	struct buf *text = &q->texts[q->filter.count];
	buf_append(text, value);
	q->filter.equal[q->filter.count].field = field;
	q->filter.equal[q->filter.count++].value = buf_slice(text);
	return true;
}

static bool read_query(const struct web_ask *ask, enum live_kind kind, struct query *q)
{
	size_t cursor = 0, name_len;
	struct buf text;
	bool good = true;
	int got;

	buf_init(&text, 0);
	while (good && (got = web_request_query(ask->request->query, &cursor, &text, &name_len)) != 0) {
		struct slice whole = buf_slice(&text);
		if (got == 1) {
			good = read_parameter(ask, kind, q, slice_make(whole.ptr, name_len), slice_make(whole.ptr + name_len, whole.len - name_len));
			continue;
		}
		web_fail(ask->web, ask->c, 400, none, "the query is badly encoded");
		good = false;
	}
	buf_close(&text);
	return good;
}

static bool sees(void *ctx, const struct live_object *object, int64_t now)
{
	return web_sight(ctx, object, now);
}

static bool sees_server(void *ctx, struct slice server)
{
	return web_token_sees_server(ctx, server);
}

static void serve(const struct web_ask *ask, enum live_kind kind, const char *plural)
{
	struct picture *picture = host_picture(engine_host(ask->web->engine));
	struct live *live = picture_live(picture);
	struct query q = { .limit = ROWS_DEFAULT };
	struct writer writer;
	struct buf body;

	if (!live) {
		web_fail(ask->web, ask->c, 503, none, "the live picture is off; set live.enabled and reload");
		return;
	}
	if (read_query(ask, kind, &q)) {
		const struct live_json_query query = { .live = live, .kind = kind, .filter = &q.filter, .limit = q.limit, .now = picture_now(picture),
		                                       .sees = web_token_is_narrow(ask->token) ? sees : NULL, .ctx = ask->token };
		buf_init(&body, 0);
		writer_init(&writer, &body);
		writer_open(&writer, NULL, '{');
		live_json_list(&writer, plural, &query);
		live_json_states(&writer, live, sees_server, ask->token);
		writer_close(&writer, '}');
		buf_append_char(&body, '\n');
		answer(ask, buf_slice(&body));
		buf_close(&body);
	}
	query_close(&q);
}

void web_serve_calls(const struct web_ask *ask)
{
	serve(ask, LIVE_CALL, "calls");
}

void web_serve_queues(const struct web_ask *ask)
{
	serve(ask, LIVE_QUEUE, "queues");
}

void web_serve_agents(const struct web_ask *ask)
{
	serve(ask, LIVE_AGENT, "agents");
}

void web_serve_endpoints(const struct web_ask *ask)
{
	serve(ask, LIVE_ENDPOINT, "endpoints");
}

/* ---- the engine ---- */

/* False: the fault is answered. */
static bool takes_none(const struct web_ask *ask)
{
	if (ask->request->query.len == 0)
		return true;
	web_fail(ask->web, ask->c, 400, none, "this path has no parameters");
	return false;
}

static bool is_whole(const struct web_ask *ask)
{
	if (!web_token_is_narrow(ask->token))
		return true;
	web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
	web_fail(ask->web, ask->c, 403, none, "this token is limited to servers or queues and does not see the engine");
	return false;
}

void web_serve_servers(const struct web_ask *ask)
{
	struct writer writer;
	struct buf body;

	if (!takes_none(ask))
		return;
	buf_init(&body, 0);
	writer_init(&writer, &body);
	writer_open(&writer, NULL, '{');
	engine_json_servers(ask->web->engine, &writer, sees_server, ask->token);
	writer_close(&writer, '}');
	buf_append_char(&body, '\n');
	answer(ask, buf_slice(&body));
	buf_close(&body);
}

void web_serve_rules(const struct web_ask *ask)
{
	struct writer writer;
	struct buf body;

	if (!takes_none(ask) || !is_whole(ask))
		return;
	buf_init(&body, 0);
	writer_init(&writer, &body);
	writer_open(&writer, NULL, '{');
	engine_json_rules(ask->web->engine, &writer);
	writer_close(&writer, '}');
	buf_append_char(&body, '\n');
	answer(ask, buf_slice(&body));
	buf_close(&body);
}

void web_serve_status(const struct web_ask *ask)
{
	struct buf body;

	if (!takes_none(ask) || !is_whole(ask))
		return;
	buf_init(&body, 0);
	engine_json_status(ask->web->engine, &body);
	answer(ask, buf_slice(&body));
	buf_close(&body);
}
