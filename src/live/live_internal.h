/* What the files of live/ share: the objects of the picture and who owns what.
 *
 * Texts are interned for each server (live_names.c). A name knows the objects that bear it, so finding one by id, name or
 * interface is one look into one table. Objects belong to their server, or to the object that they are a part of; they are
 * freed when they have gone and nobody retains them. Channels stand in their call and in at most one bridge.
 */
#ifndef LIVE_INTERNAL_H
#define LIVE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "live/live.h"
#include "live/live_headers.h"
#include "live/live_names.h"
#include "live/live_set.h"

/* Kinds of the inside, behind the public ones. */
enum {
	LIVE_ALIAS = LIVE_KINDS,                                                /* an id that was merged into a call */
	LIVE_GROUP_ACCOUNT, LIVE_GROUP_QUEUE, LIVE_GROUP_AGENT, LIVE_GROUP_TRUNK /* calls of one account, queue … */
};
#define LIVE_GROUPS 4

struct live_object {
	uint8_t kind;
	bool gone;
	bool suspect;         /* missing in a list: goes when a second one lacks it too … */
	uint32_t refs;        /* 1 for the picture, and of each who retains it */
	struct live_server *server;
	uint64_t serial;      /* in its kind's set */
	struct live_name *key; /* id, name or interface; owned */
	struct live_object *same_name; /* others that bear this key */
	int64_t seen;         /* when an event or item last named it */
	int64_t suspect_until; /* … that begins then or later; of a channel that is none: when it was last asked for by itself */
};

enum live_call_state {
	LIVE_CALL_NEW, LIVE_CALL_IS_RINGING, LIVE_CALL_IS_QUEUED, LIVE_CALL_UP, LIVE_CALL_IS_HELD, LIVE_CALL_IS_PARKED,
	LIVE_CALL_CONFERENCE, LIVE_CALL_IS_ENDED, LIVE_CALL_STATES
};

enum live_result {
	LIVE_RESULT_NONE, LIVE_RESULT_ANSWERED, LIVE_RESULT_BUSY, LIVE_RESULT_NO_ANSWER, LIVE_RESULT_CANCELLED,
	LIVE_RESULT_CONGESTION, LIVE_RESULT_UNREACHABLE, LIVE_RESULT_REJECTED, LIVE_RESULT_ABANDONED, LIVE_RESULT_TIMEOUT,
	LIVE_RESULT_FAILED, LIVE_RESULT_MERGED, LIVE_RESULT_UNSEEN, LIVE_RESULTS
};

/* Asterisk's states of a channel (enum ast_channel_state). */
enum { LIVE_DOWN = 0, LIVE_RESERVED, LIVE_OFF_HOOK, LIVE_DIALING, LIVE_RING, LIVE_RINGING, LIVE_IS_UP, LIVE_BUSY };

/* A clock that counts while it runs. */
struct live_clock {
	int64_t total, since; /* µs; since: 0 while it stands */
};

static inline void live_clock_run(struct live_clock *clock, bool run, int64_t now)
{
	if (run && clock->since == 0) {
		clock->since = now;
	} else if (!run && clock->since != 0) {
		clock->total += now - clock->since;
		clock->since = 0;
	}
}

static inline int64_t live_clock_read(const struct live_clock *clock, int64_t now)
{
	return clock->total + (clock->since != 0 && now > clock->since ? now - clock->since : 0);
}

/* The names of the variables to keep. */
struct live_variable_names {
	uint32_t refs, count;
	char *names[];       /* owned */
};

/* Those of one channel, under the names that held when the first of them was set. */
struct live_variables {
	struct live_variable_names *of;
	struct live_name *values[];
};

