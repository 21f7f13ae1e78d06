#include "rules/rule.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/http_call.h"
#include "rules/hooks.h"
#include "rules/jobs.h"
#include "rules/listener.h"
#include "rules/loading.h"
#include "rules/picture_hold.h"
#include "rules/request.h"
#include "rules/subscription.h"
#include "rules/task.h"
#include "rules/state.h"
#include "rules/timer.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"

/* Events are garbage a moment later while the rules themselves are small: a collection each time that the heap has doubled
 * would mark the libraries again every few dozen events. So it may grow tenfold (Lua's largest pause) between two. */
#define GC_PAUSE 1000
#define GC_STEP_MULTIPLIER 400
#define GC_STEP_SIZE 14 /* log2 of bytes */
/* Refusals in one call: the first can be caught, one more cannot. */
#define CALL_REFUSED_MAX 2u
#define RELEASE_SLICE ((size_t)1024 * 1024) /* bytes unmapped at once: other threads that touch new memory wait for it */

uint64_t rule_now(const struct rule *rule)
{
	if (rule->host)
		return rule->host->ops.now(rule->host->ctx);
	const struct rules_options *o = rule->loading->options;
	return o->ops->now ? o->ops->now(o->ctx) : clock_mono_ns();
}

double rule_wall(const struct rule *rule)
{
	if (rule->host)
		return rule->host->ops.wall(rule->host->ctx);
	return rule->loading->options->ops->wall(rule->loading->options->ctx);
}

bool rule_charge(struct rule *rule, size_t size)
{
	return arena_charge(&rule->arena, size);
}

void rule_credit(struct rule *rule, size_t size)
{
	arena_credit(&rule->arena, size);
}

bool rule_has_waits(const struct rule *rule)
{
	if (rule->waiting > 0 || (rule->timer_count > 0 && !rule->ending) || !list_empty(&rule->job_pushes))
		return true;
	list_each(it, &rule->requests)
		if (list_entry(it, struct request, of_rule)->callback != LUA_NOREF)
			return true;
	list_each(it, &rule->http_calls)
		if (list_entry(it, struct http_call, of_rule)->fn != LUA_NOREF)
			return true;
	return false;
}

/* ---- its memory ---- */

static bool late(void *ctx)
{
	(void)ctx;
	return deadline_passed();
}

/* The collection is not charged to the rule's time. */
static void on_collect(void *ctx, bool begins)
{
	(void)ctx;
	deadline_hold(begins);
}

/* A full collection was made for it: a call that goes on asking, or that cost much already, ends here. */
static void on_refused(void *ctx)
{
	struct rule *rule = ctx;
	if (rule->refused_at[0] == '\0')
		deadline_place(rule->refused_at, sizeof rule->refused_at);
	if (rule->arena.call_refused >= CALL_REFUSED_MAX || deadline_was_held())
		deadline_end_for_memory();
}

void rule_memory_begins(struct rule *rule)
{
	rule->arena.call_refused = 0;
	rule->refused_at[0] = '\0';
}

void rule_memory_ends(struct rule *rule)
{
	arena_call_ended(&rule->arena);
	rule->pressed |= arena_is_tight(&rule->arena);
}

/* ---- making ---- */

static void init_lists(struct rule *r)
{
	struct list *const lists[] = { &r->in_host, &r->listeners, &r->subscriptions, &r->timers, &r->requests, &r->http_calls, &r->hooks, &r->hook_calls, &r->tasks, &r->pool, &r->job_workers, &r->job_tries, &r->job_pushes,
	                               &r->order.streams, &r->order.items, &r->order.late, &r->order.behind, &r->order.shares };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		list_init(lists[i]);
}

struct rule *rule_create_down(const struct rule *rule)
{
	struct rule *r = mem_zalloc(sizeof *r);

	r->host = rule->host;
	r->source = rule_source_ref(rule->source);
	r->name = rule_source_name(r->source);
	r->file = rule_source_file(r->source);
	r->limits = rule->limits;
	r->policy = rule->policy ? policy_ref(rule->policy) : NULL;
	r->number = rule->number;
	r->since = rule->since;
	r->change = rule->change;
	r->counts = rule->counts;
	r->revival = rule->revival;
	r->disabled = rule->disabled;
	r->missed = rule->missed;
	r->gap = rule->gap;
	r->last_error = rule->last_error ? mem_strdup(rule->last_error) : NULL;
	wants_copy(&r->wants, &rule->wants);
	r->down = r->closing = r->dead = true;
	init_lists(r);
	arena_init(&r->arena, 0, NULL);
	return r;
}

