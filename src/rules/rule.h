/* One rule: a file of scripts/, its modules, and everything that it has begun, in a Lua state of its own.
 *
 * A rule is loaded on any one thread, beside what runs; host_adopt() makes it live, and from then on it belongs to the
 * loop's thread. Whatever C keeps for it hangs in its lists and is charged to its memory, so that its state can be dropped
 * at any time without asking Lua.
 *
 * Functions marked RAISES may leave by longjmp: they are called from Lua only, or from a task's body.
 */
#ifndef RULES_RULE_H
#define RULES_RULE_H

#include <lauxlib.h>
#include <lua.h>

#include "base/heap.h"
#include "base/http_message.h"
#include "base/list.h"
#include "rules/filter.h"
#include "rules/handle.h"
#include "rules/host.h"
#include "rules/rule_source.h"
#include "rules/wants.h"
#include "sandbox/arena.h"

#define RAISES /* by longjmp */

#define RULE_NAME_MAX 64
#define OVERRUNS_MAX 3u

struct json;
struct loading;
struct picture_holder;
struct task;

/* How a call ended. */
enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_MEMORY, OUTCOME_DEADLINE, OUTCOME_KILLED };
const char *outcome_name(enum outcome outcome);

/* Kept from running after failing again and again; then one call is let through as a probe. */
struct quarantine {
	bool active;
	uint64_t until, backoff; /* monotonic ns */
};

struct token_bucket {
	double tokens;
	uint64_t filled; /* monotonic ns of the last refill; 0: never used */
};

/* What the C functions of one thread share while they read a rule's arguments: nothing to free when Lua raises. */
struct scratch {
	struct action action; /* being built */
	struct buf text;
	struct buf traceback; /* of the error that is being reported */
	struct http_request http; /* being read */
	struct json *json;
	struct filter filter; /* being read */
	struct value values[3]; /* of a store's key, item and answer */
	size_t filter_tests, filter_bytes;
};
int scratch_init(struct scratch *scratch, const struct rule_limits *limits, struct err *err);
void scratch_close(struct scratch *scratch);

/* Registry references of metatables. */
struct rule_metas {
	int event, reply, error, server, route, subscription, listener, test, timer, store, sink, metric, coroutine, live, http_response, http_headers;
};

/* Its use of the present turn, see rule_quarantine.c. */
struct rule_turn {
	uint64_t overrun;       /* after an overrun, or a deadline's worth of calls, it runs nothing more in that turn */
	uint64_t turn;          /* the turn that `used` and `calls` count in */
	uint64_t used, calls;   /* ns of CPU time; runs of its code */
	uint32_t lottery;       /* which calls are timed, see call_clock.h */
	uint64_t filter_turn;   /* the turn that `filter_ticks` counts in */
	unsigned filter_ticks;  /* of CPU time, while its filters were tested */
	uint64_t filters_spent; /* in this turn no filter of it is tested any more */
	uint64_t untested;      /* the last dispatch that was reported as not tested */
	uint64_t asked;         /* the last dispatch that asked whether it takes the event now */
	bool takes;             /* its answer */
	uint64_t walked;        /* the last listeners_each_rule() that came by */
	uint64_t emit_turn;     /* the turn that `emitted_bytes` counts in */
	uint32_t emitted_bytes;
};

/* What waits for it, see order.h. */
struct rule_order {
	struct list streams; /* struct rule_stream.of_rule */
	struct list items;   /* struct order_item of no server, in order */
	struct list late;    /* struct order_item: answers that have overtaken all else */
	struct list behind;  /* in host->behind */
	uint64_t served;     /* the turn in which it was served last, or began to lag */
	struct list shares;  /* struct emit_share: whose emitted events wait */
	uint32_t emitted;    /* emitted events that wait */
	size_t emitted_bytes;
	uint32_t changes;    /* the same of the live picture's changes */
	size_t change_bytes;
	size_t answer_bytes; /* of answers that wait */
	struct rule *follows, *follower; /* it hears nothing before `follows`, which it replaces, has taken what it must; NULL: none */
	uint64_t dropped;    /* how often all of it was dropped: a call of the rule may do that */
	double longest_lag;  /* seconds between the arrival of an event and its delivery */
};

