#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/mapping.h"
#include "observe/log.h"
#include "value/json_value.h"
#include "web/web_act.h"
#include "web/web_board.h"
#include "web/web_hooks.h"
#include "web/web_internal.h"

#define HEAD_MAX (16u << 10)      /* bytes of a request's head */
#define DESCRIPTORS_KEPT 64       /* for files, consoles and look-ups, beside two for each server */
#define JSON_TYPE "application/json"
#define PREFLIGHT_AGE 600         /* seconds that a browser may remember a preflight */

/* ---- answers ---- */

void web_counted(struct web *web, unsigned status)
{
	char text[8];
	struct slice label = { text, (size_t)snprintf(text, sizeof text, "%u", status) };
	struct series *series = metric_series(web->requests, &label, 1);

	if (series)
		series->value++;
}

void web_answer(struct web *web, struct web_connection *c, const struct web_answer *answer)
{
	web_counted(web, answer->status);
	web_connection_answer(c, answer);
}

void web_fail(struct web *web, struct web_connection *c, unsigned status, struct slice headers, const char *format, ...)
{
	struct buf text, body;
	struct writer writer;
	va_list args;
	char line[512];

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	buf_init(&text, 0);
	buf_init(&body, 0);
	writer_init(&writer, &body);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "error", line);
	writer_close(&writer, '}');
	buf_append_char(&body, '\n');
	buf_append_cstr(&text, "Cache-Control: no-store\r\n");
	buf_append(&text, headers);
	web_answer(web, c, &(struct web_answer){ .status = status, .type = JSON_TYPE, .body = buf_slice(&body), .headers = buf_slice(&text) });
	buf_close(&text);
	buf_close(&body);
}

bool web_read_json(struct web *web, struct web_connection *c, const struct web_request *request, struct value *out)
{
	struct err err;

	if (json_value_read(web->json, request->body, out, &err) == 0)
		return true;
	web_fail(web, c, 400, (struct slice){ "", 0 }, "the body cannot be read: %.200s", err.text);
	return false;
}

bool web_read_object(struct web *web, struct web_connection *c, const struct web_request *request, struct value *out)
{
	struct slice none = { "", 0 }, type = web_request_header(request, SLICE("Content-Type"));

	*out = (struct value){ .type = VALUE_NIL };
	if (type.ptr && !slice_starts_with_nocase(type, SLICE("application/json"))) {
		web_fail(web, c, 415, none, "the body must be JSON, with the header Content-Type: application/json");
		return false;
	}
	if (!web_read_json(web, c, request, out))
		return false;
	if (!value_is_object(out)) {
		value_close(out);
		web_fail(web, c, 400, none, "the body must be a JSON object");
		return false;
	}
	return true;
}

void web_answer_json(const struct web_ask *ask, unsigned status, struct slice body)
{
	web_answer(ask->web, ask->c, &(struct web_answer){ .status = status, .type = JSON_TYPE, .body = body, .headers = SLICE("Cache-Control: no-store\r\n") });
}

static const char *const refusal_names[WEB_REFUSALS] = {
	[WEB_REFUSED_HOST] = "host", [WEB_REFUSED_ORIGIN] = "origin", [WEB_REFUSED_TOKEN] = "token",
	[WEB_REFUSED_FAILURES] = "failures", [WEB_REFUSED_RATE] = "rate", [WEB_REFUSED_SCOPE] = "scope",
	[WEB_REFUSED_STREAMS] = "streams",
};

void web_refused(struct web *web, enum web_refusal refusal, const struct address *client, const char *label)
{
	char ip[ADDRESS_TEXT_MAX];

	if (web->refused[refusal])
		web->refused[refusal]->value++;
	address_text(client, ip);
	log_write(LOG_WARN, "web request refused", F_TEXT("reason", refusal_names[refusal]), F_TEXT("address", ip), F_TEXT("client", label));
}

/* ---- before routing ---- */

