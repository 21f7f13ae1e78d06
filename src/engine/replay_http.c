/* Requests of rules in a replay: they are printed, and answered as the options say. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/value_json.h"
#include "config/read.h"
#include "engine/replay_internal.h"
#include "observe/redact.h"

#define TIMEOUT_DEFAULT 10.0

struct waiting_response {
	struct waiting_response *next;
	struct http_response *response;
	void *tag;
	uint64_t due;
};

/* ---- the options ---- */

static struct slice text_of(const struct value *answer, const char *key)
{
	const struct value *text = value_get(answer, slice_cstr(key));
	return text && text->type == VALUE_TEXT ? slice_make(text->text.bytes, text->text.len) : SLICE("");
}

/* ERR_NONE when no error has that name. */
static enum err_code code_of(struct slice name)
{
	for (int code = ERR_NONE; code < ERR_CODES; code++)
		if (slice_eq(slice_cstr(err_name((enum err_code)code)), name))
			return (enum err_code)code;
	return ERR_NONE;
}

/* What is wrong with an answer of the file; NULL when nothing is. A slip must not end as a success. */
static const char *fault_of(const struct value *answer)
{
	static const struct {
		const char *key;
		enum value_type type;
	} types[] = { { "url", VALUE_TEXT }, { "method", VALUE_TEXT }, { "status", VALUE_INT }, { "headers", VALUE_TABLE },
		{ "body", VALUE_TEXT }, { "code", VALUE_TEXT } };

	if (answer->type != VALUE_TABLE || !value_get(answer, SLICE("url")))
		return "an answer is a table with url";
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		const struct value *given = value_get(answer, slice_cstr(types[i].key));
		if (given && given->type != types[i].type)
			return "url, method, body and code are strings, status is an integer, headers is a table";
	}
	const struct value *status = value_get(answer, SLICE("status"));
	if (status && (status->integer < 100 || status->integer > 599))
		return "status is a number from 100 to 599";
	if (value_get(answer, SLICE("code")) && code_of(text_of(answer, "code")) == ERR_NONE)
		return "code is an error of a request, such as \"timeout\" or \"refused\"";
	const struct value *headers = value_get(answer, SLICE("headers"));
	for (size_t i = 0; headers && i < headers->table.count; i++)
		if (headers->table.pairs[i].key.type != VALUE_TEXT || headers->table.pairs[i].value.type != VALUE_TEXT)
			return "names and values of headers are strings";
	return NULL;
}

/* A list of { url, method, status, headers, body or json, code }, read as a configuration is. With a fault in it no rule set is good. */
static void read_file(struct replay *r, const char *path, struct faults *faults)
{
	struct reading reading;
	size_t before = faults_errors(faults);

	reading_init(&reading, path, ".", faults);
	for (size_t i = 0; reading.root.type == VALUE_TABLE && i < reading.root.table.count; i++) {
		const char *fault = fault_of(&reading.root.table.pairs[i].value);
		if (fault)
			faults_add(faults, "%s: item %zu: %s; for example { url = \"https://crm.example.net/\", status = 200, body = \"…\" }", path, i + 1, fault);
	}
	if (faults_errors(faults) == before)
		r->http_answers = value_copy(&reading.root);
	reading_close(&reading);
}

int replay_http_open(struct replay *r, const char *how, struct faults *faults)
{
	int64_t status;

	r->last_response = &r->responses;
	r->http_policy = mapping_http_policy(r->config, faults);
	if (!r->http_policy)
		return -1;
	if (!how)
		return 0;
	if (slice_to_int(slice_cstr(how), &status) && status >= 100 && status <= 599) {
		r->http = REPLAY_HTTP_STATUS;
		r->http_status = (unsigned)status;
	} else if (strcmp(how, "timeout") == 0) {
		r->http = REPLAY_HTTP_TIMEOUT;
	} else {
		r->http = REPLAY_HTTP_FILE;
		read_file(r, how, faults);
	}
	return 0;
}

/* ---- printing ---- */

static void append_masked(struct buf *out, struct slice text)
{
	char *copy;
	buf_append_json(out, redact_text(text, &copy));
	free(copy);
}

static void print_request(struct replay *r, const char *rule, const struct http_request *request)
{
	struct buf *out = &r->line;
	struct slice name, value;
	bool first = true;

	buf_clear(out);
	buf_append_cstr(out, "{\"rule\":");
	buf_append_json(out, slice_cstr(rule));
	buf_append_cstr(out, ",\"http\":{\"method\":");
	buf_append_json(out, slice_cstr(request->method));
	buf_append_cstr(out, ",\"url\":");
	append_masked(out, buf_slice(&request->url));
	buf_append_cstr(out, ",\"headers\":{");
	for (size_t i = 0; http_headers_next(&request->headers, &i, &name, &value); first = false) {
		buf_append_cstr(out, first ? "" : ",");
		buf_append_json(out, name);
		buf_append_char(out, ':');
		append_masked(out, http_header_is_secret(name) || redact_name(name) ? SLICE(REDACTED) : value);
	}
	buf_append_char(out, '}');
	if (request->has_body) {
		buf_append_cstr(out, ",\"body\":");
		append_masked(out, buf_slice(&request->body));
	}
	buf_append_cstr(out, "}}");
	r->options.line(r->options.ctx, buf_slice(out));
}