struct live_channel {
	struct live_object object; /* key: uniqueid */
	struct live_name *name, *linkedid, *number, *caller_name, *connected_number, *connected_name, *context, *exten,
	                 *application, *account, *recording;
	struct live_name *dialer;        /* uniqueid of the channel that its DialBegin named */
	struct live_name *takes;         /* uniqueid of whose place it takes once it has left its bridge */
	struct live_variables *variables; /* NULL while none was set */
	struct live_call *call;          /* NULL: before Asterisk 12 a leg that no event has joined to a call yet */
	struct live_bridge *bridge;
	struct live_channel *pair;       /* the other half of a Local channel */
	struct live_endpoint *endpoint;
	struct live_participant *in_room; /* of a conference */
	struct live_parked *parked;      /* NULL: it is not */
	struct live_caller *in_queue;    /* as whom it waits, or waits for the reason of having left */
	struct list in_call, in_bridge, by_time;
	int64_t since, held_since;       /* held_since: 0 while it does not hold */
	uint8_t state;
	uint8_t cause;                   /* of its HangupRequest; 255: none came */
	bool local;                      /* a half of a Local channel */
	bool born;                       /* its Newchannel was seen */
	bool bridged;                    /* it has been in a bridge */
	bool rang, dialled, agent;       /* dialled: some Dial's or Queue's leg; agent: a queue's */
	bool reviewed;                   /* its call knows its state */
	bool originated;                 /* the first leg of an Originate */
	bool shut_down;                  /* the exchange stopped under it */
	bool in_conference;              /* counted in its call's */
};

struct live_bridge {
	struct live_object object; /* key: id; for those of our own making before Asterisk 12: "u1\nu2" */
	struct live_name *type, *technology, *creator, *name;
	struct live_call *call;          /* of those in it; the first one's where calls are not joined by it */
	struct list channels;
	uint32_t count, parties, holding, locals; /* of its channels; parties: all but Local halves */
	int64_t since;
	bool apart;                      /* those in it do not hear each other: parking, holding */
	bool conference;
	bool own;                        /* made by us: not shown */
	bool talking;                    /* counted in its call's `talking` */
	bool described;                  /* its type is known */
};

struct live_wait {
	struct live_object object; /* key: the queue */
	struct live_name *agent;
	int64_t since, until;      /* until: 0 while it waits */
	uint8_t reason;            /* enum live_left */
	struct live_wait *next;
};

struct live_group {
	struct live_object object; /* key: the account, queue, agent or trunk */
	struct live_set calls;
};

struct live_alias {
	struct live_object object; /* key: the id */
	struct live_call *call;
	uint64_t rank;             /* of the call that bore it; the smaller, the older */
	struct live_alias *next;
};

/* What few calls have. */
struct live_call_more {
	struct live_name *transferred_from, *transferred_to, *forwarded_from, *fetched_by, *consults, *into;
	struct live_wait *waits, *last_wait;
	struct live_alias *aliases;
	uint32_t wait_count;
	int64_t transferred_at;
	struct live_name *from_before, *to_before; /* of the transfer before that one */
};

struct live_call {
	struct live_object object; /* key: id, a Linkedid */
	struct live_name *from, *from_name, *to, *to_name, *trunk, *queue, *agent, *agent_name, *answered_by, *account;
	struct live_channel *caller;     /* NULL once it has hung up */
	struct live_name *caller_key, *first_name; /* its uniqueid and name, also afterwards */
	struct live_call_more *more;
	struct list channels, agents, lingering, originating, touched;
	uint64_t rank;
	int64_t started, answered, connected, ended;
	int64_t ring_from, ring_to;
	int64_t ring_rests;              /* since when nobody rings any more, though nobody answered; 0: somebody does */
	struct live_clock talk, conference;
	int64_t hold;
	uint64_t group_seq[LIVE_GROUPS], state_seq;
	struct live_name *peer_id;       /* whom the caller was last connected to */
	uint32_t channel_count, talking, holding, parked, in_conference, waiting, ringing;
	uint8_t state, result, outcome, direction, ended_by;
	uint8_t cause;                   /* of the caller's Hangup */
	bool incomplete, originated, answered_once, connected_once;
	bool shut_down, conference_tried, conferred, changed, caller_hung, originate_told;
	uint16_t pending;                /* bits of enum live_change_kind: told at the end of the message */
	bool undecided;                  /* whether its first channel calls or is called shows only now */
	bool no_history;                 /* it was found by a list: what went before is unknown */
	bool unanswered;                 /* whom an Originate called did not answer: what ends behind a Local channel only follows */
};

