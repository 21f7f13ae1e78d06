#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "script/deadline.h"
#include "script/listener.h"
#include "script/state.h"
#include "script/subscription.h"

#define TRACEBACK_MAX 4096u
#define MESSAGE_MAX 1024u
#define DEEP 1000 /* calls within calls: more are a recursion that ran away */
#define DEEP_SHOWN 10

struct generation *generation_of(lua_State *L)
{
	return *(struct generation **)lua_getextraspace(L);
}

/* ---- the pool ---- */

static int new_thread(lua_State *L)
{
	struct flow *flow = lua_touserdata(L, 1);
	flow->co = lua_newthread(L);
	flow->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

struct flow *flow_take(struct rule *rule, const char *what)
{
	struct generation *gen = rule->gen;
	struct flow *flow;

	if (!list_empty(&gen->pool)) {
		flow = list_entry(gen->pool.next, struct flow, in_queue);
		list_remove(&flow->in_queue);
		gen->pool_count--;
	} else {
		flow = mem_zalloc(sizeof *flow);
		list_init(&flow->of_rule);
		list_init(&flow->in_queue);
		uint32_t owner = gen->alloc.owner;
		gen->alloc.owner = 0; /* pooled coroutines serve all rules */
		lua_pushcfunction(gen->L, new_thread);
		lua_pushlightuserdata(gen->L, flow);
		int status = lua_pcall(gen->L, 1, 0, 0);
		gen->alloc.owner = owner;
		if (status != LUA_OK) {
			lua_pop(gen->L, 1);
			free(flow);
			log_write(LOG_ERROR, "no memory for another call", F_TEXT("rule", rule->name), F_TEXT("reason", "memory"));
			rule_note(rule, NULL, OUTCOME_MEMORY);
			return NULL;
		}
	}
	flow->rule = rule;
	flow->what = what;
	flow->listener = NULL;
	flow->event[0] = flow->server[0] = flow->action_id[0] = '\0';
	flow->outcome = OUTCOME_OK;
	return flow;
}

static void release(struct flow *flow)
{
	if (flow->tick_of)
		flow->tick_of->last = NULL;
	flow->tick_of = NULL;
	reply_free(&flow->reply);
	if (flow->listener)
		listener_end(flow->listener);
	flow->listener = NULL;
}

static void flow_free(struct flow *flow)
{
	release(flow);
	list_remove(&flow->in_queue);
	list_remove(&flow->of_rule);
	if (!flow->rule->gen->closing)
		luaL_unref(flow->rule->gen->L, LUA_REGISTRYINDEX, flow->ref);
	free(flow);
}

static void flow_put_back(struct flow *flow)
{
	struct generation *gen = flow->rule->gen;
	release(flow);
	if (flow->dead || gen->pool_count >= POOL_MAX) {
		flow_free(flow);
		return;
	}
	list_append(&gen->pool, &flow->in_queue);
	gen->pool_count++;
}

/* ---- reporting ---- */

/* Errors of C functions that were called by one (`ipairs(nil)` in a for) name no place, and rules may leave it out: keeps that
 * of the first Lua function for the record. The error itself stays as it is, `<close>` variables and pcall see it. */
static void keep_place(lua_State *co, struct generation *gen)
{
	lua_Debug ar;
	const char *text = lua_tostring(co, -1);
	gen->place[0] = '\0';
	if (!text || strstr(text, ".lua:"))
		return;
	for (int level = 1; lua_getstack(co, level, &ar); level++) {
		lua_getinfo(co, "Sl", &ar);
		if (ar.currentline <= 0)
			continue;
		snprintf(gen->place, sizeof gen->place, "%s:%d: ", ar.short_src, ar.currentline);
		return;
	}
}

/* As luaL_traceback() has it, without its title. */
static void trace(lua_State *co, struct buf *out)
{
	size_t len;
	luaL_traceback(co, co, NULL, 1);
	const char *text = lua_tolstring(co, -1, &len);
	const char *first = memchr(text, '\n', len);
	if (first) {
		len -= (size_t)(first + 1 - text);
		text = first + 1;
	}
	buf_append(out, slice_make(text, len < TRACEBACK_MAX ? len : TRACEBACK_MAX));
	lua_pop(co, 1);
}

/* Of a recursion that ran away: luaL_traceback() walks all of it some thirty times, which takes seconds and cannot be stopped. */
static void trace_top(lua_State *co, struct buf *out)
{
	lua_Debug ar;
	for (int level = 1; level <= DEEP_SHOWN && lua_getstack(co, level, &ar); level++) {
		lua_getinfo(co, "Sln", &ar);
		if (ar.currentline > 0)
			buf_printf(out, "\t%s:%d: in %s '%s'\n", ar.short_src, ar.currentline, *ar.namewhat ? ar.namewhat : "function",
			           ar.name ? ar.name : "?");
	}
	buf_append(out, SLICE("\t... more calls than can be shown"));
}

/* Keeps the traceback for the record; the error's own text becomes a string. Runs inside the failing coroutine. */
static int on_error(lua_State *co)
{
	struct generation *gen = generation_of(co);
	/* After the deadline no code of the rule may run here: hooks are off while this runs out of one. */
	if (!lua_isstring(co, 1) && !deadline_passed())
		luaL_tolstring(co, 1, NULL);
	else
		lua_pushvalue(co, 1);
	keep_place(co, gen);
	buf_clear(&gen->traceback);
	if (lua_getstack(co, DEEP, &(lua_Debug){ 0 }))
		trace_top(co, &gen->traceback);
	else
		trace(co, &gen->traceback);
	return 1;
}

const char *flow_event_name(const struct flow *flow)
{
	return strcmp(flow->what, "callback") == 0 ? "action" : "event";
}

static void report(struct flow *flow, const char *text, size_t len)
{
	struct rule *rule = flow->rule;
	struct generation *gen = rule->gen;
	struct slice message = { text, len < MESSAGE_MAX ? len : MESSAGE_MAX };

	free(rule->last_error);
	rule->last_error = mem_printf("%s%.*s", gen->place, SLICE_ARG(message));
	gen->place[0] = '\0';
	if (gen->loading) {
		bool placed = strstr(rule->last_error, ".lua:");
		faults_add(gen->faults, "%s%s%s%s", placed ? "" : rule->file, placed ? "" : ": ", rule->last_error,
		           flow->outcome == OUTCOME_MEMORY ? " (limits.load_memory, limits.rule_memory)" : "");
		return;
	}
	log_write(LOG_ERROR, rule->last_error, F_TEXT("rule", rule->name), F_TEXT("kind", outcome_name(flow->outcome)),
	          F_TEXT("in", flow->what), F_TEXT("listener", flow->listener ? listener_label(flow->listener) : NULL),
	          F_TEXT(flow_event_name(flow), flow->event[0] ? flow->event : NULL),
	          F_TEXT("action_id", flow->action_id[0] ? flow->action_id : NULL),
	          F_TEXT("server", flow->server[0] ? flow->server : NULL), F_SLICE("traceback", buf_slice(&gen->traceback)));
}

static enum outcome outcome_of(const struct flow *flow, int status)
{
	if (deadline_passed() && !deadline_is_memory())
		return OUTCOME_DEADLINE;
	return status == LUA_ERRMEM || flow->rule->gen->alloc.call_refused > 0 ? OUTCOME_MEMORY : OUTCOME_ERROR;
}

static void fail(struct flow *flow, lua_State *co, int status)
{
	size_t len = 0;
	/* Only a string is looked at: converting anything else could raise. */
	const char *text = lua_type(co, -1) == LUA_TSTRING ? lua_tolstring(co, -1, &len) : NULL;
	struct generation *gen = flow->rule->gen;
	flow->outcome = outcome_of(flow, status);
	if (status == LUA_ERRMEM || !text)
		buf_clear(&gen->traceback);
	if (status == LUA_ERRMEM && gen->alloc.place[0])
		snprintf(gen->place, sizeof gen->place, "%s: ", gen->alloc.place);
	if (!text) {
		text = "error object is not a string";
		len = strlen(text);
	}
	report(flow, text, len);
}

/* ---- running ---- */

static int body_ended(lua_State *co, int status, lua_KContext ctx)
{
	struct flow *flow = (struct flow *)ctx;
	if (status == LUA_OK || status == LUA_YIELD)
		flow->outcome = OUTCOME_OK;
	else
		fail(flow, co, status);
	lua_settop(co, 0);
	return 0;
}

static int body(lua_State *co)
{
	struct flow *flow = lua_touserdata(co, 1);
	lua_settop(co, 0);
	lua_pushcfunction(co, on_error);
	int args = flow->push(co, flow, flow->push_arg);
	int status = lua_pcallk(co, args, 0, 1, (lua_KContext)flow, body_ended);
	return body_ended(co, status, (lua_KContext)flow);
}

/* Every entry into Lua goes through here. */
static bool run(struct flow *flow, int args)
{
	struct rule *rule = flow->rule;
	struct generation *gen = rule->gen;
	struct flow *before = gen->current;
	struct rule *rule_before = gen->current_rule;
	uint32_t owner_before = gen->alloc.owner;
	int results = 0;

	gen->current = flow;
	gen->current_rule = rule;
	gen->alloc.owner = rule->owner;
	buf_clear(&gen->traceback);
	gen->alloc.call_refused = 0;
	gen->alloc.place[0] = '\0';
	gen->alloc.last_stack = 0;
	flow->suspending = false;
	struct rule_clock began = rule_begins(rule);
	deadline_begin(flow->co, gen->loading ? gen->limits.load_deadline : gen->limits.deadline, gen->limits.stuck, rule->name);
	int status = lua_resume(flow->co, gen->L, args, &results);
	if (status != LUA_OK && status != LUA_YIELD) {
		/* The body itself failed: no memory for the arguments, or an error while one was handled. */
		fail(flow, flow->co, status);
		flow->dead = true;
	}
	deadline_end();
	gen->alloc.asked_twice = false;
	rule_ends(rule, began);
	gen->alloc.owner = owner_before;
	gen->current_rule = rule_before;
	gen->current = before;

	if (status == LUA_YIELD) {
		flow->suspending = false;
		if (!flow->waiting) {
			flow->waiting = true;
			list_append(&rule->flows, &flow->of_rule);
			rule->waiting++;
		}
		rule_note_refusals(rule);
		return false;
	}
	if (flow->waiting) {
		flow->waiting = false;
		list_remove(&flow->of_rule);
		rule->waiting--;
	}
	flow->inner = NULL;
	rule_note(rule, flow->listener, flow->outcome);
	flow_put_back(flow);
	return true;
}

bool flow_start(struct flow *flow, flow_push_fn *push, void *arg)
{
	flow->push = push;
	flow->push_arg = arg;
	/* A light C function and a light pointer: nothing is allocated, nothing can raise. */
	lua_pushcfunction(flow->co, body);
	lua_pushlightuserdata(flow->co, flow);
	return run(flow, 1);
}

bool flow_resume(struct flow *flow)
{
	list_remove(&flow->in_queue);
	return run(flow, 0);
}

void flow_wake_later(struct flow *flow)
{
	list_remove(&flow->in_queue);
	list_append(&flow->rule->gen->host->wakes, &flow->in_queue);
}

void flow_check_wait(lua_State *L, const char *what)
{
	struct generation *gen = generation_of(L);
	struct flow *flow = gen->current;
	if (gen->loading || !flow)
		luaL_error(L, "%s cannot wait while the rules are loading: do it in a listener, a timer or a callback", what);
	/* What a coroutine runs while it is closed cannot be left by a yield, though Lua says that it is yieldable. */
	bool can = flow->closing == 0 && lua_isyieldable(L) && lua_isyieldable(flow->co);
	for (struct own_thread *t = flow->inner; t && can; t = t->parent)
		can = lua_isyieldable(t->co);
	if (!can)
		luaL_error(L, "%s cannot wait here: it was called from inside a C function (a comparison, a replacement, a metamethod, coroutine.close)", what);
}

int flow_wait(lua_State *L, lua_KFunction k, const char *what)
{
	flow_check_wait(L, what);
	struct flow *flow = generation_of(L)->current;
	flow->suspending = true;
	return lua_yieldk(L, 0, (lua_KContext)flow, k);
}

/* Takes the flow away from what it waits for. */
static void forget_waits(struct flow *flow)
{
	if (flow->ticket)
		flow->ticket->flow = NULL;
	if (flow->subscription)
		subscription_forget_flow(flow->subscription);
	if (flow->timer)
		rule_timer_cancel(flow->timer);
	flow->ticket = NULL;
	flow->subscription = NULL;
	flow->timer = NULL;
}

void flow_drop(struct flow *flow)
{
	forget_waits(flow);
	flow->rule->waiting--;
	flow_free(flow);
}

void flow_close(struct flow *flow)
{
	struct rule *rule = flow->rule;
	struct generation *gen = rule->gen;

	forget_waits(flow);
	gen->alloc.call_refused = 0;
	gen->alloc.place[0] = '\0';
	gen->alloc.last_stack = 0;
	flow->outcome = OUTCOME_OK;
	struct rule_clock began = rule_begins(rule);
	gen->current = flow;
	gen->current_rule = rule;
	gen->alloc.owner = rule->owner;
	buf_clear(&gen->traceback);
	deadline_begin(flow->co, gen->limits.deadline, gen->limits.stuck, rule->name);
	flow->closing++;
	/* The innermost first, as an error would unwind them. */
	for (struct own_thread *t = flow->inner; t; t = t->parent) {
		deadline_switch(t->co);
		lua_resetthread(t->co);
		own_thread_ended(t);
	}
	deadline_switch(flow->co);
	int status = lua_resetthread(flow->co);
	if (status != LUA_OK)
		fail(flow, flow->co, status);
	flow->closing--;
	deadline_end();
	gen->alloc.asked_twice = false;
	rule_ends(rule, began);
	gen->alloc.owner = 0;
	gen->current_rule = NULL;
	gen->current = NULL;
	rule->waiting--;
	flow->dead = true;
	rule_note(rule, flow->listener, flow->outcome);
	flow_put_back(flow);
}

void flow_close_all(struct generation *gen)
{
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->flows) {
			struct flow *flow = list_entry(it, struct flow, of_rule);
			forget_waits(flow);
			flow_free(flow);
		}
	list_each_safe(it, &gen->pool)
		flow_free(list_entry(it, struct flow, in_queue));
}

void check_live(lua_State *L, const char *what, bool drains)
{
	struct generation *gen = generation_of(L);
	if (gen->loading)
		luaL_error(L, "%s is not possible while the rules are loading: do it in a listener, a timer or a callback", what);
	if (drains && gen->draining)
		luaL_error(L, "%s is not possible any more: newer rules were loaded and these only end what they began", what);
}

bool token_take(struct token_bucket *bucket, uint32_t rate, uint64_t now)
{
	if (rate == 0)
		return true;
	if (bucket->filled == 0)
		bucket->tokens = rate; /* one second's worth at first */
	else
		bucket->tokens += (double)(now - bucket->filled) / 1e9 * rate;
	bucket->filled = now;
	if (bucket->tokens > rate)
		bucket->tokens = rate;
	if (bucket->tokens < 1)
		return false;
	bucket->tokens -= 1;
	return true;
}
