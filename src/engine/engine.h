/* The engine: servers and the Lua host on one loop. Owns everything that runs; used by the loop's thread only.
 *
 * Reloads happen on the loader thread (loader.h) and are applied here, all or nothing (P7). Shutdown: engine_stop() ends
 * the sessions in order, a second call ends at once.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <ev.h>

#include "ami/event_mask.h"
#include "base/list.h"
#include "config/config.h"
#include "link/link.h"
#include "rules/host.h"

struct engine;

struct engine_options {
	const char *config_path;
	const char *log_format; /* "text", "json" or "journal" instead of the configuration's; NULL: as it says */
	bool strict; /* a rule file that fails at start-up is an error, not left out */
};

/* Reads the configuration, loads the rules, prepares everything. NULL with `faults` (every line for people) when it cannot
 * start; the engine may run all the same with faults in it (rule files that were left out). The log runs when this returns. */
struct engine *engine_create(struct ev_loop *loop, const struct engine_options *options, struct faults *faults);
/* Connects and begins to dispatch. */
void engine_start(struct engine *engine);
/* Ends in order, then breaks the loop; called again, at once. */
void engine_stop(struct engine *engine, const char *reason);
void engine_destroy(struct engine **engine);

/* Reloads configuration and rules; rules that have not changed go on untouched, unless `all` is set. `done` (may be NULL) is called once: `applied`, and with it `faults` has warnings only. Reloads
 * asked for while one is under way are folded into one more. */
typedef void engine_reload_fn(void *ctx, bool applied, const struct faults *faults);
void engine_reload(struct engine *engine, bool all, engine_reload_fn *done, void *ctx);
/* Forgets a `done` that was not called yet (its console is gone). */
void engine_reload_forget(struct engine *engine, void *ctx);

/* `fn` is called after each reload that was taken over, with the new configuration in place. One function; NULL: none. */
typedef void engine_reloaded_fn(void *ctx);
void engine_on_reloaded(struct engine *engine, engine_reloaded_fn *fn, void *ctx);
/* What web.listen serves TLS with, until the next reload; NULL: it is plain. */
struct tls;
struct tls *engine_web_tls(const struct engine *engine);

/* The board's files, until the next reload; NULL: web.listen is not given. */
struct board;
const struct board *engine_board(const struct engine *engine);

/* What the engine as a whole does: `fn` is called when it changes, and must not call the engine. One function; NULL: none. */
enum engine_phase { ENGINE_RUNNING, ENGINE_RELOADING, ENGINE_STOPPING };
typedef void engine_phase_fn(void *ctx, enum engine_phase phase);
void engine_watch_phase(struct engine *engine, engine_phase_fn *fn, void *ctx);

/* For consoles. */
struct ev_loop *engine_loop(struct engine *engine);
const struct config *engine_config(const struct engine *engine);
struct metrics *engine_metrics(struct engine *engine);
struct host *engine_host(struct engine *engine);
/* NULL: the configuration names no state file. */
struct persist;
struct persist *engine_persist(struct engine *engine);
/* The id of a server of the configuration, which no other server ever gets; 0 when there is none of that name. */
uint32_t engine_server_id(const struct engine *engine, struct slice name);
/* The link of a server of the configuration, for as long as it is not stopped; NULL when there is none of that name. */
struct link *engine_server_link(struct engine *engine, struct slice name);
/* Servers in the configuration's order; false beyond the last. */
bool engine_server_view(const struct engine *engine, size_t index, struct link_view *out);
/* What the session of that server was asked for, or its next one will be; false beyond the last. */
struct engine_events_view {
	char events[EVENT_MASK_TEXT];
	const char *filter; /* the Filter that holds back VarSets and CEL; NULL: none */
	bool automatic;     /* events = "auto" */
};
bool engine_events_view(const struct engine *engine, size_t index, struct engine_events_view *out);
/* When the engine started (epoch seconds), for how long it runs (seconds, whatever the wall clock does), and what the last failed
 * reload said ("" when the last one was good; lines). */
double engine_started(const struct engine *engine);
double engine_uptime(const struct engine *engine);
const char *engine_reload_error(const struct engine *engine, double *when);

/* An action that waits for its end. */
struct engine_pending {
	uint64_t sequence;
	const char *action;
	const char *sender; /* "rule", "console", "live", "session" (Login, Ping …) */
	const char *rule;   /* "" when its state is gone; NULL unless a rule sent it */
	double age, left;   /* seconds since it was sent, until its deadline */
	bool answered;      /* its answer has arrived and waits behind earlier events of the rule */
};
typedef void engine_pending_fn(void *ctx, const struct engine_pending *pending);
/* Those of the server of that index, oldest first, then those that are answered and not delivered; false beyond the last server. */
bool engine_pending_each(const struct engine *engine, size_t index, engine_pending_fn *fn, void *ctx);

/* Something that every rule may hear. */
struct engine_event {
	uint32_t server_id;            /* 0: of no server */
	const char *server;            /* "": of no server */
	const struct message *message;
	double at;                     /* epoch seconds when its bytes arrived, or when it happened */
	bool own;                      /* the engine's own (server.ready …) or an emitted one, not a server's */
	const char *sender, *rule;     /* of an emitted one: who emitted it, as in struct engine_pending; else NULL */
};

/* A watcher sees what happens before the rules do. Each function may be NULL; what it gets is borrowed for the call, and none may
 * call the engine. `sender` and `rule` are those of struct engine_pending. */
struct engine_watch {
	struct list node; /* the engine's while the watcher is added */
	void *ctx;
	uint32_t classes;   /* of the events of servers that it wants to see, as bits of ami/event_mask.h */
	const char *server; /* of that one alone; NULL: of all. Both stand while it is added */
	void (*event)(void *ctx, const struct engine_event *event);
	void (*sent)(void *ctx, const char *server, const char *sender, const char *rule, const struct action *action, const char *id);
	void (*answered)(void *ctx, const char *server, const char *sender, const char *rule, const struct reply *reply);
};
/* Any number of them; without any, watching costs nothing. `watch` stays the caller's, in place until it is removed. */
void engine_watch_add(struct engine *engine, struct engine_watch *watch);
void engine_watch_remove(struct engine *engine, struct engine_watch *watch);
/* Its `classes` or `server` are others now. */
void engine_watch_changed(struct engine *engine, const struct engine_watch *watch);

/* Who sends actions: one of these for each kind of sender (rules, consoles), static. */
struct engine_sender {
	const char *name; /* for `pending`, the log and watchers: "rule", "console", "live" */
	/* The rule behind `ctx` as in struct engine_pending; NULL: it is never a rule. */
	const char *(*rule)(const void *ctx);
	/* An item of the action's list has come; borrowed. NULL: items are kept and come with the reply. */
	void (*item)(struct engine *engine, void *ctx, const struct message *item);
	/* The action has ended: takes the reply over. From the loop, never from inside engine_send(). */
	void (*done)(struct engine *engine, void *ctx, struct reply *reply);
};

/* The one way to send an action: reports it to watchers and the log. `server`: its id; `timeout` as in link_send(). What the
 * sender may send was checked before. done() follows exactly once with `ctx`, unless the engine is destroyed first. NULL with
 * `err`: nothing was sent. */
struct engine_request;
struct engine_request *engine_send(struct engine *engine, uint32_t server, const struct action *action, double timeout,
                                   const struct engine_sender *sender, void *ctx, char id[ACTION_ID_MAX + 1], struct err *err);
/* done() will not be called; the action goes on. Only before done(). */
void engine_send_forget(struct engine_request *request);

#endif
