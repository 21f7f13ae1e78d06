/* The engine: servers and the Lua host on one loop. Owns everything that runs; used by the loop's thread only.
 *
 * Reloads happen on the loader thread (loader.h) and are applied here, all or nothing (P7). Shutdown: engine_stop() ends
 * the sessions in order, a second call ends at once.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <ev.h>

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

/* Reloads configuration and rules. `done` (may be NULL) is told once: `faults` NULL: it was applied. Reloads asked for while one
 * is under way are folded into one more. */
typedef void engine_reload_fn(void *ctx, const struct faults *faults);
void engine_reload(struct engine *engine, engine_reload_fn *done, void *ctx);
/* Forgets a `done` that was not told yet (its console is gone). */
void engine_reload_forget(struct engine *engine, void *ctx);

/* What the engine as a whole does; told when it changes. One watcher; `fn` NULL: none. It must not call the engine. */
enum engine_phase { ENGINE_RUNNING, ENGINE_RELOADING, ENGINE_STOPPING };
typedef void engine_phase_fn(void *ctx, enum engine_phase phase);
void engine_watch(struct engine *engine, engine_phase_fn *fn, void *ctx);

/* For consoles. */
struct ev_loop *engine_loop(struct engine *engine);
const struct config *engine_config(const struct engine *engine);
struct metrics *engine_metrics(struct engine *engine);
struct host *engine_host(struct engine *engine);
/* The link of a server of the configuration, for as long as it is not stopped; NULL when there is none of that name. */
struct link *engine_server_link(struct engine *engine, struct slice name);
/* Servers in the configuration's order; false beyond the last. */
bool engine_server_view(const struct engine *engine, size_t index, struct link_view *out);
/* When the engine started (epoch seconds), and what the last failed reload said ("" when the last one was good; lines). */
double engine_started(const struct engine *engine);
const char *engine_reload_error(const struct engine *engine, double *when);

/* An action that waits for its end. */
struct engine_pending {
	uint64_t sequence;
	const char *action;
	const char *sender; /* "rule", "console", "session" (Login, Ping …) */
	const char *rule;   /* "" when its generation is gone; NULL unless a rule sent it */
	double age, left;   /* seconds since it was sent, until its deadline */
};
typedef void engine_pending_fn(void *ctx, const struct engine_pending *pending);
/* Those of the server of that index, oldest first; false beyond the last server. */
bool engine_pending_each(const struct engine *engine, size_t index, engine_pending_fn *fn, void *ctx);

/* Somebody who looks on as things happen. All is borrowed for the call, which must not call back. `sender` and `rule` as in
 * struct engine_pending. */
struct engine_watch {
	void *ctx;
	/* A frame for the rules, or the engine's own event (`own`); `at`: epoch seconds of its arrival. */
	void (*event)(void *ctx, const char *server, const struct message *message, double at, bool own);
	void (*sent)(void *ctx, const char *server, const char *sender, const char *rule, const struct action *action, const char *id);
	void (*answered)(void *ctx, const char *server, const char *sender, const char *rule, const struct reply *reply);
};
/* One at a time; NULL: nobody, which costs nothing. */
void engine_set_watch(struct engine *engine, const struct engine_watch *watch);

/* Sends an action for an operator, who may send all but the session's own (Login …): `timeout` as in link_send(). `done` is told
 * once, with the reply borrowed for the call, from the loop and never from inside this. NULL with `err`: it was not sent. */
struct engine_call;
typedef void engine_call_fn(void *ctx, const struct reply *reply);
struct engine_call *engine_call(struct engine *engine, struct slice server, const struct action *action, double timeout,
                                engine_call_fn *done, void *ctx, char id[ACTION_ID_MAX + 1], struct err *err);
/* `done` will not be told; the action goes on. Not after it was told. */
void engine_call_forget(struct engine_call *call);

#endif
