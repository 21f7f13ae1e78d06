#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "rules/listener.h"
#include "rules/state.h"
#include "rules/subscription.h"

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
	struct task *task = lua_touserdata(L, 1);
	task->co = lua_newthread(L);
	task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

struct task *task_take(struct rule *rule, const char *what)
{
	struct generation *gen = rule->gen;
	struct task *task;

	if (!list_empty(&gen->pool)) {
		task = list_entry(gen->pool.next, struct task, in_queue);
		list_remove(&task->in_queue);
		gen->pool_count--;
	} else {
		task = mem_zalloc(sizeof *task);
		list_init(&task->of_rule);
		list_init(&task->in_queue);
		uint32_t owner = gen->alloc.owner;
		gen->alloc.owner = 0; /* pooled coroutines serve all rules */
		lua_pushcfunction(gen->L, new_thread);
		lua_pushlightuserdata(gen->L, task);
		int status = lua_pcall(gen->L, 1, 0, 0);
		gen->alloc.owner = owner;
		if (status != LUA_OK) {
			lua_pop(gen->L, 1);
			free(task);
			log_write(LOG_ERROR, "no memory for another call", F_TEXT("rule", rule->name), F_TEXT("reason", "memory"));
			rule_note(rule, NULL, OUTCOME_MEMORY);
			return NULL;
		}
	}
	task->rule = rule;
	task->what = what;
	task->listener = NULL;
	task->event[0] = task->server[0] = task->action_id[0] = '\0';
	task->outcome = OUTCOME_OK;
	return task;
}

static void release(struct task *task)
{
	if (task->tick_of)
		task->tick_of->last = NULL;
	task->tick_of = NULL;
	reply_free(&task->reply);
	if (task->listener)
		listener_end(task->listener);
	task->listener = NULL;
}

static void task_free(struct task *task)
{
	release(task);
	list_remove(&task->in_queue);
	list_remove(&task->of_rule);
	if (!task->rule->gen->closing)
		luaL_unref(task->rule->gen->L, LUA_REGISTRYINDEX, task->ref);
	free(task);
}

