/* What the files of this layer share: the link and the hub from inside. */
#ifndef LINK_INTERNAL_H
#define LINK_INTERNAL_H

#include <stdatomic.h>

#include "ami/event_mask.h"
#include "ami/framer.h"
#include "base/list.h"
#include "ami/frame_log.h"
#include "link/link.h"
#include "link/link_metrics.h"
#include "net/backoff.h"
#include "net/breaker.h"
#include "net/resolve.h"
#include "net/stream.h"

/* Why a session or a try ended; the words are those of link_reason_name(). */
enum link_reason {
	REASON_NONE,
	REASON_RESOLVE,
	REASON_REFUSED,
	REASON_UNREACHABLE,
	REASON_CONNECT_TIMEOUT,
	REASON_TLS,
	REASON_BANNER_TIMEOUT,
	REASON_NOT_AMI,
	REASON_LOGIN_TIMEOUT,
	REASON_AUTH,
	REASON_READ_TIMEOUT,
	REASON_HEARTBEAT,
	REASON_RESET,
	REASON_EOF,
	REASON_PROTOCOL,
	REASON_OVERFLOW,
	REASON_SHUTDOWN, /* the server had said Shutdown (Q47) */
	REASON_SYSTEM,   /* this host's own trouble: no descriptors, no memory */
	REASON_STOPPED,  /* by link_stop(): no failure */
	REASONS
};
const char *link_reason_name(enum link_reason reason);

struct link_counts {
	uint64_t bytes_in, bytes_out, frames_in, frames_out, events, other_frames;
	uint64_t malformed, oversized, shed, cut_frames;
	uint64_t connects, sessions, failures;
	uint64_t reasons[REASONS];
	uint64_t late, unmatched, idless, lines_no_colon; /* before this link: its own are counted where they happen */
};

/* Events that were lost on the way in and not reported yet. */
#define LINK_GAP_NAMES 16
struct link_gap {
	uint64_t count;
	uint32_t name_count;
	char names[LINK_GAP_NAMES][48];
};

#define LINK_OWN_RESERVE 4096 /* of the write buffer, and actions of pending, beyond what rules may fill: for Ping and Logoff */
#define LINK_OWN_ACTIONS 8

struct link {
	struct link_hub *hub;
	struct link_owner owner;
	struct link_config config; /* its strings are in `strings`; secret is NULL */
	char events[EVENT_MASK_TEXT]; /* config.events, once it was set */
	char *strings[8];          /* owned */
	size_t string_count;
	char **shed_first; /* owned */
	char *secret;      /* owned, wiped when freed (P8) */
	struct tls *tls;
	bool no_call_events; /* its `events` let none of the class call pass */

	enum link_state state;
	uint64_t state_since; /* monotonic ns */
	uint64_t deadline;    /* of the state; UINT64_MAX: none */
	ev_timer timer;       /* the state's deadline, heartbeat and read timeout */
	ev_timer action_timer; /* the nearest action's deadline */
	uint64_t action_due;   /* when it rings; UINT64_MAX: it rests */
	bool stop_requested;
	char *stop_reason; /* owned; NULL until it is asked for */

	/* The session. */
	struct resolve *resolve;
	struct stream *stream;
	struct framer framer;
	struct pending *pending;
	struct frame_log log;
	struct link_gap gap;
	struct buf out;
	uint64_t appended, flushed, tried; /* bytes of the session's output: queued, taken by the kernel, perhaps taken (TLS) */
	struct address peer;
	char version[32];
	bool was_ready;
	bool succeeded;   /* it has lasted: reconnect.success_after */
	bool said_shutdown;
	enum link_reason end_reason;
	uint64_t last_read; /* monotonic ns of the last bytes */
	uint64_t last_whole; /* the same of the last whole message: bytes without end are no sign of life */
	double read_at;     /* the same in epoch seconds */
	uint64_t challenge_sequence, login_sequence, logoff_sequence, ping_sequence; /* own actions that wait; 0: none */
	uint64_t ping_sent, ping_deadline;
	bool ping_extended; /* bytes came late, behind which the Pong may stand: waited once more */
	double heartbeat_rtt;
	double certificate_end; /* of the server's, epoch seconds, at the last handshake; 0: none */

