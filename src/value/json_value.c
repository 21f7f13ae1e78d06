#include "value/json_value.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "value/json.h"
#include "value/luavalue.h"

#define DEPTH_MAX 32

struct json_value {
	struct json *json;
	lua_State *L;
};

struct reading {
	struct json *json;
	struct slice text;
	struct value *out;
	struct err *err;
	int rc;
};

/* json.null is a light userdata, which is no plain data. */
static void drop_nulls(lua_State *L, int index, unsigned depth)
{
	luaL_checkstack(L, 5, NULL);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_islightuserdata(L, -1)) {
			lua_pushvalue(L, -2);
			lua_pushnil(L);
			lua_rawset(L, index);
		} else if (lua_istable(L, -1) && depth < DEPTH_MAX) {
			drop_nulls(L, lua_gettop(L), depth + 1);
		}
	}
}

static int read_protected(lua_State *L)
{
	struct reading *r = lua_touserdata(L, 1);

	r->rc = json_decode(r->json, L, r->text, r->err);
	if (r->rc == -1)
		return 0;
	if (lua_istable(L, -1))
		drop_nulls(L, lua_gettop(L), 1);
	else if (lua_islightuserdata(L, -1))
		lua_pushnil(L);
	r->rc = luavalue_read(L, lua_gettop(L), r->out, &(struct luavalue_limits){ .depth = DEPTH_MAX }, r->err);
	return 0;
}

int json_value_read(struct json_value *reader, struct slice text, struct value *out, struct err *err)
{
	struct reading r = { .json = reader->json, .text = text, .out = out, .err = err, .rc = -1 };

	*out = (struct value){ .type = VALUE_NIL };
	lua_settop(reader->L, 0);
	lua_pushcfunction(reader->L, read_protected);
	lua_pushlightuserdata(reader->L, &r);
	if (lua_pcall(reader->L, 1, 0, 0) != LUA_OK)
		r.rc = err_set(err, ERR_OVERFLOW, "no memory for the JSON");
	lua_settop(reader->L, 0);
	lua_gc(reader->L, LUA_GCCOLLECT);
	if (r.rc == -1)
		value_close(out);
	return r.rc;
}

struct json_value *json_value_create(struct err *err)
{
	struct json_value *reader = mem_zalloc(sizeof *reader);

	reader->json = json_create(NULL, NULL, err);
	if (reader->json && !(reader->L = luaL_newstate()))
		err_set(err, ERR_SYSTEM, "no memory for reading JSON");
	if (!reader->L)
		json_value_destroy(&reader);
	return reader;
}

void json_value_destroy(struct json_value **reader)
{
	struct json_value *r = *reader;

	if (!r)
		return;
	*reader = NULL;
	json_destroy(&r->json);
	if (r->L)
		lua_close(r->L);
	free(r);
}
