/* The live picture of many servers: channels, calls, bridges, conferences, parking lots, queues, agents and endpoints, kept
 * from AMI events and lists. Pure: no socket, loop, clock or Lua; time and messages are handed in, changes are handed out
 * through one callback.
 *
 * Time is microseconds since the epoch by a clock that never goes back; what is older than the last time given counts as
 * that. Texts are slices into the picture, valid until the next call that changes it.
 *
 * Everything is bounded (struct live_limits). What does not fit is counted, reported once in a while as `live.overflow`,
 * and the server's picture is `partial` until a snapshot fits again. Identifiers longer than LIVE_TEXT_MAX bytes do not
 * fit; other texts are cut there. */
#ifndef LIVE_LIVE_H
#define LIVE_LIVE_H

#include "ami/message.h"

#define LIVE_TEXT_MAX 255
#define LIVE_SECOND INT64_C(1000000)

struct live;
struct live_server;
struct live_object;

enum live_kind {
	LIVE_CHANNEL, LIVE_CALL, LIVE_BRIDGE, LIVE_CONFERENCE, LIVE_LOT, LIVE_QUEUE, LIVE_AGENT, LIVE_ENDPOINT,
	LIVE_SETS,                 /* the kinds above can be walked and found; those below are parts of one of them */
	LIVE_PARTICIPANT = LIVE_SETS, LIVE_PARKED, LIVE_CALLER, LIVE_MEMBER, LIVE_WAIT,
	LIVE_KINDS
};

/* What a change is; live_change_name() gives the name of the engine's event. */
enum live_change_kind {
	LIVE_CALL_STARTED, LIVE_CALL_RINGING, LIVE_CALL_ANSWERED, LIVE_CALL_CONNECTED, LIVE_CALL_CHANGED, LIVE_CALL_QUEUED,
	LIVE_CALL_HELD, LIVE_CALL_UNHELD, LIVE_CALL_TRANSFERRED, LIVE_CALL_PARKED, LIVE_CALL_MERGED, LIVE_CALL_ENDED,
	LIVE_QUEUE_JOINED, LIVE_QUEUE_LEFT, LIVE_QUEUE_REFUSED, LIVE_QUEUE_CHANGED, LIVE_QUEUE_MEMBER, LIVE_AGENT_CHANGED,
	LIVE_ENDPOINT_CHANGED, LIVE_CONFERENCE_JOINED, LIVE_CONFERENCE_LEFT, LIVE_SYNCED, LIVE_OVERFLOW,
	LIVE_CHANGES
};

struct live_change {
	enum live_change_kind kind;
	struct live_server *server;
	/* The call, caller (queue.joined, left), queue (refused, changed), member, agent, endpoint or participant as it is
	 * now; what has ended is still whole. NULL for synced and overflow. */
	struct live_object *object;
	/* queue.left, queue.refused: why; queue.member, agent.changed, endpoint.changed: what changed; overflow: the kind that did
	 * not fit; synced: what began the snapshot. One of live_change_reasons(); NULL for the others. */
	const char *reason;
	struct slice number, name, queue; /* queue.refused: who, and where (the queue may be unknown: object is NULL then) */
	bool resync;                      /* a list told this, not an event */
	uint64_t count, gone, corrected;  /* synced: channels confirmed or found, objects ended, fields put right; overflow: how many (count) */
	int64_t at;
};

/* Called inside live_event(), live_list_item(), live_list_end() and live_tick(). It may read the picture, retain objects,
 * and must not feed it. */
typedef void (*live_change_fn)(void *ctx, const struct live_change *change);

struct live_limits { /* of each server */
	uint32_t channels, bridges, queues, members, agents, endpoints, conferences, parked; /* calls: as many as channels */
};

