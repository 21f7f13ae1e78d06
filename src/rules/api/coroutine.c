/* `coroutine` for rules: made anew, so that the running thread is always known and waits pass outward. */
#include "sandbox/deadline.h"
#include "rules/api/api.h"
#include "rules/state.h"
#include "rules/task.h"
#include "sandbox/kill.h"

#define CLOSING_MAX 4
#define THREADS_MAX 1000u /* coroutines that one rule may have alive */

/* Runs inside the new coroutine, around the rule's function: a coroutine never dies of an error (on Lua 5.4.4 one that was
 * killed out of a hook keeps its hooks off). Leaves true and the results, or false and the error. */
static int body_ended(lua_State *co, int status, lua_KContext ctx)
{
	(void)ctx;
	bool ok = status == LUA_OK || status == LUA_YIELD;
	if (!ok) {
		lua_copy(co, -1, 2);
		lua_settop(co, 2);
	}
	lua_pushboolean(co, ok);
	lua_replace(co, 1);
	return lua_gettop(co);
}

static int body(lua_State *co)
{
	lua_pushnil(co); /* the verdict's place */
	lua_insert(co, 1);
	int status = lua_pcallk(co, lua_gettop(co) - 2, LUA_MULTRET, 0, 0, body_ended);
	return body_ended(co, status, 0);
}

/* The record of the Lua thread at `index`, or NULL when no rule made it. */
static struct own_thread *own_thread_at(lua_State *L, int index)
{
	if (!lua_isthread(L, index))
		return NULL;
	index = lua_absindex(L, index);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule_of(L)->threads);
	lua_pushvalue(L, index);
	lua_rawget(L, -2);
	struct own_thread *t = lua_touserdata(L, -1);
	lua_pop(L, 2);
	return t;
}

static struct own_thread *check_thread(lua_State *L, int index)
{
	struct own_thread *t = own_thread_at(L, index);
	if (!t || t->rule != rule_of(L))
		luaL_argerror(L, index, "expected a coroutine that this rule made");
	return t;
}

SANDBOX_FUNCTION(thread_gc)
{
	task_thread_ended(lua_touserdata(L, 1));
	return 0;
}

/* At the bound it may be that most are garbage: one collection in a turn finds out. */
static void check_count(lua_State *L, struct rule *rule)
{
	uint64_t turn = rule->host ? rule->host->turn : 0;
	if (rule->thread_count >= THREADS_MAX && rule->threads_collected != turn) {
		rule->threads_collected = turn;
		lua_gc(L, LUA_GCCOLLECT);
	}
	if (rule->thread_count >= THREADS_MAX)
		luaL_error(L, "too many coroutines are alive (%d)", (int)THREADS_MAX);
}

SANDBOX_FUNCTION(co_create)
{
	struct rule *rule = rule_of(L);
	luaL_checktype(L, 1, LUA_TFUNCTION);
	check_count(L, rule);
	lua_State *co = lua_newthread(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->threads);
	lua_pushvalue(L, -2);
	struct own_thread *t = lua_newuserdatauv(L, sizeof *t, 0);
	*t = (struct own_thread){ .co = co, .rule = rule, .state = THREAD_READY };
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.coroutine);
	lua_setmetatable(L, -2);
	t->rule->thread_count++;
	lua_rawset(L, -3);
	lua_pop(L, 1);
	lua_pushcfunction(co, body);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

static int go_on(lua_State *L, struct own_thread *t, int args);

/* The wait inside it is over: the innermost function reads what came from the task. */
SANDBOX_CONTINUATION(after_wait)
{
	(void)status;
	return go_on(L, (struct own_thread *)ctx, 0);
}

/* Runs `t` until it ends, yields, or waits. Leaves its verdict and values on `L`; the number of them is returned. */
static int go_on(lua_State *L, struct own_thread *t, int args)
{
	struct task *task = rule_of(L)->current;
	int count = 0;

	if (t->state != THREAD_RUNNING) {
		t->parent = task->inner;
		task->inner = t;
		t->state = THREAD_RUNNING;
	}
	lua_State *before = deadline_switch(t->co);
	int status = kill_resume(t->co, L, args, &count);
	deadline_switch(before);
	if (status == LUA_YIELD && task->suspending)
		return lua_yieldk(L, 0, (lua_KContext)t, after_wait);

	task->inner = t->parent;
	t->parent = NULL;
	if (status == LUA_YIELD)
		t->state = THREAD_YIELDED;
	else
		task_thread_ended(t);
	deadline_check(L); /* a child's deadline is its parent's too */
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_pushboolean(L, false);
		lua_xmove(t->co, L, 1);
		return 2;
	}
	if (!lua_checkstack(L, count + 1)) {
		lua_pop(t->co, count);
		return luaL_error(L, "too many results of a coroutine");
	}
	if (status == LUA_YIELD) {
		lua_pushboolean(L, true);
		lua_xmove(t->co, L, count);
		return count + 1;
	}
	lua_xmove(t->co, L, count); /* the verdict stands first */
	return count;
}