static void task_put_back(struct task *task)
{
	struct generation *gen = task->rule->gen;
	release(task);
	if (task->dead || gen->pool_count >= POOL_MAX) {
		task_free(task);
		return;
	}
	list_append(&gen->pool, &task->in_queue);
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

const char *task_event_name(const struct task *task)
{
	return strcmp(task->what, "callback") == 0 ? "action" : "event";
}

static void report(struct task *task, const char *text, size_t len)
{
	struct rule *rule = task->rule;
	struct generation *gen = rule->gen;
	struct slice message = { text, len < MESSAGE_MAX ? len : MESSAGE_MAX };

	free(rule->last_error);
	rule->last_error = mem_printf("%s%.*s", gen->place, SLICE_ARG(message));
	gen->place[0] = '\0';
	if (gen->loading) {
		bool placed = strstr(rule->last_error, ".lua:");
		faults_add(gen->faults, "%s%s%s%s", placed ? "" : rule->file, placed ? "" : ": ", rule->last_error,
		           task->outcome == OUTCOME_MEMORY ? " (limits.load_memory, limits.rule_memory)" : "");
		return;
	}
	log_write(LOG_ERROR, rule->last_error, F_TEXT("rule", rule->name), F_TEXT("kind", outcome_name(task->outcome)),
	          F_TEXT("in", task->what), F_TEXT("listener", task->listener ? listener_label(task->listener) : NULL),
	          F_TEXT(task_event_name(task), task->event[0] ? task->event : NULL),
	          F_TEXT("action_id", task->action_id[0] ? task->action_id : NULL),
	          F_TEXT("server", task->server[0] ? task->server : NULL), F_SLICE("traceback", buf_slice(&gen->traceback)));
}

static enum outcome outcome_of(const struct task *task, int status)
{
	if (deadline_passed() && !deadline_is_memory())
		return OUTCOME_DEADLINE;
	return status == LUA_ERRMEM || task->rule->gen->alloc.call_refused > 0 ? OUTCOME_MEMORY : OUTCOME_ERROR;
}

static void fail(struct task *task, lua_State *co, int status)
{
	size_t len = 0;
	/* Only a string is looked at: converting anything else could raise. */
	const char *text = lua_type(co, -1) == LUA_TSTRING ? lua_tolstring(co, -1, &len) : NULL;
	struct generation *gen = task->rule->gen;
	task->outcome = outcome_of(task, status);
	if (status == LUA_ERRMEM || !text)
		buf_clear(&gen->traceback);
	if (status == LUA_ERRMEM && gen->alloc.place[0])
		snprintf(gen->place, sizeof gen->place, "%s: ", gen->alloc.place);
	if (!text) {
		text = "error object is not a string";
		len = strlen(text);
	}
	report(task, text, len);
}

/* ---- running ---- */

static int body_ended(lua_State *co, int status, lua_KContext ctx)
{
	struct task *task = (struct task *)ctx;
	if (status == LUA_OK || status == LUA_YIELD)
		task->outcome = OUTCOME_OK;
	else
		fail(task, co, status);
	lua_settop(co, 0);
	return 0;
}

static int body(lua_State *co)
{
	struct task *task = lua_touserdata(co, 1);
	lua_settop(co, 0);
	lua_pushcfunction(co, on_error);
	int args = task->push(co, task, task->push_arg);
	int status = lua_pcallk(co, args, 0, 1, (lua_KContext)task, body_ended);
	return body_ended(co, status, (lua_KContext)task);
}

/* Every entry into Lua goes through here. */
static bool run(struct task *task, int args)
{
	struct rule *rule = task->rule;
	struct generation *gen = rule->gen;
	struct task *before = gen->current;
	struct rule *rule_before = gen->current_rule;
	uint32_t owner_before = gen->alloc.owner;
	int results = 0;

	gen->current = task;
	gen->current_rule = rule;
	gen->alloc.owner = rule->owner;
	buf_clear(&gen->traceback);
	gen->alloc.call_refused = 0;
	gen->alloc.place[0] = '\0';
	gen->alloc.last_stack = 0;
	task->suspending = false;
	struct rule_clock began = rule_begins(rule);
	deadline_begin(task->co, gen->loading ? gen->limits.load_deadline : gen->limits.deadline, gen->limits.stuck, rule->name);
	int status = lua_resume(task->co, gen->L, args, &results);
	if (status != LUA_OK && status != LUA_YIELD) {
		/* The body itself failed: no memory for the arguments, or an error while one was handled. */
		fail(task, task->co, status);
		task->dead = true;
	}
	deadline_end();
	gen->alloc.asked_twice = false;
	rule_ends(rule, began);
	gen->alloc.owner = owner_before;
	gen->current_rule = rule_before;
	gen->current = before;

	if (status == LUA_YIELD) {
		task->suspending = false;
		if (!task->waiting) {
			task->waiting = true;
			list_append(&rule->tasks, &task->of_rule);
			rule->waiting++;
		}
		rule_note_refusals(rule);
		return false;
	}
	if (task->waiting) {
		task->waiting = false;
		list_remove(&task->of_rule);
		rule->waiting--;
	}
	task->inner = NULL;
	rule_note(rule, task->listener, task->outcome);
	task_put_back(task);
	return true;
}

bool task_start(struct task *task, task_push_fn *push, void *arg)
{
	task->push = push;
	task->push_arg = arg;
	/* A light C function and a light pointer: nothing is allocated, nothing can raise. */
	lua_pushcfunction(task->co, body);
	lua_pushlightuserdata(task->co, task);
	return run(task, 1);
}

bool task_resume(struct task *task)
{
	list_remove(&task->in_queue);
	return run(task, 0);
}

void task_wake_later(struct task *task)
{
	list_remove(&task->in_queue);
	list_append(&task->rule->gen->host->wakes, &task->in_queue);
}

void task_check_wait(lua_State *L, const char *what)
{
	struct generation *gen = generation_of(L);
	struct task *task = gen->current;
	if (gen->loading || !task)
		luaL_error(L, "%s cannot wait while the rules are loading: do it in a listener, a timer or a callback", what);
	/* What a coroutine runs while it is closed cannot be left by a yield, though Lua says that it is yieldable. */
	bool can = task->closing == 0 && lua_isyieldable(L) && lua_isyieldable(task->co);
	for (struct own_thread *t = task->inner; t && can; t = t->parent)
		can = lua_isyieldable(t->co);
	if (!can)
		luaL_error(L, "%s cannot wait here: it was called from inside a C function (a comparison, a replacement, a metamethod, coroutine.close)", what);
}

int task_wait(lua_State *L, lua_KFunction k, const char *what)
{
	task_check_wait(L, what);
	struct task *task = generation_of(L)->current;
	task->suspending = true;
	return lua_yieldk(L, 0, (lua_KContext)task, k);
}

/* Takes the task away from what it waits for. */
static void forget_waits(struct task *task)
{
	if (task->request)
		task->request->task = NULL;
	if (task->subscription)
		subscription_forget_task(task->subscription);
	if (task->timer)
		rule_timer_cancel(task->timer);
	task->request = NULL;
	task->subscription = NULL;
	task->timer = NULL;
}

void task_drop(struct task *task)
{
	forget_waits(task);
	task->rule->waiting--;
	task_free(task);
}

void task_close(struct task *task)
{
	struct rule *rule = task->rule;
	struct generation *gen = rule->gen;

	forget_waits(task);
	gen->alloc.call_refused = 0;
	gen->alloc.place[0] = '\0';
	gen->alloc.last_stack = 0;
	task->outcome = OUTCOME_OK;
	struct rule_clock began = rule_begins(rule);
	gen->current = task;
	gen->current_rule = rule;
	gen->alloc.owner = rule->owner;
	buf_clear(&gen->traceback);
	deadline_begin(task->co, gen->limits.deadline, gen->limits.stuck, rule->name);
	task->closing++;
	/* The innermost first, as an error would unwind them. */
	for (struct own_thread *t = task->inner; t; t = t->parent) {
		deadline_switch(t->co);
		lua_resetthread(t->co);
		own_thread_ended(t);
	}
	deadline_switch(task->co);
	int status = lua_resetthread(task->co);
	if (status != LUA_OK)
		fail(task, task->co, status);
	task->closing--;
	deadline_end();
	gen->alloc.asked_twice = false;
	rule_ends(rule, began);
	gen->alloc.owner = 0;
	gen->current_rule = NULL;
	gen->current = NULL;
	rule->waiting--;
	task->dead = true;
	rule_note(rule, task->listener, task->outcome);
	task_put_back(task);
}

void task_close_all(struct generation *gen)
{
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->tasks) {
			struct task *task = list_entry(it, struct task, of_rule);
			forget_waits(task);
			task_free(task);
		}
	list_each_safe(it, &gen->pool)
		task_free(list_entry(it, struct task, in_queue));
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
