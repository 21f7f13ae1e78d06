/* `require`, and how the files of a rule are run: each in an environment of its own, once for each rule. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/api/live.h"
#include "rules/loading.h"
#include "sandbox/chunk.h"
#include "sandbox/kill.h"
#include "sandbox/stdlib.h"

/* Compiles the text at `path` and runs it in an environment of its own; what it returned stands under `shown` in the rule's
 * modules, true when it returned nothing. */
static void run_text(lua_State *L, struct rule *rule, const char *shown, struct slice text)
{
	char chunk[256]; /* Lua itself shortens what it shows, at the front */
	snprintf(chunk, sizeof chunk, "@%s", shown);
	int was = kill_allow();
	int status = chunk_load(L, text, chunk);
	kill_restore(was);
	if (status != LUA_OK)
		lua_error(L);
	wants_read(&rule->wants, text);
	lua_newtable(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->environment);
	lua_setmetatable(L, -2);
	lua_setupvalue(L, -2, 1);
	kill_call(L, 0, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, true);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->modules);
	lua_insert(L, -2);
	lua_setfield(L, -2, shown);
	lua_pop(L, 1);
}

SANDBOX_FUNCTION(run_main)
{
	struct rule *rule = lua_touserdata(L, 1);
	struct slice text;
	struct err err;
	bool found;

	if (rule_source_read(rule->source, rule->loading->cache, rule_source_path(rule->source), &found, &text, &err))
		return luaL_error(L, "%s: %s", rule->file, err.text);
	if (!found)
		return luaL_error(L, "%s: is gone", rule->file);
	run_text(L, rule, rule->file, text);
	return 0;
}

int require_run_main(lua_State *L)
{
	return run_main(L);
}

static bool is_module_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return name.len > 0 && name.len < RULE_NAME_MAX;
}

/* Pushes what the module `shown` returned. False, and nothing pushed, when it was not required yet. */
static bool push_module(lua_State *L, struct rule *rule, const char *shown, const char *name)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->modules);
	int type = lua_getfield(L, -1, shown);
	lua_remove(L, -2);
	if (type == LUA_TNIL)
		lua_pop(L, 1);
	else if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)) /* it is being run */
		luaL_error(L, "require \"%s\": it requires itself", name);
	return type != LUA_TNIL;
}

/* A module's text on its way through a protected call. */
struct module {
	const char *shown;
	struct slice text;
};

SANDBOX_FUNCTION(run_protected)
{
	const struct module *module = lua_touserdata(L, 1);
	run_text(L, rule_of(L), module->shown, module->text);
	return 0;
}

static void mark(lua_State *L, struct rule *rule, const char *shown, bool running)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->modules);
	if (running)
		lua_pushboolean(L, false);
	else
		lua_pushnil(L);
	lua_setfield(L, -2, shown);
	lua_pop(L, 1);
}

/* Runs the module for the first time in this rule. While it runs, `false` stands for what it will return. */
static void run_module(lua_State *L, struct rule *rule, const char *owner, struct module *module)
{
	const char *before = rule->module;
	mark(L, rule, module->shown, true);
	rule->module = owner;
	lua_pushcfunction(L, run_protected);
	lua_pushlightuserdata(L, module);
	int status = kill_pcall(L, 1, 0, 0);
	rule->module = before;
	if (status == LUA_OK)
		return;
	mark(L, rule, module->shown, false);
	lua_error(L);
}

/* Looks in one of the two folders. Pushes the module and returns true when it is there. */
static bool find_module(lua_State *L, struct rule *rule, const char *folder, const char *folder_shown, const char *prefix, const char *name)
{
	struct module module;
	struct err err;
	bool found;

	const char *shown = lua_pushfstring(L, "%s/%s.lua", folder_shown, name);
	const char *path = lua_pushfstring(L, "%s/%s.lua", folder, name);
	const char *owner = lua_pushfstring(L, "%s%s", prefix, name);
	if (push_module(L, rule, shown, name))
		return true;
	module.shown = shown;
	if (rule_source_read(rule->source, rule->loading->cache, path, &found, &module.text, &err))
		luaL_error(L, "require \"%s\": %s %s", name, shown, err.text);
	if (!found)
		return false;
	run_module(L, rule, owner, &module);
	return push_module(L, rule, shown, name);
}

SANDBOX_FUNCTION(require)
{
	struct rule *rule = rule_of(L);
	const struct loading *loading = rule->loading;
	struct slice name;
	name.ptr = luaL_checklstring(L, 1, &name.len);
	if (!is_module_name(name))
		return luaL_error(L, "require \"%s\": a module's name has letters, digits, '_' and '-' only", name.ptr);
	luaL_checkstack(L, 20, NULL);
	if (!loading) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, rule->names);
		if (lua_getfield(L, -1, name.ptr) == LUA_TNIL)
			return luaL_error(L, "require \"%s\": modules are read while the rules load; require it at the top of the file", name.ptr);
		return 1;
	}
	if (!find_module(L, rule, loading->options->rules, loading->rules_shown, "", name.ptr) &&
	    !find_module(L, rule, loading->options->lib, loading->lib_shown, "lib/", name.ptr))
		return luaL_error(L, "require \"%s\": there is no %s/%s.lua and no %s/%s.lua", name.ptr, loading->rules_shown, name.ptr,
		                  loading->lib_shown, name.ptr);
	/* Known by its short name too, for a require in a listener. */
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->names);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, name.ptr);
	lua_pop(L, 1);
	return 1;
}

const char *require_where(lua_State *L)
{
	const struct rule *rule = rule_of(L);
	lua_Debug ar;
	/* A tail call has left no line. */
	if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
		return lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
	return lua_pushstring(L, rule->file);
}

static int undefined_global(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TSTRING && library_open_late(L, lua_tostring(L, 2))) {
		lua_pushvalue(L, 2);
		lua_pushvalue(L, -2);
		lua_rawset(L, 1);
		return 1;
	}
	return luaL_error(L, "undefined global '%s'", lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

void require_open(lua_State *L)
{
	struct rule *rule = rule_of(L);
	lua_pushcfunction(L, require);
	lua_setfield(L, -2, "require");
	/* The libraries, then, for what is not there, an error that names it. */
	lua_newtable(L);
	lua_pushcfunction(L, undefined_global);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);

	lua_newtable(L);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	rule->environment = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	rule->modules = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	rule->names = luaL_ref(L, LUA_REGISTRYINDEX);
}
