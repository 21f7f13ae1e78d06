#include "harness/module_http.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/value_json.h"
#include "harness/module_jobs.h"
#include "harness/module_values.h"
#include "value/luavalue.h"

int rules_requests(lua_State *L)
{
	const struct harness *h = rules_check(L);

	lua_createtable(L, (int)h->request_count, 0);
	for (size_t i = 0; i < h->request_count; i++) {
		const struct harness_request *r = h->requests[i];
		struct slice name, value;
		lua_createtable(L, 0, 8);
		set_text(L, "rule", r->rule);
		set_text(L, "method", r->request.method);
		set_slice(L, "url", buf_slice(&r->request.url));
		set_boolean(L, "answered", !r->tag);
		set_integer(L, "follow", r->request.follow);
		if (r->request.timeout > 0)
			set_number(L, "timeout", r->request.timeout);
		if (r->request.has_body)
			set_slice(L, "body", buf_slice(&r->request.body));
		lua_newtable(L);
		for (size_t k = 0; http_headers_next(&r->request.headers, &k, &name, &value);) {
			lua_pushlstring(L, name.ptr, name.len);
			lua_pushlstring(L, value.ptr, value.len);
			lua_rawset(L, -3);
		}
		lua_setfield(L, -2, "headers");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static struct harness_request *find(lua_State *L, const struct harness *h, int index)
{
	lua_Integer i = luaL_checkinteger(L, index);
	if (i < 0)
		i += (lua_Integer)h->request_count + 1;
	luaL_argcheck(L, i >= 1 && (size_t)i <= h->request_count, index, "no such request was made");
	luaL_argcheck(L, h->requests[i - 1]->tag, index, "it was answered already");
	return h->requests[i - 1];
}

static enum err_code read_code(lua_State *L, const char *name)
{
	for (int code = ERR_NONE + 1; code < ERR_CODES; code++)
		if (strcmp(err_name((enum err_code)code), name) == 0)
			return (enum err_code)code;
	luaL_error(L, "code: '%s' is no error of a request", name);
	return ERR_NONE;
}

/* What raises comes first: the response is nobody's yet. */
static struct http_response *read_response(lua_State *L, int index)
{
	struct value json = { .type = VALUE_NIL };
	struct err err;

	luaL_checktype(L, index, LUA_TTABLE);
	lua_getfield(L, index, "code");
	lua_getfield(L, index, "text");
	lua_getfield(L, index, "status");
	lua_getfield(L, index, "body");
	lua_getfield(L, index, "headers");
	lua_getfield(L, index, "json");
	int at = lua_gettop(L) - 5;
	if (!lua_isnil(L, at))
		return http_response_failed(read_code(L, luaL_checkstring(L, at)), luaL_optstring(L, at + 1, ""));
	lua_Integer status = luaL_optinteger(L, at + 2, 200);
	luaL_argcheck(L, status >= 100 && status <= 999, index, "status is a number from 100 to 999");
	struct slice body = lua_isnil(L, at + 3) ? SLICE("") : check_slice(L, at + 3);
	if (!lua_isnil(L, at + 4)) {
		luaL_checktype(L, at + 4, LUA_TTABLE);
		for (lua_pushnil(L); lua_next(L, at + 4); lua_pop(L, 1)) {
			check_slice(L, -2);
			check_slice(L, -1);
		}
	}
	if (!lua_isnil(L, at + 5) && luavalue_read(L, at + 5, &json, NULL, &err))
		luaL_error(L, "json: %s", err.text);
	struct http_response *r = http_response_create();
	r->status = (unsigned)status;
	buf_append(&r->body, body);
	if (json.type != VALUE_NIL)
		value_json(&r->body, &json);
	value_close(&json);
	if (!lua_isnil(L, at + 4))
		for (lua_pushnil(L); lua_next(L, at + 4); lua_pop(L, 1))
			http_headers_add(&r->headers, check_slice(L, -2), check_slice(L, -1));
	return r;
}

int rules_respond(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct harness_request *r = find(L, h, 2);

	lua_settop(L, 3);
	struct http_response *response = read_response(L, 3);
	response->url = response->err.code == ERR_NONE ? mem_slicedup(buf_slice(&r->request.url)) : NULL;
	harness_respond(r, response);
	return 0;
}
