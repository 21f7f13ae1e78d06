/* What the files of this layer share. Nobody else includes it. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include <regex.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "sim/sim.h"

#define SIM_LINE_MAX 1024    /* Q30: with its line end */
#define SIM_HEADERS_MAX 128  /* Q31 */
#define SIM_FILTERS_MAX 16
#define SIM_VARIABLES_MAX 256
#define SIM_GLOBALS_MAX 4096
#define SIM_DATABASE_MAX 10000
#define SIM_MEMBERS_MAX 64
#define SIM_QUEUES 2
#define SIM_ROOMS 2
#define SIM_SPACES 20        /* 701 .. 720 */
#define SIM_SPACE_FIRST 701u
#define SIM_ENDED_MAX 20000
#define SIM_ENDPOINTS_MAX 4096
#define SIM_PHONES 20        /* 1000 .. 1019 */
#define SIM_CONTEXT "default"
#define SIM_ID_MAX 127       /* bytes of a ChannelId */
#define SIM_STEP_EPOCH 1767225600.0 /* when stepped time begins: 2026-01-01 */

/* Asterisk's own numbers: EventMask may be one. */
enum sim_class {
	SIM_SYSTEM = 1 << 0, SIM_CALL = 1 << 1, SIM_LOG = 1 << 2, SIM_VERBOSE = 1 << 3, SIM_COMMAND = 1 << 4,
	SIM_AGENT = 1 << 5, SIM_USER = 1 << 6, SIM_CONFIG = 1 << 7, SIM_DTMF = 1 << 8, SIM_REPORTING = 1 << 9,
	SIM_CDR = 1 << 10, SIM_DIALPLAN = 1 << 11, SIM_ORIGINATE = 1 << 12, SIM_AGI = 1 << 13, SIM_CC = 1 << 15,
	SIM_AOC = 1 << 16, SIM_TEST = 1 << 17, SIM_SECURITY = 1 << 18, SIM_MESSAGE = 1 << 30
};
#define SIM_ALL 0x7fffffffu

/* One message of a client, as lines. */
struct sim_request {
	char *lines[SIM_HEADERS_MAX]; /* owned, NUL-terminated: a NUL cut them (Q32) */
	unsigned count;
	bool too_many; /* Q31 */
	bool too_long; /* Q30 */
};

struct sim_filter {
	regex_t regex;
	bool exclude;
};

/* One connection.
 *
 *   open -> logged in -> closing (what waits is still written) -> dead (freed at the end of the loop's turn)
 *
 * While `held` (a wrong login for 1 s, a synchronous Originate) nothing is read and nothing new is sent: Q45. */
struct sim_client {
	struct list node;
	struct sim *sim;
	uint64_t number; /* never used twice */
	int fd;
	ev_io io;
	ev_timer write_timer; /* runs while bytes wait */
	ev_timer hold_timer;  /* of a wrong login; also the limit for logging in at all */
	struct buf out;       /* bounded by max_backlog */
	struct buf waiting;   /* events that came while held, bounded likewise */
	char in[SIM_LINE_MAX + 1];
	size_t in_len;
	struct sim_request request;
	bool authenticated, held, closing, dead;
	unsigned mask;  /* classes of events that it wants */
	unsigned read, write; /* classes that its user may hear and send */
	char challenge[16];
	char session_id[24];
	char remote[64];
	double since; /* epoch s */
	struct sim_filter filters[SIM_FILTERS_MAX];
	unsigned filter_count;
	/* A capture or a flood that is sent to it. */
	bool streaming;
	uint64_t stream_sent;  /* events (flood), frames (play) since the login */
	uint64_t stream_asked; /* with per_ping: how many of them the Pings allow */
	uint64_t flood_passed; /* of those, what its mask let through */
	size_t play_offset;
	uint64_t stream_start; /* monotonic ns */
	ev_timer pace;
};

/* A timer of simulated time, inside its owner's struct. */
struct sim_timer {
	struct heap_node node;
	struct sim *sim;
	void (*fire)(struct sim_timer *timer);
	bool armed;
};

