/* A request as it was read, and its parts. Pure. */
#ifndef WEB_WEB_REQUEST_H
#define WEB_WEB_REQUEST_H

#include "base/buf.h"

#define WEB_HEADERS_MAX 64

struct web_header {
	struct slice name, value; /* value: without blanks around it */
};

/* Slices stand in the reader, valid until its web_reader_next(). */
struct web_request {
	struct slice method;   /* "GET" */
	struct slice path;     /* decoded: "/api/calls"; UTF-8 */
	struct slice query;    /* as it came, without "?" */
	struct slice host;     /* without its port */
	struct web_header headers[WEB_HEADERS_MAX];
	uint32_t header_count;
	struct slice body;
	bool keep_alive;       /* the client allows another request behind it */
	bool http10;           /* of a client that knows no chunks */
};

/* The value of the first header of that name, "" when there is none; NULL in ptr then. */
struct slice web_request_header(const struct web_request *request, struct slice name);
/* Whether the client has what that ETag (with its quotes, without a comma) stands for: If-None-Match names it, perhaps as a weak one, as
 * proxies do that compress. */
bool web_request_has(const struct web_request *request, struct slice tag);
/* A hexadecimal digit's value, or -1. */
int web_request_hex(char c);
/* The next parameter of the query from `*cursor` (0 at first) on, decoded into `out`, which is cleared: the name is its first
 * `*name_len` bytes, the value the rest. 1; 0 behind the last; -1: badly encoded. */
int web_request_query(struct slice query, size_t *cursor, struct buf *out, size_t *name_len);

#endif