/* ---- answering ---- */

static struct http_response *response_of(const struct value *answer)
{
	enum err_code code = code_of(text_of(answer, "code"));
	const struct value *status = value_get(answer, SLICE("status")), *headers = value_get(answer, SLICE("headers")), *json = value_get(answer, SLICE("json"));

	if (code != ERR_NONE)
		return http_response_failed(code, "as the file of the replay says");
	struct http_response *response = http_response_create();
	response->status = status ? (unsigned)status->integer : 200;
	buf_append(&response->body, text_of(answer, "body"));
	if (json)
		value_json(&response->body, json);
	for (size_t i = 0; headers && i < headers->table.count; i++) {
		const struct value_pair *pair = &headers->table.pairs[i];
		http_headers_add(&response->headers, slice_make(pair->key.text.bytes, pair->key.text.len),
		                 slice_make(pair->value.text.bytes, pair->value.text.len));
	}
	return response;
}

/* The first whose URL the request's begins with, and whose method is the request's or not given. */
static struct http_response *from_file(const struct replay *r, const struct http_request *request)
{
	for (size_t i = 0; i < r->http_answers.table.count; i++) {
		const struct value *answer = &r->http_answers.table.pairs[i].value;
		struct slice method = text_of(answer, "method");
		if (slice_starts_with(buf_slice(&request->url), text_of(answer, "url")) &&
		    (method.len == 0 || slice_eq_nocase(method, slice_cstr(request->method))))
			return response_of(answer);
	}
	struct http_response *response = http_response_create();
	response->status = 404;
	return response;
}

static struct http_response *make_response(const struct replay *r, const struct http_request *request)
{
	struct http_response *response;

	switch (r->http) {
	case REPLAY_HTTP_TIMEOUT:
		return http_response_failed(ERR_TIMEOUT, "no answer within the request's timeout");
	case REPLAY_HTTP_FILE:
		response = from_file(r, request);
		break;
	case REPLAY_HTTP_STATUS:
		response = http_response_create();
		response->status = r->http_status;
		break;
	default:
		return http_response_failed(ERR_CANCELLED, "nothing is sent in a replay (--http says what a request gets)");
	}
	response->url = response->err.code == ERR_NONE ? mem_slicedup(buf_slice(&request->url)) : NULL;
	return response;
}

static int check(struct replay *r, const char *rule, const struct http_request *request, struct err *err)
{
	struct http_url url;
	char policy[128];

	if (http_url_parse(buf_slice(&request->url), &url, err))
		return -1;
	snprintf(policy, sizeof policy, "policy.rules[\"%s\"].http", rule);
	/* Rules without a configuration are only looked at: everything is allowed to them. */
	const struct http_access *access = http_policy_of(r->http_policy, rule);
	int rc = r->options.config ? http_access_check(access, &url, policy, err) : 0;
	if (rc == 0 && r->options.config && url.literal)
		rc = http_access_check_address(access, &url.address, err);
	http_url_close(&url);
	return rc;
}

int replay_http_request(void *ctx, const char *rule, const struct http_request *request, void *tag, struct err *err)
{
	struct replay *r = ctx;

	if (check(r, rule, request, err))
		return -1;
	print_request(r, rule, request);
	struct waiting_response *w = mem_zalloc(sizeof *w);
	w->response = make_response(r, request);
	w->tag = tag;
	w->due = r->now + (w->response->err.code == ERR_TIMEOUT ? clock_from_seconds(request->timeout > 0 ? request->timeout : TIMEOUT_DEFAULT) : 0);
	*r->last_response = w;
	r->last_response = &w->next;
	return 0;
}

uint64_t replay_http_next(const struct replay *r)
{
	uint64_t due = UINT64_MAX;
	for (const struct waiting_response *w = r->responses; w; w = w->next)
		due = w->due < due ? w->due : due;
	return due;
}

bool replay_http_complete(struct replay *r, uint64_t now)
{
	bool any = false;

	for (struct waiting_response **at = &r->responses; *at;) {
		struct waiting_response *w = *at;
		if (w->due > now) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		if (!*at)
			r->last_response = at;
		host_http_complete(w->tag, w->response);
		free(w);
		any = true;
	}
	return any;
}

void replay_http_close(struct replay *r)
{
	replay_http_complete(r, UINT64_MAX);
	http_policy_destroy(&r->http_policy);
	value_close(&r->http_answers);
}
