/* `work` for rules: jobs that survive. */
#include <math.h>

#include "base/clock.h"
#include "base/value_pack.h"
#include "rules/api/api.h"
#include "rules/jobs.h"
#include "rules/loading.h"
#include "rules/state.h"
#include "rules/store.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"
#include "value/luavalue.h"

#define SECONDS_MAX (366.0 * 24 * 3600)
#define TRIES_DEFAULT 5
#define BACKOFF_DEFAULT 10
#define NO_FILE "work needs a file for its jobs: persist = { file = \"state.db\" } in the configuration"

/* ---- arguments ---- */

static struct slice check_queue(lua_State *L, int index)
{
	struct slice name;
	name.ptr = luaL_checklstring(L, index, &name.len);
	luaL_argcheck(L, name.len > 0 && name.len <= PERSIST_JOB_NAME_MAX && !memchr(name.ptr, '\0', name.len), index,
	              "a queue's name has 1 to 1024 bytes, none of them NUL");
	return name;
}

/* The value on top of the stack, of the option `name`. */
static double option_number(lua_State *L, const char *name, double least, double most)
{
	double n = lua_tonumber(L, -1);
	if (lua_type(L, -1) != LUA_TNUMBER || !(n >= least && n <= most))
		luaL_error(L, "%s is a number from %f to %f", name, least, most);
	return n;
}

static lua_Integer option_integer(lua_State *L, const char *name, lua_Integer least, lua_Integer most)
{
	int integral = 0;
	lua_Integer n = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &integral) : 0;
	if (!integral || n < least || n > most)
		luaL_error(L, "%s is an integer from %I to %I", name, least, most);
	return n;
}

static const char *option_name(lua_State *L)
{
	return lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
}

/* [options] [fn] from `index` on: where the table is, 0 for none; the function at `*fn`, 0 for none. */
static int find_options(lua_State *L, int index, int *fn)
{
	int options = lua_istable(L, index) ? index : 0;
	int at = lua_isfunction(L, index) ? index : index + 1;
	if (!options && !lua_isnoneornil(L, index) && at != index)
		luaL_argerror(L, index, "options (a table) or a function is expected");
	if (!lua_isnoneornil(L, at) && !lua_isfunction(L, at))
		luaL_argerror(L, at, "a function is expected");
	*fn = lua_isfunction(L, at) ? at : 0;
	if (options)
		luavalue_unproxy(L, options);
	return options;
}

/* ---- what is asked on the loop's thread, also while the rules load ---- */

struct work_request {
	struct rule *rule;
	struct slice queue;
	bool has_file;
	struct persist_queue_stats stats;
};

static void ask(void *arg)
{
	struct work_request *r = arg;
	struct persist *disk = store_disk(r->rule->host ? r->rule->host->store : r->rule->loading->options->store);
	r->has_file = disk != NULL;
	if (disk)
		persist_queue_stats(disk, r->queue, &r->stats);
}

static void ask_safely(lua_State *L, struct work_request *r)
{
	const struct rules_options *o = r->rule->loading ? r->rule->loading->options : NULL;
	if (o && o->on_loop)
		o->on_loop(o->ctx, ask, r);
	else
		ask(r);
	if (!r->has_file)
		luaL_error(L, NO_FILE);
}

/* ---- serving a queue ---- */

/* A number doubles with each failure; a list is used from its front. On top of the stack. */
static void read_backoff(lua_State *L, struct job_terms *terms)
{
	terms->doubles = lua_type(L, -1) == LUA_TNUMBER;
	terms->backoff_count = 0;
	luavalue_unproxy(L, lua_gettop(L));
	if (terms->doubles) {
		terms->backoff[terms->backoff_count++] = option_number(L, "backoff", 0, SECONDS_MAX);
		return;
	}
	if (!lua_istable(L, -1))
		luaL_error(L, "backoff is a number of seconds, or a list of them");
	lua_Unsigned count = lua_rawlen(L, -1);
	if (count < 1 || count > JOB_BACKOFF_MAX)
		luaL_error(L, "backoff is a list of 1 to %d numbers of seconds", JOB_BACKOFF_MAX);
	for (lua_Unsigned i = 1; i <= count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		terms->backoff[terms->backoff_count++] = option_number(L, "each of backoff", 0, SECONDS_MAX);
		lua_pop(L, 1);
	}
}

