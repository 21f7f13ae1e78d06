/* What the files of this layer share. Nobody else includes it. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include <regex.h>

#include "base/buf.h"
#include "base/clock.h"
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
#define SIM_PHONES 20        /* 1000 .. 1019 */
#define SIM_CONTEXT "default"

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
	unsigned mask; /* classes of events that it wants */
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

struct sim_channel {
	struct list node;
	struct sim_call *call;
	char name[96], uniqueid[48], linkedid[48];
	unsigned state; /* Asterisk's number: 0 Down, 4 Ring, 5 Ringing, 6 Up, 7 Busy */
	char caller_num[80], caller_name[80], connected_num[80], connected_name[80];
	char account[40], context[80], exten[80];
	unsigned priority;
	char app[40], data[128];
	uint64_t created; /* monotonic ns */
	bool bridged;
	struct map variables; /* to char *, owned */
};

struct sim_member {
	char name[80], interface[80];
	bool dynamic, paused;
	char paused_reason[80];
	unsigned penalty, calls_taken, status; /* 1 not in use, 2 in use, 6 ringing */
	bool in_call;
	int64_t last_call, last_pause, login; /* epoch s */
};

struct sim_queue {
	const char *name, *strategy;
	struct sim_member *members[SIM_MEMBERS_MAX]; /* owned */
	unsigned member_count, next;
	struct list callers; /* struct sim_call by queue_node, first come first */
	unsigned caller_count, completed, abandoned;
	double hold_sum, talk_sum;
};

enum sim_outcome { SIM_ANSWERED, SIM_BUSY, SIM_CONGESTED, SIM_NO_ANSWER, SIM_CANCELLED, SIM_UNREACHABLE };

/* A call's life. SIM_RUN is where the caller's channel is at its extension: the dialplan decides what is next.
 *
 *   ORIGINATING -> RUN | over
 *   RUN -> WAITING -> over
 *       -> DIALING -> RINGING -> TALKING -> over
 *       -> QUEUED <-> AGENT_RINGING -> AGENT_TALKING -> over
 *   Redirect leads from every state but ORIGINATING back to RUN. */
enum sim_call_state {
	SIM_ORIGINATING, SIM_RUN, SIM_WAITING, SIM_DIALING, SIM_RINGING, SIM_TALKING,
	SIM_QUEUED, SIM_AGENT_RINGING, SIM_AGENT_TALKING, SIM_OVER
};

struct sim_originate {
	uint64_t client; /* number of the one that asked */
	bool async;
	char *id, *channel, *context, *exten, *application, *data, *caller_num, *caller_name; /* owned */
	unsigned priority;
};

struct sim_call {
	struct list node;
	struct sim *sim;
	ev_timer timer;
	enum sim_call_state state;
	enum sim_outcome outcome;
	bool by_chance;  /* else it goes as the dialplan says */
	uint64_t random; /* its own, from the seed and its number */
	struct sim_channel *caller, *callee;
	struct sim_originate *originate; /* owned, until it is answered */
	double ring_time, wait_time;     /* simulated s */
	char bridge[40];                 /* its unique id, empty: none */
	unsigned bridge_channels;
	uint64_t dialled, answered;      /* monotonic ns; 0: not */
	char dial_string[96];
	/* In a queue. */
	struct sim_queue *queue;
	struct list queue_node;
	unsigned position, original_position;
	uint64_t joined, rung;           /* monotonic ns */
	double patience, hold;           /* simulated s */
	bool missed;
	char agent_name[80], agent_interface[80];
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
	ev_timer call_timer;
	struct list clients;
	unsigned client_count;
	uint64_t client_number;
	uint64_t random;
	uint64_t channel_serial, name_serial, calls_processed;
	double started; /* epoch s */
	struct list channels;
	struct map channel_names; /* without case, to struct sim_channel */
	struct list calls, over;
	unsigned call_count;
	struct sim_queue queues[SIM_QUEUES];
	struct map globals, database; /* to char *, owned */
	struct buf event; /* the one being built */
	unsigned event_class;
	struct buf capture; /* --play */
	struct sim_flood *flood;
};

/* sim.c */
/* 0 .. below - 1, from a state that its owner seeds: what one call does never depends on what others drew. */
uint64_t sim_random(uint64_t *state, uint64_t below);
/* Evenly in low .. high. */
double sim_random_range(uint64_t *state, double low, double high);
/* Simulated seconds since a monotonic time. */
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
void sim_publish(struct sim *sim);
const char *sim_class_name(unsigned classes);
/* As Asterisk reads a mask: number, on/off, list of classes; -1 when empty. */
int sim_class_mask(const char *text);
void sim_security_event(struct sim_client *client, const char *name, const char *severity, const char *extra_name,
                        const char *extra);

/* sim_channel.c */
struct sim_channel *sim_channel_new(struct sim_call *call, const char *prefix, unsigned state, const char *num,
                                    const char *name, const char *exten, const struct sim_channel *linked);
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
void sim_calls_start(struct sim *sim);
void sim_calls_stop(struct sim *sim);
struct sim_call *sim_call_new(struct sim *sim);
void sim_call_after(struct sim_call *call, double seconds);
void sim_call_destroy(struct sim_call **call);
/* The caller's channel goes on at its extension. */
void sim_call_run(struct sim_call *call);
/* Ends it: `by` hung up itself, or was hung up (`soft`). */
void sim_call_end(struct sim_call *call, struct sim_channel *by, unsigned cause, bool soft);
/* Makes the phone that `app` rings, as the caller's counterpart. */
struct sim_channel *sim_call_callee(struct sim_call *call, const char *prefix, const char *number, const char *app);
/* Frees the callee, tells why the dialling ended. */
void sim_call_dial_failed(struct sim_call *call, const char *status, unsigned cause);
/* DialBegin (no status), DialState, DialEnd. */
void sim_call_dial_event(struct sim_call *call, const char *event, const char *status);
/* Caller and callee are bridged, and apart again (nothing when they were not). */
void sim_call_bridge(struct sim_call *call);
void sim_call_unbridge(struct sim_call *call);
/* The headers of its bridge. */
void sim_put_bridge(struct buf *out, const struct sim_call *call);
/* The channel leaves what it is in and goes on at `exten`. */
void sim_call_redirect(struct sim_channel *channel, const char *context, const char *exten, unsigned priority);
void sim_call_over(struct sim_call *call, unsigned cause, const char *disposition);
void sim_cdr(struct sim_call *call, const char *disposition);

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
/* Sorted by name; ends with a NULL name. */
extern const struct sim_action sim_actions[];
sim_action_fn sim_action_originate, sim_action_command, sim_action_queue_add, sim_action_queue_remove,
	sim_action_queue_pause, sim_action_queue_status, sim_action_queue_summary;
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
