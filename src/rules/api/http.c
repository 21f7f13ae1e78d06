/* `http` for rules: requests to the web. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/api/api.h"
#include "rules/http_call.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"
#include "value/json.h"
#include "value/luavalue.h"

#define FOLLOW_DEFAULT 5u
#define FOLLOW_MAX 20
#define TIMEOUT_MAX 3600.0
#define FIELDS_MAX 1000u

/* ---- tables ---- */

/* The names of a table, sorted: the same request is the same text each time. Pushes what holds them. */
struct names {
	struct slice *names;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->ptr, y->ptr, len);
	return order != 0 ? order : x->len < y->len ? -1 : x->len > y->len;
}

static struct names sorted_names(lua_State *L, int index, const char *what)
{
	struct names all = { .count = 0 };
	size_t n = 0;

	luaL_checkstack(L, 8, NULL);
	if (!lua_istable(L, index))
		luaL_error(L, "%s is a table of names and values", what);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "%s is a table of names and values: a key is a %s", what, luaL_typename(L, -2));
		if (++all.count > FIELDS_MAX)
			luaL_error(L, "%s has more than %d names", what, (int)FIELDS_MAX);
	}
	all.names = lua_newuserdatauv(L, (all.count + 1) * sizeof *all.names, 0);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		all.names[n].ptr = lua_tolstring(L, -2, &all.names[n].len);
		n++;
	}
	qsort(all.names, all.count, sizeof *all.names, by_name);
	return all;
}

typedef int put_fn(struct http_request *request, struct slice name, struct slice value);

/* A text, number or boolean on top of the stack. */
static void put_scalar(lua_State *L, struct http_request *request, struct slice name, put_fn *put, const char *what)
{
	char number[48];
	struct slice value;

	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		value.ptr = lua_tolstring(L, -1, &value.len);
		break;
	case LUA_TBOOLEAN:
		value = slice_cstr(lua_toboolean(L, -1) ? "true" : "false");
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1))
			snprintf(number, sizeof number, "%lld", (long long)lua_tointeger(L, -1));
		else
			snprintf(number, sizeof number, "%.14g", lua_tonumber(L, -1));
		value = slice_cstr(number);
		break;
	default:
		luaL_error(L, "%s: the value of '%s' is a text, a number, a boolean or a list of them, not a %s", what, name.ptr, luaL_typename(L, -1));
		return;
	}
	if (put(request, name, value))
		luaL_error(L, "not enough memory");
}

