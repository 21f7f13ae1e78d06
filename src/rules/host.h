/* The host of the rules: which ones run, and the traffic between them and the engine. Nothing of Lua shows here.
 *
 * rule_set_load() may run on any one thread (the loader's); everything else belongs to the loop's thread. No function
 * here raises or blocks. What rules ask of the engine goes through struct host_ops.
 */
#ifndef RULES_HOST_H
#define RULES_HOST_H

#include "ami/frame_log.h"
#include "ami/pending.h"
#include "base/faults.h"
#include "base/http_message.h"
#include "base/rule_limits.h"
#include "base/value.h"
#include "observe/metrics.h"
#include "rules/policy.h"
#include "rules/store.h"

struct arena_budget;
struct host;
struct picture;
struct rule;
struct rule_set;
struct rule_source;

/* A server as rules see it. `id` is never used again for another server. */
struct host_server {
	uint32_t id;
	const char *name;
	const char *state; /* "ready", "waiting" … */
	const char *version;
	bool ready;
	uint32_t pending;
};

/* An event that comes from no server. Borrowed for the call. */
struct host_own_event {
	uint32_t server_id;          /* 0: it is about no server */
	const char *server;          /* "" then */
	const struct message *message;
	double at;                   /* epoch seconds */
	const char *sender, *rule;   /* as given to host_emit(); NULL for the engine's own */
};

/* A line for a sink. */
struct host_line {
	struct slice text;
	bool json;        /* a value in JSON, else any text */
	double ttl;       /* seconds for which it may wait; 0: for ever */
	/* It is on disk (`err` NULL), or is not and never will be. NULL: nobody waits for that. */
	void (*kept)(void *arg, int64_t id, const struct err *err);
	void *arg;
};

/* What rules ask of the engine. None but restart() may call back into the host: completions of send() come later. */
struct host_ops {
	uint64_t (*now)(void *ctx); /* monotonic ns; virtual in a replay */
	double (*wall)(void *ctx);  /* epoch seconds; virtual in a replay */
	/* Servers, in the configuration's order. False when there is none of that index, name or id. */
	bool (*server_at)(void *ctx, size_t index, struct host_server *out);
	bool (*server_by_name)(void *ctx, struct slice name, struct host_server *out);
	bool (*server_by_id)(void *ctx, uint32_t id, struct host_server *out);
	/* Sends for `rule`; `timeout` seconds, <= 0: the default. Returns the ActionID in `id`, or -1 with `err` and no completion.
	 * Else host_complete() follows exactly once with `tag` in the reply. */
	int (*send)(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
	            char id[ACTION_ID_MAX + 1], struct err *err);
	/* Writes a line to a sink of the configuration. -1 with `err` when there is none of that name, it is full, or cannot do what is
	 * asked; with `line->kept` that is called then once, from a later turn of the loop, or not at all when -1 was returned. */
	int (*sink)(void *ctx, struct slice name, const struct host_line *line, struct err *err);
	/* True for a sink that the configuration names. May be called while loading, on the loader's thread. */
	bool (*sink_exists)(void *ctx, struct slice name);
	/* An engine event or an emitted one, for every rule that listens, is about to be delivered. May be NULL. */
	void (*heard)(void *ctx, const struct host_own_event *event);
	/* What host_wants() and host_wants_of() say has grown, by what a rule listens to from now on; from inside of its call. May be NULL. */
	void (*wants)(void *ctx);
	/* A rule pushes a job, which is on its way to the disk. May be NULL. */
	void (*pushes)(void *ctx, const char *rule, struct slice queue, const struct value *job);
	/* A request of `http`, well-formed but not checked otherwise. 0, and host_http_complete() follows exactly once with `tag`, not from
	 * inside this call; or -1 with `err` and it does not. */
	int (*http)(void *ctx, const char *rule, const struct http_request *request, void *tag, struct err *err);
	/* A rule that has ended: destroy it with host_destroy_rule(), where it may take a while (the loader's thread). */
	void (*retire)(void *ctx, struct rule *rule);
	/* A rule whose state was given back is due to begin anew: load it with rule_set_restart() where it may take a while, then give
	 * it to host_adopt_again(). It may do both at once. NULL: rules are not begun anew. */
	void (*restart)(void *ctx, struct rule_source *source);
};

