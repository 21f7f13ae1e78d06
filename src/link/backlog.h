/* What a link has read and the rules have not seen yet: the read buffer itself, and an index of what stands in it.
 *
 *   data  |  dead  | frame | hole | frame | frame |  unframed (the tail of a cut frame)  |  room  |
 *                  ^head                          ^framed                                ^tail
 *
 * The queue holds, in wire order, frames (their bytes stay in the buffer, their headers in a second array), completed
 * actions (their bytes are holes: a reply owns copies) and at most one gap. Positions are logical: they count from the
 * session's first byte, less what was squeezed out, and do not change when the bytes move to the buffer's front.
 *
 * Over the high-water marks plain events are shed: lowest class first, then oldest, down to three quarters, in one pass.
 */
#ifndef LINK_BACKLOG_H
#define LINK_BACKLOG_H

#include "ami/pending.h"
#include "base/pool.h"

#define BACKLOG_GAP_NAMES 16
#define BACKLOG_NAMES_MAX (BACKLOG_GAP_NAMES * 48)

struct backlog_options {
	uint32_t events, bytes; /* high-water marks of plain events */
	uint32_t kept_bytes;    /* cap of what is never shed */
	const char *const *shed_first; /* names or globs, lowest class first; `shed_count` of them; borrowed */
	size_t shed_count;
	/* Told of each event that is shed, for the counters. */
	void (*shed)(void *ctx, struct slice name);
	void *ctx;
};

enum backlog_type { BACKLOG_EVENT, BACKLOG_REPLY, BACKLOG_GAP };

struct backlog_record;

struct backlog_gap {
	uint64_t count;
	uint32_t name_count;
	char names[BACKLOG_GAP_NAMES][48];
};

struct backlog {
	struct backlog_options options;
	struct pool *pool;
	char *data; /* owned; NULL while nothing is held */
	size_t cap;
	uint64_t base, head, framed, tail; /* logical; base: of data[0] */
	struct header *headers; /* owned */
	size_t header_cap;
	uint64_t header_base, header_head, header_tail;
	struct backlog_record *records; /* owned ring, a power of two */
	uint32_t record_cap, first, count;
	uint32_t plain_events, all_events;
	uint64_t event_bytes; /* of all queued frames */
	uint64_t plain_bytes; /* of those that may be shed */
	uint64_t kept_bytes;  /* of the others, and of the replies */
	struct backlog_gap *gap; /* owned; NULL: nothing to tell */
	struct { uint64_t events, bytes; } *classes; /* owned: sums of one shedding, shed_count + 1 */
};

void backlog_init(struct backlog *backlog, const struct backlog_options *options, struct pool *pool);
/* Frees everything, queued replies too. */
void backlog_close(struct backlog *backlog);

/* ---- bytes ---- */

/* Where to read to and how much; NULL when memory is out. */
char *backlog_room(struct backlog *backlog, size_t *room);
void backlog_commit(struct backlog *backlog, size_t n);
/* The bytes that no frame has claimed yet. */
struct slice backlog_unframed(const struct backlog *backlog);
/* The first `n` unframed bytes are done with. */
void backlog_skip(struct backlog *backlog, size_t n);
/* Drops the unframed bytes: the session has ended. */
void backlog_drop_unframed(struct backlog *backlog);
/* Gives the buffer back when it is empty. */
void backlog_settle(struct backlog *backlog);

/* ---- the queue ---- */

/* Queues the event `m`, which stands in the first `consumed` unframed bytes and arrived at `at` (epoch seconds), then sheds
 * if a mark was passed: `m` is gone after that. -1 when memory is out (nothing changed). */
int backlog_store(struct backlog *backlog, const struct message *m, size_t consumed, double at);
/* Queues a completed action; takes it over. */
void backlog_reply(struct backlog *backlog, struct reply *reply);
/* An event of that name (may be empty) was lost here. */
void backlog_lost(struct backlog *backlog, struct slice name);
/* What is never shed has passed its cap: the session must end. */
bool backlog_overflowed(const struct backlog *backlog);

struct backlog_item {
	enum backlog_type type;
	struct message message; /* EVENT: valid until backlog_pop() */
	double at;
	struct reply *reply; /* REPLY: the caller's from backlog_pop() on */
	uint64_t count;      /* GAP */
	char names[BACKLOG_NAMES_MAX]; /* GAP: "VarSet,Newexten" */
};

static inline bool backlog_is_empty(const struct backlog *backlog)
{
	return backlog->count == 0;
}

/* The oldest item; there must be one. */
void backlog_front(const struct backlog *backlog, struct backlog_item *item);
void backlog_pop(struct backlog *backlog);

#endif
