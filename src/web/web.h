/* Requests from outside over HTTP, on the engine's loop: what monitoring asks (web_pages.h), on the address that section `http` of
 * the configuration names. Every bound that ends a connection is counted in hookswitch_http_dropped_total{reason="…"} and
 * logged (P2). */
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
