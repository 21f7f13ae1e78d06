/* An HTTP request and its answer as plain data: what rules ask for, and what a client brings back. */
#ifndef BASE_HTTP_MESSAGE_H
#define BASE_HTTP_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"

#define HTTP_METHOD_MAX 15
#define HTTP_HEADERS_MAX 100 /* of a request */

/* Names and values, in the order in which they were added. */
struct http_headers {
	struct buf text;
	uint32_t count;
};

/* 0, or -1 as buf_append(). */
int http_headers_add(struct http_headers *headers, struct slice name, struct slice value);
/* Walks them: start with `*cursor` 0. */
bool http_headers_next(const struct http_headers *headers, size_t *cursor, struct slice *name, struct slice *value);
/* The first value of that name, case ignored. */
bool http_headers_get(const struct http_headers *headers, struct slice name, struct slice *value);

struct http_request {
	char method[HTTP_METHOD_MAX + 1];
	struct buf url;
	struct http_headers headers;
	struct buf body;
	bool has_body;
	double timeout;  /* seconds for all of it; 0: the client's default */
	unsigned follow; /* redirects */
};

void http_request_init(struct http_request *request);
void http_request_close(struct http_request *request);
/* Empties it for the next one. */
void http_request_clear(struct http_request *request);
/* Bytes that it holds, for bounds. */
size_t http_request_size(const struct http_request *request);
/* What no request may hold: a method or a header's name that is no token, line ends, NUL and other control characters in them or in
 * the URL, headers that are the client's own (Host, Content-Length, Connection …). 0, or -1 with ERR_INVALID. */
int http_request_check(const struct http_request *request, struct err *err);
/* True when sending it twice does what sending it once does (RFC 9110): all methods but POST, PATCH and those that nobody knows. */
bool http_method_is_idempotent(const char *method);
/* True when its value proves who somebody is: Authorization, Cookie, X-Api-Key and their like. It is shown nowhere (P8). */
bool http_header_is_secret(struct slice name);
/* Appends the URL as it may be shown: the query, which often holds secrets, is left out. */
void http_url_show(struct buf *out, struct slice url);

/* An answer, or why there is none. */
struct http_response {
	struct err err;  /* code ERR_NONE: there is one */
	unsigned status; /* with an error: of an answer that was not whole; 0: none began */
	struct http_headers headers;
	struct buf body;
	char *url;       /* that it came from, after redirects; owned; NULL: none */
};

struct http_response *http_response_create(void);
/* One that says why there is no answer. */
struct http_response *http_response_failed(enum err_code code, const char *text);
void http_response_free(struct http_response **response);
size_t http_response_size(const struct http_response *response);

#endif
