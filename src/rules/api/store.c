/* `store` for rules: plain data that survives a reload, or the process too. While the rules load, reads are made on the loop's thread. */
#include "base/clock.h"
#include "value/luavalue.h"
#include "rules/api/api.h"
#include "rules/loading.h"
#include "rules/state.h"
#include "rules/store.h"
#include "rules/commit.h"
#include "rules/store_disk.h"
#include "rules/task.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"

/* The userdata: what it points to outlives every rule. One of the two. */
struct store_handle {
	struct store_space *space;  /* lives as long as the engine */
	struct persist_store *disk; /* survives it */
};

enum store_op { OP_OPEN, OP_GET, OP_SNAPSHOT };

struct store_request {
	enum store_op op;
	struct rule *rule;
	struct slice name;
	bool persistent;
	struct store_handle handle;
	const struct value *key;
	struct value result; /* copied out */
	struct err err;
	int rc;
};

static struct store *store_of(struct rule *rule)
{
	return rule->host ? rule->host->store : rule->loading->options->store;
}

static unsigned owner_of(struct rule *rule)
{
	return store_owner(store_of(rule), slice_cstr(rule->name));
}

static void open_handle(struct store_request *r)
{
	struct store *store = store_of(r->rule);
	if (!r->persistent)
		r->handle.space = store_open(store, owner_of(r->rule), r->name, &r->err);
	else if (store_disk(store))
		r->handle.disk = persist_store_open(store_disk(store), r->name, &r->err);
	else
		err_set(&r->err, ERR_INVALID, "a persistent store needs a file: persist = { file = \"state.db\" } in the configuration");
	r->rc = r->handle.space || r->handle.disk ? 0 : -1;
}

/* Runs where the store may be touched. Copies out, so that nothing of the store is held elsewhere. */
static void perform(void *arg)
{
	struct store_request *r = arg;
	uint64_t now = rule_now(r->rule);
	const struct value *found, *key;
	size_t cursor = 0;

	switch (r->op) {
	case OP_OPEN:
		open_handle(r);
		break;
	case OP_GET:
		if (r->handle.disk) {
			r->rc = store_disk_get(r->handle.disk, r->key, now, &r->result, &r->err);
			break;
		}
		r->rc = store_get(r->handle.space, r->key, now, &found, &r->err);
		if (r->rc == 0 && found)
			r->result = value_copy(found);
		break;
	case OP_SNAPSHOT:
		if (r->handle.disk) {
			r->result = store_disk_snapshot(r->handle.disk, now);
			break;
		}
		r->result = (struct value){ .type = VALUE_TABLE };
		while (store_next(r->handle.space, &cursor, now, &key, &found))
			value_add(&r->result, value_copy(key), value_copy(found));
		break;
	}
}

static void perform_safely(struct rule *rule, struct store_request *request)
{
	request->rule = rule;
	const struct rules_options *o = rule->loading ? rule->loading->options : NULL;
	if (o && o->on_loop)
		o->on_loop(o->ctx, perform, request);
	else
		perform(request);
}

static struct store_handle check_store(lua_State *L, int index)
{
	return *(struct store_handle *)object_check(L, index, rule_of(L)->meta.store, "a store");
}

/* As the layer below knows the rule. */
static unsigned writer_of(struct rule *rule)
{
	return persist_store_writer(store_disk(store_of(rule)), slice_cstr(rule->name));
}

/* A C value on its way through Lua calls that may raise: what an error left of the last one goes here. */
enum { SCRATCH_KEY, SCRATCH_ITEM, SCRATCH_ANSWER };

static struct value *scratch_value(lua_State *L, int which)
{
	struct value *v = &rule_of(L)->scratch->values[which];
	value_close(v);
	return v;
}

static struct value *read_bounded(lua_State *L, int index, int which, const char *what, size_t bytes)
{
	const struct luavalue_limits limits = { .depth = 0, .bytes = bytes };
	struct value *v = scratch_value(L, which);
	struct err err;
	if (luavalue_read(L, index, v, &limits, &err)) {
		deadline_check(L);
		luaL_error(L, "%s: %s", what, err.text);
	}
	return v;
}

static struct value *read_value(lua_State *L, int index)
{
	return read_bounded(L, index, SCRATCH_ITEM, "value", rule_of(L)->limits.store_value);
}

/* Small: what such copies take is outside of Lua until the next collection. */
static struct value *read_key(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TSTRING && lua_rawlen(L, 2) > STORE_KEY_MAX)
		luaL_error(L, "store: a key must have at most %d bytes", STORE_KEY_MAX);
	return read_bounded(L, 2, SCRATCH_KEY, "key", 2 * STORE_KEY_MAX);
}

static uint64_t read_ttl(lua_State *L, int index)
{
	if (lua_isnoneornil(L, index))
		return 0;
	lua_Number ttl = luaL_checknumber(L, index);
	luaL_argcheck(L, ttl > 0, index, "a ttl is a number of seconds above 0");
	uint64_t ns = clock_from_seconds(ttl);
	return ns > 0 ? ns : 1; /* 0 would be none */
}

static int fail(lua_State *L, const struct err *err)
{
	return luaL_error(L, "%s%s", strncmp(err->text, "store: ", 7) == 0 ? "" : "store: ", err->text);
}

/* Pushes the copy `v` and frees it. Both stand in memory for a moment. */
static void push_copy(lua_State *L, struct value *v)
{
	struct rule *rule = rule_of(L);
	size_t size = value_size(v);
	if (!rule_charge(rule, size)) {
		value_close(v);
		luaL_error(L, "store: no memory left for a copy of %d bytes (limits.rule_memory)", (int)size);
	}
	rule_credit(rule, size);
	luavalue_push(L, v);
	value_close(v);
}