/* What a browser asks before it sends a request of a page of another origin. */
static bool is_preflight(const struct web_request *request)
{
	return slice_eq(request->method, SLICE("OPTIONS")) && web_request_header(request, SLICE("Origin")).ptr &&
	       web_request_header(request, SLICE("Access-Control-Request-Method")).ptr;
}

static void allow_origin(struct web_connection *c, const struct web_request *request)
{
	struct slice origin = web_request_header(request, SLICE("Origin"));

	/* It is one of web.origins, which have neither blanks nor control characters. */
	buf_printf(&c->extra, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\nAccess-Control-Expose-Headers: ETag, Retry-After\r\n", SLICE_ARG(origin));
}

static bool check_origin(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client)
{
	enum web_origin origin = web_access_origin(web->access, request);

	if (origin == WEB_ORIGIN_FOREIGN) {
		web_refused(web, WEB_REFUSED_ORIGIN, client, NULL);
		web_fail(web, c, 403, (struct slice){ "", 0 }, "pages of this origin may not use the API; web.origins names those that may");
		return false;
	}
	if (origin == WEB_ORIGIN_LISTED)
		allow_origin(c, request);
	if (!is_preflight(request))
		return true;
	char headers[256];
	int n = snprintf(headers, sizeof headers,
	                 "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"
	                 "Access-Control-Allow-Headers: Authorization, Content-Type, If-None-Match, Last-Event-ID\r\nAccess-Control-Max-Age: %d\r\n",
	                 PREFLIGHT_AGE);
	web_answer(web, c, &(struct web_answer){ .status = 204, .headers = slice_make(headers, (size_t)n) });
	return false;
}

void web_refuse_unknown(struct web *web, struct web_connection *c, const struct address *client)
{
	web_refused(web, WEB_REFUSED_TOKEN, client, NULL);
	web_fail(web, c, 401, SLICE("WWW-Authenticate: Bearer\r\n"), "a valid token is missing: the header Authorization is the word Bearer, a blank and the token");
}

void web_refuse_blocked(struct web *web, struct web_connection *c, const struct address *client)
{
	web_refused(web, WEB_REFUSED_FAILURES, client, NULL);
	web_fail(web, c, 429, SLICE("Retry-After: 60\r\n"), "too many requests without a valid token");
}

/* The token of the request, or NULL and the refusal is answered. */
static struct web_token *check_token(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client,
                                     unsigned char digest[WEB_DIGEST])
{
	struct web_token *token;

	switch (web_access_check(web->access, request, client, clock_mono_ns(), &token, digest)) {
	case WEB_GRANTED:
		return token;
	case WEB_NO_TOKEN:
		web_refuse_unknown(web, c, client);
		break;
	case WEB_BLOCKED:
		web_refuse_blocked(web, c, client);
		break;
	case WEB_TOO_FAST:
		web_refused(web, WEB_REFUSED_RATE, client, token->name);
		web_fail(web, c, 429, SLICE("Retry-After: 1\r\n"), "too many requests with this token");
		break;
	}
	return NULL;
}

static void on_request(void *ctx, struct web_connection *c, const struct web_request *request)
{
	struct web *web = ctx;
	unsigned char digest[WEB_DIGEST];
	struct address client;

	web_access_client(web->access, request, web_connection_peer(c), &client);
	if (!web_access_host(web->access, request->host)) {
		web_refused(web, WEB_REFUSED_HOST, &client, NULL);
		web_fail(web, c, 421, (struct slice){ "", 0 }, "this is not served here; web.hosts names what is");
		return;
	}
	if (web->shared && web_pages_has(request->path)) {
		web_pages_answer(web->pages, c, request);
		return;
	}
	if (web_board_has(request->path)) {
		web_board_answer(web, c, request);
		return;
	}
	if (!check_origin(web, c, request, &client))
		return;
	bool hook = web_hooks_has(request->path);
	if (hook && web_hooks_signed(web, c, request, &client))
		return;
	struct web_token *token = check_token(web, c, request, &client, digest);
	if (!token)
		return;
	struct web_ask ask = { .web = web, .c = c, .request = request, .token = token, .digest = digest, .client = &client };
	if (hook)
		web_hooks_serve(&ask);
	else
		web_route(&ask);
}

static void on_monitoring(void *ctx, struct web_connection *c, const struct web_request *request)
{
	struct web *web = ctx;
	web_pages_answer(web->pages, c, request);
}

/* ---- making it ---- */

/* Sockets with a higher number are not for clients of ours: AMI comes first. */
static int descriptor_bound(const struct engine *engine)
{
	struct rlimit limit;
	rlim_t kept = DESCRIPTORS_KEPT + 2 * engine_config(engine)->server_count;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= INT32_MAX)
		return INT32_MAX;
	return limit.rlim_cur > kept * 2 ? (int)(limit.rlim_cur - kept) : (int)(limit.rlim_cur / 2);
}