/* Hands each name of the table at `index` with its value to `put`; a list repeats the name. */
static void put_table(lua_State *L, int index, struct http_request *request, put_fn *put, const char *what)
{
	luavalue_unproxy(L, index);
	struct names all = sorted_names(L, index, what);
	for (size_t i = 0; i < all.count; i++) {
		lua_pushlstring(L, all.names[i].ptr, all.names[i].len);
		if (lua_rawget(L, index) == LUA_TTABLE) {
			luavalue_unproxy(L, lua_gettop(L));
			if (lua_rawlen(L, -1) > FIELDS_MAX)
				luaL_error(L, "%s: the list of '%s' has more than %d values", what, all.names[i].ptr, (int)FIELDS_MAX);
			for (lua_Integer k = 1; lua_rawgeti(L, -1, k) != LUA_TNIL; k++) {
				put_scalar(L, request, all.names[i], put, what);
				lua_pop(L, 1);
			}
			lua_pop(L, 1);
		} else {
			put_scalar(L, request, all.names[i], put, what);
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static int put_header(struct http_request *request, struct slice name, struct slice value)
{
	return http_headers_add(&request->headers, name, value);
}

static int put_encoded(struct buf *out, struct slice text)
{
	int rc = 0;
	for (size_t i = 0; i < text.len && rc == 0; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c));
		rc = plain ? buf_append_char(out, (char)c) : buf_printf(out, "%%%02X", c);
	}
	return rc;
}

static int put_pair(struct buf *out, bool first, struct slice name, struct slice value)
{
	return (!first && buf_append_char(out, '&')) || put_encoded(out, name) || buf_append_char(out, '=') || put_encoded(out, value) ? -1 : 0;
}

static int put_query(struct http_request *request, struct slice name, struct slice value)
{
	struct slice url = buf_slice(&request->url);
	bool first = !memchr(url.ptr, '?', url.len);
	if (first && buf_append_char(&request->url, '?'))
		return -1;
	return put_pair(&request->url, first || url.ptr[url.len - 1] == '?', name, value);
}

static int put_form(struct http_request *request, struct slice name, struct slice value)
{
	return put_pair(&request->body, buf_len(&request->body) == 0, name, value);
}

/* ---- options ---- */

static struct slice check_text(lua_State *L, int index, const char *what)
{
	struct slice text;
	if (lua_type(L, index) != LUA_TSTRING)
		luaL_error(L, "%s is a text, not a %s", what, luaL_typename(L, index));
	text.ptr = lua_tolstring(L, index, &text.len);
	return text;
}

static void put_url(lua_State *L, int index, struct http_request *request)
{
	struct slice url = check_text(L, index, "url");
	const char *fragment = memchr(url.ptr, '#', url.len);

	/* No fragment is sent, and a query behind it would be a part of it. */
	if (fragment)
		url.len = (size_t)(fragment - url.ptr);
	if (buf_append(&request->url, url))
		luaL_error(L, "not enough memory");
}

static void put_method(lua_State *L, int index, struct http_request *request)
{
	struct slice method = check_text(L, index, "method");
	if (method.len == 0 || method.len > HTTP_METHOD_MAX || memchr(method.ptr, '\0', method.len))
		luaL_error(L, "method is one such as GET, POST, PUT, PATCH or DELETE");
	for (size_t i = 0; i <= method.len; i++)
		request->method[i] = method.ptr[i] >= 'a' && method.ptr[i] <= 'z' ? (char)(method.ptr[i] - 'a' + 'A') : method.ptr[i];
}

static void put_type(struct http_request *request, const char *type)
{
	struct slice value;
	if (!http_headers_get(&request->headers, SLICE("Content-Type"), &value))
		http_headers_add(&request->headers, SLICE("Content-Type"), slice_cstr(type));
	request->has_body = true;
}

/* -1 with `err`: what it holds is no JSON. */
static int put_json(lua_State *L, int index, struct http_request *request, struct err *err)
{
	if (json_encode(rule_of(L)->json, L, index, &request->body, err))
		return -1;
	put_type(request, "application/json");
	return 0;
}

static void put_body(lua_State *L, int index, struct http_request *request)
{
	if (buf_append(&request->body, check_text(L, index, "body")))
		luaL_error(L, "not enough memory");
	request->has_body = true;
}

static void put_follow(lua_State *L, int index, struct http_request *request)
{
	if (lua_isboolean(L, index)) {
		request->follow = lua_toboolean(L, index) ? FOLLOW_DEFAULT : 0;
		return;
	}
	if (!lua_isinteger(L, index) || lua_tointeger(L, index) < 0 || lua_tointeger(L, index) > FOLLOW_MAX)
		luaL_error(L, "follow is true, false or the number of redirects, 0 to %d", FOLLOW_MAX);
	request->follow = (unsigned)lua_tointeger(L, index);
}

static void put_timeout(lua_State *L, int index, struct http_request *request)
{
	request->timeout = lua_tonumber(L, index);
	if (lua_type(L, index) != LUA_TNUMBER || !(request->timeout > 0) || request->timeout > TIMEOUT_MAX)
		luaL_error(L, "timeout is a number of seconds above 0, at most %d", (int)TIMEOUT_MAX);
}

enum { WITH_URL = 1, WITH_BODY = 2 };

/* The options of one request, in an order of their own: what `query` appends to is there, and a Content-Type given wins. */
static int read_options(lua_State *L, int index, unsigned with, struct http_request *request, struct err *err)
{
	static const struct {
		const char *name;
		unsigned with;
	} known[] = {
		{ "method", WITH_URL }, { "url", WITH_URL }, { "headers", 0 }, { "query", 0 }, { "timeout", 0 }, { "follow", 0 }, { "body", WITH_BODY },
		{ "json", WITH_BODY }, { "form", WITH_BODY },
	};
	size_t count = sizeof known / sizeof *known, i;
	unsigned bodies = 0;
	int rc = 0;

	luaL_checkstack(L, 12, NULL);
	luavalue_unproxy(L, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		for (i = 0; i < count && (strcmp(known[i].name, key) != 0 || (known[i].with & ~with)); i++)
			continue;
		if (i == count)
			luaL_error(L, "unknown option '%s' of a request; there are %sheaders, query, timeout%s follow%s", key, with & WITH_URL ? "method, url, " : "",
			           with & WITH_BODY ? "," : " and", with & WITH_BODY ? ", body, json and form" : "");
		bodies += known[i].with == WITH_BODY;
	}
	if (bodies > 1)
		luaL_error(L, "a request has one of body, json and form");
	for (i = 0; i < count && rc == 0; i++) {
		lua_pushstring(L, known[i].name);
		if (lua_rawget(L, index) != LUA_TNIL) {
			int at = lua_gettop(L);
			switch (i) {
			case 0: put_method(L, at, request); break;
			case 1: put_url(L, at, request); break;
			case 2: put_table(L, at, request, put_header, "headers"); break;
			case 3: put_table(L, at, request, put_query, "query"); break;
			case 4: put_timeout(L, at, request); break;
			case 5: put_follow(L, at, request); break;
			case 6: put_body(L, at, request); break;
			case 7: rc = put_json(L, at, request, err); break;
			default:
				put_table(L, at, request, put_form, "form");
				put_type(request, "application/x-www-form-urlencoded");
			}
		}
		lua_pop(L, 1);
	}
	return rc;
}

/* ---- answers ---- */

/* headers[name]: names are kept in lower case. */
static int headers_index(lua_State *L)
{
	luaL_Buffer b;
	size_t len;
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	const char *name = lua_tolstring(L, 2, &len);
	char *to = luaL_buffinitsize(L, &b, len);
	for (size_t i = 0; i < len; i++)
		to[i] = slice_lower(name[i]);
	luaL_pushresultsize(&b, len);
	lua_rawget(L, 1);
	return 1;
}

static void push_headers(lua_State *L, const struct rule *rule, const struct http_headers *headers)
{
	struct slice name, value;

	lua_createtable(L, 0, (int)headers->count);
	for (size_t i = 0; http_headers_next(headers, &i, &name, &value);) {
		luaL_Buffer b;
		char *to = luaL_buffinitsize(L, &b, name.len);
		for (size_t k = 0; k < name.len; k++)
			to[k] = slice_lower(name.ptr[k]);
		luaL_pushresultsize(&b, name.len);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) == LUA_TSTRING) { /* one that repeats is joined, as RFC 9110 has it */
			lua_pushliteral(L, ", ");
			lua_pushlstring(L, value.ptr, value.len);
			lua_concat(L, 3);
		} else {
			lua_pop(L, 1);
			lua_pushlstring(L, value.ptr, value.len);
		}
		lua_rawset(L, -3);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.http_headers);
	lua_setmetatable(L, -2);
}