/* As ast_device_state numbers them; members of queues show the same numbers. */
enum sim_device {
	SIM_DEVICE_UNKNOWN, SIM_DEVICE_FREE, SIM_DEVICE_IN_USE, SIM_DEVICE_BUSY, SIM_DEVICE_INVALID, SIM_DEVICE_UNAVAILABLE,
	SIM_DEVICE_RINGING, SIM_DEVICE_RING_IN_USE, SIM_DEVICE_ON_HOLD
};

/* A phone, a trunk, or what else has a device state. */
struct sim_endpoint {
	struct list node;
	char interface[80];
	bool phone;      /* it registers */
	bool registered;
	enum sim_device state; /* as it was last published */
	unsigned ringing, on_hold, in_use; /* its channels; those on hold are not counted as in use */
};

struct sim_bridge {
	struct list node;
	struct sim *sim;
	char id[40];
	const char *type, *technology, *creator;
	char name[40];
	struct list channels; /* struct sim_channel by in_bridge, in the order in which they came */
	unsigned count;       /* of them */
	unsigned hidden;      /* an announcer: the numbers count it, and nothing else shows it */
};

struct sim_channel {
	struct list node;
	struct sim_call *call;
	struct sim_bridge *bridge;
	struct list in_bridge;
	struct sim_endpoint *endpoint; /* NULL: without a device state */
	bool holding;                  /* its phone holds the other side */
	bool on_hold;                  /* the other side holds it */
	bool admin, muted, talking;    /* in a conference */
	char name[96], uniqueid[SIM_ID_MAX + 1], linkedid[SIM_ID_MAX + 1];
	uint64_t linked_age; /* serial of the channel whose id the Linkedid is: the smaller the older */
	unsigned state; /* Asterisk's number: 0 Down, 4 Ring, 5 Ringing, 6 Up, 7 Busy */
	char caller_num[80], caller_name[80], connected_num[80], connected_name[80];
	char account[40], context[80], exten[80];
	unsigned priority;
	char app[40], data[128];
	uint64_t created; /* simulated ns */
	struct map variables; /* to char *, owned */
};

struct sim_member {
	char name[80], interface[80];
	bool dynamic, paused;
	char paused_reason[80];
	unsigned penalty, calls_taken;
	enum sim_device status;
	bool in_call;
	int64_t last_call, last_pause, login; /* epoch s */
};

struct sim_queue {
	const char *name, *strategy;
	struct sim_member *members[SIM_MEMBERS_MAX]; /* owned */
	unsigned member_count, next;
	struct list callers; /* struct sim_call by queue_node, first come first */
	unsigned caller_count, completed, abandoned;
	unsigned joined, connected, given_up; /* so far; who timed out has not given up */
	double hold_sum, talk_sum;
};

enum sim_outcome {
	SIM_ANSWERED, SIM_BUSY, SIM_CONGESTED, SIM_NO_ANSWER, SIM_CANCELLED, SIM_UNREACHABLE, SIM_FORWARDED, SIM_PICKED_UP
};

/* A call's life. SIM_RUN is where the caller's channel is at its extension: the dialplan decides what is next.
 *
 *   ORIGINATING -> RUN | over
 *   RUN -> WAITING -> over
 *       -> DIALING -> RINGING -> TALKING -> over
 *       -> QUEUED <-> AGENT_RINGING -> AGENT_TALKING -> over
 *       -> CONFERENCE -> over
 *   TALKING, AGENT_TALKING -> PARKING -> PARKED -> TALKING | RINGING | over
 *   A redirect or a blind transfer leads from every state but ORIGINATING back to RUN. A call that becomes part of another
 *   one (attended transfer, pickup, fetched from the lot) is over at once, its channels are the other's. */
enum sim_call_state {
	SIM_ORIGINATING, SIM_RUN, SIM_WAITING, SIM_DIALING, SIM_RINGING, SIM_TALKING,
	SIM_QUEUED, SIM_AGENT_RINGING, SIM_AGENT_TALKING, SIM_CONFERENCE, SIM_PARKING, SIM_PARKED, SIM_OVER
};

/* What the two do once they talk (sim_plan.c). */
enum sim_plan {
	SIM_PLAN_TALK, SIM_PLAN_HOLD, SIM_PLAN_BLIND, SIM_PLAN_BLIND_BY_CALLER, SIM_PLAN_PARK, SIM_PLAN_PARK_BY_CALLER,
	SIM_PLAN_ATTENDED, SIM_PLAN_ATTENDED_BY_CALLER, SIM_PLAN_ATTENDED_RINGING, SIM_PLANS
};

