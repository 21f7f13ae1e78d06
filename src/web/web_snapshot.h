/* What there is, as the frames that a stream of /api/live begins with; made bit by bit, so that a large picture holds up nobody. */
#ifndef WEB_WEB_SNAPSHOT_H
#define WEB_WEB_SNAPSHOT_H

#include "live/live.h"
#include "web/web_internal.h"

struct web_snapshot {
	struct live_cursor cursor;
	unsigned step;    /* which kind is written */
	size_t index;     /* of servers and rules */
	bool walking;
};

void web_snapshot_begin(struct web_snapshot *snapshot);
/* Appends some more frames, about `most` bytes. False when that was all; the last frame has the id. */
bool web_snapshot_write(struct web_snapshot *snapshot, struct web *web, const struct web_token *sight, const char *id, size_t most, struct buf *out);

/* One server, one rule: the items of the snapshot, and of the events `server` and `rule`. `since`: epoch seconds of the server's state. False beyond
 * the last. */
bool web_snapshot_server(struct web *web, size_t index, double since, struct slice *name, struct writer *writer);
bool web_snapshot_rule(struct web *web, size_t index, struct slice *name, struct writer *writer);

#endif
