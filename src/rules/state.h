/* What the files of this room share, and nobody else sees: generations, rules, tasks.
 *
 * A task is one activity of a rule: a listener's call, a callback, a timer's tick, the loading of a file. It runs in a
 * coroutine of its own, which begins with a C body around lua_pcallk; arguments are pushed inside it, so nothing can raise
 * outside of a protected call. A task that waits yields with nothing; what it waited for is left in the task before it is
 * resumed, and the waiting function's continuation makes Lua values of it, protected again.
 *
 * Functions marked RAISES may leave by longjmp: they are called from Lua only, or from a task's body.
 */
#ifndef RULES_STATE_H
#define RULES_STATE_H

#include <lauxlib.h>
#include <lua.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "sandbox/alloc.h"
#include "rules/host.h"

#define RAISES /* by longjmp */

#define POOL_MAX 64u      /* idle tasks that are kept */
#define THREADS_MAX 1000u /* coroutines that one rule may have alive */

#define RULE_NAME_MAX 64
#define TASK_EVENT_MAX 48
#define CALL_HISTORY 10u
#define CALL_ERRORS_MAX 5u
#define OVERRUNS_MAX 3u
#define OVERRUN_WINDOW (10 * UINT64_C(1000000000))
#define PROBE_FIRST (30 * UINT64_C(1000000000))
#define PROBE_MAX (3600 * UINT64_C(1000000000))

struct json;

/* How a task's call ended. */
enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_MEMORY, OUTCOME_DEADLINE };

/* Put away for a while after failing again and again; then one call is let through as a probe. */
struct quarantine {
	bool active;
	uint64_t until, backoff; /* monotonic ns */
};

struct server_rate;

struct token_bucket {
	double tokens;
	uint64_t filled; /* monotonic ns of the last refill; 0: never used */
};

/* An owner: a file of scripts/, or a lib/ module. Lives as long as its generation. */
struct rule {
	struct generation *gen;
	char *name;     /* "missed", "lib/calls" */
	char *file;     /* "scripts/missed.lua" */
	char *path;     /* where that file is */
	bool run;       /* its file was run, or is being run */
	bool failed;    /* it did not load, and was left out */
	bool disabled;  /* by an operator: no listener and no timer of it runs, until a reload */
	uint32_t missed; /* events that it would have heard meanwhile */
	bool has_settings;
	char digest[65];
	uint32_t owner; /* of its memory, see alloc.h */
	struct list listeners; /* struct listener.of_rule, subscriptions too */
	struct list timers;    /* struct rule_timer.of_rule */
	struct list requests;   /* struct request.of_rule */
	struct list tasks;     /* struct task.of_rule, those that wait */
	uint32_t listener_count, timer_count, subscription_count, waiting, pending;
	struct token_bucket log_lines;
	struct server_rate *rates; /* of its actions, for each server that it has sent to; owned */
	uint32_t rate_count;
	uint64_t overrun_turn;     /* after an overrun, or a deadline's worth of calls, it runs nothing more in that turn */
	uint64_t share_turn;       /* the turn that `share` counts in */
	uint64_t share;            /* ns of CPU time in it */
	uint64_t share_calls;      /* runs of its code in it */
	uint64_t filter_turn;      /* the turn that `filter_ticks` counts in */
	unsigned filter_ticks;     /* of CPU time in it, while its filters were tested */
	uint64_t filters_spent_turn; /* in this turn no filter of it is tested any more */
	uint64_t untested;         /* the last dispatch that was told as not tested */
	bool release, released;    /* what it holds is to be dropped; is dropped, until a reload */
	uint32_t thread_count;     /* coroutines of its own that are not dead */
	uint64_t emit_turn;        /* the turn that `emitted` counts in */
	uint32_t emitted, emitted_bytes;
	uint64_t random[4];        /* of math.random */
	uint64_t gap_logged, drop_logged; /* see may_log() */
	struct series *s_skipped, *s_log_dropped; /* see rule_count() */
	bool seeded;
	uint32_t metrics;          /* families that it has made */
	uint64_t overruns[OVERRUNS_MAX]; /* when the last ones were */
	struct quarantine quarantine;
	uint64_t refused_seen;     /* of its alloc_owner, told so far */
	uint32_t gap;              /* events not started because too many wait */
	uint64_t skipped;          /* events and ticks that it was not given, in all */
	uint64_t calls, errors, deadlines, refused, calls_told;
	uint32_t sampled, sampled_told; /* ticks of CPU time that found it running */
	char *last_error;          /* owned */
};

struct task;
/* Pushes the function and its arguments on `co` and returns the number of arguments. RAISES. */
typedef int task_push_fn(lua_State *co, struct task *task, void *arg);