/* `limits`: base/rule_limits.h. */
struct host *host_create(const struct rule_limits *limits, const struct host_ops *ops, void *ctx, struct metrics *metrics);
/* Every rule set must have been adopted or destroyed. */
void host_destroy(struct host **host);
/* New limits, from the next call on. */
void host_configure(struct host *host, const struct rule_limits *limits);

/* ---- loading ---- */

/* What runs, taken on the loop's thread, so that another thread can see which rules have not changed. */
struct host_snapshot;
struct host_snapshot *host_snapshot_take(const struct host *host);
void host_snapshot_destroy(struct host_snapshot **snapshot);

struct rules_options {
	const char *rules, *lib;       /* folders */
	struct rule_limits limits;
	struct arena_budget *budget;   /* of the host that will adopt them; NULL: limits.rule_memory alone bounds them */
	const struct host_ops *ops;    /* only sink_exists(), wall() and now() (NULL: the real clock) are called while loading */
	void *ctx;
	/* Runs `fn` on the loop's thread and waits for it, so that a rule can read a store while it loads; NULL: the caller is that
	 * thread, or there is no loop yet. */
	void (*on_loop)(void *ctx, void (*fn)(void *arg), void *arg);
	struct store *store;           /* of the host; NULL: an empty one of its own (check) */
	struct picture *picture;       /* of the host; NULL: nothing is known (check) */
	const char *const *servers;    /* names of the configuration, so that a rule can ask for a handle while it loads */
	size_t server_count;
	const char *const *tokens;     /* labels of the tokens with the scope hooks; NULL: not known */
	size_t token_count;
	const struct value *settings;  /* table: rule name -> its section of the configuration */
	struct policy *policy;         /* shared: each rule takes a reference */
	const struct host_snapshot *running; /* rules that have not changed since are kept and not loaded; NULL: all are loaded */
	bool skip_bad_files;           /* at start-up: leave out a file that fails, and load the rest (its fault is still reported) */
};

/* Loads every rule file of the folder, each into a Lua state of its own; those that have not changed are only named. NULL when
 * anything failed (see `faults`, one line a fault: `scripts/x.lua:7: …`); with skip_bad_files only when the folder cannot be
 * read. Warnings (unknown names) do not fail it. */
struct rule_set *rule_set_load(const struct rules_options *options, struct faults *faults);
void rule_set_destroy(struct rule_set **set);
/* Rules in it, kept ones included. */
size_t rule_set_count(const struct rule_set *set);
/* As host_wants() and host_wants_of(), of the rules in it that are new or have changed. */
uint32_t rule_set_wants(const struct rule_set *set);
uint32_t rule_set_wants_of(const struct rule_set *set, struct slice server);
/* Takes it over. New and changed rules hear from the next event on; replaced and removed ones drain; kept ones go on
 * untouched. */
void host_adopt(struct host *host, struct rule_set *set);
/* Loads one rule from what was kept of the last good load: no file is read. NULL when it fails (see `faults`). */
struct rule *rule_set_restart(const struct rules_options *options, struct rule_source *source, struct faults *faults);
/* Takes over what rule_set_restart() made of `source`; NULL: it failed, and is tried again later. */
void host_adopt_again(struct host *host, struct rule_source *source, struct rule *rule);
void host_destroy_rule(struct rule **rule);
/* How many sets were adopted: 1 is the first; 0: none. */
unsigned host_generation(const struct host *host);
struct store *host_store(struct host *host);
/* Of the memory of all rules; outlives every rule that was loaded with it. */
struct arena_budget *host_budget(struct host *host);

/* ---- what happens ---- */

/* What one server brings to the rules: its log of frames, which rules that lag read at their own pace. */
struct host_feed;
/* `id` and `name` are the server's, `log` stays the caller's. A newer feed of the same id follows an older one. */
struct host_feed *host_feed_open(struct host *host, uint32_t id, const char *name, struct frame_log *log);
/* Where events are counted that waited and were taken; NULL: nowhere. */
void host_feed_count(struct host_feed *feed, struct series *taken);
/* Some rule has still to take something of it: its log must stay. */
bool host_feed_is_busy(const struct host_feed *feed);
/* What waits of it is dropped. */
void host_feed_close(struct host_feed **feed);
/* For frame_log_options.shed: the cursor skips an event of that name. */
void host_skipped(void *cursor, struct slice name);

