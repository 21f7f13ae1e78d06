/* An event of the engine as a change of /api/live: whether it is one, its JSON, and who may see it. */
#ifndef WEB_WEB_CHANGE_H
#define WEB_WEB_CHANGE_H

#include "engine/engine.h"
#include "web/web_ring.h"

/* False when it is of no interest there. */
bool web_change_is_one(const struct engine_event *event);
/* Appends one line of JSON to `data`; `queues` as web_ring_add() takes them. */
void web_change_read(const struct engine_event *event, struct buf *data, enum web_seen *seen, struct buf *queues);

#endif