struct rule_counts {
	uint64_t calls, errors, deadlines, refused, calls_shown;
	double seconds, seconds_shown;   /* that its code ran, see call_clock.h */
	uint64_t skipped;                /* events and ticks that it was not given, in all */
	uint64_t refused_seen;           /* refusals of its memory that were counted so far */
	struct series *s_skipped, *s_log_dropped, *s_answers_dropped, *s_slow; /* see rule_count() */
	struct series *s_call_seconds;
	uint64_t gap_logged, drop_logged, answer_logged, slow_logged; /* see host_may_log() */
};

/* Of a rule that was killed or whose memory was used up, see revive.h. */
struct revival {
	uint64_t pause, at;   /* ns; monotonic ns of its next beginning. `pause` stays for the next time */
	uint64_t arrived;     /* events of servers when it went down */
	const char *reason;   /* "killed", "memory" */
	bool under_way;       /* it is being loaded */
};

struct rule {
	struct host *host;       /* NULL while loading */
	struct loading *loading; /* NULL once it is live */
	struct rule_source *source; /* its files and settings, as they were loaded; holds its name */
	const char *name, *file; /* "missed", "scripts/missed.lua": of the source */
	struct rule_limits limits;
	struct policy *policy;   /* shared */
	lua_State *L;            /* of no use once it is `closing`. Stack slot 1: the event being dispatched; 2: its server. NULL: it did not load */
	struct arena arena;
	char refused_at[72];     /* where the running call was when it was first refused memory: Lua's own error names no line */
	bool pressed;            /* much memory is used: time to collect */
	struct scratch *scratch; /* of the thread that runs it */
	struct json *json;       /* of the scratch */
	struct rule_metas meta;
	int servers;             /* registry: table name -> handle */
	int environment;         /* of each of its files: metatable that falls back to the libraries */
	int modules;             /* table: file -> what it returned, false while it runs */
	int names;               /* table: name in require() -> what it returned */
	const char *module;      /* name of the module that is being run, while loading; NULL: the rule's own file */
	int proxies;             /* table with weak keys: a table of the settings -> its read-only proxy */
	int threads;             /* table with weak keys: Lua thread -> its struct own_thread */
	struct metrics *metrics; /* shapes only: what rules define must agree */
	uint32_t metric_count;   /* families that it has made */

	struct wants wants;      /* of the events of servers */

	struct list in_host;     /* host->draining, when it drains */
	unsigned number;         /* of the reload that brought it */
	double since;            /* epoch seconds of its adoption */
	enum host_rule_change change; /* what the last reload did with it */
	bool failed;             /* it did not load, and was left out */
	bool chain_logged;       /* that it keeps itself busy */
	bool disabled;           /* by an operator: no listener and no timer of it runs, until a reload */
	bool draining;           /* it was replaced: it ends what it began */
	bool ending;             /* its last waits are being ended: nothing more is sent */
	bool closing;            /* its Lua state is not touched any more: it was killed, or is being dropped */
	bool dead;               /* it was killed, or is given back: nothing of it runs, and host_turn() releases it */
	bool down;               /* stands for a rule without a state, until that begins anew */
	struct revival revival;
	uint64_t began;          /* monotonic ns of its adoption */
	uint64_t drain_until, drain_stamp; /* drain_stamp: of the last that arrived before it was replaced */

	struct list listeners;     /* struct listener.of_rule, those of subscriptions too */
	struct list subscriptions; /* struct subscription.of_rule */
	struct list timers;        /* struct rule_timer.of_rule */
	struct list requests;      /* struct request.of_rule */
	struct list http_calls;    /* struct http_call.of_rule */
	struct list hooks, hook_calls; /* struct hook.of_rule, struct hook_call.in_host */
	struct list job_workers, job_tries, job_pushes; /* struct job_worker, job_try and job_push .of_rule */
	struct list tasks;         /* struct task.of_rule, those that wait */
	struct list pool;          /* idle tasks */
	struct handle_table handles; /* of listeners and timers */
	struct picture_holder *holder; /* of what it holds of the live picture; NULL: nothing yet */
	uint32_t held;           /* objects of it */
	uint32_t held_kept;      /* that the last collection for more of them left */
	uint64_t held_collected; /* its turn */
	uint32_t pool_count, listener_count, timer_count, subscription_count, waiting, pending, thread_count, job_push_count, http_call_count;

