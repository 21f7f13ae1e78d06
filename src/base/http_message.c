#include "base/http_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"

/* ---- headers ---- */

struct sizes {
	uint32_t name, value;
};

int http_headers_add(struct http_headers *headers, struct slice name, struct slice value)
{
	const struct sizes sizes = { (uint32_t)name.len, (uint32_t)value.len };
	char *at = buf_reserve(&headers->text, sizeof sizes + name.len + value.len);

	if (!at)
		return -1;
	memcpy(at, &sizes, sizeof sizes);
	memcpy(at + sizeof sizes, name.ptr, name.len);
	memcpy(at + sizeof sizes + name.len, value.ptr, value.len);
	buf_commit(&headers->text, sizeof sizes + name.len + value.len);
	headers->count++;
	return 0;
}

bool http_headers_next(const struct http_headers *headers, size_t *cursor, struct slice *name, struct slice *value)
{
	struct slice all = buf_slice(&headers->text);
	struct sizes sizes;

	if (*cursor >= all.len)
		return false;
	memcpy(&sizes, all.ptr + *cursor, sizeof sizes);
	*name = slice_make(all.ptr + *cursor + sizeof sizes, sizes.name);
	*value = slice_make(name->ptr + sizes.name, sizes.value);
	*cursor += sizeof sizes + sizes.name + sizes.value;
	return true;
}

bool http_headers_get(const struct http_headers *headers, struct slice name, struct slice *value)
{
	struct slice other;
	for (size_t i = 0; http_headers_next(headers, &i, &other, value);)
		if (slice_eq_nocase(other, name))
			return true;
	return false;
}

/* ---- requests ---- */

void http_request_init(struct http_request *r)
{
	*r = (struct http_request){ .follow = 0 };
	buf_init(&r->url, 0);
	buf_init(&r->headers.text, 0);
	buf_init(&r->body, 0);
}

void http_request_close(struct http_request *r)
{
	buf_close(&r->url);
	buf_close(&r->headers.text);
	buf_close(&r->body);
}

void http_request_clear(struct http_request *r)
{
	buf_clear(&r->url);
	buf_clear(&r->headers.text);
	buf_clear(&r->body);
	r->headers.count = 0;
	r->method[0] = '\0';
	r->has_body = false;
	r->timeout = 0;
	r->follow = 0;
}

size_t http_request_size(const struct http_request *r)
{
	return buf_len(&r->url) + buf_len(&r->headers.text) + buf_len(&r->body);
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i], lower = slice_lower(c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

static bool is_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool is_one_of(struct slice name, const char *const *names)
{
	for (; *names; names++)
		if (slice_eq_nocase(name, slice_cstr(*names)))
			return true;
	return false;
}

static bool is_own(struct slice name)
{
	static const char *const own[] = { "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
	                                   "Expect", "Accept-Encoding", "HTTP2-Settings", NULL };
	return is_one_of(name, own) || slice_starts_with_nocase(name, SLICE("Proxy-"));
}

static int check_headers(const struct http_headers *headers, struct err *err)
{
	struct slice name, value;

	if (headers->count > HTTP_HEADERS_MAX)
		return err_set(err, ERR_INVALID, "more than %d headers", HTTP_HEADERS_MAX);
	for (size_t i = 0; http_headers_next(headers, &i, &name, &value);) {
		if (!is_token(name))
			return err_set(err, ERR_INVALID, "a header's name has letters, digits and hyphens only");
		if (is_own(name))
			return err_set(err, ERR_INVALID, "the header %.*s is the client's own", (int)(name.len < 64 ? name.len : 64), name.ptr);
		if (!is_value(value))
			return err_set(err, ERR_INVALID, "the value of the header %.*s holds a line end or another control character",
			               (int)(name.len < 64 ? name.len : 64), name.ptr);
	}
	return 0;
}

int http_request_check(const struct http_request *r, struct err *err)
{
	struct slice url = buf_slice(&r->url);

	if (!is_token(slice_cstr(r->method)) || strcasecmp(r->method, "CONNECT") == 0 || strcasecmp(r->method, "TRACE") == 0)
		return err_set(err, ERR_INVALID, "method is one such as GET, POST, PUT, PATCH or DELETE");
	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.ptr[i] <= 0x20 || (unsigned char)url.ptr[i] >= 0x7f || url.ptr[i] == '\\')
			return err_set(err, ERR_INVALID, "the URL holds a blank, a control character, a backslash or a byte beyond ASCII: it must be "
			               "percent-encoded (the option query does it)");
	return check_headers(&r->headers, err);
}

bool http_method_is_idempotent(const char *method)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", NULL };
	return is_one_of(slice_cstr(method), methods);
}

bool http_header_is_secret(struct slice name)
{
	static const char *const parts[] = { "auth", "cookie", "token", "secret", "key", "signature", "password", "session" };

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		struct slice part = slice_cstr(parts[i]);
		for (size_t at = 0; at + part.len <= name.len; at++)
			if (slice_eq_nocase(slice_make(name.ptr + at, part.len), part) && !slice_eq_nocase(name, SLICE("Idempotency-Key")))
				return true;
	}
	return false;
}

void http_url_show(struct buf *out, struct slice url)
{
	size_t len = 0;
	while (len < url.len && url.ptr[len] != '?' && url.ptr[len] != '#')
		len++;
	buf_append(out, slice_make(url.ptr, len < 300 ? len : 300));
	if (len < url.len || len > 300)
		buf_append_cstr(out, "?…");
}

/* ---- answers ---- */

struct http_response *http_response_create(void)
{
	struct http_response *r = mem_zalloc(sizeof *r);
	buf_init(&r->headers.text, 0);
	buf_init(&r->body, 0);
	return r;
}

struct http_response *http_response_failed(enum err_code code, const char *text)
{
	struct http_response *r = http_response_create();
	err_set(&r->err, code, "%s", text);
	return r;
}

void http_response_free(struct http_response **response)
{
	struct http_response *r = *response;
	*response = NULL;
	if (!r)
		return;
	buf_close(&r->headers.text);
	buf_close(&r->body);
	free(r->url);
	free(r);
}

size_t http_response_size(const struct http_response *r)
{
	return sizeof *r + buf_len(&r->headers.text) + buf_len(&r->body);
}
