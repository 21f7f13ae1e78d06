/* What monitoring asks: GET /metrics (the registry as Prometheus text 0.0.4), /healthz (200 while the loop turns) and /ready (200
 * when one server, or every one, has a session; else 503). No login; nothing can be changed through them. Metrics are rendered at
 * most every WEB_PAGES_FRESH seconds, and what was rendered is shared, so that many clients cost the loop no more than one (P5). */
#ifndef WEB_WEB_PAGES_H
#define WEB_WEB_PAGES_H

#include "engine/engine.h"
#include "web/web_connection.h"

#define WEB_PAGES_FRESH 0.1 /* seconds */

struct web_pages;

/* NULL with `err` when its metrics cannot be added. */
struct web_pages *web_pages_create(struct engine *engine, struct err *err);
void web_pages_destroy(struct web_pages **pages);
/* True for one of the three paths. */
bool web_pages_has(struct slice path);
/* Answers any path; others than its own with 404. The connection may be gone when this returns. */
void web_pages_answer(struct web_pages *pages, struct web_connection *c, const struct web_request *request);

#endif
