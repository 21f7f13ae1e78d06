/* One server's session: a state machine over net/ and ami/, with its own buffers, ids, queue and timers (P5).
 *
 *            start                 due                     all addresses
 *   STOPPED ------> WAITING ---------------> RESOLVING ----------------> CONNECTING -> TLS -> BANNER -> LOGIN -> READY
 *      ^              ^                          |                          |           |       |         |        |
 *      |              +--------------------------+--------------------------+-----------+-------+---------+--------+
 *      |                     any failure: session ends (pending failed, `lost` reported), then backoff
 *      +---- DRAINING <---- stop: Logoff written, until Goodbye, end of stream or the drain timeout
 *
 * (TLS only where it is configured.) One function, link_move() in link.c, makes every move.
 *
 * When a session ends its pending actions complete, then `lost` is reported, and only then the next try is planned (P6).
 *
 * What arrives is framed, correlated and handed to the owner at once, in wire order. The link's read buffer is also a log of
 * frames (ami/frame_log.h): an event that the owner cannot take everywhere yet stays there, and the owner's cursors read it
 * later. Everything runs on the loop's thread.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <ev.h>

#include "ami/frame_log.h"
#include "ami/pending.h"
#include "observe/metrics.h"

enum link_state {
	LINK_STOPPED,
	LINK_WAITING,
	LINK_RESOLVING,
	LINK_CONNECTING,
	LINK_TLS,
	LINK_BANNER,
	LINK_LOGIN,
	LINK_READY,
	LINK_DRAINING,
	LINK_STATES
};

struct link_tls {
	bool enabled, verify;
	const char *ca, *cert, *key; /* file names, read by link_create() at start-up or reload (in the loader's thread); NULL: system store, none */
	const char *server_name;     /* NULL: the host */
};

/* All strings are copied by link_create(). Times in seconds, sizes in bytes. */
struct link_config {
	const char *name, *host;
	uint16_t port;
	const char *username, *secret;
	bool plain_login;       /* sends the secret itself; else MD5, and nothing else */
	bool allow_plaintext;   /* plain login without TLS beyond loopback */
	const char *events;     /* EventMask of the login: "on", "off", "call,agent"; NULL: none is sent, which means "on" */
	struct link_tls tls;
	struct {
		double resolve, connect, tls, banner, login; /* connect: of all addresses together */
		double read;               /* no whole message for so long: the session ends; 0: never */
		double heartbeat_interval; /* a Ping when nothing else arrived for so long; 0: none */
		double heartbeat;          /* its deadline; this and `read` rest while an action of Q45 is open */
		double action;             /* default deadline of an action */
		double drain;              /* Logoff until the end */
	} timeouts;
	struct {
		double first, max;         /* exponential backoff with full jitter */
		double auth_first, auth_max; /* the same after a refused login, never under half of auth_first (Q42) */
		double success_after;      /* a session is a success once a whole message has arrived so long after its login */
		uint32_t breaker_failures; /* failures in a row that open the breaker */
		double breaker_open;       /* seconds until it is half open */
		uint32_t breaker_probes;   /* successes needed to close it */
	} reconnect;
	struct {
		uint32_t frame, headers;     /* framer_limits */
		uint32_t backlog_events;     /* high-water mark of events that wait for some rule; beyond: shed */
		uint32_t backlog_bytes;      /* the same in bytes of the read buffer */
		uint32_t kept_bytes;         /* cap of what is never shed (answers, FullyBooted, Shutdown): beyond, the session ends */
		uint32_t write_buffer;
		uint32_t pending, list_events, list_bytes; /* pending_limits */
	} limits;
	const char *const *shed_first; /* event names or `RTCP*` globs, lowest class first; `shed_count` of them */
	size_t shed_count;
};

struct link;

/* What all links of one loop share: resolver, buffer pool, the budget of connects, the list of links to flush. */
struct link_hub;
struct link_hub_options {
	struct ev_loop *loop;
	struct metrics *metrics;
	uint32_t connects_in_flight; /* links between look-up and login; beyond: they wait their turn, round-robin */
	uint32_t connects_per_turn;
	bool rng_fixed; /* jitter from a fixed seed, for tests */
};
struct link_hub *link_hub_create(const struct link_hub_options *options, struct err *err);
void link_hub_destroy(struct link_hub **hub); /* after all its links */

/* What becomes of an event. */
enum { LINK_EVENT_TAKEN = 1, LINK_EVENT_WAITS = 2 };

