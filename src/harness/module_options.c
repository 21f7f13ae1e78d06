#include "harness/module_options.h"

#include <stddef.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/mem.h"
#include "value/luavalue.h"
#include "harness/module_values.h"

static void replace(char **text, struct slice by)
{
	free(*text);
	*text = mem_slicedup(by);
}

static void read_limits(lua_State *L, int index, struct rule_limits *limits)
{
	static const struct {
		const char *name;
		size_t offset, size;
		bool whole;
	} known[] = {
#define LIMIT(field, type, least, greatest, value, unit, whose, help) \
	{ #field, offsetof(struct rule_limits, field), sizeof(type), _Generic((type)0, double: false, default: true) },
		RULE_LIMITS(LIMIT)
#undef LIMIT
		{ "drain", offsetof(struct rule_limits, drain), sizeof(double), false },
	};
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		size_t i = 0, count = sizeof known / sizeof *known;
		while (i < count && strcmp(known[i].name, key) != 0)
			i++;
		if (i == count)
			luaL_error(L, "limits: unknown limit '%s'", key);
		double n = luaL_checknumber(L, -1);
		luaL_argcheck(L, n >= 0, index, "a limit is not negative");
		char *at = (char *)limits + known[i].offset;
		if (!known[i].whole)
			memcpy(at, &n, sizeof n);
		else if (known[i].size == sizeof(uint32_t))
			memcpy(at, &(uint32_t){ (uint32_t)n }, sizeof(uint32_t));
		else
			memcpy(at, &(size_t){ (size_t)n }, sizeof(size_t));
	}
}

typedef void policy_add_fn(struct policy *policy, const char *rule, const char *name);

static void read_policy_list(lua_State *L, const char *key, policy_add_fn *add, struct policy *policy, const char *rule)
{
	if (lua_getfield(L, -1, key) != LUA_TNIL) {
		luaL_checktype(L, -1, LUA_TTABLE);
		for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
			add(policy, rule, luaL_checkstring(L, -1));
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void read_policy_urls(lua_State *L, struct http_policy *policy, const char *rule)
{
	struct err err;
	if (lua_getfield(L, -1, "http") != LUA_TNIL) {
		luaL_checktype(L, -1, LUA_TTABLE);
		for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
			if (http_policy_allow(policy, rule, check_slice(L, -1), &err))
				luaL_error(L, "policy: http: item %d: %s", (int)i, err.text);
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

/* { allow, deny, originate, http } for all rules, and the same under the name of a rule in `rules`; as in the configuration. */
static void read_policy(lua_State *L, int index, struct policy *policy, struct http_policy *http)
{
	const char *rule = "*";
	lua_pushvalue(L, index);
	read_policy_list(L, "allow", policy_allow, policy, rule);
	read_policy_list(L, "deny", policy_deny, policy, rule);
	read_policy_list(L, "originate", policy_originate, policy, rule);
	read_policy_urls(L, http, rule);
	if (lua_getfield(L, -1, "rules") == LUA_TTABLE)
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
			luaL_checktype(L, -1, LUA_TTABLE);
			rule = luaL_checkstring(L, -2);
			read_policy_list(L, "allow", policy_allow, policy, rule);
			read_policy_list(L, "deny", policy_deny, policy, rule);
			read_policy_list(L, "originate", policy_originate, policy, rule);
			read_policy_urls(L, http, rule);
		}
	lua_pop(L, 2);
}

static void read_names(lua_State *L, struct harness *h, void (*add)(struct harness *h, struct slice name))
{
	luaL_checktype(L, -1, LUA_TTABLE);
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
		add(h, check_slice(L, -1));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void add_sink(struct harness *h, struct slice name)
{
	h->sinks = mem_realloc(h->sinks, h->sink_count + 1, sizeof *h->sinks);
	h->sinks[h->sink_count++] = mem_slicedup(name);
}

static void add_server(struct harness *h, struct slice name)
{
	if (!harness_find_server(h, name))
		harness_add_server(h, name);
}

void options_read(lua_State *L, int index, struct harness *h)
{
	struct err err;
	luaL_checktype(L, index, LUA_TTABLE);
	luaL_checkstack(L, 20, NULL);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		int at = lua_gettop(L);
		if (strcmp(key, "rules") == 0) {
			replace(&h->rules, check_slice(L, at));
		} else if (strcmp(key, "lib") == 0) {
			replace(&h->lib, check_slice(L, at));
		} else if (strcmp(key, "servers") == 0) {
			read_names(L, h, add_server);
		} else if (strcmp(key, "sinks") == 0) {
			read_names(L, h, add_sink);
		} else if (strcmp(key, "limits") == 0) {
			luaL_checktype(L, at, LUA_TTABLE);
			read_limits(L, at, &h->limits);
		} else if (strcmp(key, "settings") == 0) {
			luaL_checktype(L, at, LUA_TTABLE);
			value_close(&h->settings);
			if (luavalue_read(L, at, &h->settings, NULL, &err))
				luaL_error(L, "settings: %s", err.text);
		} else if (strcmp(key, "policy") == 0) {
			luaL_checktype(L, at, LUA_TTABLE);
			policy_unref(&h->policy);
			h->policy = policy_create();
			http_policy_destroy(&h->http_policy);
			h->http_policy = http_policy_create();
			read_policy(L, at, h->policy, h->http_policy);
		} else if (strcmp(key, "all") == 0) {
			h->reload_all = lua_toboolean(L, at);
		} else {
			luaL_error(L, "unknown option '%s' of a harness", key);
		}
		lua_settop(L, at);
	}
}
