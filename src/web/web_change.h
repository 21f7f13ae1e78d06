/* An event of the engine as a change of /api/live: whether it is one, its JSON, and who may see it. */
#ifndef WEB_WEB_CHANGE_H
#define WEB_WEB_CHANGE_H

#include "engine/engine.h"
#include "web/web_ring.h"

/* False when it is of no interest there. Else `data` gets one line of JSON; `queues` as web_ring_add() takes them. */
bool web_change_read(const struct engine_event *event, struct buf *data, enum web_seen *seen, struct slice *server, struct buf *queues);

#endif
