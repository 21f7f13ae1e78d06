/* Correlation: which frame belongs to which of our actions, and how each action ends (P3: exactly once).
 *
 * Pure: time comes in as a number, bytes go out elsewhere. One object for each connection object; pending_reset() begins
 * a new session and changes the connection number, so ids of an old session never match again (P6, Q21).
 *
 * Life of an action: pending_add() makes it and its id -> the caller writes it -> pending_match() collects its answer ->
 * it is handed out once, completed, and is then the caller's: reply_free().
 */
#ifndef AMI_PENDING_H
#define AMI_PENDING_H

#include "ami/action.h"
#include "ami/catalogue.h"
#include "ami/reply.h"

struct pending_limits {
	uint32_t max_actions;     /* pending at once; beyond: ERR_BACKPRESSURE */
	uint32_t max_list_events; /* of one answer; beyond: ERR_OVERFLOW */
	size_t max_list_bytes;    /* of one answer, its copies counted; beyond: ERR_OVERFLOW */
};

#define PENDING_PREFIX_MAX (REPLY_HEAD_MAX - 13)

struct pending_stats {
	uint64_t late;      /* answers for an action of this session that had ended, second ones too (Q23) */
	uint64_t unmatched; /* responses that belong to no action of this session */
	uint64_t idless;    /* matched first-in first-out (Q22) */
};

enum pending_result {
	PENDING_NOT_OURS,  /* an event for the rules, or a frame to count */
	PENDING_TAKEN,     /* belongs to an action that goes on */
	PENDING_ITEM,      /* the same, an item of a list whose sender takes items as they come: pending_item_tag() */
	PENDING_COMPLETED, /* `*done` has ended */
	PENDING_COMPLETED_EVENT, /* as COMPLETED, and the frame is an event for the rules too (OriginateResponse) */
	PENDING_STRAY      /* a response for nobody: counted as late or unmatched, to be dropped */
};

struct pending;

/* `prefix`: random for the process and of no other pending, 1 .. PENDING_PREFIX_MAX bytes of [A-Za-z0-9] (Q21). */
struct pending *pending_create(const struct pending_limits *limits, struct slice prefix);
/* Whatever is still pending is dropped without completion: call pending_fail_all() first. */
void pending_destroy(struct pending **pending);
/* Begins a session. `ami_version` as of catalogue_ami_version() (0: not known yet, set it later). */
void pending_reset(struct pending *pending);
void pending_set_version(struct pending *pending, unsigned ami_version);

struct pending_options {
	uint64_t now, deadline; /* monotonic ns */
	uint64_t offset;        /* of its first byte in the session's output, to distinguish `lost` from `not_ready` */
	void *tag;
	size_t room;            /* > 0: so many bytes of the caller's, zeroed, are kept with the action until its reply is freed;
	                           pending_add() sets `tag` to them */
	bool streams;           /* items of its list are not kept for the reply but handed out one by one: PENDING_ITEM */
	bool no_call_events;    /* the session hears no events of the class call: an asynchronous Originate is refused, for its end
	                           could not be heard (Q46) */
};

/* Registers `action` (its Action header decides how it will end) and writes its id (NUL-terminated, at most ACTION_ID_MAX
 * bytes) to `id`. Returns its sequence number (> 0), or 0 with ERR_BACKPRESSURE or ERR_INVALID in `err`. */
uint64_t pending_add(struct pending *pending, const struct action *action, struct pending_options *options,
                     char id[ACTION_ID_MAX + 1], struct err *err);
/* Takes back an action that was never written: no completion. */
void pending_forget(struct pending *pending, uint64_t sequence);

/* Bytes of the session's output up to `offset` went to the kernel: actions that begin before it may be answered. */
void pending_written(struct pending *pending, uint64_t offset);

/* Looks at a frame that just arrived. */
enum pending_result pending_match(struct pending *pending, const struct message *message, struct reply **done);
/* After PENDING_ITEM: the tag of the action whose item it is. */
void *pending_item_tag(const struct pending *pending);
/* An answer was too large (FRAMER_OVERSIZE) or broken: ends its action as ERR_OVERFLOW. `id` may be empty: then, for a
 * response, the oldest unanswered action is meant (Q22). NULL when it was nobody's. */
struct reply *pending_overflow(struct pending *pending, struct slice id, bool is_response);
/* The action of that sequence ends now with `code`; NULL when it is not pending. */
struct reply *pending_cancel(struct pending *pending, uint64_t sequence, enum err_code code, const char *text);
/* The next action whose deadline is at or before `now`, ended as ERR_TIMEOUT; NULL when there is none. */
struct reply *pending_expire(struct pending *pending, uint64_t now);
/* Monotonic ns of the nearest deadline, or UINT64_MAX. */
uint64_t pending_next_deadline(const struct pending *pending);
/* Ends the oldest pending action because the session ended: ERR_LOST when any of its bytes were written
 * (`flushed` > its offset), else ERR_NOT_READY; NULL when none is left. */
struct reply *pending_fail_next(struct pending *pending, uint64_t flushed, const char *reason);

uint32_t pending_count(const struct pending *pending);
/* True while an action of Q45 has been written and not answered: the heartbeat's deadline rests. */
bool pending_line_held(const struct pending *pending);
const struct pending_stats *pending_stats(const struct pending *pending);

/* One line for a console: calls `fn` for each pending action, oldest first. */
struct pending_view {
	uint64_t sequence, started, deadline;
	const char *action;
	void *tag;
};
void pending_each(const struct pending *pending, void (*fn)(void *ctx, const struct pending_view *view), void *ctx);

#endif
