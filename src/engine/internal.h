/* What the files of this layer share. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine/engine.h"
#include "base/map.h"
#include "engine/loader.h"
#include "engine/server.h"
#include "http/http_client.h"

struct tls;
struct tls_pool;

struct reload_waiter {
	struct list node;
	engine_reload_fn *done;
	void *ctx;
};

struct engine {
	struct ev_loop *loop;
	char *config_path;
	const char *log_format;      /* overrides the configuration's, or NULL */
	struct config *config;
	struct metrics *metrics;
	struct host *host;
	struct link_hub *hub;
	struct loader *loader;
	struct http_client *http;
	struct http_policy *http_policy;
	struct tls_pool *http_tls;   /* of HTTP, both ways; used where plans are made */
	struct list spools;          /* struct web_sink.node, of sinks with a URL */
	struct map breakers;         /* host and port -> struct breaker, of sinks */
	struct persist *persist;     /* NULL: nothing survives the process */
	ev_async persist_wake;
	struct server **servers;     /* in the configuration's order, owned */
	size_t server_count;
	struct server **by_id;       /* the current server of each id, NULL: removed */
	uint32_t id_count, id_cap;   /* ids given out so far, from 1 */
	struct list leaving;         /* owned */
	ev_prepare before_wait;
	ev_check after_wait;
	ev_idle busy;                /* keeps the loop from waiting while there is work */
	ev_timer timer;              /* of the rules' timers */
	uint64_t timer_at;           /* monotonic ns it is set to; UINT64_MAX: it is not */
	ev_timer stop_timer;
	ev_signal hangup, terminate, interrupt, reopen;
	bool turned;                 /* the rules have had this turn, the loop is about to wait */
	uint64_t woke;               /* when the turn began */
	uint64_t slept;              /* when the last wait began */
	struct series *turn_seconds, *wait_seconds, *lag_seconds, *turns, *longest_turn, *memory_shortages;
	struct series *reloads[2];   /* when the last one succeeded, failed */
	uint64_t longest[2];         /* ns of the longest turn of this minute and of the one before */
	uint64_t minute;             /* of the monotonic clock */
	unsigned long shortages;     /* of the system's memory, that were reported */
	bool memory_short;
	struct process_metrics *process;
	struct list watches;         /* struct engine_watch.node, not owned */
	uint64_t events_at;          /* monotonic ns when engine_events_turn() has something to do; UINT64_MAX: never; 0: in the first turn */
	double started;              /* epoch seconds */
	uint64_t started_ns;         /* monotonic */
	bool stopping;
	bool log_runs;               /* before the rest of the first plan was made */
	engine_phase_fn *on_phase;   /* NULL: nobody watches */
	void *phase_ctx;
	/* Reloads. */
	struct plan *plan;           /* under way; NULL: none */
	const struct rule_set *coming; /* its rules, while servers are asked for what they want; NULL: it is not so far */
	uint64_t coming_by;          /* monotonic ns when it is taken over whatever has been answered */
	uint32_t asking;             /* actions on their way that ask for more events */
	bool reload_all;             /* the next one loads unchanged rules too */
	bool again;                  /* another one was asked for meanwhile */
	struct list waiters;         /* of the one under way */
	struct list next_waiters;    /* of the one after it */
	char *reload_error;
	double reload_failed;        /* epoch seconds; 0: never */
	double reload_succeeded;     /* the start counts */
	engine_reloaded_fn *on_reloaded; /* NULL: nobody asked */
	void *reloaded_ctx;
	struct tls *web_tls;
	struct board *board;
};

