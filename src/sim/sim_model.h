/* What lives in the simulator: its clients, and the exchange with its channels, calls, queues and phones. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

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
#define SIM_RECEIVED_MAX 256 /* actions that are kept for tests */
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
	SIM_PLAN_ATTENDED, SIM_PLAN_ATTENDED_BY_CALLER, SIM_PLAN_ATTENDED_RINGING
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
	struct sim_channel *far, *first; /* of an Originate to a Local channel: its second half, and the phone behind it; or NULL */
	bool far_stays;
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
	char *received[SIM_RECEIVED_MAX]; /* owned, JSON: the lines of each action */
	unsigned received_count;
	struct buf capture; /* --play */
	struct sim_flood *flood;
};

#endif