/* What a call was, for --truth: set where it happens, never read by the simulation. */
struct sim_story {
	char id[SIM_ID_MAX + 1];
	char from[80], to[80], queue[40], agent[80], answered_by[80];
	char transferred_from[80], transferred_to[80], forwarded_from[80], fetched_by[80], into[SIM_ID_MAX + 1];
	const char *result;
	bool talked, shut_down; /* the exchange ended it */
	bool rang;              /* the first phone's ringing is over */
	double talk, hold, wait, ring, conference_time; /* simulated s */
};

struct sim_originate {
	uint64_t client; /* number of the one that asked */
	bool async;
	char *id, *channel_id, *channel, *context, *exten, *application, *data, *caller_num, *caller_name; /* owned */
	unsigned priority;
};

struct sim_call {
	struct list node;
	struct sim *sim;
	struct sim_timer timer;
	enum sim_call_state state;
	enum sim_outcome outcome;
	bool by_chance;  /* else it goes as the dialplan says */
	uint64_t random; /* its own, from the seed and its number */
	struct sim_channel *caller, *callee;
	struct sim_channel *also;        /* another phone that rings at the same time, or NULL */
	struct sim_channel *one, *two;   /* halves of a Local channel between them, or NULL */
	bool stays;                      /* that is not optimised away */
	struct sim_originate *originate; /* owned, until it is answered */
	double ring_time, wait_time;     /* simulated s */
	uint64_t dialled, answered;      /* simulated ns; 0: not */
	char dial_string[96];
	/* In a queue. */
	struct sim_queue *queue;
	struct list queue_node;
	unsigned position, original_position;
	uint64_t joined, rung;           /* simulated ns */
	double patience, hold;           /* simulated s */
	bool missed;
	bool times_out, timing_out;      /* the dialplan takes it out, not the caller himself */
	char agent_name[80], agent_interface[80];
	/* What they do while they talk. */
	enum sim_plan plan;
	unsigned step;
	bool by_caller;                  /* who does it */
	struct sim_timer transfer;       /* while the consultation rings */
	struct sim_call *other;          /* the consultation, or the call that is consulted about */
	bool consults;                   /* it is the consultation */
	/* In a parking lot or a conference. */
	struct sim_channel *parker;      /* about to go */
	char parker_interface[80];
	unsigned space;                  /* 0: not parked */
	uint64_t parked;                 /* simulated ns */
	struct sim_room *room;
	struct list in_room;
	struct sim_story story;
};

/* A conference. */
struct sim_room {
	const char *name;
	struct sim_bridge *bridge; /* NULL: nobody is in it */
	struct list calls;         /* struct sim_call by in_room */
	unsigned count;
	uint64_t serial;           /* of its announcers */
};

struct sim {
	struct ev_loop *loop;
	struct sim_options options;
	unsigned ami_version; /* as catalogue_ami_version() */
	int fd;
	uint16_t port;
	ev_io accept_io;
	ev_timer accept_pause; /* out of descriptors: listen again later */
	ev_prepare reaper;     /* frees what died in this turn */
	ev_timer alarm;        /* for the first of the timers */
	uint64_t began;        /* monotonic ns */
	uint64_t now;          /* simulated ns since then */
	double epoch;          /* epoch s when it was created */
	struct heap timers;    /* struct sim_timer */
	bool firing;           /* timers are: the alarm is set behind them */
	struct sim_timer call_timer;
	struct list clients;
	unsigned client_count;
	uint64_t client_number;
	uint64_t random;
	uint64_t channel_serial, name_serial, calls_processed;
	double started; /* epoch s, of the exchange that runs now */
	struct list channels;
	struct map channel_names; /* without case, to struct sim_channel */
	struct list calls, over;
	unsigned call_count;
	struct list bridges;   /* struct sim_bridge, in the order in which they came to be */
	struct list endpoints; /* struct sim_endpoint, likewise */
	struct map endpoint_names;
	struct sim_timer registration;
	struct sim_room rooms[SIM_ROOMS];
	struct sim_bridge *lot; /* of parked calls; made at its first use, for good (Q71) */
	uint64_t local_serial;
	struct sim_call *spaces[SIM_SPACES]; /* who is parked where */
	struct sim_story *ended; /* owned; calls that are over and that nobody asked about yet */
	unsigned ended_count, ended_lost;
	struct list late;      /* events on their way to the clients */
	uint64_t bridge_random, late_random, late_due;
	struct sim_timer late_timer;
	struct sim_timer down; /* while it runs, the exchange is being restarted */
	unsigned boots;
	struct sim_queue queues[SIM_QUEUES];
	struct map globals, database; /* to char *, owned */
	struct buf event; /* the one being built */
	unsigned event_class;
	int truth_fd;          /* -1: none */
	bool truth_bound;
	ev_io truth_io;
	struct list askers;
	unsigned asker_count;
	struct buf capture; /* --play */
	struct sim_flood *flood;
};