struct live_options {
	struct live_limits limits;
	int64_t grace;          /* µs; for how long an event may be older than the list before it */
	int64_t doubt;          /* µs; a channel that nothing has named for so long is asked for by Status */
	int64_t resync_every;   /* µs; at most one snapshot in this time (a new session's comes at once) */
	int64_t service_level;  /* µs */
	uint32_t snapshots_in_flight; /* servers that may have a list open at once */
	const char *const *variables; /* names of the channel variables to keep, at most 16 */
	uint32_t variable_count;
	const char *const *trunks;    /* globs over interfaces ("PJSIP/carrier*") that are known to be trunks */
	uint32_t trunk_count;
};

/* Fills in what LIVE.md gives as defaults. */
void live_options_init(struct live_options *options);

/* `options` is copied, its texts too. */
struct live *live_create(const struct live_options *options, live_change_fn changed, void *ctx);
/* New options from now on. Channels that have variables already go on with those names; what is over a smaller limit stays
 * until it ends. */
void live_configure(struct live *live, const struct live_options *options);
/* Nothing is reported. Retained objects die with it: release them first. */
void live_destroy(struct live **live);

/* A server that is new or came back under a name; never NULL. `name` is copied. */
struct live_server *live_server_add(struct live *live, struct slice name);
/* All that it had ends as `unseen`. Retained objects of it stay readable. */
void live_server_remove(struct live_server **server, int64_t now);
/* The same in steps, for a server that may have a hundred thousand channels: it is not found by its name any more, each tick ends some of
 * what it had, and once live_server_is_empty() nothing is left for live_server_remove() to do. It is fed nothing more. */
void live_server_leave(struct live_server *server, int64_t now);
bool live_server_is_empty(const struct live_server *server);
struct live_server *live_server_find(const struct live *live, struct slice name);
/* All servers in the order they were added: NULL begins; NULL ends. */
struct live_server *live_server_next(const struct live *live, const struct live_server *after);
struct slice live_server_name(const struct live_server *server);

/* ---- feeding ---- */

/* A login was answered. `ami_version` as of catalogue_ami_version(). A snapshot is wanted at once. */
void live_session(struct live_server *server, unsigned ami_version, int64_t now);
/* The session ended. What it had stays shown, `live_state` is none; after `doubt` without a session it ends as unseen, some of it
 * in each live_tick(). */
void live_lost(struct live_server *server, int64_t now);
/* Events were shed: a snapshot is wanted, and what goes on now is incomplete. */
void live_gap(struct live_server *server, int64_t now);
/* One event that is no item of a list, in wire order. False: nothing in it is of interest. */
bool live_event(struct live_server *server, const struct message *message, int64_t now);
/* Time passes: ends what only waits for time, reports figures, forgets. Call it at or after live_deadline(). */
void live_tick(struct live *live, int64_t now);
/* When live_tick() or live_next_request() has something to do, or INT64_MAX. */
int64_t live_deadline(const struct live *live);
/* The same for one server, for who has many. */
void live_server_tick(struct live_server *server, int64_t now);
int64_t live_server_deadline(const struct live_server *server);
/* A new day begins (`live.day_starts`): today's figures start again. */
void live_new_day(struct live *live, int64_t now);

/* The names of the events that it reads, and of the variables of which it reads VarSet; NULL behind the last. */
const char *live_event_name(uint32_t index);
const char *live_variable_name(const struct live *live, uint32_t index);

/* ---- snapshots ---- */

#define LIVE_REQUEST_HEADERS 2

/* An action that the engine sends for the picture. */
struct live_request {
	struct live_server *server;
	const char *action;
	struct {
		const char *name;
		char value[LIVE_TEXT_MAX + 1];
	} headers[LIVE_REQUEST_HEADERS];
	uint32_t header_count;
};

enum live_answer {
	LIVE_ANSWERED, /* the response, and the list's end where it is one */
	LIVE_REFUSED,  /* Error: not permitted, unknown, or (for lists that say so) empty; `response` says which */
	LIVE_FAILED    /* no answer: timeout, overflow, not sent. A lost session needs no call */
};

