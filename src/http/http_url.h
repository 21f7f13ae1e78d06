/* URLs, read and normalised by libcurl's own parser, so that what was compared is what is asked. Pure. */
#ifndef HTTP_HTTP_URL_H
#define HTTP_HTTP_URL_H

#include "base/err.h"
#include "net/address.h"

struct http_url {
	char *text;    /* the whole of it, without a fragment; owned, as all texts here */
	char *host;    /* lower case, without brackets */
	char *path;    /* without dot segments; begins with a slash */
	uint16_t port;
	bool https, query;
	bool literal;            /* the host is an address: */
	struct address address;
};

/* Reads an absolute URL of http or https. -1 with ERR_INVALID: it is none, names a user, or its path could mean another one to a
 * server (encoded dot segments). `out` is closed then. */
int http_url_parse(struct slice text, struct http_url *out, struct err *err);
/* The same for a Location that `base` answered, which may be relative. */
int http_url_join(const struct http_url *base, struct slice location, struct http_url *out, struct err *err);
void http_url_close(struct http_url *url);
/* Same scheme, host and port. */
bool http_url_same_origin(const struct http_url *a, const struct http_url *b);
/* True when `url` lies below `prefix`: same origin, and a path that begins with the prefix's at a segment's bound. */
bool http_url_below(const struct http_url *url, const struct http_url *prefix);

#endif
