/* One server's log of frames: the link's read buffer, an index of the events in it, and cursors that read it at their own
 * pace, one for each rule that lags behind. A rule that is up to date has no cursor.
 *
 *   data  |  dead  | frame | hole | frame | frame |  unframed (the tail of a cut frame)  |  free  |
 *                  ^head                          ^framed                                ^tail
 *
 * A record stays while at least one cursor needs it. What nobody needs is freed at once at the front and becomes a hole in
 * the middle; holes are closed when space is short. Positions of bytes are logical: they do not change when the bytes move
 * to the buffer's front. Closing holes renumbers bytes, or records.
 *
 * Which calls move the frames' bytes: frame_log_room(), _settle(), _drop_unframed() and _close(), no others. frame_log_store()
 * may move the headers of what is stored. frame_cursor_pop() and frame_cursor_close() only free: call frame_log_settle() when a
 * round of deliveries is over and when a cursor was closed outside of one, or an idle link keeps its buffer.
 *
 * Bounds: a cursor that passes its own bound skips plain events, lowest class of `shed_first` first, then oldest, down to
 * three quarters. When the log passes its bound, all cursors skip in the same way among the records that still wait. An event
 * that a cursor has at its front (between front and pop) is not skipped by that cursor, nor by a shedding of the log, so a
 * bound may be exceeded by one event for each cursor. FullyBooted and Shutdown are never skipped.
 *
 * Memory: nothing that a server sends ends the process. frame_log_room() and frame_log_store() fail and change nothing. A
 * cursor that has no memory to mark what it skips, skips all plain events that wait for it. A gap that has no memory
 * for names has none. The loss is counted in all cases.
 *
 * A log must not be moved in memory while a cursor is open, nor an open cursor.
 */
#ifndef AMI_FRAME_LOG_H
#define AMI_FRAME_LOG_H

#include "ami/message.h"
#include "base/list.h"
#include "base/pool.h"

#define FRAME_GAP_NAMES 16
#define FRAME_GAP_NAME_MAX 48 /* with its NUL; a longer name is cut */
#define FRAME_GAP_TEXT_MAX (FRAME_GAP_NAMES * FRAME_GAP_NAME_MAX)

struct frame_log_options {
	uint32_t events, bytes; /* high-water marks of plain events that wait */
	uint32_t kept_bytes;    /* cap of what is never shed */
	const char *const *shed_first; /* names or globs, lowest class first; `shed_count` of them; borrowed */
	size_t shed_count;
	/* Called for each event that a cursor skips, from inside frame_log_store(). `cursor_ctx`: of that cursor; `first`: nobody has
	 * taken this event or skipped it before. `name` is borrowed for the call. Must not touch the log or a cursor. */
	void (*shed)(void *ctx, void *cursor_ctx, struct slice name, bool first);
	void *ctx;
};

struct frame_sums {
	uint64_t events, bytes;
};

struct frame_record;

/* All fields are the module's own. */
struct frame_log {
	struct frame_log_options options;
	struct pool *pool;
	char *data; /* owned; NULL while nothing is held */
	size_t cap;
	uint64_t base, head, framed, tail; /* logical; base: of data[0] */
	struct header *headers; /* owned */
	size_t header_cap, header_count, headers_live; /* header_count: holes too */
	struct frame_record *records; /* owned ring, a power of two; a record at position p stands in p % record_cap */
	uint32_t record_cap;
	uint64_t first, end; /* positions */
	struct list cursors;
	uint32_t cursor_count;
	struct frame_sums waiting, waiting_plain; /* records that are needed; those of them that may be shed */
	struct frame_sums stored, stored_plain;   /* ever: a cursor's lag is the difference to what it is done with */
	struct frame_sums check; /* no cursor is over its bound while `stored_plain` has not passed this */
	uint64_t kept_bytes, held_bytes;
	struct frame_sums *classes; /* owned: sums of one shedding, shed_count + 1 */
};

/* `pool` is borrowed. */
void frame_log_init(struct frame_log *log, const struct frame_log_options *options, struct pool *pool);
/* Frees everything; cursors that are open are closed. */
void frame_log_close(struct frame_log *log);

/* ---- bytes ---- */

/* Where to read to, and how much (at most POOL_BUFFER). NULL when memory is out. */
char *frame_log_room(struct frame_log *log, size_t *size);
/* `n` bytes were read there. */
void frame_log_commit(struct frame_log *log, size_t n);
/* The bytes that no frame has claimed yet. */
struct slice frame_log_unframed(const struct frame_log *log);
/* The first `n` unframed bytes are done with. */
void frame_log_skip(struct frame_log *log, size_t n);
/* Drops the unframed bytes: the session has ended. Settles. */
void frame_log_drop_unframed(struct frame_log *log);
/* Gives back the memory that nothing stands in; a short cut frame waits in a small block of its own. */
void frame_log_settle(struct frame_log *log);

/* ---- events ---- */

static inline bool frame_log_has_cursors(const struct frame_log *log)
{
	return log->cursor_count > 0;
}

/* Appends the event `message`, which stands in the first `consumed` unframed bytes, for all cursors that are open; then sheds
 * when a bound was passed. `message` stays valid: its bytes do not move, its headers are the caller's. `at`: epoch seconds of
 * its arrival; `stamp`: the caller's number of arrivals, never lower than one before; `taken`: somebody has taken it already. With no open cursor it is
 * frame_log_skip(). -1 when memory is out: nothing has changed. */