static int resume(lua_State *L, struct own_thread *t, int args)
{
	if (t->state != THREAD_READY && t->state != THREAD_YIELDED) {
		lua_pushboolean(L, false);
		lua_pushstring(L, t->state == THREAD_DEAD ? "cannot resume dead coroutine" : "cannot resume non-suspended coroutine");
		return 2;
	}
	if (!lua_checkstack(t->co, args)) {
		lua_pushboolean(L, false);
		lua_pushstring(L, "too many arguments to resume");
		return 2;
	}
	lua_xmove(L, t->co, args);
	return go_on(L, t, t->state == THREAD_READY ? args + 1 : args);
}

SANDBOX_FUNCTION(co_resume)
{
	struct own_thread *t = check_thread(L, 1);
	return resume(L, t, lua_gettop(L) - 1);
}

/* Of a wrapped coroutine: its values without the verdict, or its error raised. */
static int wrap_ended(lua_State *L, int count)
{
	int first = lua_gettop(L) - count + 1;
	if (lua_toboolean(L, first))
		return count - 1;
	if (lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int wrap_after_wait(lua_State *L, int status, lua_KContext ctx);

/* As resume(), but a wait inside comes back to wrap_after_wait. */
SANDBOX_FUNCTION(co_wrapped)
{
	int args = lua_gettop(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	struct own_thread *t = own_thread_at(L, -1);
	lua_pop(L, 1);
	if (t->rule != rule_of(L))
		return luaL_error(L, "expected a coroutine that this rule made");
	lua_pushcfunction(L, co_resume);
	lua_insert(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 2);
	kill_callk(L, args + 1, LUA_MULTRET, 0, wrap_after_wait);
	return wrap_ended(L, lua_gettop(L));
}

SANDBOX_CONTINUATION(wrap_after_wait)
{
	(void)status;
	(void)ctx;
	return wrap_ended(L, lua_gettop(L));
}

SANDBOX_FUNCTION(co_wrap)
{
	co_create(L);
	lua_pushcclosure(L, co_wrapped, 1);
	return 1;
}

SANDBOX_FUNCTION(co_yield)
{
	struct task *task = rule_of(L)->current;
	if (!task || !task->inner)
		return luaL_error(L, "a handler cannot yield by itself: use timer.sleep, ami.wait or server:call to wait");
	/* Another thread than the innermost one is being closed: it cannot be left by a yield, though Lua says so. */
	if (L != task->inner->co || !lua_isyieldable(L))
		return luaL_error(L, "attempt to yield across a C-call boundary");
	return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
	struct own_thread *t = check_thread(L, 1);
	const struct task *task = rule_of(L)->current;
	const char *text = "suspended";
	if (t->state == THREAD_DEAD)
		text = "dead";
	else if (t->state == THREAD_RUNNING)
		text = task && task->inner == t ? "running" : "normal";
	lua_pushstring(L, text);
	return 1;
}

static int co_isyieldable(lua_State *L)
{
	struct task *task = rule_of(L)->current;
	lua_pushboolean(L, task && task->inner && L == task->inner->co && lua_isyieldable(L));
	return 1;
}

/* In a handler's own task there is no thread that a rule may hold: an inert token stands for it. */
static int co_running(lua_State *L)
{
	struct task *task = rule_of(L)->current;
	if (task && task->inner) {
		lua_pushthread(L);
		lua_pushboolean(L, false);
	} else {
		lua_pushstring(L, "main");
		lua_pushboolean(L, true);
	}
	return 2;
}

SANDBOX_FUNCTION(co_close)
{
	struct own_thread *t = check_thread(L, 1);
	if (t->state == THREAD_RUNNING)
		return luaL_error(L, "cannot close a running coroutine");
	if (t->state == THREAD_DEAD) { /* never reset one that has failed */
		lua_pushboolean(L, true);
		return 1;
	}
	/* Lua counts the depth of C calls of `t` as it was when it yielded: a chain of closes would overflow the C stack. */
	struct task *task = rule_of(L)->current;
	if (task->closing >= CLOSING_MAX)
		return luaL_error(L, "too many coroutines are being closed, one out of the other (%d)", CLOSING_MAX);
	task_thread_ended(t);
	task->closing++;
	lua_State *before = deadline_switch(t->co);
	int status = kill_reset_thread(t->co);
	deadline_switch(before);
	task->closing--;
	deadline_check(L);
	lua_pushboolean(L, status == LUA_OK);
	if (status == LUA_OK)
		return 1;
	lua_xmove(t->co, L, 1);
	return 2;
}

void coroutine_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg functions[] = {
		{ "create", co_create }, { "resume", co_resume }, { "wrap", co_wrap }, { "yield", co_yield },
		{ "status", co_status }, { "isyieldable", co_isyieldable }, { "running", co_running }, { "close", co_close },
		{ NULL, NULL },
	};
	static const luaL_Reg meta[] = { { "__gc", thread_gc }, { NULL, NULL } };

	rule->meta.coroutine = object_meta(L, "coroutine", meta, NULL);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	rule->threads = luaL_ref(L, LUA_REGISTRYINDEX);
	luaL_newlib(L, functions);
}
