#include "harness/module_ami.h"

#include "ami/catalogue.h"
#include "ami/event_mask.h"
#include "harness/module.h"
#include "harness/module_values.h"

static int catalogue_lua_action(lua_State *L)
{
	static const struct {
		const char *name;
		unsigned flag;
	} flags[] = {
		{ "known", ACTION_KNOWN }, { "guarded", ACTION_GUARDED }, { "own", ACTION_OWN }, { "holds_line", ACTION_HOLDS_LINE },
		{ "empty_as_error", ACTION_EMPTY_AS_ERROR }, { "text", ACTION_TEXT }, { "no_answer", ACTION_NO_ANSWER },
		{ "functions", ACTION_FUNCTIONS },
	};
	const struct action_info *info = catalogue_action(check_slice(L, 1));
	if (!info)
		return 0;
	lua_createtable(L, 0, 11);
	set_slice(L, "name", slice_cstr(info->name));
	if (info->terminal)
		set_slice(L, "terminal", slice_cstr(info->terminal));
	set_boolean(L, "list_before_13", info->list_before_13);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		set_boolean(L, flags[i].name, info->flags & flags[i].flag);
	return 1;
}

static int catalogue_lua_event(lua_State *L)
{
	lua_pushboolean(L, catalogue_event(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_event_classes(lua_State *L)
{
	lua_pushinteger(L, catalogue_event_classes(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_events_classes(lua_State *L)
{
	lua_pushinteger(L, catalogue_events_classes(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_function_harmless(lua_State *L)
{
	lua_pushboolean(L, catalogue_function_harmless(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_nearest_action(lua_State *L)
{
	lua_pushstring(L, catalogue_nearest_action(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_nearest_event(lua_State *L)
{
	lua_pushstring(L, catalogue_nearest_event(check_slice(L, 1)));
	return 1;
}

static int catalogue_lua_ami_version(lua_State *L)
{
	lua_pushinteger(L, catalogue_ami_version(check_slice(L, 1)));
	return 1;
}

static int event_mask_lua_hears(lua_State *L)
{
	lua_pushboolean(L, event_mask_hears(check_slice(L, 1), check_slice(L, 2)));
	return 1;
}

static int event_mask_lua_unknown(lua_State *L)
{
	struct slice word;
	if (!event_mask_unknown(check_slice(L, 1), &word))
		return 0;
	push_slice(L, word);
	return 1;
}

static int event_mask_lua_write(lua_State *L)
{
	char mask[EVENT_MASK_TEXT];
	event_mask_write((uint32_t)luaL_checkinteger(L, 1), lua_toboolean(L, 2), mask);
	lua_pushstring(L, mask);
	return 1;
}

void ami_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	if (methods) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
	}
	lua_pop(L, 1);
}

void ami_add_functions(lua_State *L, const char *name, const luaL_Reg *functions)
{
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_setfield(L, -2, name);
}

int module_open_ami(lua_State *L)
{
	static const luaL_Reg catalogue_functions[] = {
		{ "action", catalogue_lua_action }, { "event", catalogue_lua_event },
		{ "event_classes", catalogue_lua_event_classes }, { "events_classes", catalogue_lua_events_classes },
		{ "function_harmless", catalogue_lua_function_harmless }, { "nearest_action", catalogue_lua_nearest_action },
		{ "nearest_event", catalogue_lua_nearest_event }, { "ami_version", catalogue_lua_ami_version }, { NULL, NULL },
	};

	static const luaL_Reg event_mask_functions[] = { { "hears", event_mask_lua_hears }, { "unknown", event_mask_lua_unknown },
		{ "write", event_mask_lua_write }, { NULL, NULL } };

	lua_newtable(L);
	ami_open_message(L);
	ami_open_action(L);
	ami_open_pending(L);
	ami_add_functions(L, "catalogue", catalogue_functions);
	ami_add_functions(L, "event_mask", event_mask_functions);
	return 1;
}