	/* Between sessions. */
	struct backoff backoff, auth_backoff;
	struct breaker breaker;
	double retry_delay; /* seconds until the next try, decided when the session ended */
	enum link_reason last_reason;
	char *last_text; /* owned; NULL: no session has ended yet */

	struct link_counts counts;
	struct link_series series;
	struct list hub_node, dirty, deferred, waiting; /* in the hub's lists */
	bool suspect;    /* its last try gave no session */
	const struct link_tap *tap; /* NULL: none */
	bool holds_slot; /* one of the hub's connects in flight */
	bool holds_suspect_slot; /* it began as one */
};

struct link_hub {
	struct ev_loop *loop;
	struct metrics *metrics;
	struct link_families families;
	struct resolver *resolver;
	struct tls_pool *tls; /* link_create() only */
	struct pool pool;
	struct backoff_random random;
	char prefix[12]; /* of ActionIDs (Q21); each link adds its number */
	atomic_uint links_made; /* the next one's number; links are also made on the loader's thread */
	uint32_t connects_max, connects_per_turn, connects_in_flight;
	uint32_t suspects_in_flight; /* of those, the ones whose last try gave no session */
	ev_prepare prepare;
	ev_timer pace; /* something is left for the next turn */
	struct list links, dirty, deferred, waiting;
	struct list waiting_suspects; /* behind those in `waiting` */
};

/* session.c: moves */
void link_move(struct link *link, enum link_state state);
void link_plan_connect(struct link *link, double delay);
/* A whole message has arrived: has the session lasted? */
void link_note_message(struct link *link);
void link_on_timer(struct ev_loop *loop, ev_timer *timer, int events);
void link_on_action_timer(struct ev_loop *loop, ev_timer *timer, int events);
/* Arms the timer of the nearest action's deadline. */
void link_arm_actions(struct link *link);
/* Socket, timers, write buffer: gone; nothing is reported. */
void link_close_session(struct link *link);
/* (Re)starts the timer for `deadline` (monotonic ns). */
void link_arm(struct link *link, uint64_t deadline);
/* The one way in which a session or a try ends. Closes everything, completes all pending actions, reports
 * `lost`, plans the next try (P6). The caller touches the session no more. */
void link_end(struct link *link, enum link_reason reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* What link_stop() asked for, and reporting `stopped`: from the hub, once in a turn. The link may be gone afterwards. */
void link_deferred(struct link *link);
void link_ready(struct link *link);

/* connect.c: from WAITING to LOGIN */
extern const struct stream_handler link_stream_handler;
void link_connect(struct link *link);
enum link_reason link_stream_reason(enum stream_failure why);
/* The deadline of RESOLVING .. LOGIN is over; a last read found nothing. */
void link_connect_due(struct link *link);

/* login.c */
/* -1 with `err` when the login of this configuration cannot work or may not be sent. */
int login_check(const struct link_config *config, struct err *err);
void login_start(struct link *link);
/* An own action of the login has ended. False when the session ended with it. */
bool login_reply(struct link *link, const struct reply *reply);

/* heartbeat.c */
/* When to look again, monotonic ns. */
uint64_t heartbeat_next(const struct link *link);
/* Looks; may end the session. */
void heartbeat_due(struct link *link);
void heartbeat_reply(struct link *link, const struct reply *reply);

/* intake.c: read, frame, correlate, hand over, write */
enum link_read { LINK_READ_NOTHING, LINK_READ_BYTES, LINK_READ_ENDED };
/* One non-blocking read and what follows from it. */
enum link_read link_read(struct link *link);
/* Reads what the kernel holds already, before a timeout is believed. LINK_READ_BYTES when anything came. */
enum link_read link_catch_up(struct link *link);
/* Hands the write buffer to the kernel. May end the session. */
void link_flush(struct link *link);
/* Reports what was lost since the last event. */
void link_give_gap(struct link *link);
/* Counts an action of the owner that has ended and hands it over. */
void link_complete(struct link *link, struct reply *reply);

/* link.c: an action of the link's own; its sequence, or 0 with `err`. */
uint64_t link_send_own(struct link *link, const struct action *action, struct err *err);

/* hub.c */
void hub_add(struct link *link);
void hub_remove(struct link *link);
/* Queues the link for a connect, behind those that wait already. */
void hub_want_connect(struct link *link);
void hub_release_slot(struct link *link);
void hub_mark_dirty(struct link *link);
void hub_defer(struct link *link);

#endif