enum live_left {
	LIVE_LEFT_NONE, LIVE_LEFT_ANSWERED, LIVE_LEFT_ABANDONED, LIVE_LEFT_TIMEOUT, LIVE_LEFT_JOINEMPTY, LIVE_LEFT_LEAVEEMPTY,
	LIVE_LEFT_REDIRECTED, LIVE_LEFT_TRANSFERRED, LIVE_LEFT_UNSEEN, LIVE_LEFTS
};

/* A caller in a queue; after QueueCallerLeave it waits for its reason in the server's `leaving`. */
struct live_caller {
	struct live_object object; /* key: uniqueid of its channel */
	struct live_queue *queue;
	struct live_call *call;    /* NULL when that has gone */
	struct live_wait *wait;    /* of the call; NULL with it */
	struct live_name *number, *name, *channel;
	struct list leaving;
	int64_t since, until;
	struct live_channel *waits; /* NULL when that has gone */
	uint32_t slot;             /* in the queue's order */
	uint32_t position_joined, position_left, priority;
	uint8_t reason;
	bool abandoned;            /* QueueCallerAbandon came */
	bool left;
};

struct live_member {
	struct live_object object; /* key: interface */
	struct live_queue *queue;
	struct live_agent *agent;
	struct live_name *name, *paused_reason;
	struct list in_agent;
	int64_t logged_in, paused_since;
	uint32_t calls, penalty, wrapup;
	uint32_t calls_before;     /* when it was connected last; UINT32_MAX: unknown */
	uint8_t status;            /* enum ast_device_state */
	bool paused, in_call, dynamic;
	int64_t last_call;
};

#define LIVE_MINUTES 60

struct live_figures {
	uint32_t offered, answered, abandoned, in_time;
	int64_t wait, talk; /* µs, of the answered */
};

struct live_queue {
	struct live_object object;
	struct live_name *strategy;
	struct live_caller **callers; /* in order, from `first` on */
	uint32_t first, waiting, cap;
	struct live_set members;
	struct map by_interface;
	uint32_t max;
	struct live_figures minutes[LIVE_MINUTES], today;
	int64_t minute;              /* number of the minute since the epoch that minutes[minute % 60] counts */
	struct list dirty;
	int64_t told;                /* when queue.changed was last reported */
	bool described;
};

#define LIVE_PAUSES 8

struct live_agent {
	struct live_object object; /* key: interface */
	struct live_name *name;
	struct list members;
	struct live_call *call;
	struct list in_call;       /* of its agents */
	int64_t since, logged_in, wrapup_until;
	struct list wrapping;
	uint32_t calls, missed;
	int64_t talk;
	struct {
		struct live_name *reason; /* NULL: none given */
		int64_t total;
	} pauses[LIVE_PAUSES];
	uint32_t pause_count;
	int64_t paused_since;      /* 0: not paused everywhere */
	struct live_name *paused_reason;
	uint8_t state;
};

struct live_endpoint {
	struct live_object object; /* key: interface or device */
	struct live_name *contact, *status;
	struct live_channel *holder; /* the channel of it that began to hold last; NULL: none holds */
	int64_t rtt;               /* µs, -1: unknown */
	uint32_t channels;
	int32_t messages, old_messages; /* -1: unknown */
	uint8_t device;            /* enum ast_device_state; LIVE_DEVICE_UNKNOWN: not told */
	int8_t registered;         /* -1: unknown */
	int64_t registered_told; /* when it was said last: a device state says nothing of it */
	bool trunk, phone;         /* by how it is dialled */
};

struct live_participant {
	struct live_object object; /* key: uniqueid */
	struct live_conference *conference;
	struct live_channel *is;   /* NULL when it has gone */
	struct live_name *channel, *number, *name;
	int64_t since;
	bool admin, marked, muted, talking, waiting;
};

struct live_conference {
	struct live_object object;
	struct live_name *bridge;
	struct live_set participants;
	struct map by_id;
	int64_t since;
	bool locked, muted, recording;
	int32_t marked; /* -1: unknown */
};

struct live_parked {
	struct live_object object; /* key: uniqueid */
	struct live_lot *lot;
	struct live_channel *is;   /* NULL when it has gone */
	struct live_name *channel, *by, *space;
	int64_t since, timeout;    /* timeout: 0: unknown */
};

