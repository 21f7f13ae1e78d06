#include "engine/sink_request.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#define RETRY_AFTER_MAX 3600.0

struct slice sink_line_text(struct slice stored, bool *json)
{
	*json = stored.len > 0 && stored.ptr[0] == SINK_LINE_JSON;
	return stored.len > 0 ? slice_make(stored.ptr + 1, stored.len - 1) : stored;
}

static void add_headers(const struct config_sink *sink, struct http_request *out)
{
	for (size_t i = 0; i < sink->headers.table.count; i++) {
		const struct value *key = &sink->headers.table.pairs[i].key, *value = &sink->headers.table.pairs[i].value;
		http_headers_add(&out->headers, slice_make(key->text.bytes, key->text.len), slice_make(value->text.bytes, value->text.len));
	}
}

/* One of these beside the sink's own would be taken for it: one key for all lines, and each but the first a repetition. */
static int check_own(const struct config_sink *sink, const struct http_headers *headers, struct err *err)
{
	const char *const own[] = { "Idempotency-Key", sink->hmac ? "X-Signature-256" : NULL };
	struct slice value;

	for (size_t i = 0; i < sizeof own / sizeof *own && own[i]; i++)
		if (http_headers_get(headers, slice_cstr(own[i]), &value))
			return err_set(err, ERR_INVALID, "the header %s is the sink's own; take it out of headers", own[i]);
	return 0;
}

int sink_request_check(const struct config_sink *sink, struct err *err)
{
	struct http_request request;

	http_request_init(&request);
	memcpy(request.method, "POST", sizeof "POST");
	buf_append_cstr(&request.url, sink->url);
	add_headers(sink, &request);
	int rc = http_request_check(&request, err) || check_own(sink, &request.headers, err) ? -1 : 0;
	http_request_close(&request);
	return rc;
}

/* ---- the body ---- */

static void add_type(struct http_request *out, const char *type)
{
	struct slice given;
	if (!http_headers_get(&out->headers, SLICE("Content-Type"), &given))
		http_headers_add(&out->headers, SLICE("Content-Type"), slice_cstr(type));
}

static void add_array(const struct persist_spool *spool, struct http_request *out)
{
	const void *cursor = NULL;
	struct slice stored;
	bool json;

	buf_append_char(&out->body, '[');
	while (persist_spool_line(spool, &cursor, &stored)) {
		struct slice text = sink_line_text(stored, &json);
		if (buf_len(&out->body) > 1)
			buf_append_char(&out->body, ',');
		if (json)
			buf_append(&out->body, text);
		else
			buf_append_json(&out->body, text);
	}
	buf_append_char(&out->body, ']');
	add_type(out, "application/json");
}

static void add_line(const struct persist_spool *spool, struct http_request *out)
{
	const void *cursor = NULL;
	struct slice stored = { "", 0 };
	bool json;

	persist_spool_line(spool, &cursor, &stored);
	struct slice text = sink_line_text(stored, &json);
	buf_append(&out->body, text);
	add_type(out, json ? "application/json" : "text/plain; charset=utf-8");
}

static void sign(const struct config_sink *sink, struct slice key, struct http_request *out)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char mac[EVP_MAX_MD_SIZE];
	char text[8 + 2 * EVP_MAX_MD_SIZE] = "sha256=";
	unsigned len = 0;
	struct buf signed_text;

	buf_init(&signed_text, 0);
	buf_append(&signed_text, key);
	buf_append_char(&signed_text, '.');
	buf_append(&signed_text, buf_slice(&out->body));
	struct slice all = buf_slice(&signed_text);
	HMAC(EVP_sha256(), sink->hmac, (int)strlen(sink->hmac), (const unsigned char *)all.ptr, all.len, mac, &len);
	for (unsigned i = 0; i < len; i++) {
		text[7 + 2 * i] = digits[mac[i] >> 4];
		text[8 + 2 * i] = digits[mac[i] & 15];
	}
	text[7 + 2 * len] = '\0';
	buf_close(&signed_text);
	http_headers_add(&out->headers, SLICE("X-Signature-256"), slice_cstr(text));
}

void sink_request_make(const struct config_sink *sink, const struct persist_spool *spool, const struct persist_batch *head,
                       struct http_request *out)
{
	memcpy(out->method, "POST", sizeof "POST");
	buf_append_cstr(&out->url, sink->url);
	add_headers(sink, out);
	http_headers_add(&out->headers, SLICE("Idempotency-Key"), slice_cstr(head->key));
	out->has_body = true;
	out->timeout = sink->timeout;
	if (sink->batch > 1 || head->lines > 1)
		add_array(spool, out);
	else
		add_line(spool, out);
	if (sink->hmac)
		sign(sink, slice_cstr(head->key), out);
}

/* ---- the answer ---- */

/* These speak of the sink (its token, its URL, a gateway, its pace), not of the line: what was sent may be taken once that is mended. */
static bool speaks_of_sink(unsigned status)
{
	static const unsigned all[] = { 401, 403, 404, 405, 407, 408, 421, 423, 425, 429 };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i] == status)
			return true;
	return false;
}

enum sink_verdict sink_verdict(const struct http_response *r)
{
	/* Also when the rest of the answer is too large or did not come: it was taken. */
	if (r->status >= 200 && r->status <= 299)
		return SINK_DELIVERED;
	if (r->err.code != ERR_NONE)
		return SINK_LATER;
	return r->status >= 400 && r->status <= 499 && !speaks_of_sink(r->status) ? SINK_REFUSED : SINK_LATER;
}

double sink_retry_after(const struct http_response *r, double wall)
{
	struct slice value;
	struct tm when = { .tm_sec = 0 };
	char text[64];
	int64_t number;
	double seconds = 0;

	if (r->err.code != ERR_NONE || !http_headers_get(&r->headers, SLICE("Retry-After"), &value))
		return 0;
	slice_to_text(value, text, sizeof text);
	if (slice_to_int(value, &number))
		seconds = (double)number;
	else if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &when))
		seconds = (double)timegm(&when) - wall;
	if (!(seconds > 0))
		return 0;
	return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
}
