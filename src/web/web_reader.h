/* Reads HTTP/1 requests, pure: bytes in, request out; no socket, loop or clock.
 *
 * The grammar is http_parser's. But what two programs on the same way may read differently is refused here, before anything is
 * routed, so that no request hides in another (smuggling): a bare LF or CR, NUL and other control characters, a blank before a
 * colon, folded lines, not exactly one Host, two lengths or a length and an encoding, any Transfer-Encoding but chunked, chunk
 * extensions and trailers, a target whose authority is not Host, an encoded slash, an empty, "." or ".." segment of the path. */
#ifndef WEB_WEB_READER_H
#define WEB_WEB_READER_H

#include "web/web_request.h"

struct http_parser;

enum web_read {
	WEB_READ_MORE,     /* bytes are missing */
	WEB_READ_CONTINUE, /* the same, and the client waits for "100 Continue"; said once */
	WEB_READ_REQUEST,  /* whole */
	WEB_READ_REFUSED,  /* `status` and `reason` say why; nothing more may be read from this client */
};

struct web_reader {
	struct web_request request;
	unsigned status;    /* of a refusal: 400, 411, 413, 414, 417, 431, 501, 505 */
	const char *reason; /* static, for people */
	/* its own */
	struct http_parser *parser; /* owned */
	struct buf head, body;
	struct buf path;     /* decoded */
	size_t head_max;
	uint64_t body_max;
	size_t searched;     /* of the head, for its end */
	uint64_t chunk_left; /* data bytes of this chunk that are still to come */
	char last;           /* byte of a chunk's frame */
	bool in_body, chunked, whole;
};

/* `head_max`: bytes of request line and headers; `body_max`: bytes of the decoded body. */
void web_reader_init(struct web_reader *reader, size_t head_max, uint64_t body_max);
void web_reader_close(struct web_reader *reader);
/* Takes bytes, `*taken` of them: all, unless a request is whole or refused. */
enum web_read web_reader_feed(struct web_reader *reader, struct slice bytes, size_t *taken);
/* Forgets the request and begins the next one. */
void web_reader_next(struct web_reader *reader);
/* Bytes of a request have come. */
bool web_reader_begun(const struct web_reader *reader);

#endif