static struct rule *create(struct loading *loading, struct rule_source *source)
{
	struct rule *r = mem_zalloc(sizeof *r);

	r->loading = loading;
	r->source = rule_source_ref(source);
	r->name = rule_source_name(source);
	r->file = rule_source_file(source);
	r->limits = loading->options->limits;
	r->policy = loading->options->policy ? policy_ref(loading->options->policy) : NULL;
	r->scratch = &loading->scratch;
	r->json = loading->scratch.json;
	init_lists(r);
	arena_init(&r->arena, r->limits.rule_memory, loading->options->budget);
	r->arena.late = late;
	r->arena.on_collect = on_collect;
	r->arena.on_refused = on_refused;
	r->arena.ctx = r;
	return r;
}

struct opening {
	struct rule *rule;
	int status;
};

static void make_state(void *arg)
{
	struct opening *o = arg;
	struct rule *r = o->rule;
	lua_State *L = lua_newstate(arena_lua, &r->arena);
	if (!L)
		return;
	r->L = L;
	*(struct rule **)lua_getextraspace(L) = r;
	deadline_begin(L, r->limits.load_deadline, r->limits.load_stuck);
	lua_pushcfunction(L, library_set_up);
	lua_pushlightuserdata(L, r);
	o->status = kill_pcall(L, 1, 0, 0);
}

/* The state with its libraries. False when it could not be made (logged). */
static bool open_state(struct rule *r)
{
	struct opening opening = { .rule = r };
	if (!kill_run(make_state, &opening)) {
		deadline_end_killed();
		r->dead = r->closing = true;
		faults_add(r->loading->faults, "%s: making its Lua state took too long (limits.load_stuck)", r->file);
		return false;
	}
	deadline_end();
	if (!r->L) {
		faults_add(r->loading->faults, "%s: no memory for its Lua state (limits.rule_memory)", r->file);
		return false;
	}
	if (opening.status != LUA_OK) {
		faults_add(r->loading->faults, "%s: the libraries cannot be made: %s", r->file, lua_tostring(r->L, -1));
		return false;
	}
	lua_gc(r->L, LUA_GCINC, GC_PAUSE, GC_STEP_MULTIPLIER, GC_STEP_SIZE);
	lua_settop(r->L, 2); /* the slots of the event and server being dispatched */
	return true;
}

static int push_main(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	lua_pushcfunction(co, require_run_main);
	lua_pushlightuserdata(co, arg);
	return 1;
}

/* What loading left behind goes: most rules are idle most of the time. */
static void settle(struct rule *rule)
{
	task_free_idle(rule);
	lua_gc(rule->L, LUA_GCCOLLECT);
	arena_trim(&rule->arena);
}

struct rule *rule_load(struct loading *loading, struct rule_source *source)
{
	struct rule *rule = create(loading, source);
	struct task *task = NULL;

	if (open_state(rule) && !(task = task_take(rule, "load")))
		faults_add(loading->faults, "%s: no memory left to load it (limits.rule_memory)", rule->file);
	if (task)
		task_start(task, push_main, rule);
	if (!task || rule->last_error)
		rule_unload(rule);
	else
		settle(rule);
	return rule;
}

void rule_unload(struct rule *rule)
{
	rule->failed = true;
	list_each_safe(it, &rule->timers)
		rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	listeners_free_all(rule);
}

void rule_destroy(struct rule **where)
{
	struct rule *rule = *where;
	if (!rule)
		return;
	*where = NULL;
	rule->closing = true;
	task_free_all(rule);
	list_each_safe(it, &rule->timers)
		rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	listeners_free_all(rule);
	subscriptions_free_all(rule);
	job_workers_free(rule);
	hooks_free(rule);
	picture_holder_leave(&rule->holder); /* of one that never ran */
	handle_close(&rule->handles);
	/* Its state is dropped as it is: nothing outside of it depends on what is in there. */
	while (arena_release_some(&rule->arena, RELEASE_SLICE))
		continue;
	arena_close(&rule->arena);
	metrics_destroy(&rule->metrics);
	policy_unref(&rule->policy);
	rule_source_unref(&rule->source);
	wants_close(&rule->wants);
	free(rule->rates);
	free(rule->last_error);
	free(rule);
}
