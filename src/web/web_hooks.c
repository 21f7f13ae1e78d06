#include "web/web_hooks.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "value/json_value.h"

#define PARAMETERS_MAX 64 /* of a query; each name is compared with those before it */

static const struct slice none = { "", 0 };

/* A request on its way to a rule. */
struct hook_request {
	struct list node; /* in web->hooks */
	struct web *web;
	struct web_connection *c;
	struct hook_call *call;
	ev_timer limit;
	struct ev_loop *loop;
	char path[HOST_HOOK_KEY_MAX + 1];
};

bool web_hooks_has(struct slice path)
{
	return slice_starts_with(path, SLICE("/hooks/"));
}

/* ---- the request as a rule gets it ---- */

static void add_text(struct value *table, const char *name, struct slice text)
{
	value_add(table, value_text(slice_cstr(name)), value_text(text));
}

/* False: the fault is answered. */
static bool read_query(struct web *web, struct web_connection *c, const struct web_request *request, struct value *out)
{
	size_t cursor = 0, name_len;
	struct buf text;
	int got;

	*out = (struct value){ .type = VALUE_TABLE };
	buf_init(&text, 0);
	while ((got = web_request_query(request->query, &cursor, &text, &name_len)) == 1 && out->table.count <= PARAMETERS_MAX) {
		struct slice whole = buf_slice(&text), name = slice_make(whole.ptr, name_len);
		if (!value_get(out, name)) /* the first of a name, as everywhere */
			value_add(out, value_text(name), value_text(slice_make(whole.ptr + name_len, whole.len - name_len)));
	}
	buf_close(&text);
	bool many = out->table.count > PARAMETERS_MAX;
	if (got == 0 && !many)
		return true;
	value_close(out);
	if (many)
		web_fail(web, c, 400, none, "a query has at most %d parameters", PARAMETERS_MAX);
	else
		web_fail(web, c, 400, none, "the query is badly encoded");
	return false;
}

/* Names in lower case; without the token. */
static struct value headers_of(const struct web_request *request)
{
	struct value table = { .type = VALUE_TABLE };
	char name[128];

	for (uint32_t i = 0; i < request->header_count; i++) {
		struct slice from = request->headers[i].name;
		size_t len = from.len < sizeof name ? from.len : sizeof name;
		for (size_t k = 0; k < len; k++)
			name[k] = slice_lower(from.ptr[k]);
		struct slice lower = slice_make(name, len);
		if (!slice_eq(lower, SLICE("authorization")) && !value_get(&table, lower))
			value_add(&table, value_text(lower), value_text(request->headers[i].value));
	}
	return table;
}

static bool is_json(const struct web_request *request)
{
	struct slice type = web_request_header(request, SLICE("Content-Type"));
	return type.ptr && slice_starts_with_nocase(type, SLICE("application/json"));
}

/* `object`: its body must be a JSON object. False: the fault is answered. */
static bool make_request(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client, const char *token,
                         bool object, struct value *out)
{
	struct value json = { .type = VALUE_NIL }, query;
	char ip[ADDRESS_TEXT_MAX];

	if (!read_query(web, c, request, &query))
		return false;
	if (object ? !web_read_object(web, c, request, &json) : is_json(request) && !web_read_json(web, c, request, &json)) {
		value_close(&query);
		return false;
	}
	address_text(client, ip);
	*out = (struct value){ .type = VALUE_TABLE };
	add_text(out, "method", request->method);
	add_text(out, "path", request->path);
	value_add(out, value_text(SLICE("query")), query);
	value_add(out, value_text(SLICE("headers")), headers_of(request));
	add_text(out, "body", request->body);
	if (json.type != VALUE_NIL)
		value_add(out, value_text(SLICE("json")), json);
	if (token)
		add_text(out, "token", slice_cstr(token));
	add_text(out, "remote", slice_cstr(ip));
	return true;
}

/* ---- to the rule and back ---- */

static void request_free(struct hook_request *r)
{
	list_remove(&r->node);
	ev_timer_stop(r->loop, &r->limit);
	free(r);
}

/* The client is gone. */
static void on_gone(void *work)
{
	struct hook_request *r = work;

	host_hook_forget(r->call);
	request_free(r);
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct hook_request *r = timer->data;
	struct web_connection *c = r->c;
	struct web *web = r->web;
	(void)loop, (void)events;

	log_write(LOG_WARN, "web endpoint does not answer", F_TEXT("endpoint", r->path), F_TEXT("reason", "it takes longer than web.timeout"));
	host_hook_forget(r->call);
	request_free(r);
	web_fail(web, c, 504, none, "no answer in time");
}

