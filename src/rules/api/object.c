/* Metatables of the objects that rules hold. */
#include "rules/api/api.h"

int object_meta(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
	lua_newtable(L);
	luaL_setfuncs(L, meta, 0);
	if (methods) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
	}
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	/* getmetatable() gives false, setmetatable() refuses. */
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

void *object_test(lua_State *L, int index, int meta)
{
	void *object = lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
	if (!object || !lua_getmetatable(L, index))
		return NULL;
	lua_rawgeti(L, LUA_REGISTRYINDEX, meta);
	bool same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same ? object : NULL;
}

void *object_check(lua_State *L, int index, int meta, const char *what)
{
	void *object = object_test(L, index, meta);
	if (!object)
		luaL_error(L, "%s is expected as argument %d, not a %s (a method is called with a colon)", what, index, luaL_typename(L, index));
	return object;
}