struct live_lot {
	struct live_object object;
	struct live_set parked;
	struct map by_id;
};

/* A channel that hung up a moment ago: events that still name it must not make it anew. */
#define LIVE_RECENT 512
struct live_recent {
	struct live_name *id;
	int64_t at;
};

#define LIVE_ASKS 64

struct live_server {
	struct live *live;
	struct live_server *next;
	char *name;
	uint64_t number;
	struct live_names names;
	struct live_headers headers;
	struct live_set sets[LIVE_SETS];
	struct live_set states[LIVE_CALL_STATES];
	struct list by_time;         /* channels, the one that was named longest ago first */
	struct live_channel *latest; /* the one that was named last; NULL: it has gone */
	struct list lingering;       /* calls whose end waits for an OriginateResponse */
	struct list originating;     /* calls whose OriginateResponse has not come */
	struct list leaving;         /* callers whose reason is not known yet */
	struct list dirty;           /* queues whose figures changed */
	struct list wrapping;        /* agents in wrap-up */
	uint32_t parts[LIVE_KINDS];  /* how many of the kinds from LIVE_SETS on, and of all others */
	struct live_recent recent[LIVE_RECENT];
	uint32_t recent_first, recent_count;
	bool blind;                  /* no list of channels came since it was out of sight */
	uint64_t ranks, found_ranks; /* of calls that were seen to begin, and of those that were found: see live_call_found() */
	uint64_t indexed;            /* no number that an index gave is above it */
	struct list touched;         /* calls that this message changed */
	bool resync;                 /* what goes on is told by a list */
	/* The session and its snapshots: live_snapshot.c. */
	unsigned ami_version;
	bool connected, listed_commands, synced_once;
	bool want, second;           /* second: those that run end what was suspected */
	bool running, open;
	int step;                    /* index of the open list, or of the last one; -1: nothing runs */
	uint32_t todo, suspected;    /* bits of steps */
	uint32_t refused_steps, told_steps;
	const char *why;
	int64_t wanted_at, began, last_began, lost_at, list_began, list_ended, suspects_at;
	struct live_name *asked;     /* what the open action is about */
	struct {
		int step;
		struct live_name *what;
	} asks[LIVE_ASKS];           /* rooms, bridges and channels to ask about */
	uint32_t ask_count;
	unsigned unknown;
	bool overflowed;
	uint64_t confirmed, gone_by_list, corrected;
	struct live_stats stats;
	int64_t overflow_told;
	uint64_t overflow_new;
	enum live_kind overflow_kind;
	uint32_t alive;              /* objects, retained ones too: the last one frees a removed server */
	bool leaves;                 /* some of what it has ends in each tick */
	bool removed;
};

/* What an event's name was found to mean: names come again and again, and most mean nothing. */
#define LIVE_KNOWN 256
struct live_known {
	char name[28];
	uint16_t len;
	uint16_t handler; /* 0: nothing */
};

struct live {
	struct live_options options; /* without `variables` and `trunks` */
	struct live_variable_names *variables;
	char **trunks;             /* owned, `options.trunk_count` of them */
	live_change_fn changed;
	void *ctx;
	struct map by_name;
	struct map handlers;
	struct live_known *known; /* [LIVE_KNOWN], by a hash of the event's name */
	struct live_server *first, *last;
	uint64_t numbers;
	int64_t now;
	uint32_t in_flight;
	struct live_server *turn; /* whose turn it is to ask */
};

/* Downcasts. */
#define LIVE_AS(type, object) ((struct live_##type *)(void *)(object))
#define LIVE_AS_CONST(type, object) ((const struct live_##type *)(const void *)(object))

/* ---- live.c ---- */
/* The fields of a change that are not given are empty. */
void live_report(struct live_server *s, enum live_change_kind kind, struct live_object *object, const char *reason);
void live_report_change(struct live_server *s, struct live_change *change);
/* Something did not fit. */
void live_overflow(struct live_server *s, enum live_kind kind);
void live_variables_drop(struct live_variable_names **names);
/* The picture and an event contradict each other. */
void live_contradiction(struct live_server *s);

