/* `web` for rules: endpoints that they serve over HTTP. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/hooks.h"
#include "rules/loading.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"
#include "value/json.h"
#include "value/luavalue.h"

#define HEADERS_MAX 32

/* ---- declaring ---- */

static bool in_set(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i], lower = slice_lower(c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && (c == '\0' || !strchr(more, c)))
			return false;
	}
	return len > 0;
}

/* The text of an option on top of the stack. */
static char *option_text(lua_State *L, const char *name, const char *more)
{
	size_t len = 0;
	const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

	if (!text || len > 256 || (more && !in_set(text, len, more)) || memchr(text, '\0', len))
		luaL_error(L, "web.on: %s is a text of 1 to 256 bytes", name);
	return mem_slicedup(slice_make(text, len));
}

static void read_options(lua_State *L, int index, struct hook *hook)
{
	bool hmac = false;

	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		char **place = strcmp(key, "token") == 0 ? &hook->token : strcmp(key, "header") == 0 ? &hook->hmac.header :
		               strcmp(key, "secret") == 0 ? &hook->hmac.secret : strcmp(key, "prefix") == 0 ? &hook->hmac.prefix : NULL;
		if (strcmp(key, "auth") == 0) {
			if (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "hmac") != 0)
				luaL_error(L, "web.on: auth is \"hmac\"; without it a token is asked for");
			hmac = true;
		} else if (strcmp(key, "json") == 0) {
			if (!lua_isboolean(L, -1))
				luaL_error(L, "web.on: json is true or false");
			hook->json = lua_toboolean(L, -1);
		} else if (place) {
			*place = option_text(L, key, place == &hook->hmac.header ? "-" : NULL);
		} else {
			luaL_error(L, "unknown option '%s' of web.on; there are token, auth, header, secret, prefix and json", key);
		}
	}
	if (hmac && (!hook->hmac.header || !hook->hmac.secret || strlen(hook->hmac.secret) < 8))
		luaL_error(L, "web.on: auth = \"hmac\" needs a header and a secret of at least 8 bytes");
	if (!hmac && (hook->hmac.header || hook->hmac.secret || hook->hmac.prefix))
		luaL_error(L, "web.on: header, secret and prefix go with auth = \"hmac\"");
	if (hmac && hook->token)
		luaL_error(L, "web.on: a token or auth = \"hmac\", not both");
	if (hmac && !hook->hmac.prefix)
		hook->hmac.prefix = mem_strdup("");
}

/* Which rule serves an endpoint is fixed when the rules are loaded, so that a second one fails to load. */
static void claim(lua_State *L, struct rule *rule, const struct hook *claimed, const char *where)
{
	const char *key = claimed->key;
	const struct source_hook hook = { .key = claimed->key, .token = claimed->token, .header = claimed->hmac.header, .secret = claimed->hmac.secret,
	                                  .prefix = claimed->hmac.prefix };

	if (!rule->loading)
		luaL_error(L, "web.on is possible only while the rules are loading: do it at the top of a file");
	list_each(it, &rule->hooks)
		if (strcmp(list_entry(it, struct hook, of_rule)->key, key) == 0)
			luaL_error(L, "web.on: this rule serves %s already", key);
	if (rule->loading->cache)
		rule_source_add_hook(rule->source, &hook, where);
	else if (!rule_source_has_hook(rule->source, slice_cstr(key)))
		luaL_error(L, "web.on: the rule did not serve %s when it was loaded; only a reload can change that", key);
}

/* Raises with everything freed that C holds. */
static int read_hook(lua_State *L)
{
	struct hook *hook = lua_touserdata(L, 1);
	if (lua_istable(L, 2)) {
		luavalue_unproxy(L, 2);
		read_options(L, 2, hook);
	}
	claim(L, rule_of(L), hook, lua_tostring(L, 3));
	return 0;
}

SANDBOX_FUNCTION(web_on)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", NULL };
	size_t path_len;
	const char *method = methods[luaL_checkoption(L, 1, NULL, methods)], *path = luaL_checklstring(L, 2, &path_len);
	struct rule *rule = rule_of(L);

	luaL_argcheck(L, path_len > 7 && path_len <= 200 && strncmp(path, "/hooks/", 7) == 0 && in_set(path, path_len, "/-_.") &&
	                 !strstr(path, "//") && !strstr(path, "/.") && path[path_len - 1] != '/', 2,
	              "a path is /hooks/ and a name of letters, digits, '-', '_', '.' and '/'");
	int fn = lua_isfunction(L, 3) ? 3 : 4;
	luaL_argcheck(L, lua_isfunction(L, fn), fn, "a function is expected");
	luaL_argcheck(L, fn == 3 || lua_istable(L, 3), 3, "options (a table) or a function is expected");
	lua_settop(L, 4);
	require_where(L);
	struct hook *hook = mem_zalloc(sizeof *hook);
	list_init(&hook->of_rule);
	list_init(&hook->in_host);
	hook->key = mem_printf("%s %s", method, path);
	lua_pushcfunction(L, read_hook);
	lua_pushlightuserdata(L, hook);
	if (fn == 4)
		lua_pushvalue(L, 3);
	else
		lua_pushnil(L);
	lua_pushvalue(L, 5);
	if (kill_pcall_held(L, 3, 0, 0) != LUA_OK) {
		hook_free(hook);
		return lua_error(L);
	}
	lua_pushvalue(L, fn);
	hook->fn = LUA_NOREF;
	if (!hook_add(rule, hook))
		return luaL_error(L, "no memory left for an endpoint (limits.rule_memory)");
	hook->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* ---- the answer ---- */