static int add_dropped(struct web *web, struct web_listener *listener, const char *family, const char *help, struct err *err)
{
	static const char *const reason[] = { "reason" };
	struct metric *dropped = metrics_add(engine_metrics(web->engine), METRIC_COUNTER, family, help, reason, 1, NULL, 0, 0, err);

	if (!dropped)
		return -1;
	for (size_t i = 0; i < WEB_DROPS; i++) {
		struct slice name = slice_cstr(web_drop_name((enum web_drop)i));
		listener->dropped[i] = metric_series(dropped, &name, 1);
	}
	return 0;
}

static int open_monitoring(struct web *web, struct err *err)
{
	const struct config *config = engine_config(web->engine);
	const struct web_listener_options options = {
		.name = "http", .listen = config->http.listen, .connections = config->http.connections, .head = HEAD_MAX, .body = HEAD_MAX,
		.timeout = config->http.timeout, .one_request = true, .descriptors = descriptor_bound(web->engine), .request = on_monitoring, .ctx = web,
	};

	if (!(web->monitoring = web_listener_create(engine_loop(web->engine), &options, err)))
		return -1;
	log_write(LOG_INFO, "metrics are served", F_TEXT("listen", config->http.listen), F_INT("port", address_port(&web->monitoring->address)));
	return add_dropped(web, web->monitoring, "hookswitch_http_dropped_total",
	                   "Connections of section http ended by a bound: connections (too many), descriptors (none to spare), slow (older than "
	                   "http.timeout), malformed (no request that could be trusted), tls (never).", err);
}

static struct web_listener_options api_options(struct web *web)
{
	const struct config *config = engine_config(web->engine);

	return (struct web_listener_options){
		.name = "web", .listen = config->web.listen, .tls = engine_web_tls(web->engine), .connections = config->web.connections, .head = HEAD_MAX,
		.body = (uint64_t)config->web.body, .timeout = config->web.timeout, .descriptors = descriptor_bound(web->engine), .request = on_request, .ctx = web,
	};
}

static void on_collect(void *ctx)
{
	struct web *web = ctx;
	web->connections->value = (double)web->api->count;
	web->streams->value = (double)web->stream_count;
}