/* The next action that is due, of any server; false: none now. At most one is open for each server, and at most
 * snapshots_in_flight in all. Each must be answered by live_answer(). */
bool live_next_request(struct live *live, struct live_request *request, int64_t now);
/* One item of the open action's list, in order. */
void live_list_item(struct live_server *server, const struct message *item, int64_t now);
/* The open action has ended. `response` is its first frame (NULL when LIVE_FAILED). */
void live_answer(struct live_server *server, enum live_answer how, const struct message *response, int64_t now);
/* A snapshot is wanted (an operator asked, a tick of the configuration); paced as all. */
void live_want_snapshot(struct live_server *server, int64_t now);
/* For lists that somebody else asked for: `action` opens it as if live_next_request() had given it. False: one is open, or the picture
 * reads no such list. It is ended by live_answer(), or, as one of a recording, by live_list_end(): without `whole` it may have been asked
 * about a part only, and what it lacks proves nothing; nothing is asked about what it leaves open, and no `live.synced` follows. */
bool live_list_begin(struct live_server *server, struct slice action, int64_t now);
void live_list_end(struct live_server *server, bool whole, int64_t now);
/* The action whose list has such items, and ends with such an event; NULL: none that the picture reads. */
const char *live_list_of(struct slice event);

enum live_state { LIVE_NONE, LIVE_SYNCING, LIVE_PARTIAL, LIVE_FULL };
/* What can be unknown because the server refuses or does not know its list. */
enum live_part {
	LIVE_PART_CHANNELS = 1, LIVE_PART_BRIDGES = 2, LIVE_PART_QUEUES = 4, LIVE_PART_DEVICES = 8, LIVE_PART_ENDPOINTS = 16,
	LIVE_PART_PARKING = 32, LIVE_PART_CONFERENCES = 64
};
enum live_state live_state(const struct live_server *server);
/* "none", "syncing", "partial", "full" */
const char *live_state_name(enum live_state state);
/* Bits of enum live_part. */
unsigned live_unknown(const struct live_server *server);
/* "channels", …; NULL for a bit that is none. */
const char *live_part_name(unsigned part);

struct live_stats {
	uint64_t events;       /* that were of interest */
	uint64_t snapshots;    /* completed */
	int64_t snapshot_time; /* µs, of the last one */
	uint64_t contradictions, unseen, doubts, refused; /* refused: lists, once each a session */
	uint64_t walked;       /* objects that walks and counts had to look at */
	uint64_t overflow[LIVE_KINDS];
	uint32_t texts;        /* different ones that are kept */
	uint32_t idle_texts;   /* that nobody keeps any more and that may come back */
};
const struct live_stats *live_stats(struct live_server *server);

/* ---- reading ---- */

enum live_type { LIVE_NIL, LIVE_BOOL, LIVE_INT, LIVE_NUMBER, LIVE_TEXT, LIVE_TIME, LIVE_LIST, LIVE_MAP };

struct live_value {
	enum live_type type;
	union {
		bool boolean;
		int64_t integer;
		double number;  /* seconds where it is a duration; LIVE_TIME: seconds since the epoch */
		struct slice text;
		struct {
			const struct live_object *object;
			uint32_t field, count;
		} list; /* LIVE_LIST, LIVE_MAP: see live_item() */
	};
};