/* ---- live_object.c ---- */
/* Gives a zeroed object its kind, key and place in its set; takes over the reference to `key`. */
void live_object_init(struct live_object *object, int kind, struct live_server *s, struct live_name *key);
/* It leaves its set and its name; it is freed when nobody retains it. Its owner has let go of it. */
void live_object_remove(struct live_object *object);
/* NULL: none. */
struct live_object *live_object_named(const struct live_name *name, int kind);
struct live_object *live_object_find(const struct live_server *s, int kind, struct slice key);
/* True when one more of that kind fits; otherwise counts the overflow. */
bool live_object_fits(struct live_server *s, int kind, uint32_t count, uint32_t limit, struct slice key);

/* One object less that keeps a removed server. */
void live_object_drop_server(struct live_server *s);

/* ---- live_channel.c ---- */
/* The channel that the headers of that prefix describe, made if it is new and `make`; its name, state and Linkedid are taken over.
 * NULL when they name none, it has just hung up, or it does not fit. */
struct live_channel *live_channel_seen(struct live_server *s, const struct live_reader *r, enum live_prefix prefix, bool make);
/* Takes over what else is said of it. NULL is ignored. */
void live_channel_describe(struct live_channel *channel, const struct live_reader *r, enum live_prefix prefix);
/* Only looked up, by uniqueid and else by name; counts as seen. */
struct live_channel *live_channel_get(struct live_server *s, const struct live_reader *r, enum live_prefix prefix);
struct live_channel *live_channel_by_id(const struct live_server *s, struct slice uniqueid);
struct live_channel *live_channel_by_name(const struct live_server *s, struct slice name);
/* It has hung up or is no more. `unseen`: nobody said so. */
void live_channel_end(struct live_channel *channel, bool unseen);
void live_channel_hold(struct live_channel *channel, bool hold);
void live_channel_touch(struct live_channel *channel);
/* "PJSIP/1001-00000004" -> "PJSIP/1001"; "Local/1002@phones-00000001;1" -> "Local/1002@phones". */
struct slice live_channel_interface(struct slice name);
/* Of an interface: "1001"; for Local what stands before '@'. */
struct slice live_channel_device(struct slice interface);
void live_channel_rename(struct live_channel *channel, struct slice name);
/* It goes on in the place of another one of its call: in a queue, a conference or a bridge. */
void live_channel_take_place(struct live_channel *channel, struct live_channel *of);
/* Both names are halves of one Local channel: joins them. */
void live_channel_pair(struct live_channel *one, struct live_channel *two);
void live_channel_free(struct live_object *object);
enum {
	LIVE_CHANNEL_NEW = 1, LIVE_CHANNEL_STATE, LIVE_CHANNEL_CALLER_ID, LIVE_CHANNEL_EXTEN, LIVE_CHANNEL_VARIABLE,
	LIVE_CHANNEL_REQUEST, LIVE_CHANNEL_SOFT, LIVE_CHANNEL_HANGUP, LIVE_CHANNEL_HOLD, LIVE_CHANNEL_UNHOLD,
	LIVE_CHANNEL_RECORD, LIVE_CHANNEL_STOP_RECORD
};
void live_channel_event(struct live_server *s, const struct live_reader *r, int what);

/* ---- live_call.c ---- */
/* It shows whether the first channel of a call calls or is called. */
void live_call_decide(struct live_channel *channel, bool originated);
/* Makes a call of the channel's own when it has none. */
/* The channel's Newchannel came: of a call that a list told of before, it says where to. */
void live_call_began(struct live_channel *channel);
/* It was found, not seen to begin: what went before is unknown. It is younger than the calls that were known when the server
 * was last lost out of sight, and older than those that began since. */