/* An AMI event has arrived; `at`: epoch seconds. Rules that are up to date hear it now. Borrowed for the call. */
enum { HOST_HEARD = 1, HOST_WAITS = 2 }; /* some rule heard it; some rule takes it later: store it with `*stamp` in the feed's log */
unsigned host_event(struct host *host, struct host_feed *feed, const struct message *message, double at, uint64_t *stamp);
/* An engine event (server.ready …): queued, delivered by host_turn() or host_deliver_events(). `server` NULL: none. Names and values
 * are copied. */
struct host_field {
	const char *name;
	struct slice value;
};
void host_engine_event(struct host *host, const char *name, const struct host_server *server, const struct host_field *fields,
                       size_t count);
/* Delivers the engine's events that wait, so that they stand in one order with what links bring: a session's events come
 * after its server.ready. Never from inside a call of a rule. */
void host_deliver_events(struct host *host);
/* Emits an event for the rules. `sender`: who does, a static text ("rule", "console"); `rule`: which one, NULL: none. -1 with
 * ERR_INVALID for a bad name, ERR_OVERFLOW when the queue is full. */
int host_emit(struct host *host, const char *sender, const char *rule, struct slice name, const struct slice *names,
              const struct slice *values, size_t count, struct err *err);
/* The classes of events, as bits of ami/event_mask.h, that rules want of every server, and beside of the one of that name; also what
 * they have wanted once since they were loaded. */
uint32_t host_wants(const struct host *host);
uint32_t host_wants_of(const struct host *host, struct slice server);
/* How many listeners and waits there are for an event of that name that can be emitted, whatever their filters want. */
uint32_t host_listening(const struct host *host, struct slice name);
/* The reply of an action that a rule sent (its tag is the host's); taken over. */
void host_complete(struct host *host, struct reply *reply);
/* A request of `http` that a rule made has ended; `response` is taken over. The rule goes on in the next host_turn(). */
void host_http_complete(void *tag, struct http_response *response);
/* A server's session ended, after its actions have failed: subscriptions of that one server end as `lost`. */
void host_server_lost(struct host *host, uint32_t server, const char *name);
/* Once per turn of the loop: due timers, queued events, wake-ups, drains. Work that this work makes waits for the next turn.
 * Returns the monotonic ns when it wants to be called again: 0 for at once, UINT64_MAX for never. */
uint64_t host_turn(struct host *host);
/* The engine stops: no job begins any more, and one that fails from now on waits again with all its tries. */
void host_stop_jobs(struct host *host);
/* Whether jobs begin by themselves; they do at first. */
void host_allow_jobs(struct host *host, bool allow);
/* Ends waits and callbacks of every rule as `cancelled` (shutdown). */
void host_cancel_all(struct host *host);

/* ---- endpoints over HTTP (hooks.h) ---- */

#define HOST_HOOK_KEY_MAX 255              /* "POST /hooks/…" */
#define HOST_HOOK_BODY_MAX (1 << 20)       /* bytes of an answer */

struct hook_call;

enum host_hook_state {
	HOST_HOOK_NONE,   /* no rule serves this path */
	HOST_HOOK_METHOD, /* one does, by another method */
	HOST_HOOK_DOWN,   /* its rule is quarantined, disabled, or begins anew later */
	HOST_HOOK_SERVED,
};
/* Until the next turn. */
struct host_hook_view {
	const char *rule;
	const char *token;                                   /* the label that a token must have; NULL: any */
	const char *hmac_header, *hmac_secret, *hmac_prefix; /* NULL: it asks for a token */
	bool json;                                           /* the body must be a JSON object */
	char methods[40];                                    /* HOST_HOOK_METHOD: "GET, POST" */
};
enum host_hook_state host_hook_find(const struct host *host, struct slice method, struct slice path, struct host_hook_view *out);

/* Borrowed for the call. `error`: why the engine answers instead of the rule; `id`: of the record in the log, with status 500. */
struct host_hook_answer {
	unsigned status;
	const char *error, *id;
	char type[128]; /* "": no body */
	struct slice body, headers; /* headers: lines with their ends, checked */
};
typedef void host_hook_done_fn(void *ctx, const struct host_hook_answer *answer);
/* Hands a request (a table: method, path, query, headers, body, json, token, remote; taken over) to the rule that serves it. `done` is
 * called exactly once, from host_turn() or when the rule ends, unless it is forgotten before; it must not call the host. */
