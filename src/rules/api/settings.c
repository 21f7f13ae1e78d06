/* `settings`: the rule's own section of the configuration over its defaults, read-only. */
#include <stdio.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/loading.h"
#include "sandbox/stdlib.h"
#include "value/luavalue.h"
#include "sandbox/kill.h"

/* ---- read-only proxies ---- */

static void push_proxy(lua_State *L);

static int proxy_index(lua_State *L)
{
	lua_settop(L, 2);
	lua_gettable(L, lua_upvalueindex(1));
	push_proxy(L);
	return 1;
}

static int proxy_newindex(lua_State *L)
{
	return luaL_error(L, "the settings are read-only");
}

static int proxy_len(lua_State *L)
{
	lua_pushinteger(L, luaL_len(L, lua_upvalueindex(1)));
	return 1;
}

static int proxy_next(lua_State *L)
{
	lua_settop(L, 2);
	if (!lua_next(L, lua_upvalueindex(1)))
		return 0;
	push_proxy(L);
	return 2;
}

static int proxy_pairs(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, proxy_next, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int proxy_called(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return lua_gettop(L);
}

static int proxy_call(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_replace(L, 1);
	lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, proxy_called); /* what it calls may wait */
	return lua_gettop(L);
}

/* Replaces a table on top of the stack by its read-only proxy, always the same one for the same table. Tables inside it are
 * given out as proxies too. Anything else stays. */
static void push_proxy(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__index", proxy_index }, { "__newindex", proxy_newindex }, { "__len", proxy_len },
		{ "__pairs", proxy_pairs }, { "__call", proxy_call }, { NULL, NULL },
	};
	struct rule *rule = rule_of(L);
	if (!lua_istable(L, -1))
		return;
	luaL_checkstack(L, 8, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->proxies);
	lua_pushvalue(L, -2);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L); /* the proxy */
		lua_newtable(L); /* its metatable */
		lua_pushvalue(L, -4);
		luaL_setfuncs(L, meta, 1);
		stdlib_mark_sealed(L); /* rawset would put a field over what is read */
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
		lua_pushvalue(L, -4);
		lua_rawsetp(L, -2, &luavalue_proxy);
		lua_setmetatable(L, -2);
		lua_pushvalue(L, -3);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
		/* A proxy is its own proxy. */
		lua_pushvalue(L, -1);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
}

/* ---- settings ---- */

static const char *kind_of(lua_State *L, int index)
{
	int type = lua_type(L, index);
	return lua_typename(L, type);
}

/* A table whose keys are options of its own, not a list that is replaced whole. */
static bool has_options(lua_State *L, int index)
{
	bool any = false;
	index = lua_absindex(L, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		any = true;
		if (lua_type(L, -2) != LUA_TSTRING) {
			lua_pop(L, 2);
			return false;
		}
	}
	return any;
}

/* Puts the section over the defaults at the top of the stack; `path` for error texts. */
static void overlay(lua_State *L, const struct value *section, const char *path)
{
	for (size_t i = 0; i < section->table.count; i++) {
		const struct value_pair *pair = &section->table.pairs[i];
		if (pair->key.type != VALUE_TEXT)
			luaL_error(L, "%s: an option's name is a string", path);
		lua_pushfstring(L, "%s.%s", path, pair->key.text.bytes);
		const char *full = lua_tostring(L, -1);
		int type = lua_getfield(L, -2, pair->key.text.bytes);
		if (type == LUA_TNIL)
			luaL_error(L, "%s: unknown option: the rule's settings() does not name it", full);
		luavalue_push(L, &pair->value);
		if (lua_type(L, -1) != type)
			luaL_error(L, "%s: a %s is expected, not a %s", full, kind_of(L, -2), kind_of(L, -1));
		if (type == LUA_TTABLE && has_options(L, -2)) {
			lua_pop(L, 1);
			overlay(L, &pair->value, full);
			lua_pop(L, 2); /* the table stands where it stood */
			continue;
		}
		lua_setfield(L, -4, pair->key.text.bytes);
		lua_pop(L, 2);
	}
}

/* A copy of the plain table at `index`, so that the rule's own defaults stay. */
static void copy_table(lua_State *L, int index)
{
	struct err err;
	struct value *copy = &rule_of(L)->scratch->values[0];
	value_close(copy);
	if (luavalue_read(L, index, copy, NULL, &err))
		luaL_error(L, "settings: %s", err.text);
	luavalue_push(L, copy);
	value_close(copy);
}

SANDBOX_FUNCTION(settings)
{
	struct rule *rule = rule_of(L);
	/* A module has its own section, under the name that it is required by. */
	const char *name = rule->module ? rule->module : rule->name;
	const struct value *all = rule->loading && rule->loading->cache ? rule->loading->options->settings : NULL;
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstack(L, 40, NULL);
	const struct value *section = rule_source_settings(rule->source, all, name);
	copy_table(L, 1);
	if (section) {
		char path[RULE_NAME_MAX + 16];
		snprintf(path, sizeof path, "rules.%s", name);
		overlay(L, section, path);
	}
	push_proxy(L);
	return 1;
}

void settings_open(lua_State *L)
{
	lua_pushcfunction(L, settings);
	lua_setfield(L, -2, "settings");
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	rule_of(L)->proxies = luaL_ref(L, LUA_REGISTRYINDEX);
}
