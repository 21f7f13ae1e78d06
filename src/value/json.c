#include "value/json.h"

#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/mem.h"
#include "sandbox/kill.h"
#include "value/json_copy.h"
#include "value/json_text.h"

/* Beyond these a call gives back at once what it took, so that one large text does not stay for ever. */
enum { KEEP_BUFFER = 256 * 1024, KEEP_STATE_KB = 4096 };

enum { DEFAULT_BYTES = 1 << 20, DEFAULT_DEPTH = 64, MAX_DEPTH = 200 };

struct json {
	lua_State *scratch; /* owned; its stack holds rubbish between calls */
	int encode, decode; /* registry references of lua-cjson's functions */
	size_t bytes;
	unsigned depth;
	struct buf work; /* texts on their way to and from lua-cjson */
	struct buf out;  /* what json.encode returns: kept here, so that a raise leaks nothing */
	int (*push_error)(lua_State *L, const struct err *err);
};

/* Keeps of the module path what is absolute: "./?.so" would let the working folder decide. */
static void fix_module_path(lua_State *S)
{
	lua_getglobal(S, "package");
	lua_pushliteral(S, "");
	lua_setfield(S, -2, "path");
	lua_getfield(S, -1, "cpath");
	const char *at = lua_tostring(S, -1);
	luaL_Buffer kept;
	luaL_buffinit(S, &kept);
	while (at && *at) {
		size_t len = strcspn(at, ";");
		if (*at == '/') {
			luaL_addlstring(&kept, at, len);
			luaL_addchar(&kept, ';');
		}
		at += len + (at[len] == ';');
	}
	luaL_pushresult(&kept);
	lua_setfield(S, -3, "cpath");
	lua_pop(S, 2);
}

static void set_option(lua_State *S, const char *name, lua_Integer value)
{
	lua_getfield(S, -1, name);
	lua_pushinteger(S, value);
	lua_call(S, 1, 0);
}

/* Runs protected in the scratch state. */
static int load_cjson(lua_State *S)
{
	struct json *json = lua_touserdata(S, 1);

	/* The environment has no say in which module is loaded. */
	lua_pushboolean(S, 1);
	lua_setfield(S, LUA_REGISTRYINDEX, "LUA_NOENV");
	luaL_requiref(S, LUA_LOADLIBNAME, luaopen_package, 1);
	lua_pop(S, 1);
	fix_module_path(S);
	lua_getglobal(S, "require");
	lua_pushliteral(S, "cjson");
	lua_call(S, 1, 1);
	/* Depth is checked before; these only must not be in the way. */
	set_option(S, "encode_max_depth", MAX_DEPTH + 2);
	set_option(S, "decode_max_depth", MAX_DEPTH + 2);
	lua_getfield(S, -1, "decode_invalid_numbers");
	lua_pushboolean(S, 0);
	lua_call(S, 1, 0);
	lua_getfield(S, -1, "encode");
	json->encode = luaL_ref(S, LUA_REGISTRYINDEX);
	lua_getfield(S, -1, "decode");
	json->decode = luaL_ref(S, LUA_REGISTRYINDEX);
	return 0;
}

struct json *json_create(const struct json_limits *limits, int (*push_error)(lua_State *L, const struct err *err), struct err *err)
{
	struct json *json = mem_zalloc(sizeof *json);

	json->push_error = push_error;
	json->bytes = limits && limits->bytes ? limits->bytes : DEFAULT_BYTES;
	json->depth = limits && limits->depth ? limits->depth : DEFAULT_DEPTH;
	if (json->depth > MAX_DEPTH)
		json->depth = MAX_DEPTH;
	buf_init(&json->work, 0);
	buf_init(&json->out, 0);
	json->scratch = luaL_newstate();
	if (!json->scratch) {
		err_set(err, ERR_MEMORY, "no memory for the state of lua-cjson");
		json_destroy(&json);
		return NULL;
	}
	lua_pushcfunction(json->scratch, load_cjson);
	lua_pushlightuserdata(json->scratch, json);
	if (kill_pcall_held(json->scratch, 1, 0, 0) != LUA_OK) {
		const char *why = lua_tostring(json->scratch, -1);
		err_set(err, ERR_SYSTEM, "lua-cjson cannot be loaded (is the package lua-cjson installed?): %s", why ? why : "?");
		json_destroy(&json);
		return NULL;
	}
	return json;
}

void json_destroy(struct json **json)
{
	if (!*json)
		return;
	if ((*json)->scratch)
		lua_close((*json)->scratch);
	buf_close(&(*json)->work);
	buf_close(&(*json)->out);
	free(*json);
	*json = NULL;
}

static void trim(struct buf *buf)
{
	if (buf->cap > KEEP_BUFFER)
		buf_close(buf);
	buf_clear(buf);
}

/* Throws away what the last call left, also when an error jumped out of it. */
static void reset(struct json *json)
{
	lua_settop(json->scratch, 0);
	trim(&json->work);
	if (lua_gc(json->scratch, LUA_GCCOUNT) > KEEP_STATE_KB)
		lua_gc(json->scratch, LUA_GCCOLLECT);
}

/* What a call in the scratch state works on. */
struct job {
	struct json *json;
	lua_State *from;
	int index;
	int rc;
	struct err *err;
};

