/* What the files of this room share. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine/engine.h"
#include "engine/loader.h"
#include "engine/server.h"

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
	struct server **servers;     /* in the configuration's order, owned */
	size_t server_count;
	struct server **by_id;       /* the current server of each id, NULL: removed */
	uint32_t id_count, id_cap;   /* ids given out so far, from 1 */
	struct list leaving;         /* owned */
	struct list runnable;        /* struct server.runnable: a round-robin of links that have a backlog */
	struct link_budget budget;   /* of one link in one turn; `until` is set for each */
	uint64_t budget_ns;
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
	struct series *turn_seconds, *wait_seconds, *lag_seconds, *turns;
	struct list calls;           /* struct engine_call.node */
	const struct engine_watch *watch; /* NULL: nobody looks on */
	double started;
	bool stopping;
	engine_phase_fn *on_phase;   /* NULL: nobody watches */
	void *phase_ctx;
	/* Reloads. */
	struct plan *plan;           /* under way; NULL: none */
	bool again;                  /* another one was asked for meanwhile */
	struct list waiters;         /* of the one under way */
	struct list next_waiters;    /* of the one after it */
	char *reload_error;
	double reload_failed;
};

/* engine.c */
void engine_enter(struct engine *engine, enum engine_phase phase);
/* ops.c: what rules ask of the engine. */
extern const struct host_ops engine_ops;
struct server *engine_server(const struct engine *engine, uint32_t id);
/* turn.c */
void engine_turns_start(struct engine *engine);
void engine_turns_stop(struct engine *engine);
void engine_set_budget(struct engine *engine);
extern const struct link_owner engine_link_owner;
/* calls.c */
/* Takes over the reply of a call that engine_call() sent; false when it is none of them. */
bool engine_calls_complete(struct engine *engine, struct reply *reply);
void engine_calls_close(struct engine *engine);
/* "rule", "console" or "session"; `*rule` as in struct engine_pending. */
const char *engine_sender(const struct engine *engine, const void *tag, const char **rule);
/* metrics.c */
void engine_metrics_open(struct engine *engine);
/* reload.c */
int engine_first_plan(struct engine *engine, bool strict, struct faults *faults);
/* A server that is being stopped is gone. */
void engine_server_stopped(struct engine *engine, struct server *server);

#endif