int http_push_response(lua_State *L, struct task *task)
{
	struct rule *rule = task->rule;
	const struct http_response *r = task->response;

	luaL_checkstack(L, 10, NULL);
	if (r->err.code != ERR_NONE) {
		struct err err = r->err;
		http_response_free(&task->response);
		return error_push_failure(L, rule, &err);
	}
	lua_createtable(L, 0, 5);
	lua_pushinteger(L, r->status);
	lua_setfield(L, -2, "status");
	lua_pushboolean(L, r->status >= 200 && r->status <= 299);
	lua_setfield(L, -2, "ok");
	lua_pushlstring(L, buf_slice(&r->body).ptr, buf_len(&r->body));
	lua_setfield(L, -2, "body");
	if (r->url) {
		lua_pushstring(L, r->url);
		lua_setfield(L, -2, "url");
	}
	push_headers(L, rule, &r->headers);
	lua_setfield(L, -2, "headers");
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.http_response);
	lua_setmetatable(L, -2);
	http_response_free(&task->response);
	return 1;
}

SANDBOX_FUNCTION(response_json)
{
	struct rule *rule = rule_of(L);
	struct slice body = { "", 0 };
	struct err err;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushliteral(L, "body");
	if (lua_rawget(L, 1) == LUA_TSTRING)
		body.ptr = lua_tolstring(L, -1, &body.len);
	if (json_decode(rule->json, L, body, &err))
		return error_push_failure(L, rule, &err);
	return 1;
}