struct task {
	struct list of_rule; /* in rule->tasks while it waits, else alone */
	struct list in_queue; /* host->wakes, or the generation's pool */
	struct rule *rule;
	struct listener *listener; /* NULL: no listener's call */
	lua_State *co;
	int ref;              /* of the coroutine in the registry */
	bool waiting;
	bool suspending;      /* a waiting function yields just now, not the rule's own coroutine.yield */
	bool dead;            /* its coroutine failed and is never used again */
	unsigned closing;     /* coroutines that are being closed in it, one out of the other */
	struct own_thread *inner; /* the rule's own coroutine that runs or waits in it, the innermost; NULL: none */
	task_push_fn *push;
	void *push_arg;
	enum outcome outcome; /* of the body */
	char event[TASK_EVENT_MAX]; /* what started it, for the error record */
	const char *what;     /* "listener", "callback", "timer", "load" */
	char server[RULE_NAME_MAX + 1];
	char action_id[ACTION_ID_MAX + 1]; /* of a callback, whose action stands in `event` */
	/* What it waits for, at most one of each; and what came. */
	struct request *request;
	struct subscription *subscription;
	struct rule_timer *timer; /* a sleep, or the deadline of a `next` */
	struct rule_timer *tick_of; /* the interval whose tick it is: no next one while it waits */
	struct reply *reply;
	struct err err;
};

/* An action of a rule on its way: the tag of its reply. */
struct request {
	struct list of_rule;
	struct rule *rule;   /* NULL once its generation is gone */
	struct task *task;   /* who waits in call(), or NULL */
	int callback;        /* of send(), LUA_NOREF: none */
	uint32_t server;
	char server_name[RULE_NAME_MAX + 1];
};

struct rule_timer {
	struct heap_node due; /* monotonic ns */
	uint64_t made_turn;   /* it fires in a later turn than it was made in */
	struct list of_rule;
	struct rule *rule;
	struct task *task;    /* whom it wakes; NULL: calls `callback` */
	int callback;
	uint64_t interval;    /* ns; 0: once */
	struct task *last;    /* of an interval: its last tick, while that waits */
	bool armed;           /* it stands in the host's heap */
	struct tie *handle;   /* with the userdata that a rule holds; NULL: none */
};

struct generation {
	struct host *host;   /* NULL while loading */
	lua_State *L;        /* stack slot 1: the event being dispatched; 2: its server */
	struct alloc alloc;
	struct generation_options options; /* folders and lists are not kept beyond loading */
	struct host_limits limits;
	struct policy *policy; /* owned */
	unsigned number;
	double since;
	bool loading, draining, closing;
	bool ending;         /* its last waits are being ended: nothing more is sent */
	bool release;        /* some rule is to be released */
	bool collecting, logged_full;
	uint64_t collected;  /* monotonic ns of the last whole collection that was made between turns */
	uint64_t drain_until;
	struct list in_host;
	struct rule **rules; /* owned */
	size_t rule_count, rule_cap;
	struct task *current;
	struct rule *current_rule;  /* whose code runs */
	struct list pool;           /* idle tasks */
	uint32_t pool_count;
	char place[LUA_IDSIZE + 16]; /* of the error that is being reported, where its text names none */
	struct buf traceback;       /* of the error that is being reported */
	int threads, thread_meta;   /* registry: table with weak keys, Lua thread -> its struct own_thread */
	uint64_t threads_collected; /* the turn of the last collection for more of them */
	struct list dead;           /* cancelled listeners, freed when nothing is dispatched */
	struct map ami_names, own_names; /* event name -> struct bucket */
	struct bucket *ami_any;     /* listeners for "*" */
	uint64_t any_version;       /* changes with ami_any */
	uint64_t last_listener, sweep;
	size_t filter_tests, filter_bytes; /* of the filter being read */
	uint32_t dispatching;
	uint64_t dispatches;        /* events so far */
	struct json *json;
	struct metrics *metrics;    /* shapes only: what its rules define must agree */
	struct action scratch;      /* of the action being built: nothing to free when Lua raises */
	struct buf text;            /* scratch text, likewise */
	/* Registry references. */
	int event_meta, reply_meta, error_meta, server_meta, route_meta, subscription_meta, listener_meta, filter_meta, test_meta, timer_meta, store_meta, value_meta,
		sink_meta, metric_meta;
	int servers;                /* table: name -> handle */
	int environment_meta;       /* of each rule's environment: falls back to the libraries */
	int modules;                /* table: file -> the read-only proxy of what it returned */
	int proxies;                  /* table with weak keys: a module's table -> its read-only proxy */
	char *rules_folder, *lib_folder, *rules_shown, *lib_shown; /* owned; shown: as in error texts */
	bool loaded, unreadable;
	char **server_names;        /* of the configuration, while loading */
	size_t server_name_count;
	struct faults *faults;      /* while loading */
	struct value settings;      /* copy */
};