static void on_done(void *ctx, const struct host_hook_answer *answer)
{
	struct hook_request *r = ctx;
	struct web_connection *c = r->c;
	struct web *web = r->web;
	struct buf headers;

	request_free(r);
	if (answer->error && answer->id) {
		web_fail(web, c, answer->status, none, "%s; the log has it as request %s", answer->error, answer->id);
		return;
	}
	if (answer->error) {
		web_fail(web, c, answer->status, SLICE("Retry-After: 5\r\n"), "%s", answer->error);
		return;
	}
	buf_init(&headers, 0);
	buf_append_cstr(&headers, "Cache-Control: no-store\r\n");
	buf_append(&headers, answer->headers);
	web_answer(web, c, &(struct web_answer){ .status = answer->status, .type = answer->type[0] ? answer->type : NULL, .body = answer->body,
	                                         .headers = buf_slice(&headers) });
	buf_close(&headers);
}

static void serve(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client, const char *token,
                  bool object)
{
	struct value table;

	if (!make_request(web, c, request, client, token, object, &table))
		return;
	struct hook_request *r = mem_zalloc(sizeof *r);
	r->web = web;
	r->c = c;
	r->loop = engine_loop(web->engine);
	list_append(&web->hooks, &r->node);
	slice_to_text(request->path, r->path, sizeof r->path);
	ev_timer_init(&r->limit, on_limit, 0, 0);
	r->limit.data = r;
	c->work = r;
	c->cancel = on_gone;
	r->call = host_hook_begin(engine_host(web->engine), request->method, request->path, &table, on_done, r);
	ev_now_update(r->loop);
	ev_timer_set(&r->limit, engine_config(web->engine)->web.timeout, 0);
	ev_timer_start(r->loop, &r->limit);
}

/* False: it is answered that nobody serves it. */
static bool is_served(struct web *web, struct web_connection *c, enum host_hook_state state, const struct host_hook_view *hook)
{
	char allow[64];
	struct slice line = { allow, (size_t)snprintf(allow, sizeof allow, "Allow: %s\r\n", hook->methods) };

	if (state == HOST_HOOK_NONE)
		web_fail(web, c, 404, none, "no rule serves this path");
	else if (state == HOST_HOOK_METHOD)
		web_fail(web, c, 405, line, "the rule that serves this path does so by another method");
	else if (state == HOST_HOOK_DOWN)
		web_fail(web, c, 503, SLICE("Retry-After: 30\r\n"), "the rule that serves this path does not run now");
	return state == HOST_HOOK_SERVED;
}

/* ---- signatures ---- */

static bool signature_is_good(const struct web_request *request, const struct host_hook_view *hook)
{
	struct slice given = web_request_header(request, slice_cstr(hook->hmac_header)), prefix = slice_cstr(hook->hmac_prefix);
	unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE], sent[2 * EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!given.ptr || !slice_starts_with(given, prefix))
		return false;
	given = slice_make(given.ptr + prefix.len, given.len - prefix.len);
	if (!HMAC(EVP_sha256(), hook->hmac_secret, (int)strlen(hook->hmac_secret), (const unsigned char *)request->body.ptr, request->body.len, digest, &len) ||
	    given.len != (size_t)len * 2)
		return false;
	for (unsigned i = 0; i < len; i++) {
		text[2 * i] = (unsigned char)"0123456789abcdef"[digest[i] >> 4];
		text[2 * i + 1] = (unsigned char)"0123456789abcdef"[digest[i] & 15];
		sent[2 * i] = (unsigned char)slice_lower(given.ptr[2 * i]);
		sent[2 * i + 1] = (unsigned char)slice_lower(given.ptr[2 * i + 1]);
	}
	return CRYPTO_memcmp(text, sent, (size_t)len * 2) == 0;
}

bool web_hooks_signed(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client)
{
	struct host_hook_view hook;
	enum host_hook_state state = host_hook_find(engine_host(web->engine), request->method, request->path, &hook);

	if (!hook.hmac_secret)
		return false;
	if (web_access_is_blocked(web->access, client, clock_mono_ns())) {
		web_refuse_blocked(web, c, client);
	} else if (!signature_is_good(request, &hook)) {
		web_access_failed(web->access, client, clock_mono_ns());
		web_refuse_unknown(web, c, client);
	} else if (is_served(web, c, state, &hook)) {
		serve(web, c, request, client, NULL, hook.json);
	}
	return true;
}

void web_hooks_serve(const struct web_ask *ask)
{
	struct host_hook_view hook;
	enum host_hook_state state = host_hook_find(engine_host(ask->web->engine), ask->request->method, ask->request->path, &hook);
	bool may = (ask->token->scopes & WEB_SCOPE_HOOKS) && (!hook.token || strcmp(hook.token, ask->token->name) == 0);

	if (!may) {
		web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
		web_fail(ask->web, ask->c, 403, none, "this token may not use this endpoint");
		return;
	}
	if (is_served(ask->web, ask->c, state, &hook))
		serve(ask->web, ask->c, ask->request, ask->client, ask->token->name, hook.json);
}

void web_hooks_close(struct web *web)
{
	list_each_safe(it, &web->hooks) {
		struct hook_request *r = list_entry(it, struct hook_request, node);
		struct web_connection *c = r->c;
		host_hook_forget(r->call);
		request_free(r);
		web_fail(web, c, 503, SLICE("Retry-After: 5\r\n"), "the engine stops");
	}
}
