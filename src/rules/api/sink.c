/* `sink`: lines to the destinations that the configuration names. */
#include "rules/api/api.h"
#include "rules/loading.h"
#include "rules/state.h"
#include "rules/task.h"
#include "value/json.h"
#include "sandbox/kill.h"

SANDBOX_FUNCTION(sink_write)
{
	struct rule *rule = rule_of(L);
	object_check(L, 1, rule->meta.sink, "a sink");
	struct slice name, line;
	struct err err;

	lua_settop(L, 2);
	task_check_live(L, "writing to a sink", false);
	lua_getiuservalue(L, 1, 1);
	name.ptr = lua_tolstring(L, -1, &name.len);
	buf_clear(&rule->scratch->text);
	if (lua_type(L, 2) == LUA_TTABLE) {
		if (json_encode(rule->scratch->json, L, 2, &rule->scratch->text, &err))
			return error_push_failure(L, rule, &err);
		line = buf_slice(&rule->scratch->text);
	} else {
		line.ptr = luaL_checklstring(L, 2, &line.len);
		if (memchr(line.ptr, '\n', line.len)) {
			err_set(&err, ERR_INVALID, "a line of a sink holds no line end");
			return error_push_failure(L, rule, &err);
		}
	}
	if (rule->host->ops.sink(rule->host->ctx, name, line, &err))
		return error_push_failure(L, rule, &err);
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
		return luaL_error(L, "the configuration has no sink '%s': add sinks = { %s = { file = \"…\" } }", name.ptr, name.ptr);
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