struct host {
	struct host_limits limits;
	struct host_ops ops;
	void *ctx;
	struct metrics *metrics;
	struct store *store;
	struct generation *current;
	struct list draining; /* struct generation.in_host */
	unsigned last_number;
	uint64_t turn;        /* counts host_turn() calls */
	struct heap timers;   /* struct rule_timer.due */
	struct list wakes;    /* tasks to resume in the next turn */
	struct list events;   /* struct own_event: engine events that wait */
	uint64_t dropped_logged; /* see may_log() */
	uint32_t event_count;
	struct reply *late_first, **late_last; /* answers for rules that may not run in this turn */
	bool gaps;            /* some rule has missed events and was not told */
	struct metric *m_calls, *m_errors, *m_seconds, *m_quarantined, *m_timers, *m_memory, *m_gap, *m_denied, *m_listeners, *m_waiting, *m_log_dropped,
		*m_away;
	struct series *s_dropped, *s_generation, *s_draining;
};

/* ---- task.c: running rules; quarantine.c: who may run ---- */

/* A task of `rule`, from the pool or new; NULL when memory is refused (counted as the rule's failure). */
struct task *task_take(struct rule *rule, const char *what);
/* What a record calls that which is in task->event. */
const char *task_event_name(const struct task *task);
/* Runs `push` and then the function. Returns true when the task has ended (it is back in the pool then), false when it waits. */
bool task_start(struct task *task, task_push_fn *push, void *arg);
/* Goes on after a wait: what it waited for stands in the task. */
bool task_resume(struct task *task);
/* Wakes it in the next turn. */
void task_wake_later(struct task *task);
/* Ends a waiting task without resuming it: its to-be-closed variables run. */
void task_close(struct task *task);
/* Suspends the running task; `k` is called when it goes on. RAISES when this place cannot wait (`what` names it). */
int task_wait(lua_State *L, lua_KFunction k, const char *what);
void task_check_wait(lua_State *L, const char *what) RAISES;
/* Frees everything of the generation's tasks; its Lua state is closed next. */
void task_close_all(struct generation *gen);
/* Ends a waiting task without running any more of its code. */
void task_drop(struct task *task);
/* Adds one to the rule's series of `metric`, kept in `*series`: a flood counts much, and looking it up costs more than all the rest. */
void rule_count(const struct rule *rule, struct metric *metric, struct series **series);
/* Whose call may not begin now: quarantined, or it overran in this turn. */
bool rule_may_run(struct rule *rule);
/* Its filters were tested while so many ticks of CPU time passed; `spent`: one had no steps left. */
void rule_filtered(struct rule *rule, unsigned ticks, bool spent);
/* They have had a deadline's worth of this turn. */
bool rule_filters_spent(const struct rule *rule);
/* Around each run of its code: its share of the turn and its CPU time, counted in ticks, and by the clock once a tick found it
 * running in this turn. */
struct rule_clock {
	unsigned ticks;
	uint64_t cpu; /* 0: not read */
};
struct rule_clock rule_begins(const struct rule *rule);
void rule_ends(struct rule *rule, struct rule_clock began);
/* A call of it waits: notes what it was refused so far. */
void rule_note_refusals(struct rule *rule);
/* At most once a second: what may happen a thousand times in a turn must not fill the log's queue, where others stand. */
bool may_log(struct host *host, uint64_t *told);
/* Between turns: releases who hoards, collects step by step where much is used. True while there is more to do. */
bool generation_relieve(struct generation *gen);
const char *outcome_name(enum outcome outcome);
/* Queues its own `server.gap` with the number of events it was not given. */
void rule_report_gap(struct rule *rule, const char *reason);
struct heard;
/* Counts an event that the rule was not given, and tells the log. */
void rule_skips(struct rule *rule, const struct heard *heard, const char *reason);
/* Notes how a call of the rule (and of the listener) ended; quarantines. */
void rule_note(struct rule *rule, struct listener *listener, enum outcome outcome);
/* For C functions that rules call: the generation of a Lua state. */
struct generation *generation_of(lua_State *L);
/* Who is charged and named: the rule whose code runs. */
static inline struct rule *rule_of(lua_State *L)
{
	return generation_of(L)->current_rule;
}
/* Raises "… is not possible while the rules are loading" or, where `drains` is set, while they drain. */
void check_live(lua_State *L, const char *what, bool drains) RAISES;
/* random.c: math.random and math.randomseed. */
int rule_random(lua_State *L);
int rule_randomseed(lua_State *L);
/* coroutine.c: pushes the table `coroutine`. */
void coroutine_open(lua_State *L, struct generation *gen) RAISES;
/* A coroutine that a rule made. Its Lua thread is kept by whoever resumes it. */
struct own_thread {
	lua_State *co;
	struct rule *rule;
	struct own_thread *parent; /* who resumed it, while it runs or waits; NULL: the task itself */
	enum { THREAD_READY, THREAD_RUNNING, THREAD_YIELDED, THREAD_DEAD } state;
};
void own_thread_ended(struct own_thread *thread);