static void read_terms(lua_State *L, int index, const struct rule *rule, struct job_terms *terms)
{
	*terms = (struct job_terms){ .at_once = 1, .tries = TRIES_DEFAULT, .backoff = { BACKOFF_DEFAULT }, .backoff_count = 1, .doubles = true };
	if (!index)
		return;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = option_name(L);
		if (strcmp(key, "at_once") == 0) {
			if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > rule->limits.waiting)
				luaL_error(L, "at_once is at most %d, the calls of a rule that may wait (limits.waiting)", (int)rule->limits.waiting);
			terms->at_once = (uint32_t)option_integer(L, key, 1, rule->limits.waiting);
		} else if (strcmp(key, "per_second") == 0) {
			terms->per_second = option_number(L, key, 1.0 / 86400, 1e6);
		} else if (strcmp(key, "tries") == 0) {
			terms->tries = (unsigned)option_integer(L, key, 1, PERSIST_JOB_TRIES_MAX);
		} else if (strcmp(key, "backoff") == 0) {
			read_backoff(L, terms);
		} else {
			luaL_error(L, "unknown option '%s' of work.on; there are at_once, per_second, tries and backoff", key);
		}
	}
}

/* Which rule serves a queue is fixed when the rules are loaded, so that a second one fails to load. */
static void claim(lua_State *L, struct rule *rule, struct slice queue)
{
	if (!rule->loading)
		luaL_error(L, "work.on is possible only while the rules are loading: do it at the top of a file");
	if (job_worker_serves(rule, queue))
		luaL_error(L, "work.on: this rule serves the queue '%s' already", queue.ptr);
	if (rule->loading->cache)
		rule_source_add_queue(rule->source, queue);
	else if (!rule_source_serves(rule->source, queue))
		luaL_error(L, "work.on: the rule did not serve the queue '%s' when it was loaded; only a reload can change that", queue.ptr);
}

SANDBOX_FUNCTION(work_on)
{
	struct work_request r = { .rule = rule_of(L), .queue = check_queue(L, 1) };
	struct job_terms terms;
	int fn;
	int options = find_options(L, 2, &fn);
	luaL_argcheck(L, fn, options ? 3 : 2, "a function is expected");
	read_terms(L, options, r.rule, &terms);
	ask_safely(L, &r);
	claim(L, r.rule, r.queue);
	lua_pushvalue(L, fn);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (!job_worker_add(r.rule, r.queue, &terms, ref))
		return luaL_error(L, "no memory left to serve a queue (limits.rule_memory)");
	return 0;
}

/* A copy of what was pushed, with the engine's own fields. */
int work_push_call(lua_State *co, struct task *task, void *fn)
{
	struct rule *rule = task->rule;
	struct value *body = &rule->scratch->values[0];
	struct persist_job job;

	lua_rawgeti(co, LUA_REGISTRYINDEX, *(const int *)fn);
	value_close(body);
	if (!job_of_task(task, &job) || value_unpack(job.body, body) || body->type != VALUE_TABLE)
		return luaL_error(co, "what stands there as a job was not pushed by a rule");
	size_t size = value_size(body);
	if (!rule_charge(rule, size))
		return luaL_error(co, "no memory left for a job of %d bytes (limits.rule_memory)", (int)size);
	rule_credit(rule, size);
	lua_Integer try = job.try;
	lua_Number pushed = rule_wall(rule) - job.age;
	luavalue_push(co, body);
	lua_pushinteger(co, try);
	lua_setfield(co, -2, "try");
	lua_pushnumber(co, pushed);
	lua_setfield(co, -2, "pushed");
	value_close(body);
	return 1;
}

/* ---- pushing ---- */

static void read_id(lua_State *L, struct persist_push *push)
{
	if (lua_type(L, -1) == LUA_TSTRING)
		push->name.ptr = lua_tolstring(L, -1, &push->name.len); /* the options hold it */
	if (push->name.len == 0 || push->name.len > PERSIST_JOB_NAME_MAX || memchr(push->name.ptr, '\0', push->name.len))
		luaL_error(L, "id is a text of 1 to %d bytes, none of them NUL", PERSIST_JOB_NAME_MAX);
}