/* Fields of a kind in the order to show them; `index` from 0; NULL behind the last. */
const char *live_field_name(enum live_kind kind, uint32_t index);
/* The same with its length; its pointer is NULL behind the last. */
struct slice live_field_text(enum live_kind kind, uint32_t index);
/* Index of that field, or -1. */
int live_field(enum live_kind kind, struct slice name);
/* The words that a field can have, NULL behind the last ("true" and "false" of a boolean one); NULL: it can have any text or number. */
const char *const *live_field_words(enum live_kind kind, int field);
#define LIVE_FAULT_MAX 512
/* Says that `field` cannot be `value`, which word is near it, and which there are. */
void live_words_fault(const char *const *words, struct slice field, struct slice value, char text[LIVE_FAULT_MAX]);
/* False, and why: no object ever has that value there, because it is none of the field's words, or the field is a list. */
bool live_value_fits(enum live_kind kind, int field, struct slice value, char why[LIVE_FAULT_MAX]);
/* What that field holds, whatever its state: LIVE_LIST, LIVE_MAP, or LIVE_NIL: one value, or none. */
enum live_type live_field_table(enum live_kind kind, uint32_t index);
/* The field as it is at `now` (durations that go on count up to then). Every kind has `server`. */
struct live_value live_get(const struct live_object *object, int field, int64_t now);
/* The item `i` (from 0) of a LIVE_LIST or LIVE_MAP, reached in up to `i` steps: an object, or NULL and the text or number in `*value`; of a map its key in
 * `*key`. */
const struct live_object *live_item(const struct live_value *list, uint32_t i, struct slice *key, struct live_value *value);

/* Calls `fn` for each item of a LIVE_LIST or LIVE_MAP in order, with what live_item() gives; in one pass. False ends it. `fn` must
 * not change the picture. */
typedef bool live_item_fn(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value);
void live_each_item(const struct live_value *list, live_item_fn *fn, void *ctx);

enum live_kind live_object_kind(const struct live_object *object);
struct live_server *live_object_server(const struct live_object *object);
/* Ended or removed: it shows its last values. */
bool live_object_gone(const struct live_object *object);
/* Grows with each object of its kind and server, never used again: a handle that survives the object. */
uint64_t live_object_serial(const struct live_object *object);
/* NULL when it is gone. Only kinds below LIVE_SETS. O(log n). */
struct live_object *live_resolve(const struct live_server *server, enum live_kind kind, uint64_t serial);
/* A retained object can be read until it is released, also after it has gone. */
void live_retain(struct live_object *object);
void live_release(struct live_object **object);

/* A call by its id, an id that was merged into it, or the uniqueid or name of one of its channels. */
struct live_object *live_call(const struct live_server *server, struct slice id);
/* By its name; a channel by name or uniqueid, a bridge by its id, an agent by interface or else by label, an endpoint by
 * interface ("PJSIP/1001"). NULL: none. */
struct live_object *live_find(const struct live_server *server, enum live_kind kind, struct slice name);

#define LIVE_FILTERS 8

/* All fields given must be equal; an empty filter matches all. */
struct live_filter {
	struct {
		int field;
		struct slice value; /* as text; numbers and booleans are compared as they print ("2.5", "true") */
	} equal[LIVE_FILTERS];
	uint32_t count;
	struct live_server *server; /* NULL: all */
};

/* A walk in the order in which objects came to be (by an index: in which they came into it), which tolerates any change
 * between two steps: what has gone is not shown, what is new comes at the end. Needs no closing. */
struct live_cursor {
	struct live *live;
	enum live_kind kind;
	const struct live_filter *filter; /* borrowed; NULL: all */
	uint64_t server, after;           /* its own */
	int index;
};
void live_walk(struct live *live, enum live_kind kind, const struct live_filter *filter, struct live_cursor *cursor);
/* The next one, or NULL. */
struct live_object *live_next(struct live_cursor *cursor, int64_t now);
/* How many match. Without a walk for no field, or one field of calls out of account, queue, agent, trunk and state. */
uint64_t live_count(struct live *live, enum live_kind kind, const struct live_filter *filter, int64_t now);

/* The words that the `reason` of such a change can be, NULL behind the last; NULL: it has none. */
const char *const *live_change_reasons(enum live_change_kind kind);
/* "call.started", … */
const char *live_change_name(enum live_change_kind kind);
/* "channel", "call", … */
const char *live_kind_name(enum live_kind kind);

#endif