/* sim.c */
/* 0 .. below - 1, from a state that its owner seeds: what one call does never depends on what others drew. */
uint64_t sim_random(uint64_t *state, uint64_t below);
/* Evenly in low .. high. */
double sim_random_range(uint64_t *state, double low, double high);

/* sim_time.c */
void sim_time_init(struct sim *sim);
void sim_time_close(struct sim *sim);
/* Something comes from outside: it is as late as the clock says, and all that was due before has happened. */
void sim_time_update(struct sim *sim);
void sim_timer_init(struct sim_timer *timer, struct sim *sim, void (*fire)(struct sim_timer *timer));
/* In so many simulated seconds; one that runs is set anew. Of those that are due together the one set first fires first. */
void sim_timer_start(struct sim_timer *timer, double seconds);
void sim_timer_stop(struct sim_timer *timer);
/* Simulated seconds since that simulated time. */
double sim_elapsed(const struct sim *sim, uint64_t since);

/* sim_client.c */
void sim_client_accept(struct sim *sim, int fd, const char *remote);
/* Frees it. */
void sim_client_destroy(struct sim_client **client);
/* What waits is still written, then it is closed. */
void sim_client_close(struct sim_client *client);
struct sim_client *sim_client_find(struct sim *sim, uint64_t number);
/* Bytes are waiting in `out`, or none any more. */
void sim_client_wake(struct sim_client *client);
/* Sends `text`, or keeps it while the line is held. Past the bound the client is lost. */
void sim_client_send(struct sim_client *client, struct slice text);
void sim_client_hold(struct sim_client *client);
/* Sends what had to wait, reads on. */
void sim_client_release(struct sim_client *client);

/* sim_session.c */
void sim_session_begin(struct sim_client *client);
/* One whole message of the client. */
void sim_session_request(struct sim_client *client, const struct sim_request *request);
/* True when an event of these classes goes to that client (Q60, Q62). */
bool sim_session_wants(const struct sim_client *client, unsigned classes, const char *text);

/* True when the pattern is cheap to compile and to match whatever it is matched with. */
bool sim_regex_safe(const char *pattern);