static void read_push(lua_State *L, int index, const struct rule *rule, struct persist_push *push)
{
	bool delay = false, at = false;
	if (!index)
		return;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = option_name(L);
		if (strcmp(key, "id") == 0) {
			read_id(L, push);
		} else if (strcmp(key, "dedup") == 0) {
			push->dedup = clock_from_seconds(option_number(L, key, 0, SECONDS_MAX));
		} else if (strcmp(key, "delay") == 0) {
			delay = true;
			push->delay = clock_from_seconds(option_number(L, key, 0, SECONDS_MAX));
		} else if (strcmp(key, "at") == 0) {
			double wall = rule_wall(rule), when = option_number(L, key, 0, 1e11) - wall;
			if (when > SECONDS_MAX)
				luaL_error(L, "at is more than a year from now; it is a time as os.time() gives it");
			at = true;
			push->delay = when > 0 ? clock_from_seconds(when) : 0;
		} else if (strcmp(key, "tries") == 0) {
			push->tries = (unsigned)option_integer(L, key, 1, PERSIST_JOB_TRIES_MAX);
		} else if (strcmp(key, "priority") == 0) {
			push->priority = (int)option_integer(L, key, INT32_MIN, INT32_MAX);
		} else {
			luaL_error(L, "unknown option '%s' of work.push; there are id, dedup, delay, at, tries and priority", key);
		}
	}
	if (delay && at)
		luaL_error(L, "a job has a delay or a time (at), not both");
	if (push->dedup > 0 && push->name.len == 0)
		luaL_error(L, "dedup says how long an id counts: give the job an id");
}

/* The job at `index`, packed into the scratch. */
static struct slice read_job(lua_State *L, int index, struct rule *rule)
{
	const struct luavalue_limits limits = { .bytes = rule->limits.job_bytes };
	static const char *const own[] = { "try", "pushed" };
	struct value *job = &rule->scratch->values[0];
	struct buf *packed = &rule->scratch->text;
	struct err err;

	luaL_checktype(L, index, LUA_TTABLE);
	value_close(job);
	if (luavalue_read(L, index, job, &limits, &err)) {
		deadline_check(L);
		luaL_error(L, "job: %s", err.text);
	}
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (value_get(job, slice_cstr(own[i])))
			luaL_error(L, "job: the field '%s' is the engine's; it is set when the job runs", own[i]);
	if (rule->host->ops.pushes)
		rule->host->ops.pushes(rule->host->ctx, rule->name, check_queue(L, 1), job);
	buf_clear(packed);
	value_pack(packed, job);
	value_close(job);
	return buf_slice(packed);
}

SANDBOX_CONTINUATION(push_ended)
{
	struct err err;
	int64_t number;
	(void)status;
	if (job_push_end((struct wait *)ctx, &number, &err))
		return error_push_failure(L, rule_of(L), &err);
	lua_pushinteger(L, number);
	return 1;
}

SANDBOX_FUNCTION(work_push)
{
	struct work_request r = { .rule = rule_of(L), .queue = check_queue(L, 1) };
	struct persist_push push = { .queue = r.queue };
	struct err err;
	int fn;
	task_check_live(L, "work.push", false);
	lua_settop(L, 4);
	int options = find_options(L, 3, &fn);
	read_push(L, options, r.rule, &push);
	ask_safely(L, &r);
	if (!fn)
		task_check_wait(L, "work.push");
	push.body = read_job(L, 2, r.rule);
	if (!fn)
		return job_push_begin(r.rule, &push, r.rule->current, LUA_NOREF, &err) ? error_push_failure(L, r.rule, &err)
		                                                                        : task_wait(L, push_ended);
	lua_pushvalue(L, fn);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (job_push_begin(r.rule, &push, NULL, ref, &err)) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		return error_push_failure(L, r.rule, &err);
	}
	lua_pushboolean(L, true);
	return 1;
}

/* ---- counting ---- */

SANDBOX_FUNCTION(work_stats)
{
	struct work_request r = { .rule = rule_of(L), .queue = check_queue(L, 1) };
	ask_safely(L, &r);
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "waiting", r.stats.waiting }, { "ready", r.stats.ready }, { "running", r.stats.running }, { "dead", r.stats.dead },
		{ "pushed", r.stats.pushed }, { "duplicates", r.stats.duplicates }, { "done", r.stats.done }, { "failed", r.stats.failed },
		{ "died", r.stats.died }, { "dropped", r.stats.dropped },
	};
	lua_createtable(L, 0, 12);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		lua_pushinteger(L, (lua_Integer)fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	lua_pushnumber(L, r.stats.oldest);
	lua_setfield(L, -2, "oldest");
	return 1;
}

void work_open(lua_State *L, struct rule *rule)
{
	(void)rule;
	static const luaL_Reg functions[] = { { "push", work_push }, { "on", work_on }, { "stats", work_stats }, { NULL, NULL } };
	luaL_newlib(L, functions);
}