void live_call_found(struct live_call *call);
/* The server was out of sight: a new session, or a gap. */
void live_call_blind(struct live_server *s);
struct live_call *live_call_own(struct live_channel *channel);
/* The channel comes to the call, from another one or none; leaves it without ending it; has hung up. */
void live_call_attach(struct live_call *call, struct live_channel *channel);
void live_call_detach(struct live_channel *channel);
void live_call_leave(struct live_channel *channel);
/* Reports the end and leaves the indexes; the object is the caller's to remove. */
void live_call_conclude(struct live_call *call, int64_t at);
struct live_call *live_call_by_id(const struct live_server *s, struct slice id);
struct live_call_more *live_call_extra(struct live_call *call);
/* The call may have changed: state, indexes and events follow at the end of the message. */
void live_call_touch(struct live_call *call);
void live_call_settle(struct live_server *s);
/* Reported at the end of the message, when the call's state is right. */
void live_call_told(struct live_call *call, enum live_change_kind kind);
/* When its phones rang last; `now` while they ring. */
static inline int64_t live_call_ring_end(const struct live_call *call, int64_t now)
{
	if (call->ring_to != 0)
		return call->ring_to;
	return call->ring_rests != 0 ? call->ring_rests : now;
}
/* A text of the call changes; keeps the indexes. */
void live_call_set(struct live_call *call, struct live_name **field, struct slice value);
/* Its end waited for an OriginateResponse that came, or did not. */
void live_call_finish(struct live_call *call);
/* Its OriginateResponse has come. */
void live_call_responded(struct live_call *call);
/* An Originate failed before it had a channel. */
void live_call_failed(struct live_server *s, struct slice id, struct slice channel, struct slice exten, int64_t reason);
void live_call_free(struct live_object *object);
/* Whom the caller is or was joined with: the other party's channel, or NULL. */
struct live_channel *live_call_peer(const struct live_call *call);
/* A leg was dialled by that string: distinguishes phones from trunks. */
void live_call_direction(struct live_call *call);

/* ---- live_merge.c ---- */
/* The channel belongs to the call of that Linkedid, which is made if there is none. */
void live_merge_link(struct live_channel *channel, struct slice linkedid);
/* Both become one: the older survives and is returned. Either may be NULL: the other one is. */
struct live_call *live_merge_calls(struct live_call *a, struct live_call *b);
/* Two different calls meet in a basic bridge: the channel of the one enters, the other is in it. */
void live_merge_bridged(struct live_call *inside, struct live_call *enters);
/* Those of two channels; either may be NULL: nothing happens. */
void live_merge_join(struct live_channel *a, struct live_channel *b);
/* The ids that were merged into it. */
void live_merge_forget(struct live_call *call);

/* ---- live_result.c ---- */
void live_result_dial_end(struct live_call *call, struct live_channel *leg, struct slice status, bool forwarded);
void live_result_dial_status(struct live_call *call, struct slice status);
void live_result_hangup(struct live_call *call, struct live_channel *leg, int cause);
/* The leg is gone. If it answered, but never came into a bridge, nobody did. */
void live_result_declined(struct live_call *call, const struct live_channel *leg);
void live_result_originate(struct live_call *call, int64_t reason);
enum live_result live_result_of(const struct live_call *call);

/* ---- live_words.c: words by their numbers, NULL behind the last ---- */

extern const char *const live_channel_states[], *const live_call_states[], *const live_results[], *const live_directions[], *const live_enders[],
                         *const live_lefts[], *const live_agent_states[], *const live_kinds[];

/* ---- live_dial.c ---- */
enum { LIVE_DIAL_BEGIN = 1, LIVE_DIAL_END, LIVE_DIAL_STATE, LIVE_DIAL_ORIGINATED };
void live_dial_event(struct live_server *s, const struct live_reader *r, int what);

/* ---- live_bridge.c ---- */
enum { LIVE_BRIDGE_CREATE = 1, LIVE_BRIDGE_DESTROY, LIVE_BRIDGE_ENTER, LIVE_BRIDGE_LEAVE };
void live_bridge_event(struct live_server *s, const struct live_reader *r, int what);
/* The bridge of that id, made if it is new; NULL when it does not fit. */
struct live_bridge *live_bridge_get(struct live_server *s, struct slice id, bool make);
void live_bridge_describe(struct live_bridge *bridge, const struct live_reader *r);
void live_bridge_enter(struct live_bridge *bridge, struct live_channel *channel);
void live_bridge_leave(struct live_channel *channel);
void live_bridge_end(struct live_bridge *bridge);
/* Hold, a Local pair or its members changed: who talks is looked at again. */
void live_bridge_changed(struct live_bridge *bridge);
/* The calls of its channels became `to`. */
void live_bridge_moved(struct live_bridge *bridge, struct live_call *from, struct live_call *to);
void live_bridge_free(struct live_object *object);