/* What the owner hears; always from the loop, never from inside link_send() or link_stop(). */
struct link_owner {
	void *ctx;
	/* An event has arrived. `at`: epoch seconds when its bytes did. With LINK_EVENT_WAITS it is kept in the log for the cursors that
	 * are open now, with the number of its arrival in `*stamp`; with LINK_EVENT_TAKEN somebody has taken it. */
	unsigned (*event)(void *ctx, struct link *link, const struct message *message, double at, uint64_t *stamp);
	/* A cursor of the log skips an event because it lags too far behind; from inside the link, see frame_log.h. */
	void (*shed)(void *ctx, struct link *link, void *cursor, struct slice name);
	/* An item of the list that an action with that tag asked for, see link_send(). */
	void (*item)(void *ctx, struct link *link, void *tag, const struct message *item);
	/* An action with a tag (not NULL) has ended; the owner frees the reply. */
	void (*completed)(void *ctx, struct link *link, struct reply *reply);
	void (*ready)(void *ctx, struct link *link);
	/* A session that was ready has ended; `reason` as in the metric ("reset", "heartbeat", "shutdown"). All its pending actions
	 * were completed before. */
	void (*lost)(void *ctx, struct link *link, const char *reason);
	/* Events were lost on the way in (malformed, too large): `names` "VarSet,Newexten" (at most 16 of them). In wire order. */
	void (*gap)(void *ctx, struct link *link, uint64_t count, const char *names);
	/* The link is STOPPED (after link_stop()); it may be destroyed or started again in here. */
	void (*stopped)(void *ctx, struct link *link);
};

/* NULL with `err` when the configuration cannot work (unreadable CA file, a plain login that may not be sent …). Nothing
 * starts before link_start(): until then only this link is touched, so it may run on the loader's thread; one thread at a time. */
struct link *link_create(struct link_hub *hub, const struct link_config *config, const struct link_owner *owner,
                         struct err *err);
/* What is counted of `link`, which has not started, goes on where `before`, which has stopped, has come to: for a server whose
 * settings have changed. */
void link_continue_counts(struct link *link, const struct link *before);
/* The EventMask of the next login, and what the session that stands hears; copied. */
void link_set_events(struct link *link, const char *events);
/* From STOPPED, on the loop's thread; else nothing happens. */
void link_start(struct link *link);
/* Ends the session in order: Logoff with a deadline when READY, else at once. `reason` goes to lost(). Pending actions
 * complete as they are answered, or as ERR_CANCELLED when the drain ends. Then stopped(). */
void link_stop(struct link *link, const char *reason);
/* Ends everything now; nothing is reported. Never from inside one of this link's own callbacks but stopped(). */
void link_destroy(struct link **link);

/* Somebody who takes what the server sends, byte by byte as it comes, but the login: the banner and what follows the login's
 * answer. Neither callback may call back into the link. */
struct link_tap {
	void *ctx;
	/* `at`: epoch seconds when they arrived. */
	void (*bytes)(void *ctx, struct slice bytes, double at);
	/* The session, or the try, has ended and the tap is taken off. `reason` as in the metric; `text` for people. */
	void (*ended)(void *ctx, const char *reason, const char *text);
};
/* One for each link; `tap` stays the caller's, NULL takes it off. In the midst of a session it begins with the banner's line again
 * and the beginning of a frame that has come in part. -1 when the link has another one. */
int link_set_tap(struct link *link, const struct link_tap *tap);

/* The log of the events that wait, for cursors; it lives as long as the link. */
struct frame_log *link_log(struct link *link);

/* Queues an action with the deadline `timeout` seconds from now (<= 0: the default: the link's, for Originate its own
 * Timeout + 5 s). Writes its ActionID and returns its tag, `room` bytes (> 0) of the caller's, zeroed, that are gone with its reply;
 * or NULL with `err` (not_ready, backpressure, invalid). With `streams` the items of its list go to item() one by one, and the reply has none.
 * Never calls the owner. */
void *link_send(struct link *link, const struct action *action, double timeout, bool streams, size_t room,
                char id[ACTION_ID_MAX + 1], struct err *err);

const char *link_name(const struct link *link);
void *link_owner_ctx(const struct link *link);
enum link_state link_state(const struct link *link);
const char *link_state_name(enum link_state state);
/* AMI version of the peer ("13.0.0"), empty before the banner. */
const char *link_version(const struct link *link);
uint32_t link_pending(const struct link *link);
void link_pending_each(const struct link *link, void (*fn)(void *ctx, const struct pending_view *view), void *ctx);

/* For a console: why the last session or try ended, and what it waits for. */
struct link_view {
	const char *name, *host, *state, *version, *breaker, *last_reason; /* last_reason: "" when none */
	char last_text[256];
	char address[64];     /* of the peer, "" when not connected */
	uint16_t port;
	double state_age;     /* seconds in this state */
	double next_try;      /* seconds until the next try; < 0: none is planned */
	double heartbeat_rtt; /* seconds, < 0: none yet */
	uint32_t pending;
	uint64_t backlog_events, backlog_bytes;
	uint64_t sessions, failures, events, shed, bytes_in, bytes_out;
};
void link_view(const struct link *link, struct link_view *out);

#endif