static int encode_call(lua_State *S)
{
	struct job *job = lua_touserdata(S, 1);
	struct json *json = job->json;

	lua_rawgeti(S, LUA_REGISTRYINDEX, json->encode);
	job->rc = json_copy_in(S, job->from, job->index, json->bytes, json->depth, &json->work, job->err);
	if (job->rc)
		return 0;
	lua_call(S, 1, 1);
	return 1;
}

int json_encode(struct json *json, lua_State *from, int index, struct buf *out, struct err *err)
{
	struct job job = { .json = json, .from = from, .index = lua_absindex(from, index), .err = err };
	lua_State *S = json->scratch;
	int top = lua_gettop(from);
	size_t len;

	reset(json);
	lua_pushcfunction(S, encode_call);
	lua_pushlightuserdata(S, &job);
	if (kill_pcall_held(S, 1, 1, 0) != LUA_OK) {
		const char *why = lua_tostring(S, -1);
		lua_settop(from, top);
		return err_set(err, ERR_INVALID, "cannot be written as JSON: %s", why ? why : "?");
	}
	if (job.rc)
		return -1;
	const char *text = lua_tolstring(S, -1, &len);
	trim(&json->work);
	if (json_text_untag(slice_make(text, len), &json->work) || buf_len(&json->work) > json->bytes)
		return err_set(err, ERR_OVERFLOW, "too long for JSON (more than %zu bytes)", json->bytes);
	if (buf_append(out, buf_slice(&json->work)))
		return err_set(err, ERR_OVERFLOW, "the buffer for JSON is full");
	reset(json);
	return 0;
}

/* lua-cjson's words, with the place in the text as it was given. The kind of a found token is left out, for what
 * lua-cjson saw may be a tagged one. */
static int decode_fault(struct json *json, struct slice text, const char *why, struct err *err)
{
	static const char found[] = " but found T_", place[] = " at character ";
	const char *cut = strstr(why, found), *at = strstr(why, place);

	if (!at)
		return err_set(err, ERR_INVALID, "not JSON: %s", why);
	int words = (int)((cut && cut < at ? cut : at) - why);
	size_t tagged = strtoul(at + sizeof place - 1, NULL, 10);
	size_t origin = json_text_origin(text, tagged > 0 ? tagged - 1 : 0, &json->work);
	return err_set(err, ERR_INVALID, "not JSON: %.*s at character %zu", words, why, origin + 1);
}

static int decode_call(lua_State *S)
{
	struct json *json = lua_touserdata(S, 1);
	struct slice tagged = buf_slice(&json->work);

	lua_rawgeti(S, LUA_REGISTRYINDEX, json->decode);
	lua_pushlstring(S, tagged.ptr, tagged.len);
	lua_call(S, 1, 1);
	return 1;
}

int json_decode(struct json *json, lua_State *to, struct slice text, struct err *err)
{
	lua_State *S = json->scratch;

	if (text.len > json->bytes)
		return err_set(err, ERR_OVERFLOW, "JSON text too long (%zu bytes, at most %zu)", text.len, json->bytes);
	reset(json);
	if (json_text_tag(text, json->depth, &json->work, err))
		return -1;
	lua_pushcfunction(S, decode_call);
	lua_pushlightuserdata(S, json);
	if (kill_pcall_held(S, 1, 1, 0) != LUA_OK) {
		const char *why = lua_tostring(S, -1);
		return decode_fault(json, text, why ? why : "?", err);
	}
	if (json_copy_out(S, to, err))
		return -1;
	reset(json);
	return 0;
}

/* The proxy for rules; upvalue 1 is the struct json. */

static int push_failure(lua_State *L, struct json *json, const struct err *err)
{
	lua_pushnil(L);
	if (json->push_error)
		return 1 + json->push_error(L, err);
	lua_pushstring(L, err->text);
	return 2;
}

SANDBOX_FUNCTION(lib_encode)
{
	struct json *json = *(struct json *const *)lua_touserdata(L, lua_upvalueindex(1));
	struct err err;

	luaL_checkany(L, 1);
	trim(&json->out);
	if (json_encode(json, L, 1, &json->out, &err))
		return push_failure(L, json, &err);
	struct slice text = buf_slice(&json->out);
	lua_pushlstring(L, text.ptr, text.len);
	return 1;
}

SANDBOX_FUNCTION(lib_decode)
{
	struct json *json = *(struct json *const *)lua_touserdata(L, lua_upvalueindex(1));
	struct err err;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	if (json_decode(json, L, slice_make(text, len), &err))
		return push_failure(L, json, &err);
	return 1;
}

/* json.array([t]): t, or a new table, marked. */
SANDBOX_FUNCTION(lib_array)
{
	lua_settop(L, 1);
	if (lua_isnil(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	json_mark_array(L);
	return 1;
}

void json_open(lua_State *L, struct json *const *json)
{
	static const luaL_Reg functions[] = {
		{ "encode", lib_encode }, { "decode", lib_decode }, { "array", lib_array }, { NULL, NULL },
	};

	luaL_checkstack(L, 4, NULL);
	lua_newtable(L);
	lua_pushlightuserdata(L, (void *)(uintptr_t)json);
	luaL_setfuncs(L, functions, 1);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	/* Makes the weak table of marks, as long as the state has weak tables. */
	lua_newtable(L);
	json_mark_array(L);
	lua_pop(L, 1);
}