/* engine.c */
void engine_enter(struct engine *engine, enum engine_phase phase);
/* ops.c: what rules ask of the engine. */
extern const struct host_ops engine_ops;
/* restart.c: as host_ops.restart. */
void engine_restart_rule(void *engine, struct rule_source *source);
/* NULL when it is gone. */
struct server *engine_server(const struct engine *engine, uint32_t id);
/* turn.c */
void engine_turns_start(struct engine *engine);
void engine_turns_stop(struct engine *engine);
/* Seconds of the longest turn of this minute or the one before. */
double engine_longest_turn(struct engine *engine);
extern const struct link_owner engine_link_owner;
/* send.c */
/* Hands the reply of an action that engine_send() sent to its sender. */
void engine_sent_completed(struct server *server, struct reply *reply);
/* An item of such an action, for a sender that takes them one by one. */
void engine_sent_item(struct server *server, void *tag, const struct message *item);
/* watch.c: report to every watcher. */
void engine_watch_event(const struct engine *engine, const struct engine_event *event);
void engine_watch_sent(const struct engine *engine, const char *server, const char *sender, const char *rule,
                       const struct action *action, const char *id);
void engine_watch_answered(const struct engine *engine, const char *server, const char *sender, const char *rule,
                           const struct reply *reply);
/* metrics.c */
void engine_metrics_open(struct engine *engine);
/* persistence.c */
/* Opens the state file that the configuration names, before the first rule is loaded. */
int engine_persist_open(struct engine *engine, const struct config *config, struct err *err);
/* Limits of a configuration that is taken over. */
void engine_persist_configure(struct engine *engine);
/* After the rules have done their last. */
void engine_persist_close(struct engine *engine);
/* http_requests.c */
int engine_http_open(struct engine *engine, struct err *err);
/* Takes over the plan's policy and TLS, after its configuration. */
void engine_http_configure(struct engine *engine, struct plan *plan);
/* What is under way ends as `cancelled`. */
void engine_http_close(struct engine *engine);
/* As host_ops.http. */
int engine_http_request(void *engine, const char *rule, const struct http_request *request, void *tag, struct err *err);
/* web_sink.c */
/* Takes over the sinks of the configuration; after the client's. */
void engine_spools_configure(struct engine *engine);
/* After the client and the state file: nothing is under way. */
void engine_spools_close(struct engine *engine);
/* As host_ops.sink. */
int engine_spool_write(struct engine *engine, struct slice name, const struct host_line *line, struct err *err);
/* picture.c */
/* Takes over the configuration's options of the live picture, and its servers, whether they are new, changed or gone. */
void engine_picture_configure(struct engine *engine);
/* Asks for the lists that are due; after each turn of the rules. */
void engine_picture_turn(struct engine *engine);
/* events.c: what servers with `events = "auto"` are asked for */
/* Asks the servers for what these rules, which are about to be taken over, want beyond the present. True when that is not answered
 * yet: engine_reload_go_on() will be called, soon at the latest. */
bool engine_events_prepare(struct engine *engine, const struct rule_set *rules);
/* Somebody wants more events, or fewer: servers are asked for more at once, for fewer later. */
void engine_events_update(struct engine *engine);
/* A session has begun. */
void engine_events_ready(struct server *server);
/* ListCommands was answered. */
void engine_events_commands(struct server *server, const struct message *response);
/* Once in a turn. Returns the monotonic ns when it wants to be called again, UINT64_MAX: never. */
uint64_t engine_events_turn(struct engine *engine);
/* A link has stopped: true when it was to log in again, and does. */
bool engine_events_stopped(struct server *server);
/* picture_metrics.c: gauges and counters of the live picture, computed when somebody asks for them. */
void engine_picture_metrics_open(struct engine *engine);
/* That server is not in the picture any more. */
void engine_picture_metrics_forget(struct engine *engine, const char *server);
/* reload.c */
int engine_first_plan(struct engine *engine, bool strict, struct faults *faults);
/* Takes over the plan that engine_events_prepare() held up. */
void engine_reload_go_on(struct engine *engine);
/* Servers that have stopped go once the rules have taken all that they brought. */
void engine_servers_leave(struct engine *engine);
/* A server that is being stopped is gone. */
void engine_server_stopped(struct engine *engine, struct server *server);

#endif
