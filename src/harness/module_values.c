#include "harness/module_values.h"

#include <lauxlib.h>

struct slice check_slice(lua_State *L, int index)
{
	size_t len;
	const char *text = luaL_checklstring(L, index, &len);
	return slice_make(text, len);
}

uint64_t option_integer(lua_State *L, int index, const char *key, uint64_t otherwise)
{
	if (lua_isnoneornil(L, index))
		return otherwise;
	lua_getfield(L, index, key);
	uint64_t n = lua_isnil(L, -1) ? otherwise : (uint64_t)luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return n;
}

bool option_set(lua_State *L, int index, const char *key)
{
	if (lua_isnoneornil(L, index))
		return false;
	lua_getfield(L, index, key);
	bool set = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return set;
}

void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.len > 0 ? s.ptr : "", s.len);
}

int push_error(lua_State *L, const struct err *err)
{
	lua_pushnil(L);
	lua_pushstring(L, err_name(err->code));
	lua_pushstring(L, err->text);
	return 3;
}

void set_slice(lua_State *L, const char *key, struct slice s)
{
	push_slice(L, s);
	lua_setfield(L, -2, key);
}

void set_text(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

void set_integer(lua_State *L, const char *key, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, key);
}

void set_number(lua_State *L, const char *key, double n)
{
	lua_pushnumber(L, n);
	lua_setfield(L, -2, key);
}

void set_boolean(lua_State *L, const char *key, bool b)
{
	lua_pushboolean(L, b);
	lua_setfield(L, -2, key);
}