int frame_log_store(struct frame_log *log, const struct message *message, size_t consumed, double at, uint64_t stamp,
                    bool taken);
/* The same for a message that stands elsewhere: its bytes are copied into the log. Nothing is copied when no cursor is open. */
int frame_log_append(struct frame_log *log, const struct message *message, double at, uint64_t stamp, bool taken);
/* An event of that name (may be empty) arrived and cannot be stored (too large, malformed): it is counted in the gap of all
 * cursors that are open, at their end. Without the callback. */
void frame_log_lost(struct frame_log *log, struct slice name, uint64_t stamp);

/* Bytes that others keep on behalf of this server (answers) and that are never shed. They count only for
 * frame_log_overflowed(). */
void frame_log_hold(struct frame_log *log, uint64_t bytes);
void frame_log_release(struct frame_log *log, uint64_t bytes);
/* What is never shed (what is held, FullyBooted and Shutdown that wait) has passed kept_bytes: the session must end. */
bool frame_log_overflowed(const struct frame_log *log);
/* Events that at least one cursor needs, and bytes of their frames; what is held is not in it. */
struct frame_sums frame_log_waiting(const struct frame_log *log);
uint64_t frame_log_held(const struct frame_log *log);

/* ---- cursors ---- */

struct frame_cursor_options {
	uint32_t max_events, max_bytes; /* high-water marks of the plain events that wait for this cursor */
	void *ctx;                      /* for the callback */
};

enum frame_item_type { FRAME_NONE, FRAME_EVENT, FRAME_GAP };

struct frame_gap {
	uint64_t count, position, stamp; /* position: it comes before the record there */
	char (*names)[FRAME_GAP_NAME_MAX]; /* owned; NULL: none */
	uint32_t name_count;
};

/* Zeroed, it is closed. All fields are the module's own. */
struct frame_cursor {
	struct frame_log *log; /* NULL: closed */
	struct list node;
	struct frame_cursor_options options;
	uint64_t position; /* of the next record that it needs, or the log's end */
	enum frame_item_type shown; /* by frame_cursor_front(), until frame_cursor_pop() */
	struct frame_sums done, done_plain; /* of what was stored: delivered or skipped, or older than the cursor */
	uint64_t *marks;         /* owned: a ring of bits for positions, 1: skipped */
	uint64_t mark_cap;       /* bits, a power of two */
	uint64_t marks_end;      /* positions from here on have no bit */
	uint64_t plain_until;    /* plain records before this position are skipped, for lack of memory for marks */
	struct frame_gap gap;    /* not shown yet; count 0: none */
	struct frame_gap shown_gap;
};

struct frame_item {
	enum frame_item_type type;
	/* EVENT: valid until frame_log_store(), one of the calls that move bytes (see above), or this cursor's pop or close. Other
	 * cursors may be opened, popped and closed meanwhile. Another frame_cursor_front() gives the message where it is now. */
	struct message message;
	double at;
	uint64_t stamp; /* of the event; of a gap's first event */
	uint64_t count; /* GAP: events */
	char names[FRAME_GAP_TEXT_MAX]; /* GAP: "VarSet,Newexten", at most FRAME_GAP_NAMES of them */
};

/* Opens `cursor`, whatever it holds (it must be closed), at the log's end. Cannot fail. */
void frame_cursor_open(struct frame_cursor *cursor, struct frame_log *log, const struct frame_cursor_options *options);
/* Gives up all that it needs. Nothing happens when it is closed. */
void frame_cursor_close(struct frame_cursor *cursor);
static inline bool frame_cursor_is_open(const struct frame_cursor *cursor)
{
	return cursor->log != NULL;
}

/* The next item, and its type; only the fields of that type (and `type`) are set. The same again until it is popped, whatever is
 * stored or shed meanwhile: what is skipped while a gap is shown belongs to the next gap. NONE: nothing waits (or it is closed);
 * the caller closes the cursor and the rule is up to date.
 * A gap stands in the place of the first event in it. What is skipped before it was shown is added to it, and it moves
 * forward when that was earlier. What is skipped later makes a new gap, in the place of its own first event. */
enum frame_item_type frame_cursor_front(struct frame_cursor *cursor, struct frame_item *item);
/* For counters, of an event that is shown: true when nobody has taken or skipped it before; from now on it is taken. */
bool frame_cursor_count(struct frame_cursor *cursor);
/* Ends what the last frame_cursor_front() showed; nothing happens when that was NONE, was popped, or the cursor was closed
 * (and opened) in between. */
void frame_cursor_pop(struct frame_cursor *cursor);
/* The stamp of the next item; UINT64_MAX: none. */
uint64_t frame_cursor_stamp(const struct frame_cursor *cursor);
/* Events that wait for this cursor and have that stamp or a lower one; takes as long as there are. */
uint64_t frame_cursor_count_until(const struct frame_cursor *cursor, uint64_t stamp);
/* Events that wait for this cursor, kept ones too, and their bytes. */
void frame_cursor_lag(const struct frame_cursor *cursor, uint64_t *events, uint64_t *bytes);

#endif
