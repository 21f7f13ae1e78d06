#include "rules/task.h"

#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/call_clock.h"
#include "rules/hooks.h"
#include "rules/jobs.h"
#include "rules/listener.h"
#include "rules/loading.h"
#include "rules/revive.h"
#include "rules/state.h"
#include "rules/timer.h"
#include "sandbox/deadline.h"
#include "sandbox/stdlib.h"
#include "sandbox/kill.h"

#define POOL_MAX 64u /* idle tasks that a rule keeps */
#define TRACEBACK_MAX 4096u
#define MESSAGE_MAX 1024u
#define DEEP 1000 /* calls within calls: more are a recursion that ran away */
#define DEEP_SHOWN 10

/* ---- the pool ---- */

SANDBOX_FUNCTION(new_thread)
{
	struct task *task = lua_touserdata(L, 1);
	task->co = lua_newthread(L);
	task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

struct task *task_take(struct rule *rule, const char *what)
{
	struct task *task;
	int status = LUA_OK;

	if (rule->dead)
		return NULL;
	if (!list_empty(&rule->pool)) {
		task = list_entry(rule->pool.next, struct task, in_queue);
		list_remove(&task->in_queue);
		rule->pool_count--;
	} else {
		task = rule_charge(rule, sizeof *task) ? mem_zalloc(sizeof *task) : NULL;
		if (task) {
			task->rule = rule;
			list_init(&task->of_rule);
			list_init(&task->in_queue);
			lua_pushcfunction(rule->L, new_thread);
			lua_pushlightuserdata(rule->L, task);
			status = lua_pcall(rule->L, 1, 0, 0);
		}
		if (!task || status != LUA_OK) {
			if (task) {
				lua_pop(rule->L, 1);
				rule_credit(rule, sizeof *task);
				free(task);
			}
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
	if (task->job)
		job_released(task);
	if (task->hook)
		hook_released(task);
	reply_free(&task->reply);
	http_response_free(&task->response);
	if (task->listener)
		listener_end(task->listener);
	task->listener = NULL;
}

static void task_free(struct task *task)
{
	release(task);
	list_remove(&task->in_queue);
	list_remove(&task->of_rule);
	if (!task->rule->closing)
		luaL_unref(task->rule->L, LUA_REGISTRYINDEX, task->ref);
	rule_credit(task->rule, sizeof *task);
	free(task);
}

static void task_put_back(struct task *task)
{
	struct rule *rule = task->rule;
	release(task);
	if (task->dead || rule->pool_count >= POOL_MAX) {
		task_free(task);
		return;
	}
	list_append(&rule->pool, &task->in_queue);
	rule->pool_count++;
}

/* ---- reporting ---- */

/* Errors of C functions that were called by one (`ipairs(nil)` in a for) name no place, and rules may leave it out: keeps that
 * of the first Lua function for the record. The error itself stays as it is, `<close>` variables and pcall see it. */
static void keep_place(lua_State *co, struct rule *rule)
{
	lua_Debug ar;
	const char *text = lua_tostring(co, -1);
	rule->place[0] = '\0';
	if (!text || strstr(text, ".lua:"))
		return;
	for (int level = 1; lua_getstack(co, level, &ar); level++) {
		lua_getinfo(co, "Sl", &ar);
		if (ar.currentline <= 0)
			continue;
		snprintf(rule->place, sizeof rule->place, "%s:%d: ", ar.short_src, ar.currentline);
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
static int report_error(lua_State *co)
{
	struct rule *rule = rule_of(co);
	/* After the deadline no code of the rule may run here: hooks are off while this runs out of one. */
	if (!lua_isstring(co, 1) && !deadline_passed())
		stdlib_tostring(co, 1, NULL);
	else
		lua_pushvalue(co, 1);
	keep_place(co, rule);
	buf_clear(&rule->scratch->traceback);
	if (lua_getstack(co, DEEP, &(lua_Debug){ 0 }))
		trace_top(co, &rule->scratch->traceback);
	else
		trace(co, &rule->scratch->traceback);
	return 1;
}

SANDBOX_FUNCTION(on_error)
{
	return report_error(L);
}

static bool task_is_job(const struct task *task)
{
	return strcmp(task->what, "job") == 0;
}

const char *task_event_name(const struct task *task)
{
	if (strcmp(task->what, "http callback") == 0)
		return "request";
	if (strcmp(task->what, "endpoint") == 0)
		return "endpoint";
	return strcmp(task->what, "callback") == 0 ? "action" : task_is_job(task) ? "queue" : "event";
}

const char *task_id_name(const struct task *task)
{
	return task_is_job(task) ? "job" : strcmp(task->what, "endpoint") == 0 ? "request" : "action_id";
}

/* A file's load has limits of its own: its error names those. */
static void report_load(const struct task *task, const char *error)
{
	static const char over[] = "deadline: ran longer", memory[] = "not enough memory";
	const struct rule *rule = task->rule;
	const char *what = strstr(error, over), *front = strstr(error, ".lua:") ? "" : rule->file;
	const char *colon = *front ? ": " : "";

	if (!what)
		what = strstr(error, memory); /* after its deadline it gets no memory either: the compiler ends by that */
	if (task->outcome == OUTCOME_DEADLINE && what)
		faults_add(rule->loading->faults, "%s%s%.*sdeadline: the file takes too long to load (limits.load_deadline)", front, colon,
		           (int)(what - error), error);
	else
		faults_add(rule->loading->faults, "%s%s%s%s", front, colon, error, strstr(error, memory) ? " (limits.rule_memory)" : "");
}

static void report(struct task *task, const char *text, size_t len)
{
	struct rule *rule = task->rule;
	struct slice message = { text, len < MESSAGE_MAX ? len : MESSAGE_MAX };

	free(rule->last_error);
	rule->last_error = mem_printf("%s%.*s", rule->place, SLICE_ARG(message));
	rule->place[0] = '\0';
	if (rule->loading) {
		report_load(task, rule->last_error);
		return;
	}
	log_write(LOG_ERROR, rule->last_error, F_TEXT("rule", rule->name), F_TEXT("kind", outcome_name(task->outcome)),
	          F_TEXT("in", task->what), F_TEXT("listener", task->listener ? listener_label(task->listener) : NULL),
	          F_TEXT(task_event_name(task), task->event[0] ? task->event : NULL),
	          F_TEXT(task_id_name(task), task->action_id[0] ? task->action_id : NULL),
	          F_TEXT("server", task->server[0] ? task->server : NULL), F_SLICE("traceback", buf_slice(&rule->scratch->traceback)));
}

/* Nothing is asked of Lua: not even in which line it was. */
static void report_kill(struct task *task, double seconds)
{
	struct rule *rule = task->rule;
	free(rule->last_error);
	if (rule->loading) {
		rule->last_error = mem_printf("loading it took %.1f s of CPU time in one instruction, or in the compiler, and was ended (limits.load_stuck)", seconds);
		faults_add(rule->loading->faults, "%s: %s", rule->file, rule->last_error);
		return;
	}
	rule->last_error = mem_printf("a call took %.2f s of CPU time in one instruction, and the rule was killed (limits.stuck)", seconds);
	log_write(LOG_ERROR, "rule killed: a call was stuck in one instruction", F_TEXT("rule", rule->name), F_TEXT("kind", outcome_name(OUTCOME_KILLED)),
	          F_NUMBER("seconds", seconds), F_TEXT("in", task->what),
	          F_TEXT("listener", task->listener ? listener_label(task->listener) : NULL),
	          F_TEXT(task_event_name(task), task->event[0] ? task->event : NULL),
	          F_TEXT(task_id_name(task), task->action_id[0] ? task->action_id : NULL),
	          F_TEXT("server", task->server[0] ? task->server : NULL));
}

static enum outcome outcome_of(const struct task *task, int status)
{
	if (deadline_passed() && !deadline_is_memory())
		return OUTCOME_DEADLINE;
	return status == LUA_ERRMEM || task->rule->arena.call_refused > 0 ? OUTCOME_MEMORY : OUTCOME_ERROR;
}

static void fail(struct task *task, lua_State *co, int status)
{
	size_t len = 0;
	/* Only a string is looked at: converting anything else could raise. */
	const char *text = lua_type(co, -1) == LUA_TSTRING ? lua_tolstring(co, -1, &len) : NULL;
	struct rule *rule = task->rule;
	task->outcome = outcome_of(task, status);
	if (status == LUA_ERRMEM || !text)
		buf_clear(&rule->scratch->traceback);
	if (status == LUA_ERRMEM && rule->refused_at[0])
		snprintf(rule->place, sizeof rule->place, "%s: ", rule->refused_at);
	if (!text) {
		text = "error object is not a string";
		len = strlen(text);
	}
	report(task, text, len);
}

/* ---- running ---- */

static int end_body(lua_State *co, int status, struct task *task)
{
	if (status == LUA_OK || status == LUA_YIELD)
		task->outcome = OUTCOME_OK;
	else
		fail(task, co, status);
	lua_settop(co, 0);
	return 0;
}

SANDBOX_CONTINUATION(body_ended)
{
	return end_body(L, status, (struct task *)ctx);
}

SANDBOX_FUNCTION(body)
{
	struct task *task = lua_touserdata(L, 1);
	lua_settop(L, 0);
	lua_pushcfunction(L, on_error);
	int args = task->push(L, task, task->push_arg);
	return end_body(L, kill_pcallk(L, args, 0, 1, (lua_KContext)task, body_ended), task);
}

static void begin(struct task *task, struct call_clock *began)
{
	struct rule *rule = task->rule;
	rule->current = task;
	buf_clear(&rule->scratch->traceback);
	rule_memory_begins(rule);
	*began = call_clock_begin(rule);
	deadline_begin(task->co, rule->loading ? rule->limits.load_deadline : rule->limits.deadline,
	               rule->loading ? rule->limits.load_stuck : rule->limits.stuck);
}

/* Its Lua state is lost. The task stays among those that wait, until all of the rule is released. */
static void killed(struct task *task, struct call_clock began)
{
	struct rule *rule = task->rule;
	double seconds = deadline_seconds();
	deadline_end_killed();
	arena_call_ended(&rule->arena);
	revive_give_up(rule, "killed");
	call_clock_end(rule, began);
	task->outcome = OUTCOME_KILLED;
	task->dead = true;
	task->inner = NULL;
	if (!task->waiting) {
		task->waiting = true;
		list_append(&rule->tasks, &task->of_rule);
		rule->waiting++;
	}
	report_kill(task, seconds);
	if (task->job && task->closing == 0)
		job_ended(task);
	if (task->hook && task->closing == 0)
		hook_ended(task);
	rule_note(rule, task->listener, OUTCOME_KILLED);
}

struct entry {
	struct task *task;
	int args, status;
};

static void enter(void *arg)
{
	struct entry *e = arg;
	int results = 0;
	e->status = kill_resume(e->task->co, e->task->rule->L, e->args, &results);
}

/* Every entry into the code of a rule goes through here and task_close(). */
static bool run(struct task *task, int args)
{
	struct rule *rule = task->rule;
	struct task *before = rule->current;
	struct entry entry = { .task = task, .args = args };
	struct call_clock began;

	task->suspending = false;
	begin(task, &began);
	bool ended = kill_run(enter, &entry);
	rule->current = before;
	if (!ended) {
		killed(task, began);
		return false;
	}
	int status = entry.status;
	if (status != LUA_OK && status != LUA_YIELD) {
		/* The body itself failed: no memory for the arguments, or an error while one was handled. */
		fail(task, task->co, status);
		task->dead = true;
	}
	deadline_end();
	rule_memory_ends(rule);
	double slow = call_clock_end(rule, began);
	if (slow > 0)
		call_clock_report(task, slow);

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
	if (task->job)
		job_ended(task);
	if (task->hook)
		hook_ended(task);
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
	if (task->rule->dead || !wait_is_over(task))
		return false;
	if (task->limit)
		rule_timer_cancel(task->limit);
	return run(task, 0);
}

void task_wake_later(struct task *task)
{
	list_remove(&task->in_queue);
	list_append(&task->rule->host->wakes, &task->in_queue);
}

void task_check_wait(lua_State *L, const char *what)
{
	struct rule *rule = rule_of(L);
	struct task *task = rule->current;
	if (rule->loading || !task)
		luaL_error(L, "%s cannot wait while the rules are loading: do it in a listener, a timer or a callback", what);
	/* What a coroutine runs while it is closed cannot be left by a yield, though Lua says that it is yieldable. */
	bool can = task->closing == 0 && lua_isyieldable(L) && lua_isyieldable(task->co);
	for (struct own_thread *t = task->inner; t && can; t = t->parent)
		can = lua_isyieldable(t->co);
	if (!can)
		luaL_error(L, "%s cannot wait here: it was called from inside a C function (a comparison, a replacement, a metamethod, coroutine.close)", what);
}

int task_wait(lua_State *L, lua_KFunction k)
{
	struct task *task = rule_of(L)->current;
	task->suspending = true;
	task->limit_passed = false;
	return lua_yieldk(L, 0, (lua_KContext)task->wait, k);
}

void task_drop(struct task *task)
{
	wait_cancel(task);
	task->rule->waiting--;
	task_free(task);
}

static void close_all(void *arg)
{
	struct entry *e = arg;
	struct task *task = e->task;
	/* The innermost first, as an error would unwind them. */
	for (struct own_thread *t = task->inner; t; t = t->parent) {
		deadline_switch(t->co);
		kill_reset_thread(t->co);
		task_thread_ended(t);
	}
	deadline_switch(task->co);
	e->status = kill_reset_thread(task->co);
}

void task_close(struct task *task)
{
	struct rule *rule = task->rule;
	struct entry entry = { .task = task };
	struct call_clock began;

	if (rule->dead) {
		task_drop(task);
		return;
	}
	wait_cancel(task);
	task->outcome = OUTCOME_OK;
	begin(task, &began);
	task->closing++;
	bool ended = kill_run(close_all, &entry);
	rule->current = NULL;
	if (!ended) {
		killed(task, began);
		return;
	}
	if (entry.status != LUA_OK)
		fail(task, task->co, entry.status);
	task->closing--;
	deadline_end();
	rule_memory_ends(rule);
	double slow = call_clock_end(rule, began);
	if (slow > 0)
		call_clock_report(task, slow);
	rule->waiting--;
	task->dead = true;
	rule_note(rule, task->listener, task->outcome);
	task_put_back(task);
}

void task_free_all(struct rule *rule)
{
	list_each_safe(it, &rule->tasks) {
		struct task *task = list_entry(it, struct task, of_rule);
		wait_cancel(task);
		task_free(task);
	}
	task_free_idle(rule);
}

void task_free_idle(struct rule *rule)
{
	list_each_safe(it, &rule->pool)
		task_free(list_entry(it, struct task, in_queue));
	rule->pool_count = 0;
}

void task_thread_ended(struct own_thread *t)
{
	if (t->state != THREAD_DEAD)
		t->rule->thread_count--;
	t->state = THREAD_DEAD;
}

void task_check_live(lua_State *L, const char *what, bool drains)
{
	struct rule *rule = rule_of(L);
	if (rule->loading)
		luaL_error(L, "%s is not possible while the rules are loading: do it in a listener, a timer or a callback", what);
	if (drains && rule->draining)
		luaL_error(L, "%s is not possible any more: newer rules were loaded and these only end what they began", what);
}
