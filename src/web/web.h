/* Requests from outside over HTTP, on the engine's loop:
 *
 *   section http   what monitoring asks (web_pages.h), without a login
 *   section web    the API of web_routes.c, for who has a token
 *
 * Both may have the same address. Before a request of `web` is routed, its Host is one of web.hosts (else 421), and, but for a
 * preflight, it has a token (else 401, whatever its path). Every bound that ends a connection or refuses a request is counted in
 * hookswitch_http_dropped_total, hookswitch_web_dropped_total or hookswitch_web_refused_total and logged (P2). */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "base/err.h"
#include "engine/engine.h"

struct web;

/* Listens on what the engine's configuration names. NULL with `err` when it cannot, without a code when there is nothing to listen
 * on. For the time before the loop runs. */
struct web *web_create(struct engine *engine, struct err *err);
/* Closes every connection. Before engine_destroy(). */
void web_destroy(struct web **web);

#endif