struct hook_call *host_hook_begin(struct host *host, struct slice method, struct slice path, struct value *request, host_hook_done_fn *done, void *ctx);
/* Nobody waits any more; what the rule has begun goes on. Not after done(). */
void host_hook_forget(struct hook_call *call);

/* ---- looking inside ---- */

/* Answers of that server that have arrived and wait for their place in the order of their rules. */
typedef void host_answered_fn(void *ctx, const char *rule, const struct reply *reply);
void host_answered_each(const struct host *host, uint32_t server, host_answered_fn *fn, void *ctx);


/* The rule that sent the action of that tag (one that the host gave to send(), not completed yet); "" when it is gone. */
const char *host_tag_rule(const void *tag);

/* What the last reload did with a rule. */
enum host_rule_change { HOST_RULE_NEW, HOST_RULE_REPLACED, HOST_RULE_KEPT, HOST_RULE_RESTARTED };
const char *host_rule_change_name(enum host_rule_change change);

struct host_rule_view {
	const char *name, *file, *digest; /* digest: SHA-256 of the file, hex */
	const char *change;      /* host_rule_change_name() of the last reload */
	double since;            /* epoch seconds of its start */
	unsigned number;         /* of the reload that brought it */
	bool draining;
	uint32_t listeners, timers, subscriptions, waiting, pending;
	uint64_t calls, errors, deadlines, refused;
	double seconds;          /* that its code ran */
	size_t memory;
	bool quarantined;
	bool down;               /* its state was given back; it begins anew later */
	double begins_at;        /* epoch seconds when that is due, while it is down */
	uint32_t quarantined_listeners; /* of a rule that runs otherwise */
	bool failed;             /* it did not load, and was left out */
	bool disabled;           /* by host_rule_enable() */
	uint32_t missed;         /* events that it would have heard since then */
	uint64_t skipped;        /* events and ticks not given to it: too many waiting calls, an overrun, quarantine, a full
	                            subscription */
	const char *last_error;  /* "" when none */
};
struct host_view {
	unsigned generation;     /* host_generation() */
	double since;            /* epoch seconds of the last adoption */
	size_t memory;           /* of all rules, draining ones too */
	size_t rule_count, draining_count;
};
void host_view(const struct host *host, struct host_view *out);
/* Turns that rules may take while virtual time stands (replay, the harness): beyond HOST_TURNS_STANDING turns within
 * HOST_TURNS_NS some rule never waits for anything. */
#define HOST_TURNS_STANDING 10000u
#define HOST_TURNS_NS UINT64_C(100000000)
/* The rule that was called most often in the last turn; NULL: none was. */
const char *host_busiest_rule(const struct host *host);

/* The rules that run, by name; beyond them those that drain. False when there is none of that index. */
bool host_rule_view(const struct host *host, size_t index, struct host_rule_view *out);

/* What up to `most` of its waiting calls wait for, the one that waits longest first: "the answer to Originate from pbx (listener
 * scripts/a.lua:3: Hangup)". `fn` is called for each; the text stands during that call. */
void host_rule_waits(const struct host *host, size_t index, unsigned most, void (*fn)(void *ctx, struct slice text), void *ctx);

/* Stops or starts the listeners and timers of a rule, until it is loaded anew; what it has begun goes on.
 * One that is enabled hears `server.gap` (reason `disabled`) when it has missed events. -1 when there is no such rule. */
int host_rule_enable(struct host *host, struct slice name, bool enable);

/* Who serves a queue of jobs. */
struct host_queue_view {
	const char *rule; /* NULL: none */
	bool disabled, quarantined, down; /* it takes no job now */
	uint32_t at_once; /* 0: not known while it is down */
	double per_second; /* 0: no pace */
};
/* Walks the queues that rules serve now, in no order: start with `*cursor` 0. */
bool host_queues_next(const struct host *host, size_t *cursor, struct slice *queue);
/* False when no rule does. */
bool host_queue_view(const struct host *host, struct slice queue, struct host_queue_view *out);

#endif