static int add_metrics(struct web *web, struct err *err)
{
	static const char *const status[] = { "status" }, *const reason[] = { "reason" };
	struct metrics *metrics = engine_metrics(web->engine);
	struct metric *connections = metrics_add(metrics, METRIC_GAUGE, "hookswitch_web_connections", "Connections to web.listen.", NULL, 0, NULL, 0, 0, err);
	struct metric *streams = metrics_add(metrics, METRIC_GAUGE, "hookswitch_web_streams", "Streams of /api/live and /api/events.", NULL, 0, NULL, 0, 0, err);
	struct metric *refused = metrics_add(metrics, METRIC_COUNTER, "hookswitch_web_refused_total",
	                                     "Requests refused: host (another site's), origin (a page of one that is not listed), token (none that is valid), failures "
	                                     "(too many of those from one address), rate (too many with one token), scope (the token may not), streams (too many).",
	                                     reason, 1, NULL, 0, 0, err);

	web->requests = metrics_add(metrics, METRIC_COUNTER, "hookswitch_web_requests_total", "Requests answered, by HTTP status.", status, 1, NULL, 0, 0, err);
	if (!connections || !streams || !refused || !web->requests)
		return -1;
	web->connections = metric_series(connections, NULL, 0);
	web->streams = metric_series(streams, NULL, 0);
	for (size_t i = 0; i < WEB_REFUSALS; i++) {
		struct slice name = slice_cstr(refusal_names[i]);
		web->refused[i] = metric_series(refused, &name, 1);
	}
	metrics_on_collect(metrics, on_collect, web);
	return add_dropped(web, web->api, "hookswitch_web_dropped_total",
	                   "Connections to web.listen ended by a bound: connections (too many), descriptors (none to spare), slow (web.timeout), malformed "
	                   "(no request that could be trusted), tls (the handshake failed).", err);
}

static void take_configuration(struct web *web)
{
	const struct config *config = engine_config(web->engine);
	struct web_access *before = web->access;

	web->access = web_access_create(config);
	if (before)
		web_access_continue(web->access, before);
	web_access_destroy(&before);
	policy_unref(&web->policy);
	web->policy = mapping_web_policy(config);
}

static void on_reloaded(void *ctx)
{
	struct web *web = ctx;

	take_configuration(web);
	web->api->options = api_options(web);
	web_live_reloaded(web->live);
	web_events_reloaded(web->events);
}

static int open_api(struct web *web, struct err *err)
{
	const struct config *config = engine_config(web->engine);
	const struct web_listener_options options = api_options(web);

	take_configuration(web);
	if (!(web->json = json_value_create(err)))
		return -1;
	if (!(web->api = web_listener_create(engine_loop(web->engine), &options, err)) || add_metrics(web, err) ||
	    !(web->live = web_live_create(web, err)) || !(web->events = web_events_create(web, err)))
		return -1;
	engine_on_reloaded(web->engine, on_reloaded, web);
	log_write(LOG_INFO, "the API is served", F_TEXT("listen", config->web.listen), F_INT("port", address_port(&web->api->address)),
	          F_BOOL("tls", options.tls != NULL));
	return 0;
}

struct web *web_create(struct engine *engine, struct err *err)
{
	const struct config *config = engine_config(engine);

	err->code = ERR_NONE;
	if (!config->http.listen && !config->web.listen)
		return NULL;
	struct web *web = mem_zalloc(sizeof *web);
	web->engine = engine;
	list_init(&web->acts);
	list_init(&web->hooks);
	web->shared = config->http.listen && config->web.listen && strcmp(config->http.listen, config->web.listen) == 0;
	int rc = 0;
	if (config->http.listen && !(web->pages = web_pages_create(engine, err)))
		rc = -1;
	if (rc == 0 && config->http.listen && !web->shared)
		rc = open_monitoring(web, err);
	if (rc == 0 && config->web.listen)
		rc = open_api(web, err);
	if (rc == -1)
		web_destroy(&web);
	return web;
}

void web_destroy(struct web **web)
{
	struct web *w = *web;

	if (!w)
		return;
	*web = NULL;
	engine_on_reloaded(w->engine, NULL, NULL);
	metrics_remove_collect(engine_metrics(w->engine), on_collect, w);
	web_hooks_close(w);
	web_acts_close(w);
	web_listener_destroy(&w->monitoring);
	web_listener_destroy(&w->api);
	json_value_destroy(&w->json);
	web_live_destroy(&w->live);
	web_events_destroy(&w->events);
	web_pages_destroy(&w->pages);
	web_access_destroy(&w->access);
	policy_unref(&w->policy);
	free(w);
}
