/* What monitoring asks over HTTP, on the engine's loop:
 *
 *   GET /metrics   the registry as Prometheus text 0.0.4
 *   GET /healthz   200 while the loop turns
 *   GET /ready     200 when one server, or every one, has a session (http.ready); else 503
 *
 * Any other path is 404, any other method 405. HEAD works as GET. There is no login: who reaches the address may read, so it
 * is this machine's own unless the configuration says otherwise. Nothing can be changed through it.
 *
 * Bounds: `http.connections` at the same time, one more is closed; a connection carries one request and lives `http.timeout`
 * seconds from its accept, however busy it looks; a request's head has HTTP_MEMORY bytes; a body is not read. Metrics are
 * rendered at most every HTTP_FRESH seconds, and what was rendered is shared, so that many clients cost the loop no more than
 * one (P5). Each bound is counted in hookswitch_http_dropped_total{reason="…"} and logged (P2).
 */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include "base/err.h"
#include "engine/engine.h"

#define HTTP_MEMORY (16u << 10) /* bytes of one connection, beside the answer */
#define HTTP_FRESH 0.1          /* seconds */

struct http;

/* Listens on http.listen of the engine's configuration, which must be there. NULL with `err` when it cannot. For the time
 * before the loop runs. */
struct http *http_create(struct engine *engine, struct err *err);
/* Closes every connection. Before engine_destroy(). */
void http_destroy(struct http **http);
/* The port it listens on: of listen = "…:0" the one that was free. */
uint16_t http_port(const struct http *http);

#endif
