#include "harness/module_ami.h"

#include "harness/module_values.h"

#define SCRATCH "hookswitch.scratch"

static int scratch_lua_gc(lua_State *L)
{
	struct scratch *scratch = luaL_checkudata(L, 1, SCRATCH);
	action_close(&scratch->action);
	buf_close(&scratch->out);
	return 0;
}

struct scratch *new_scratch(lua_State *L, size_t max)
{
	struct scratch *scratch = lua_newuserdatauv(L, sizeof *scratch, 0);
	action_init(&scratch->action);
	buf_init(&scratch->out, max);
	luaL_setmetatable(L, SCRATCH);
	return scratch;
}

/* Adds the header whose name is at -2 and whose value is at -1. */
static int add_field(lua_State *L, struct action *action, struct err *err)
{
	struct slice name;
	name.ptr = luaL_checklstring(L, -2, &name.len);
	if (!lua_istable(L, -1)) {
		struct slice value;
		value.ptr = luaL_checklstring(L, -1, &value.len);
		return action_add(action, name, value, err);
	}
	int parts = lua_gettop(L), rc = 0;
	lua_Integer count = luaL_len(L, parts);
	for (lua_Integer i = 1; i <= count && rc == 0; i++) {
		struct slice variable, value;
		lua_geti(L, parts, i);
		lua_geti(L, -1, 1);
		lua_geti(L, -2, 2);
		variable.ptr = luaL_checklstring(L, -2, &variable.len);
		value.ptr = luaL_checklstring(L, -1, &value.len);
		rc = action_add_variable(action, variable, value, err);
		lua_pop(L, 3);
	}
	return rc;
}

int read_action(lua_State *L, int index, struct action *action, struct err *err)
{
	luaL_checktype(L, index, LUA_TTABLE);
	lua_Integer count = luaL_len(L, index);
	int rc = 0;

	for (lua_Integer i = 1; i <= count && rc == 0; i++) {
		lua_geti(L, index, i);
		lua_geti(L, -1, 1);
		lua_geti(L, -2, 2);
		rc = add_field(L, action, err);
		lua_pop(L, 3);
	}
	if (count > 0)
		return rc;
	lua_pushnil(L);
	while (rc == 0 && lua_next(L, index)) {
		luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, index, "header names are strings");
		rc = add_field(L, action, err);
		lua_pop(L, 1);
	}
	return rc;
}

static int action_lua_serialize(lua_State *L)
{
	struct err err = { 0 };
	struct slice id = lua_isnoneornil(L, 2) ? slice_make("", 0) : check_slice(L, 2);
	struct scratch *scratch = new_scratch(L, (size_t)luaL_optinteger(L, 3, 0));
	if (read_action(L, 1, &scratch->action, &err) || action_write(&scratch->action, id, &scratch->out, &err))
		return push_error(L, &err);
	push_slice(L, buf_slice(&scratch->out));
	return 1;
}

void ami_open_action(lua_State *L)
{
	static const luaL_Reg action_functions[] = { { "serialize", action_lua_serialize }, { NULL, NULL } };

	ami_make_type(L, SCRATCH, NULL, scratch_lua_gc);
	ami_add_functions(L, "action", action_functions);
}
