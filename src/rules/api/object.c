/* Metatables of the objects that rules hold. */
#include "rules/api/api.h"

/* Where Lua looks for the name of a function that was called without one: through pcall, or in a tail call. */
static void push_names(lua_State *L)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

void object_name_libraries(lua_State *L)
{
	int globals = lua_gettop(L);
	luaL_checkstack(L, 8, NULL);
	push_names(L);
	lua_pushvalue(L, globals);
	lua_setfield(L, -2, LUA_GNAME);
	for (lua_pushnil(L); lua_next(L, globals);) {
		/* What a sealed library reads from. */
		if (lua_istable(L, -1) && luaL_getmetafield(L, -1, "__index") == LUA_TTABLE) {
			lua_pushvalue(L, -3);
			lua_insert(L, -2);
			lua_rawset(L, globals + 1);
		}
		lua_settop(L, globals + 2);
	}
	lua_settop(L, globals);
}

void object_name_library(lua_State *L, const char *name)
{
	push_names(L);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}

void object_name_method(lua_State *L, const char *object, const char *method, lua_CFunction fn)
{
	push_names(L);
	lua_pushfstring(L, "%s.%s", object, method);
	lua_pushcfunction(L, fn);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

int object_meta(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
	lua_newtable(L);
	luaL_setfuncs(L, meta, 0);
	if (methods) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
		for (const luaL_Reg *method = methods; method->name; method++)
			object_name_method(L, name, method->name, method->func);
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