/* ---- live_transfer.c ---- */
enum {
	LIVE_TRANSFER_BLIND = 1, LIVE_TRANSFER_ATTENDED, LIVE_TRANSFER_PICKUP, LIVE_TRANSFER_LOCAL
};
void live_transfer_event(struct live_server *s, const struct live_reader *r, int what);

/* ---- live_queue.c, live_figures.c ---- */
enum { LIVE_QUEUE_JOIN = 1, LIVE_QUEUE_LEAVE, LIVE_QUEUE_ABANDON };
void live_queue_event(struct live_server *s, const struct live_reader *r, int what);
struct live_queue *live_queue_get(struct live_server *s, struct slice name, bool make);
struct live_caller *live_queue_join(struct live_queue *queue, struct live_channel *channel, uint32_t position, int64_t since);
/* To its position in the queue (from 1). */
void live_queue_move(struct live_caller *caller, int64_t position);
/* Nothing but that the dialplan goes on, or time, says why it has left. */
void live_queue_gone_on(struct live_caller *caller);
/* Leaves the order; the reason follows. */
void live_queue_leave(struct live_caller *caller);
/* Why is known now: reports it, and the caller is gone. */
void live_queue_left(struct live_caller *caller, enum live_left reason);
/* Another channel waits in its place from now on. */
void live_queue_pass(struct live_caller *caller, struct live_channel *channel);
/* AgentConnect: `channel` talks with the agent. */
/* `member` NULL: one that nothing told of yet. */
void live_queue_connect(struct live_queue *queue, struct live_channel *channel, struct live_member *member, struct slice interface, struct slice agent_name);
/* Who left a while ago for a reason that nothing told was redirected. */
void live_queue_tick(struct live_server *s, int64_t now);
int64_t live_queue_deadline(const struct live_server *s);
void live_queue_channel_ended(struct live_channel *channel, bool unseen);
void live_queue_status(struct live_channel *channel, struct slice status);
void live_queue_merged(struct live_call *from, struct live_call *to);
uint32_t live_queue_position(const struct live_caller *caller);
void live_queue_end(struct live_queue *queue);
void live_queue_free(struct live_object *object);
void live_queue_free_caller(struct live_object *object);
void live_queue_free_wait(struct live_object *object);
void live_figures_add(struct live_queue *queue, const struct live_figures *more);
struct live_figures live_figures_hour(const struct live_queue *queue, int64_t now);
void live_figures_report(struct live_server *s, int64_t now);

/* ---- live_member.c ---- */
enum {
	LIVE_MEMBER_SEEN = 1, LIVE_MEMBER_REMOVED, LIVE_MEMBER_CALLED, LIVE_MEMBER_CONNECT, LIVE_MEMBER_COMPLETE,
	LIVE_MEMBER_MISSED, LIVE_MEMBER_DUMP
};
void live_member_event(struct live_server *s, const struct live_reader *r, int what);
struct live_member *live_member_seen(struct live_queue *queue, const struct live_reader *r);
struct live_member *live_member_find(const struct live_queue *queue, struct slice interface);
void live_member_end(struct live_member *member);
void live_member_free(struct live_object *object);

/* ---- live_agent.c ---- */
struct live_agent *live_agent_get(struct live_server *s, struct slice interface, bool make);
void live_agent_review(struct live_agent *agent);
void live_agent_connect(struct live_agent *agent, struct live_call *call);
/* A list says that he is in no call of one queue: in none of any, his AgentComplete was missed. */
void live_agent_listed(struct live_agent *agent);
void live_agent_complete(struct live_agent *agent, int64_t talk, uint32_t wrapup);
/* Those who are on `from` are on `to` now; NULL: on none. */
void live_agent_moved(struct live_call *from, struct live_call *to);
void live_agent_end(struct live_agent *agent);
void live_agent_new_day(struct live_agent *agent);
void live_agent_free(struct live_object *object);
void live_agent_tick(struct live_server *s, int64_t now);

