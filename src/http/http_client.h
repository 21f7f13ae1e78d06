/* The HTTP client: requests of rules and sinks, by libcurl's multi interface on the loop (P1).
 *
 *   start ──a place is free──> look-up ──> transfer ──> done
 *     └─waits for one             ^           └─redirect─┐
 *                                 └──────────────────────┘
 *
 * Names are resolved by net/resolve and handed to libcurl; no proxy is used, whatever the environment says. Every address is checked
 * when its socket is opened, and again when a connection is used once more. Certificates are always verified. Users with the same
 * access share connections, others do not. A request that may not be repeated is never sent twice by itself (P3).
 */
#ifndef HTTP_HTTP_CLIENT_H
#define HTTP_HTTP_CLIENT_H

#include <ev.h>

#include "base/http_message.h"
#include "http/http_access.h"
#include "net/tls.h"
#include "observe/metrics.h"

struct http_client;

struct http_client_settings {
	double timeout;        /* s, of a request that gives none: all of it, redirects too */
	double connect;        /* s, of the connect and the TLS handshake */
	size_t request_bytes;  /* URL, headers and body */
	size_t response_bytes; /* headers and body, unpacked */
	size_t queued_bytes;   /* of all requests and answers that the client holds */
	uint32_t in_flight;    /* requests at the same time */
	uint32_t per_host;     /* of them to one host and port */
};

/* NULL with `err` when DNS cannot start. Before the loop runs: resolv.conf is read. */
struct http_client *http_client_create(struct ev_loop *loop, struct metrics *metrics, struct err *err);
/* Ends every request as `cancelled`. */
void http_client_destroy(struct http_client **client);
/* From the next request on; those under way keep their connections. Takes over `tls` (NULL: https fails as `tls`). */
void http_client_configure(struct http_client *client, const struct http_client_settings *settings, struct tls *tls);

/* Who asks, for the log and for fairness: { "rule", "missed" }. Texts, copied. */
struct http_user {
	const char *kind, *name;
};

/* The answer, taken over. From the loop, never from inside http_client_start(). It may start requests. */
typedef void http_done_fn(void *ctx, struct http_response *response);
/* Begins a request (copied). 0 and `done` follows exactly once, or -1 with `err` and it does not: ERR_INVALID, ERR_DENIED,
 * ERR_OVERFLOW (larger than request_bytes), ERR_BACKPRESSURE. `policy` is the option that a denial names. */
int http_client_start(struct http_client *client, struct http_access *access, const struct http_user *user, const char *policy,
                      const struct http_request *request, http_done_fn *done, void *ctx, struct err *err);

#endif
