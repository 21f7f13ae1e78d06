#include "harness/module_hooks.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "harness/module_harness.h"
#include "harness/module_jobs.h"
#include "harness/module_values.h"
#include "value/luavalue.h"

static void on_done(void *ctx, const struct host_hook_answer *answer)
{
	struct harness_visit *visit = ctx;

	visit->call = NULL;
	visit->status = answer->status;
	if (answer->error)
		buf_append_cstr(&visit->error, answer->error);
	snprintf(visit->type, sizeof visit->type, "%s", answer->type);
	buf_append(&visit->body, answer->body);
	buf_append(&visit->headers, answer->headers);
}

/* What a request has that does not say so. */
static void add_default(struct value *request, const char *name, enum value_type type, struct slice text)
{
	if (value_get(request, slice_cstr(name)))
		return;
	value_add(request, value_text(slice_cstr(name)), type == VALUE_TABLE ? (struct value){ .type = VALUE_TABLE } : value_text(text));
}

/* http_in(method, path [, request]): begins it; what the rule answers is there after the next turn, or later. */
int rules_http_in(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct slice method = check_slice(L, 2), path = check_slice(L, 3);
	struct value request = { .type = VALUE_TABLE };
	struct host_hook_view view;
	struct err err;

	if (host_hook_find(h->host, method, path, &view) == HOST_HOOK_NONE)
		return luaL_error(L, "no rule serves this path");
	if (!lua_isnoneornil(L, 4)) {
		luaL_checktype(L, 4, LUA_TTABLE);
		if (luavalue_read(L, 4, &request, NULL, &err))
			return luaL_error(L, "the request: %s", err.text);
	}
	if (view.json && !value_is_object(value_get(&request, SLICE("json")))) {
		value_close(&request);
		return luaL_error(L, "the endpoint takes JSON objects only (json = true): request.json must be a table with names");
	}
	add_default(&request, "method", VALUE_TEXT, method);
	add_default(&request, "path", VALUE_TEXT, path);
	add_default(&request, "query", VALUE_TABLE, method);
	add_default(&request, "headers", VALUE_TABLE, method);
	add_default(&request, "body", VALUE_TEXT, SLICE(""));
	add_default(&request, "remote", VALUE_TEXT, SLICE("192.0.2.1"));
	struct harness_visit *visit = mem_zalloc(sizeof *visit);
	h->visits = mem_realloc(h->visits, h->visit_count + 1, sizeof(struct harness_visit *));
	h->visits[h->visit_count++] = visit;
	visit->call = host_hook_begin(h->host, method, path, &request, on_done, visit);
	lua_pushinteger(L, (lua_Integer)h->visit_count);
	return 1;
}

static void push_headers(lua_State *L, struct slice lines)
{
	lua_newtable(L);
	while (lines.len > 0) {
		size_t end = (size_t)slice_find(lines, SLICE("\r\n")), colon = (size_t)slice_find(lines, SLICE(": "));
		push_slice(L, slice_make(lines.ptr, colon));
		push_slice(L, slice_make(lines.ptr + colon + 2, end - colon - 2));
		lua_rawset(L, -3);
		lines = slice_make(lines.ptr + end + 2, lines.len - end - 2);
	}
}

/* http_out(index): its answer; nil while there is none. */
int rules_http_out(lua_State *L)
{
	const struct harness *h = rules_check(L);
	lua_Integer i = luaL_checkinteger(L, 2);

	if (i < 0)
		i += (lua_Integer)h->visit_count + 1;
	luaL_argcheck(L, i >= 1 && (size_t)i <= h->visit_count, 2, "no such request was made");
	const struct harness_visit *visit = h->visits[i - 1];
	if (visit->call)
		return 0;
	lua_createtable(L, 0, 5);
	set_integer(L, "status", visit->status);
	set_slice(L, "body", buf_slice(&visit->body));
	if (visit->type[0])
		set_text(L, "type", visit->type);
	if (buf_len(&visit->error) > 0)
		set_slice(L, "error", buf_slice(&visit->error));
	push_headers(L, buf_slice(&visit->headers));
	lua_setfield(L, -2, "headers");
	return 1;
}