/* ---- own_event.c ---- */

struct own_event {
	struct list queue;
	struct message *message;
	uint32_t server;           /* 0: none */
	char server_name[RULE_NAME_MAX + 1];
	struct rule *only;         /* for one rule, NULL: all */
	struct generation *gen;    /* for one generation, NULL: all */
	const char *sender;        /* who emitted it ("rule", "console"), NULL: it was not */
	char *rule;                /* owned; that emitted it, NULL: none */
};
/* 0, or -1 when the queue is full (counted). */
int own_event_queue(struct host *host, const char *name, const struct host_server *server, struct rule *only,
                    struct generation *gen, const struct host_field *fields, size_t count);
/* Counts and tells one that found no room. */
void own_event_dropped(struct host *host, struct slice name);
void own_events_deliver(struct host *host);
void own_events_forget(struct host *host, struct generation *gen);

/* ---- names of Lua objects, one file each ---- */

void event_open(lua_State *L, struct generation *gen) RAISES;
/* Pushes an event object that owns a copy of `m`'s bytes. */
void event_push(lua_State *L, struct generation *gen, const struct message *m, double at) RAISES;
/* Pushes `res` of an action: the reply stays the caller's. */
void reply_push(lua_State *L, struct generation *gen, const struct reply *reply) RAISES;
/* Pushes `res`, or nil and the error, of the reply that came for the task, and frees that; returns how many. */
int answer_push(lua_State *L, struct task *task) RAISES;
void error_push(lua_State *L, struct generation *gen, const struct err *err, const struct reply *reply) RAISES;
/* Pushes `nil, err`; returns 2. */
int push_failure(lua_State *L, struct generation *gen, const struct err *err) RAISES;

void server_open(lua_State *L, struct generation *gen) RAISES; /* adds ami.server, ami.servers, ami.route to the table on top */
void server_push(lua_State *L, struct generation *gen, uint32_t id, struct slice name) RAISES;
/* The name of the handle at `index`, or NULL when it is no server handle. */
const char *server_test(lua_State *L, int index);
void request_free(struct request *request);
/* Its answer goes to nobody. */
void request_forget(struct request *request);

void listener_open(lua_State *L, struct generation *gen) RAISES; /* ami.on, ami.once, ami.subscribe, ami.wait, ami.emit */
void timer_open(lua_State *L, struct generation *gen) RAISES;    /* pushes the table `timer` */
void rule_timer_cancel(struct rule_timer *timer);
struct rule_timer *rule_timer_add(struct rule *rule, uint64_t delay, uint64_t interval, struct task *task, int callback);
/* Starts the timers that a file made while it was loaded. */
void rule_timers_arm(struct rule *rule);
void timers_run(struct host *host, uint64_t now);
void log_open(lua_State *L, struct generation *gen) RAISES;      /* pushes `log` */
void print_open(lua_State *L) RAISES;                            /* pushes `print` */
void store_open_lua(lua_State *L, struct generation *gen) RAISES;/* pushes `store` */
void sink_open(lua_State *L, struct generation *gen) RAISES;     /* pushes `sink` */
void metric_open(lua_State *L, struct generation *gen) RAISES;   /* pushes `metric` */
/* What stands between an object and the userdata of a rule, held by both. Lua skips a finalizer for which it finds no memory:
 * neither side may point into the other. */
struct tie {
	void *object; /* NULL: gone */
	unsigned holders;
};
struct tie *tie_make(void *object);
void tie_drop(struct tie **tie);
/* Of a userdata that holds nothing else. */
int tie_gc(lua_State *L);
/* Makes a metatable that rules can neither reach nor change, with `name` in error texts; returns its reference. Functions of
 * `methods` stand behind __index when it is not NULL. */
int make_meta(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) RAISES;
/* The object of that metatable at `index`, or NULL. */
void *test_object(lua_State *L, int index, int meta);
void *check_object(lua_State *L, int index, int meta, const char *what) RAISES;
/* Takes one token; false when the bucket is empty. rate 0: always true. */
bool token_take(struct token_bucket *bucket, uint32_t rate, uint64_t now);

#endif
