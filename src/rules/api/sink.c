/* `sink`: lines to the destinations that the configuration names. */
#include <string.h>

#include "rules/api/api.h"
#include "rules/commit.h"
#include "rules/loading.h"
#include "rules/state.h"
#include "rules/task.h"
#include "value/json.h"
#include "value/luavalue.h"
#include "sandbox/kill.h"

#define TTL_MAX (366.0 * 24 * 3600)

SANDBOX_CONTINUATION(write_ended)
{
	struct err err;
	(void)status;
	if (commit_end((struct wait *)ctx, &err))
		return error_push_failure(L, rule_of(L), &err);
	lua_pushboolean(L, true);
	return 1;
}

/* { ttl =, sync = } at 3. */
static bool read_options(lua_State *L, struct host_line *line)
{
	bool sync = false;
	if (lua_isnoneornil(L, 3))
		return false;
	luaL_checktype(L, 3, LUA_TTABLE);
	luavalue_unproxy(L, 3);
	for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		if (strcmp(key, "ttl") == 0) {
			line->ttl = lua_tonumber(L, -1);
			if (lua_type(L, -1) != LUA_TNUMBER || !(line->ttl > 0) || line->ttl > TTL_MAX)
				luaL_error(L, "ttl is a number of seconds above 0, at most a year");
		} else if (strcmp(key, "sync") == 0) {
			sync = lua_toboolean(L, -1);
		} else {
			luaL_error(L, "unknown option '%s' of write; there are ttl and sync", key);
		}
	}
	return sync;
}

/* -1 with `err`: it cannot be a line. */
static int read_line(lua_State *L, struct rule *rule, struct host_line *line, struct err *err)
{
	buf_clear(&rule->scratch->text);
	line->json = lua_type(L, 2) == LUA_TTABLE;
	if (line->json) {
		if (json_encode(rule->scratch->json, L, 2, &rule->scratch->text, err))
			return -1;
		line->text = buf_slice(&rule->scratch->text);
		return 0;
	}
	line->text.ptr = luaL_checklstring(L, 2, &line->text.len);
	return memchr(line->text.ptr, '\n', line->text.len) ? err_set(err, ERR_INVALID, "a line of a sink holds no line end") : 0;
}

SANDBOX_FUNCTION(sink_write)
{
	struct rule *rule = rule_of(L);
	object_check(L, 1, rule->meta.sink, "a sink");
	struct host_line line = { .ttl = 0 };
	struct slice name;
	struct err err;

	lua_settop(L, 3);
	task_check_live(L, "writing to a sink", false);
	bool sync = read_options(L, &line);
	if (sync)
		task_check_wait(L, "write with sync");
	lua_getiuservalue(L, 1, 1);
	name.ptr = lua_tolstring(L, -1, &name.len);
	if (read_line(L, rule, &line, &err))
		return error_push_failure(L, rule, &err);
	struct commit *commit = sync ? commit_create("a line of a sink, to be on disk") : NULL;
	line.kept = sync ? commit_answered : NULL;
	line.arg = commit;
	if (rule->host->ops.sink(rule->host->ctx, name, &line, &err)) {
		commit_discard(&commit);
		return error_push_failure(L, rule, &err);
	}
	if (sync) {
		commit_await(commit, rule->current);
		return task_wait(L, write_ended);
	}
	lua_pushboolean(L, true);
	return 1;
}

SANDBOX_FUNCTION(sink_open_named)
{
	struct rule *rule = rule_of(L);
	const struct host_ops *ops = rule->host ? &rule->host->ops : rule->loading->options->ops;
	void *ctx = rule->host ? rule->host->ctx : rule->loading->options->ctx;
	struct slice name;
	name.ptr = luaL_checklstring(L, 1, &name.len);
	if (!ops->sink_exists(ctx, name))
		return luaL_error(L, "the configuration has no sink '%s': add sinks = { %s = { file = \"…\" } }, or url", name.ptr, name.ptr);
	if (rule->loading && rule->loading->cache)
		rule_source_add_sink(rule->source, name);
	lua_newuserdatauv(L, 1, 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.sink);
	lua_setmetatable(L, -2);
	return 1;
}

void sink_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = { { NULL, NULL } };
	static const luaL_Reg methods[] = { { "write", sink_write }, { NULL, NULL } };
	static const luaL_Reg functions[] = { { "open", sink_open_named }, { NULL, NULL } };
	rule->meta.sink = object_meta(L, "sink", meta, methods);
	luaL_newlib(L, functions);
}