SANDBOX_FUNCTION(space_get)
{
	struct rule *rule = rule_of(L);
	struct store_request r = { .op = OP_GET, .handle = check_store(L, 1) };
	lua_settop(L, 3);
	r.key = read_key(L);
	struct value *out = scratch_value(L, SCRATCH_ANSWER);
	perform_safely(rule, &r);
	*out = r.result;
	if (r.rc)
		return fail(L, &r.err);
	if (out->type == VALUE_NIL)
		lua_pushvalue(L, 3);
	else
		push_copy(L, out);
	value_close(out);
	return 1;
}

SANDBOX_FUNCTION(space_set)
{
	struct rule *rule = rule_of(L);
	struct store_handle store = check_store(L, 1);
	struct err err;
	task_check_live(L, "store:set", false);
	luaL_checkany(L, 3);
	uint64_t ttl = read_ttl(L, 4);
	struct value *key = read_key(L);
	struct value *item = read_value(L, 3);
	int rc = store.disk ? store_disk_set(store.disk, writer_of(rule), key, item, ttl, rule_now(rule), &err)
	                    : store_set(store.space, owner_of(rule), key, item, ttl, rule_now(rule), &err);
	if (rc)
		return fail(L, &err);
	return 0;
}

SANDBOX_FUNCTION(space_incr)
{
	struct rule *rule = rule_of(L);
	struct store_handle store = check_store(L, 1);
	struct value by = { .type = VALUE_INT, .integer = 1 }, result;
	struct err err;
	task_check_live(L, "store:incr", false);
	uint64_t ttl = read_ttl(L, 4);
	if (lua_isinteger(L, 3))
		by.integer = lua_tointeger(L, 3);
	else if (!lua_isnoneornil(L, 3))
		by = (struct value){ .type = VALUE_NUMBER, .number = luaL_checknumber(L, 3) };
	struct value *key = read_key(L);
	int rc = store.disk ? store_disk_incr(store.disk, writer_of(rule), key, &by, ttl, rule_now(rule), &result, &err)
	                    : store_incr(store.space, owner_of(rule), key, &by, ttl, rule_now(rule), &result, &err);
	if (rc)
		return fail(L, &err);
	luavalue_push(L, &result);
	return 1;
}

SANDBOX_FUNCTION(space_delete)
{
	struct rule *rule = rule_of(L);
	struct store_handle store = check_store(L, 1);
	struct err err;
	task_check_live(L, "store:delete", false);
	const struct value *key = read_key(L);
	int rc = store.disk ? store_disk_delete(store.disk, key, rule_now(rule), &err)
	                    : store_delete(store.space, key, rule_now(rule), &err);
	if (rc < 0)
		return fail(L, &err);
	lua_pushboolean(L, rc);
	return 1;
}

/* next() over the snapshot's table, which only this closure holds. */
static int snapshot_next(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 2);
	return lua_next(L, 3) ? 2 : 0;
}

SANDBOX_FUNCTION(space_pairs)
{
	struct rule *rule = rule_of(L);
	struct store_request r = { .op = OP_SNAPSHOT, .handle = check_store(L, 1) };
	struct value *out = scratch_value(L, SCRATCH_ANSWER);
	perform_safely(rule, &r);
	*out = r.result;
	push_copy(L, out);
	lua_pushcclosure(L, snapshot_next, 1);
	return 1;
}

SANDBOX_CONTINUATION(sync_ended)
{
	struct err err;
	(void)status;
	if (commit_end((struct wait *)ctx, &err))
		return error_push_failure(L, rule_of(L), &err);
	lua_pushboolean(L, true);
	return 1;
}

SANDBOX_FUNCTION(space_sync)
{
	struct rule *rule = rule_of(L);
	struct store_handle store = check_store(L, 1);
	struct err err;
	luaL_argcheck(L, store.disk, 1, "only a persistent store can be synced");
	task_check_wait(L, "store:sync");
	struct commit *commit = commit_create("the state file, to be written");
	if (persist_sync(store_disk(store_of(rule)), commit_answered, commit, &err)) {
		commit_discard(&commit);
		return error_push_failure(L, rule, &err);
	}
	commit_await(commit, rule->current);
	return task_wait(L, sync_ended);
}

/* The options at 2: the only one there is. */
static bool read_persistent(lua_State *L)
{
	if (lua_isnoneornil(L, 2))
		return false;
	luaL_checktype(L, 2, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
		if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "persistent") != 0)
			luaL_argerror(L, 2, "the only option is persistent = true");
	lua_pushliteral(L, "persistent");
	lua_rawget(L, 2);
	luaL_argcheck(L, lua_isnil(L, -1) || lua_isboolean(L, -1), 2, "persistent must be true or false");
	bool persistent = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return persistent;
}

SANDBOX_FUNCTION(store_open_named)
{
	struct rule *rule = rule_of(L);
	struct store_request r = { .op = OP_OPEN };
	r.name.ptr = luaL_checklstring(L, 1, &r.name.len);
	r.persistent = read_persistent(L);
	struct store_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
	perform_safely(rule, &r);
	if (r.rc)
		return fail(L, &r.err);
	*h = r.handle;
	if (rule->loading)
		rule_source_add_store(rule->source, r.name, r.persistent);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.store);
	lua_setmetatable(L, -2);
	return 1;
}

void store_open_table(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = { { "__pairs", space_pairs }, { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "get", space_get }, { "set", space_set }, { "incr", space_incr }, { "delete", space_delete },
		{ "sync", space_sync }, { NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "open", store_open_named }, { NULL, NULL } };
	rule->meta.store = object_meta(L, "store", meta, methods);
	luaL_newlib(L, functions);
}