/* ---- live_endpoint.c ---- */
enum {
	LIVE_ENDPOINT_DEVICE = 1, LIVE_ENDPOINT_CONTACT, LIVE_ENDPOINT_PEER, LIVE_ENDPOINT_ENTRY, LIVE_ENDPOINT_MESSAGES
};
void live_endpoint_event(struct live_server *s, const struct live_reader *r, int what);
struct live_endpoint *live_endpoint_get(struct live_server *s, struct slice interface, bool make);
void live_endpoint_end(struct live_endpoint *endpoint);
void live_endpoint_free(struct live_object *object);
/* 1: trunk, 0: phone, -1: nothing says. */
int live_endpoint_trunk(const struct live_endpoint *endpoint);
void live_endpoint_dialled(struct live_endpoint *endpoint, struct slice dial_string);
int live_endpoint_device(struct slice state);
const char *live_endpoint_device_name(int state);
#define LIVE_DEVICE_UNTOLD 255

/* ---- live_conference.c ---- */
enum {
	LIVE_CONFERENCE_START = 1, LIVE_CONFERENCE_END, LIVE_CONFERENCE_JOIN, LIVE_CONFERENCE_LEAVE, LIVE_CONFERENCE_MUTE,
	LIVE_CONFERENCE_UNMUTE, LIVE_CONFERENCE_TALKING, LIVE_CONFERENCE_RECORD, LIVE_CONFERENCE_STOP_RECORD
};
void live_conference_event(struct live_server *s, const struct live_reader *r, int what);
struct live_conference *live_conference_get(struct live_server *s, struct slice name, bool make);
struct live_participant *live_conference_join(struct live_conference *conference, struct live_channel *channel);
void live_conference_leave(struct live_participant *participant);
/* Another channel is in the conference in its place. */
void live_conference_pass(struct live_participant *participant, struct live_channel *channel);
/* It is in a conference, or not any more. */
void live_conference_mark(struct live_channel *channel, bool in);
void live_conference_channel_ended(struct live_channel *channel);
void live_conference_end(struct live_conference *conference);
void live_conference_free(struct live_object *object);
void live_conference_free_participant(struct live_object *object);

/* ---- live_parking.c ---- */
enum { LIVE_PARKING_PARK = 1, LIVE_PARKING_FETCH, LIVE_PARKING_BACK };
void live_parking_event(struct live_server *s, const struct live_reader *r, int what);
struct live_lot *live_parking_lot(struct live_server *s, struct slice name, bool make);
struct live_parked *live_parking_put(struct live_lot *lot, struct live_channel *channel);
void live_parking_remove(struct live_parked *parked);
void live_parking_end(struct live_lot *lot);
void live_parking_free(struct live_object *object);
void live_parking_free_parked(struct live_object *object);

/* ---- live_old.c: before Asterisk 12 ---- */
enum {
	LIVE_OLD_DIAL = 1, LIVE_OLD_BRIDGE, LIVE_OLD_LINK, LIVE_OLD_UNLINK, LIVE_OLD_MASQUERADE, LIVE_OLD_RENAME
};
void live_old_event(struct live_server *s, const struct live_reader *r, int what);

/* ---- live_snapshot.c, live_items.c ---- */
/* The lists, in the order in which they are asked for. */
enum live_step {
	LIVE_STEP_COMMANDS, LIVE_STEP_CHANNELS, LIVE_STEP_BRIDGES, LIVE_STEP_QUEUES, LIVE_STEP_DEVICES, LIVE_STEP_CONTACTS,
	LIVE_STEP_PEERS, LIVE_STEP_PARKED, LIVE_STEP_ROOMS, LIVE_STEP_ROOM, LIVE_STEP_BRIDGE, LIVE_STEP_STATUS, LIVE_STEPS
};
void live_snapshot_event(struct live_server *s, const struct live_reader *r, int what);
void live_snapshot_want(struct live_server *s, const char *why, int64_t at);
/* `what` is asked about by itself. */
void live_snapshot_ask(struct live_server *s, enum live_step step, struct live_name *what);
void live_snapshot_tick(struct live_server *s, int64_t now);
int64_t live_snapshot_deadline(const struct live_server *s);
/* All that the server had is no more. */
void live_snapshot_clear(struct live_server *s);
void live_snapshot_close(struct live_server *s);
void live_snapshot_leave(struct live_server *s);

#endif