	struct task *current;    /* whose code runs */
	char place[LUA_IDSIZE + 16]; /* of the error that is being reported, where its text names none */
	uint64_t threads_collected; /* the turn of the last collection for more coroutines */
	bool collecting;
	uint64_t collected;      /* monotonic ns of the last whole collection between turns */

	struct rule_turn turn;
	struct rule_order order;
	struct rule_counts counts;
	struct token_bucket log_lines;
	struct server_rate *rates; /* of its actions, for each server that it has sent to; owned */
	uint32_t rate_count;
	uint64_t random[4];      /* of math.random */
	bool seeded;
	uint64_t overruns[OVERRUNS_MAX]; /* when the last ones were */
	struct quarantine quarantine;
	uint32_t missed;         /* events that it would have heard while it was disabled */
	uint32_t gap;            /* events not given to it that were not reported to it yet */
	const char *gap_reason;  /* of those that it took over from one that was killed; NULL: none */
	char *last_error;        /* owned */
};

/* The rule of a Lua state. */
static inline struct rule *rule_of(lua_State *L)
{
	return *(struct rule **)lua_getextraspace(L);
}

/* Makes the rule of `source`, whose state has the libraries, and runs its file. Never NULL: one that fails has `failed` set and
 * its faults reported. Takes a reference of the source. */
struct rule *rule_load(struct loading *loading, struct rule_source *source);
/* What stands for `rule` while it has no state: its name, source, limits and counters. It hears nothing. */
struct rule *rule_create_down(const struct rule *rule);
/* Frees everything of it. It must stand in no list of a host. */
void rule_destroy(struct rule **rule);
/* Takes everything back that its file did before it failed. */
void rule_unload(struct rule *rule);
/* The clocks of rules, also while they load. */
uint64_t rule_now(const struct rule *rule);
double rule_wall(const struct rule *rule);
/* Memory outside of Lua that the rule makes the engine keep. False when it is refused (counted). */
bool rule_charge(struct rule *rule, size_t size);
void rule_credit(struct rule *rule, size_t size);
/* Around each run of its code. */
void rule_memory_begins(struct rule *rule);
void rule_memory_ends(struct rule *rule);
/* Some of its own code may be waiting: tasks, or callbacks of actions. */
bool rule_has_waits(const struct rule *rule);

/* ---- rule_quarantine.c: who may run ---- */

/* Adds `n` to the rule's series of `metric`, kept in `*series`: a flood counts much, and looking it up costs more than all the rest. */
void rule_count(const struct rule *rule, struct metric *metric, struct series **series, uint64_t n);
/* Counts `n` events or ticks that the rule was not given; whoever calls it logs them (P9). */
void rule_count_skipped(struct rule *rule, uint64_t n);
/* False when no call of it may begin now: quarantined, disabled, or it overran in this turn. */
bool rule_may_run(const struct rule *rule);
/* It overran in this turn, or used its share of it. */
bool rule_is_spent(const struct rule *rule);
/* Its filters were tested while so many ticks of CPU time passed; `spent`: one had no steps left. */
void rule_filtered(struct rule *rule, unsigned ticks, bool spent);
/* They have had a deadline's worth of this turn. */
bool rule_filters_spent(const struct rule *rule);
/* A call of it waits: notes what it was refused so far. */
void rule_note_refusals(struct rule *rule);
struct heard;
struct listener;
/* Counts an event that the rule was not given, and logs it. */
void rule_skips(struct rule *rule, const struct heard *heard, const char *reason);
/* The same for `count` events that waited for a rule which is dropped. */
void rule_loses(struct rule *rule, uint64_t count, const char *reason);
/* Queues its own `server.gap` with the number of events it was not given. */
void rule_report_gap(struct rule *rule, const char *reason);
/* Notes how a call of the rule (and of the listener) ended; quarantines. */
void rule_note(struct rule *rule, struct listener *listener, enum outcome outcome);
/* Takes one token; false when the bucket is empty. `rate` a second, 0: always true. */
bool rule_take_token(struct token_bucket *bucket, uint32_t rate, uint64_t now);
/* Between turns: collects step by step where much is used. True while there is more to do. */
bool rule_relieve(struct rule *rule);

#endif