/* ---- requests ---- */

SANDBOX_CONTINUATION(request_ended)
{
	struct task *task = rule_of(L)->current;
	(void)status;
	task->response = http_call_end((struct wait *)ctx);
	return http_push_response(L, task);
}

/* Begins what stands in the scratch; `fn`: the place of the callback, or 0. */
static int begin(lua_State *L, const char *what, int fn)
{
	struct rule *rule = rule_of(L);
	struct http_request *request = &rule->scratch->http;
	struct err err;

	if (!fn) {
		task_check_wait(L, what);
		return http_call_begin(rule, request, rule->current, LUA_NOREF, &err) ? error_push_failure(L, rule, &err) : task_wait(L, request_ended);
	}
	lua_pushvalue(L, fn);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (http_call_begin(rule, request, NULL, ref, &err)) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		return error_push_failure(L, rule, &err);
	}
	lua_pushboolean(L, true);
	return 1;
}

static struct http_request *new_request(lua_State *L, const char *what, const char *method)
{
	struct http_request *request = &rule_of(L)->scratch->http;

	task_check_live(L, what, false);
	http_request_clear(request);
	strcpy(request->method, method);
	request->follow = FOLLOW_DEFAULT;
	return request;
}

/* [options] [, fn] from `at` on; the place of the options, or 0. */
static int find_options(lua_State *L, int at, int *fn)
{
	int options = lua_istable(L, at) ? at++ : 0;

	if (!options && lua_isnil(L, at))
		at++;
	if (!lua_isnoneornil(L, at) && !lua_isfunction(L, at))
		luaL_argerror(L, at, options ? "a callback (a function) is expected" : "options (a table) or a callback (a function) is expected");
	*fn = lua_isfunction(L, at) ? at : 0;
	return options;
}

SANDBOX_FUNCTION(http_request)
{
	struct http_request *request = new_request(L, "http.request", "GET");
	struct err err;
	int fn;

	lua_settop(L, 3);
	if (!find_options(L, 1, &fn))
		return luaL_argerror(L, 1, "options (a table with url) are expected");
	lua_pushliteral(L, "url");
	luavalue_unproxy(L, 1);
	if (lua_rawget(L, 1) == LUA_TNIL)
		return luaL_argerror(L, 1, "url is missing");
	if (read_options(L, 1, WITH_URL | WITH_BODY, request, &err))
		return error_push_failure(L, rule_of(L), &err);
	return begin(L, "http.request", fn);
}

SANDBOX_FUNCTION(http_get)
{
	struct http_request *request = new_request(L, "http.get", "GET");
	struct err err;
	int fn;

	lua_settop(L, 4);
	put_url(L, 1, request);
	int options = find_options(L, 2, &fn);
	if (options && read_options(L, options, 0, request, &err))
		return error_push_failure(L, rule_of(L), &err);
	return begin(L, "http.get", fn);
}

SANDBOX_FUNCTION(http_post)
{
	struct http_request *request = new_request(L, "http.post", "POST");
	struct err err;
	int fn;

	lua_settop(L, 5);
	put_url(L, 1, request);
	if (!lua_istable(L, 2) && lua_type(L, 2) != LUA_TSTRING)
		return luaL_argerror(L, 2, "a body is expected: a text, or a table, which is sent as JSON");
	int options = find_options(L, 3, &fn);
	if (options && read_options(L, options, 0, request, &err))
		return error_push_failure(L, rule_of(L), &err);
	if (lua_type(L, 2) == LUA_TSTRING)
		put_body(L, 2, request);
	else if (put_json(L, 2, request, &err))
		return error_push_failure(L, rule_of(L), &err);
	return begin(L, "http.post", fn);
}

void http_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg headers[] = { { "__index", headers_index }, { NULL, NULL } }, none[] = { { NULL, NULL } };
	static const luaL_Reg response[] = { { "json", response_json }, { NULL, NULL } };
	static const luaL_Reg functions[] = { { "request", http_request }, { "get", http_get }, { "post", http_post }, { NULL, NULL } };

	rule->meta.http_headers = object_meta(L, "headers", headers, NULL);
	rule->meta.http_response = object_meta(L, "response", none, response);
	luaL_newlib(L, functions);
}
