#include "http/http_url.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "base/mem.h"

#define URL_MAX 8192u

/* ---- paths that mean another one ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = slice_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes percent signs out, once; the result is not longer. */
static size_t decode(char *text, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int high = i + 2 < len && text[i] == '%' ? hex(text[i + 1]) : -1, low = high >= 0 ? hex(text[i + 2]) : -1;
		text[n++] = low >= 0 ? (char)(high * 16 + low) : text[i];
		i += low >= 0 ? 2 : 0;
	}
	return n;
}

/* Some servers take ".." with parameters behind it for "..". */
static bool has_dots(const char *text, size_t len)
{
	for (size_t start = 0; start <= len;) {
		size_t end = start, dots = 0;
		while (end < len && text[end] != '/' && text[end] != '\\')
			end++;
		while (start + dots < end && text[start + dots] == '.')
			dots++;
		if (dots >= 1 && dots <= 2 && (start + dots == end || text[start + dots] == ';' || text[start + dots] == '\0'))
			return true;
		start = end + 1;
	}
	return false;
}

/* Decoded once or twice, as servers and what stands before them do. */
static bool is_ambiguous(const char *path)
{
	char *copy = mem_strdup(path);
	size_t len = strlen(copy);
	bool found = false;
	for (int round = 0; round < 3 && !found; round++) {
		found = has_dots(copy, len);
		len = decode(copy, len);
	}
	free(copy);
	return found;
}

/* ---- reading ---- */

static char *part(CURLU *u, CURLUPart which, unsigned flags)
{
	char *text = NULL;
	if (curl_url_get(u, which, &text, flags) != CURLUE_OK)
		return NULL;
	char *copy = mem_strdup(text);
	curl_free(text);
	return copy;
}

static int host_is_good(const char *host)
{
	for (; *host; host++)
		if (!(*host >= 'a' && *host <= 'z') && !(*host >= '0' && *host <= '9') && !strchr(".-_:", *host))
			return 0;
	return 1;
}

static int take_host(CURLU *u, struct http_url *out, struct err *err)
{
	char *zone = part(u, CURLUPART_ZONEID, 0);
	out->host = part(u, CURLUPART_HOST, 0);
	if (zone || !out->host) {
		free(zone);
		return err_set(err, ERR_INVALID, "the URL has no host, or one with a zone");
	}
	size_t len = strlen(out->host);
	if (out->host[0] == '[' && out->host[len - 1] == ']') {
		memmove(out->host, out->host + 1, len - 2);
		out->host[len - 2] = '\0';
	}
	for (char *c = out->host; *c; c++)
		*c = slice_lower(*c);
	if (!host_is_good(out->host) || len > 253)
		return err_set(err, ERR_INVALID, "the URL's host is no name of letters, digits, dots and hyphens (write others in Punycode)");
	return 0;
}

static int take_parts(CURLU *u, struct http_url *out, struct err *err)
{
	char *scheme = part(u, CURLUPART_SCHEME, 0), *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT), *query = part(u, CURLUPART_QUERY, 0);
	int64_t number = 0;

	out->https = scheme && strcmp(scheme, "https") == 0;
	bool known = out->https || (scheme && strcmp(scheme, "http") == 0);
	out->query = query != NULL;
	if (port && slice_to_int(slice_cstr(port), &number))
		out->port = (uint16_t)number;
	free(scheme);
	free(port);
	free(query);
	if (!known)
		return err_set(err, ERR_INVALID, "a URL begins with http:// or https://");
	if (take_host(u, out, err))
		return -1;
	out->path = part(u, CURLUPART_PATH, 0);
	out->text = part(u, CURLUPART_URL, 0);
	if (!out->path || !out->text || number < 1 || number > 65535)
		return err_set(err, ERR_INVALID, "the URL cannot be read");
	if (is_ambiguous(out->path))
		return err_set(err, ERR_INVALID, "the URL's path has encoded dot segments");
	out->literal = address_literal(out->host, out->port, &out->address);
	return 0;
}

static int read_url(CURLU *u, struct slice text, struct http_url *out, struct err *err)
{
	char bytes[URL_MAX + 1];

	*out = (struct http_url){ .port = 0 };
	if (text.len > URL_MAX)
		return err_set(err, ERR_INVALID, "the URL is longer than %u bytes", URL_MAX);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] <= 0x20 || (unsigned char)text.ptr[i] >= 0x7f || text.ptr[i] == '\\')
			return err_set(err, ERR_INVALID, "the URL holds a byte that must be percent-encoded");
	slice_to_text(text, bytes, sizeof bytes);
	CURLUcode code = curl_url_set(u, CURLUPART_URL, bytes, CURLU_DISALLOW_USER);
	if (code == CURLUE_USER_NOT_ALLOWED)
		return err_set(err, ERR_INVALID, "a URL names no user and no password; the header Authorization does");
	if (code != CURLUE_OK)
		return err_set(err, ERR_INVALID, "no URL of http or https: %s", curl_url_strerror(code));
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	if (take_parts(u, out, err)) {
		http_url_close(out);
		return -1;
	}
	return 0;
}

int http_url_parse(struct slice text, struct http_url *out, struct err *err)
{
	CURLU *u = curl_url();
	*out = (struct http_url){ .port = 0 };
	if (!u)
		return err_set(err, ERR_BACKPRESSURE, "no memory left to read a URL");
	int rc = read_url(u, text, out, err);
	curl_url_cleanup(u);
	return rc;
}

int http_url_join(const struct http_url *base, struct slice location, struct http_url *out, struct err *err)
{
	CURLU *u = curl_url();
	*out = (struct http_url){ .port = 0 };
	if (!u)
		return err_set(err, ERR_BACKPRESSURE, "no memory left to read a URL");
	curl_url_set(u, CURLUPART_URL, base->text, 0);
	int rc = read_url(u, location, out, err);
	curl_url_cleanup(u);
	return rc;
}

void http_url_close(struct http_url *url)
{
	free(url->text);
	free(url->host);
	free(url->path);
	*url = (struct http_url){ .port = 0 };
}

/* ---- comparing ---- */

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
	return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool http_url_below(const struct http_url *url, const struct http_url *prefix)
{
	size_t len = strlen(prefix->path);

	if (!http_url_same_origin(url, prefix) || strncmp(url->path, prefix->path, len) != 0)
		return false;
	return prefix->path[len - 1] == '/' || url->path[len] == '\0' || url->path[len] == '/';
}