static bool is_ours(const char *name)
{
	static const char *const ours[] = { "content-length", "transfer-encoding", "connection", "date", "trailer", "upgrade", "keep-alive" };
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

static void read_headers(lua_State *L, int index, struct hook_call *call)
{
	int count = 0;

	luavalue_unproxy(L, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		size_t name_len = 0, len = 0;
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &name_len) : NULL;
		const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
		if (!name || name_len > 64 || !in_set(name, name_len, "-_") || is_ours(name))
			luaL_error(L, "web.on: a header of the answer has a name that is none, or is the engine's: %s", name ? name : "?");
		if (!value || len > 1024)
			luaL_error(L, "web.on: the header %s of the answer is a text of at most 1024 bytes", name);
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
				luaL_error(L, "web.on: the header %s of the answer holds a control character", name);
		if (++count > HEADERS_MAX)
			luaL_error(L, "web.on: an answer has at most %d headers", HEADERS_MAX);
		if (strcasecmp(name, "content-type") == 0)
			snprintf(call->answer.type, sizeof call->answer.type, "%s", value);
		else
			buf_printf(&call->headers, "%s: %s\r\n", name, value);
	}
}

static void read_body(lua_State *L, int index, struct hook_call *call)
{
	struct rule *rule = rule_of(L);
	struct err err;
	size_t len;

	switch (lua_type(L, index)) {
	case LUA_TNIL:
		return;
	case LUA_TSTRING: {
		const char *text = lua_tolstring(L, index, &len);
		if (len > HOST_HOOK_BODY_MAX || buf_append(&call->body, slice_make(text, len)))
			luaL_error(L, "web.on: the answer's body is too large (%d bytes)", HOST_HOOK_BODY_MAX);
		snprintf(call->answer.type, sizeof call->answer.type, "text/plain; charset=utf-8");
		return;
	}
	case LUA_TTABLE:
		call->body.max = HOST_HOOK_BODY_MAX;
		if (json_encode(rule->json, L, index, &call->body, &err))
			luaL_error(L, "web.on: the answer's body: %s", err.text);
		snprintf(call->answer.type, sizeof call->answer.type, "application/json");
		return;
	default:
		luaL_error(L, "web.on: the answer's body is a %s; a table or text is expected", luaL_typename(L, index));
	}
}

/* The function has returned status, body and headers: the three on top of the stack. */
static int take_answer(lua_State *L)
{
	const struct task *task = rule_of(L)->current;
	struct hook_call *call = task ? task->hook : NULL;
	int top = lua_gettop(L), integral = 0;
	lua_Integer status = lua_isnil(L, top - 2) ? 204 : lua_tointegerx(L, top - 2, &integral);

	if (!call)
		return 0;
	if (!lua_isnil(L, top - 2) && (!integral || lua_type(L, top - 2) != LUA_TNUMBER || status < 200 || status > 599))
		luaL_error(L, "web.on: the function returns a status of 200 to 599, then a table or text, then headers");
	luaL_checkstack(L, 8, NULL);
	read_body(L, top - 1, call);
	if ((status == 204 || status == 205 || status == 304) && buf_len(&call->body) > 0)
		luaL_error(L, "web.on: an answer with the status %d has no body", (int)status);
	if (!lua_isnil(L, top)) {
		luaL_argcheck(L, lua_istable(L, top), 3, "headers are a table");
		read_headers(L, top, call);
	}
	call->answer.status = (unsigned)status;
	call->answer.body = buf_slice(&call->body);
	call->answer.headers = buf_slice(&call->headers);
	call->answered = true;
	return 0;
}

SANDBOX_CONTINUATION(serve_ended)
{
	(void)status, (void)ctx;
	return take_answer(L);
}

SANDBOX_FUNCTION(serve)
{
	kill_callk(L, 1, 3, 0, serve_ended);
	return take_answer(L);
}

int web_push_call(lua_State *co, struct task *task, void *fn)
{
	struct value *request = &task->hook->request;

	lua_pushcfunction(co, serve);
	lua_rawgeti(co, LUA_REGISTRYINDEX, *(const int *)fn);
	luavalue_push(co, request);
	value_close(request);
	return 2;
}

void web_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg functions[] = { { "on", web_on }, { NULL, NULL } };
	(void)rule;
	luaL_newlib(L, functions);
}