/* sim_reply.c. The value of the first header of that name that is not empty, or "" (Q34). */
const char *sim_get(const struct sim_request *request, const char *name);
bool sim_true(const char *text);
/* `Response: …` and ActionID; further headers and sim_end() follow. */
struct buf *sim_reply(struct sim_client *client, const struct sim_request *request, const char *response);
void sim_end(struct sim_client *client);
void sim_ack(struct sim_client *client, const struct sim_request *request, const char *message);
void sim_error(struct sim_client *client, const struct sim_request *request, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sim_put(struct buf *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sim_put_channel(struct buf *out, const char *prefix, const struct sim_channel *channel);
/* Lists: `bare` ones have no EventList below AMI 2.6 (Q26). */
struct sim_list {
	struct sim_client *client;
	const struct sim_request *request;
	bool bare;
	bool id_first; /* items have their ActionID second instead of last */
	const struct sim_bridge *about; /* its headers stand in the end of the list too, or NULL */
	unsigned items;
};
struct sim_list sim_list_begin(struct sim_client *client, const struct sim_request *request, bool bare, const char *message);
/* The item's event line; its headers, sim_item_end(). */
struct buf *sim_item(struct sim_list *list, const char *event);
void sim_item_end(struct sim_list *list);
/* `extra` (or NULL) is a header with the count that this list also ends with. */
void sim_list_end(struct sim_list *list, const char *event, const char *extra);

/* sim_event.c: sim_event() begins one, the headers follow, sim_publish() sends it. */
struct buf *sim_event(struct sim *sim, const char *name, unsigned classes);
/* Sent at once, or late (`lag`): then behind all that was published before. */
void sim_publish(struct sim *sim);
void sim_events_init(struct sim *sim);
/* What is on its way is lost. */
void sim_events_drop(struct sim *sim);
const char *sim_class_name(unsigned classes);
/* As Asterisk reads a mask: number, on/off, list of classes; -1 when empty. */
int sim_class_mask(const char *text);
void sim_security_event(struct sim_client *client, const char *name, const char *severity, const char *extra_name,
                        const char *extra);

/* sim_channel.c */
/* `id` NULL or empty: made up. */
struct sim_channel *sim_channel_new(struct sim_call *call, const char *prefix, const char *id, unsigned state, const char *num,
                                    const char *name, const char *exten, const struct sim_channel *linked);
/* "PJSIP/1001" of "PJSIP/1001-00000002". */
void sim_channel_interface(const struct sim_channel *channel, char *out, size_t size);
struct sim_channel *sim_channel_find(struct sim *sim, const char *name);
/* Hangup event, and the channel is gone. */
void sim_channel_hangup(struct sim_channel **channel, unsigned cause);
void sim_channel_destroy(struct sim_channel **channel);
void sim_channel_event(struct sim_channel *channel, const char *event, unsigned classes);
/* Its caller's number or name changed. */
void sim_channel_identified(struct sim_channel *channel);
void sim_channel_state(struct sim_channel *channel, unsigned state);
void sim_channel_app(struct sim_channel *channel, unsigned priority, const char *app, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Sets and tells it. `channel` NULL: a global one. -1 when there are too many. */
int sim_variable_set(struct sim *sim, struct sim_channel *channel, const char *name, const char *value);
/* The value into `out` (cut to fit); empty when there is none. */
void sim_variable_get(struct sim *sim, struct sim_channel *channel, const char *name, char *out, size_t size);
const char *sim_state_name(unsigned state);

/* sim_calls.c */
void sim_calls_stop(struct sim *sim);
struct sim_call *sim_call_new(struct sim *sim);
void sim_call_after(struct sim_call *call, double seconds);
void sim_call_destroy(struct sim_call **call);
/* A call of that channel begins: whom it is from and where to. */
void sim_call_begins(struct sim_call *call, struct sim_channel *caller, const char *from, const char *to);
/* Ends it: `by` hung up itself, or was hung up (`soft`). */
void sim_call_end(struct sim_call *call, struct sim_channel *by, unsigned cause, bool soft);
/* Its channels are another call's now: nothing of it is left. */
void sim_call_merged(struct sim_call *call, struct sim_call *into);
/* The channel leaves what it is in and goes on at `exten`. */
void sim_call_redirect(struct sim_channel *channel, const char *context, const char *exten, unsigned priority);
/* The caller's channel goes, and the call with it. */
void sim_call_over(struct sim_call *call, unsigned cause, const char *disposition);
void sim_cdr(struct sim_call *call, const char *disposition);
void sim_hangup_request(struct sim_channel *channel, unsigned cause, bool soft);

/* sim_dial.c */
/* `also`: a second phone that is rung at the same time, or NULL. */
void sim_dial(struct sim_call *call, const char *number, const char *also, enum sim_outcome outcome);
void sim_dial_timer(struct sim_call *call);
/* Makes the phone that `app` rings, as the caller's counterpart. */
struct sim_channel *sim_dial_callee(struct sim_call *call, const char *prefix, const char *number, const char *app);
/* Frees the callee, tells why the dialling ended. */
void sim_dial_failed(struct sim_call *call, const char *status, unsigned cause);
/* DialBegin (no status), DialState, DialEnd of the caller and the callee; of a Local channel see sim_local.c. */
void sim_dial_event(struct sim_call *call, const char *event, const char *status);
void sim_put_dial(struct sim *sim, const char *event, const struct sim_channel *from, const struct sim_channel *to);
/* The callee is up: they talk. */
void sim_dial_answered(struct sim_call *call);

/* sim_bridge.c. Without a type: a basic one. */
struct sim_bridge *sim_bridge_new(struct sim *sim, const char *type, const char *technology, const char *creator, const char *name);
/* `swap`: whose place it takes, or NULL. In a basic bridge all get the oldest Linkedid (Q96). */
void sim_bridge_enter(struct sim_bridge *bridge, struct sim_channel *channel, const struct sim_channel *swap);
void sim_bridge_leave(struct sim_channel *channel);
void sim_bridge_destroy(struct sim_bridge **bridge);
void sim_bridges_close(struct sim *sim);
struct sim_bridge *sim_bridge_find(struct sim *sim, const char *id);
void sim_put_bridge(struct buf *out, const char *prefix, const struct sim_bridge *bridge);
/* BRIDGEPEER of the two in it. */
void sim_bridge_peers(const struct sim_bridge *bridge);
/* Caller and callee are bridged, and apart again (nothing when they were not). */
void sim_bridge_call(struct sim_call *call);
void sim_bridge_apart(struct sim_call *call);

/* sim_endpoint.c */
void sim_endpoints_init(struct sim *sim);
void sim_endpoints_close(struct sim *sim);
/* Everything is as at the start. */
void sim_endpoints_reset(struct sim *sim);
/* The endpoint of "PJSIP/1001" or of a channel's name; NULL: none. */
struct sim_endpoint *sim_endpoint_find(struct sim *sim, const char *name);
/* One more, unless it is there, in state UNKNOWN until it is reviewed; NULL when there are too many. */
struct sim_endpoint *sim_endpoint_add(struct sim *sim, const char *interface, bool phone);
/* Before and after a channel's state or hold changes: `by` is -1 and 1. */
void sim_endpoint_count(const struct sim_channel *channel, int by);
/* Publishes its device state, when that has changed, and that of the members it stands for. */
void sim_endpoint_review(struct sim *sim, struct sim_endpoint *endpoint);
const char *sim_device_name(enum sim_device state);
/* A registered phone, by chance. */
const struct sim_endpoint *sim_endpoint_any(struct sim *sim, uint64_t *random);
void sim_endpoints_start(struct sim *sim);

/* sim_dialplan.c: the caller's channel goes on at its extension. */
void sim_call_run(struct sim_call *call);

/* sim_traffic.c: calls by chance. */
void sim_traffic_start(struct sim *sim);

/* sim_plan.c */
/* The two talk: what they will do, and when. */
void sim_plan_choose(struct sim_call *call);
/* It is time for the next step. */
void sim_plan_next(struct sim_call *call);
/* The consultation rings, or the two of it talk. */
void sim_plan_consulted(struct sim_call *consultation);
/* One of the two is over. */
void sim_plan_lost(struct sim_call *call);

/* sim_transfer.c */
void sim_hold(struct sim_channel *channel, bool hold);
/* The callee, or the caller, sends the other one to `exten`. */
void sim_transfer_blind(struct sim_call *call, bool by_caller, const char *exten);
void sim_put_blind_transfer(struct sim_call *call, const struct sim_channel *from, const struct sim_channel *who, const char *exten);
/* Who holds `call` joins its other side with the one that he consults. */
void sim_transfer_attended(struct sim_call *call);

/* sim_local.c */
/* The caller dials `number` through a Local channel: `stays` (/n), or optimised away at the answer. */
void sim_local_dial(struct sim_call *call, const char *number, bool stays, enum sim_outcome outcome);
void sim_local_rings(struct sim_call *call);
void sim_local_answered(struct sim_call *call);
/* The far end failed with that status; what it was between goes too. */
void sim_local_failed(struct sim_call *call, const char *status, unsigned cause);
/* It is taken out of its bridges and hung up. */
void sim_local_end(struct sim_call *call, unsigned cause);
/* The phone says 302: the caller is sent to `number`. */
void sim_local_forward(struct sim_call *call, const char *number, enum sim_outcome outcome);

/* sim_pickup.c: another phone takes the call that rings. */
void sim_pickup(struct sim_call *call, const char *interface);

/* sim_parking.c */
void sim_park(struct sim_call *call, bool by_caller);
void sim_parking_timer(struct sim_call *call);
/* The parked one gives up, or is taken out. */
void sim_parking_leave(struct sim_call *call, bool gives_up);
/* The caller dials a space of the lot. False: nobody is parked there. */
bool sim_parking_fetch(struct sim_call *call, unsigned space);
unsigned sim_parking_lot_size(const struct sim *sim);

/* sim_conference.c */
void sim_conferences_init(struct sim *sim);
void sim_conference_enter(struct sim_call *call, struct sim_room *room);
void sim_conference_timer(struct sim_call *call);
void sim_conference_leave(struct sim_call *call);

/* sim_truth.c: what the call was is kept for sim_truth(). */
void sim_truth_ended(struct sim_call *call);
/* So many nanoseconds pass in which nothing happens. */
void sim_truth_pass(struct sim *sim, uint64_t ns);

/* sim_ask.c */
int sim_ask_listen(struct sim *sim, struct err *err);
void sim_ask_close(struct sim *sim);

/* sim_restart.c: see sim.h. */
void sim_restart_init(struct sim *sim);
bool sim_is_down(const struct sim *sim);

/* sim_queue.c */
void sim_queues_init(struct sim *sim);
void sim_queues_close(struct sim *sim);
struct sim_queue *sim_queue_find(struct sim *sim, const char *name);
/* Not by chance: `missed`, the first agent lets it ring; `gives_up`, the caller does. */
void sim_queue_enter(struct sim_call *call, struct sim_queue *queue, bool missed, bool gives_up);
void sim_queue_timer(struct sim_call *call);
/* The caller gives up, or is taken out. */
void sim_queue_abandon(struct sim_call *call);
/* The agent did not take it; the caller waits on. */
void sim_queue_no_answer(struct sim_call *call);
void sim_queue_complete(struct sim_call *call, const char *reason);
/* The headers that its events and its list items share. */
void sim_put_member(struct buf *out, const struct sim_member *member);
void sim_member_event(struct sim *sim, const struct sim_queue *queue, const struct sim_member *member, const char *event);
struct sim_member *sim_member_find(struct sim_queue *queue, const char *interface);

/* Actions: each answers exactly once, or holds the line and answers later. */
typedef void sim_action_fn(struct sim_client *client, const struct sim_request *request);
struct sim_action {
	const char *name;
	sim_action_fn *run;
	const char *privilege; /* as ListCommands shows it */
};
/* True when a user with these classes may send it: one of them is enough. */
bool sim_action_allowed(const struct sim_action *action, unsigned classes);
/* Sorted by name; ends with a NULL name. */
extern const struct sim_action sim_actions[];
sim_action_fn sim_action_originate, sim_action_command, sim_action_queue_add, sim_action_queue_remove,
	sim_action_queue_pause, sim_action_queue_status, sim_action_queue_summary, sim_action_channels, sim_action_status,
	sim_action_bridge_list, sim_action_bridge_info, sim_action_endpoints, sim_action_contacts, sim_action_devices,
	sim_action_parked, sim_action_rooms, sim_action_room;
/* sim_originate.c: the first leg's outcome is known. */
void sim_originate_answer(struct sim_call *call, unsigned reason);
void sim_originate_free(struct sim_originate **originate);
/* Rings, or gives the outcome. */
void sim_originate_timer(struct sim_call *call);

/* sim_play.c, sim_flood.c: fill `out` while the client takes it; whole frames only, so that answers may come between. */
#define SIM_STREAM_CHUNK ((size_t)256 * 1024)
int sim_play_load(struct sim *sim, const char *path, struct err *err);
void sim_stream_begin(struct sim_client *client);
void sim_stream_pump(struct sim_client *client);
/* The client has sent a Ping: its answer is in `out` already. */
void sim_stream_ping(struct sim_client *client);
/* How many may be sent now; arms the pace timer when that is 0. */
uint64_t sim_stream_allowance(struct sim_client *client);
bool sim_play_fill(struct sim_client *client, uint64_t count);
struct sim_flood *sim_flood_create(bool stamp);
void sim_flood_destroy(struct sim_flood **flood);
bool sim_flood_fill(struct sim_client *client, uint64_t count);

#endif
