/* The last changes of /api/live as they are sent, each once for all readers, and who may see each. Numbers of changes rise by one.
 * Bounded in bytes: the oldest go first. */
#ifndef WEB_WEB_RING_H
#define WEB_WEB_RING_H

#include "base/buf.h"
#include "web/web_access.h"

enum web_seen {
	WEB_SEEN_SERVER, /* by who sees the server */
	WEB_SEEN_QUEUES, /* and one of these queues */
	WEB_SEEN_WIDE,   /* by who sees the server and all queues */
	WEB_SEEN_WHOLE,  /* by who sees everything */
};

struct web_change {
	uint64_t offset; /* of its frame, counted from the first of all */
	uint32_t len;
	enum web_seen seen;
	char *server, *queues; /* owned; queues: each ended by NUL, the last one empty; NULL: none */
};

struct web_ring {
	size_t max;          /* bytes of frames */
	struct buf bytes;
	uint64_t dropped;    /* offset of its first byte */
	struct web_change *changes;
	size_t head, count, cap;
	uint64_t first;      /* number of the oldest change; that of the next one is first + count */
};

void web_ring_init(struct web_ring *ring, size_t max);
void web_ring_close(struct web_ring *ring);
/* Forgets everything; the numbers begin at 1. */
void web_ring_clear(struct web_ring *ring);
uint64_t web_ring_next(const struct web_ring *ring);
/* `queues` as in struct web_change, with its end; empty: none. */
void web_ring_add(struct web_ring *ring, struct slice frame, enum web_seen seen, struct slice server, struct slice queues);
/* The frames of the changes from `*number` to below `upto`, as many as fit into about `most` bytes, at least one; `*number` goes behind them.
 * They stand until the next change. Both numbers must be in the ring, or `upto` just behind it. */
struct slice web_ring_run(const struct web_ring *ring, uint64_t upto, size_t most, uint64_t *number);
/* Appends those that the reader may see, likewise. Without memory for one it is left out: the next snapshot mends that. */
void web_ring_pick(const struct web_ring *ring, const struct web_token *sight, uint64_t upto, size_t most, uint64_t *number, struct buf *out);

#endif
