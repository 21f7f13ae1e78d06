/* Changes of /api/live on their way into the ring. What the engine reports is copied, and made into bytes later, so that no event waits
 * for that. A change has its place, and so its number, from the beginning. */
#ifndef WEB_WEB_INTAKE_H
#define WEB_WEB_INTAKE_H

#include "base/list.h"
#include "engine/engine.h"
#include "web/web_ring.h"

struct web_intake {
	struct list changes;
	size_t count, bytes; /* of what waits */
	struct buf frame;    /* scratch */
};

void web_intake_init(struct web_intake *intake);
void web_intake_close(struct web_intake *intake);
/* Forgets what waits. */
void web_intake_clear(struct web_intake *intake);
/* An event that is a change (web_change_is_one()). Without memory for a copy it is left out: the next snapshot mends that. */
void web_intake_add_event(struct web_intake *intake, const struct engine_event *event);
/* A change that is JSON already. `event` and `server` are copied. */
void web_intake_add(struct web_intake *intake, const char *event, struct slice data, enum web_seen seen, const char *server);
/* Puts the oldest into the ring; false: none waits. `epoch` is the first half of its id. */
bool web_intake_make(struct web_intake *intake, struct web_ring *ring, uint32_t epoch);

#endif
