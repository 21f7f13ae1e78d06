#include "value/luavalue.h"
#include "sandbox/deadline.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "sandbox/deadline.h"
#include "sandbox/kill.h"

/* One table that is being read: the way from the root, for error texts and to notice cycles. */
struct level {
	const struct level *up;
	const void *table;
	const struct value *key; /* under which the item that is looked at stands; NULL: none yet */
};

struct reader {
	lua_State *L;
	size_t depth, bytes; /* what is left */
	const struct luavalue_limits *limits;
	struct err *err;
};

static const struct luavalue_limits default_limits = { .depth = 32, .bytes = 1u << 20 };

static unsigned depth_limit(const struct luavalue_limits *limits)
{
	unsigned depth = limits->depth ? limits->depth : default_limits.depth;
	return depth < LUAVALUE_DEPTH_MAX ? depth : LUAVALUE_DEPTH_MAX;
}

static size_t byte_limit(const struct luavalue_limits *limits)
{
	return limits->bytes ? limits->bytes : default_limits.bytes;
}

/* Appends what fits, as printable text: a key is the rule's and may hold anything. */
static void path_add(char *path, size_t size, size_t *used, const char *text, size_t len)
{
	for (size_t i = 0; i < len && *used + 1 < size; i++)
		path[(*used)++] = isprint((unsigned char)text[i]) ? text[i] : '?';
	path[*used] = '\0';
}

static void path_write(const struct level *level, char *path, size_t size, size_t *used)
{
	char number[48];

	if (!level)
		return;
	path_write(level->up, path, size, used);
	if (!level->key)
		return;
	switch (level->key->type) {
	case VALUE_TEXT:
		if (*used > 0)
			path_add(path, size, used, ".", 1);
		path_add(path, size, used, level->key->text.bytes, level->key->text.len);
		return;
	case VALUE_INT:
		snprintf(number, sizeof number, "[%lld]", (long long)level->key->integer);
		break;
	case VALUE_NUMBER:
		snprintf(number, sizeof number, "[%.14g]", level->key->number);
		break;
	default:
		snprintf(number, sizeof number, "[%s]", level->key->boolean ? "true" : "false");
		break;
	}
	path_add(path, size, used, number, strlen(number));
}

/* "field 'a.b[3]'", or "the value" at the root. */
static const char *where(const struct level *level, char *path, size_t size)
{
	char inner[200] = "";
	size_t used = 0;

	path_write(level, inner, sizeof inner, &used);
	if (used == 0)
		snprintf(path, size, "the value");
	else
		snprintf(path, size, "field '%s'", inner);
	return path;
}

static int refuse(struct reader *r, const struct level *level, const char *what)
{
	char path[240];
	return err_set(r->err, ERR_INVALID, "%s %s: only nil, booleans, numbers, strings and tables of them can be kept",
	               where(level, path, sizeof path), what);
}

static int charge(struct reader *r, const struct level *level, size_t bytes)
{
	char path[240];
	if (bytes > r->bytes)
		return err_set(r->err, ERR_INVALID, "%s is too big: more than %zu bytes in all",
		               where(level, path, sizeof path), byte_limit(r->limits));
	r->bytes -= bytes;
	return 0;
}

/* Everything but tables. `index` is absolute. */
static int read_plain(struct reader *r, int index, struct value *out, const struct level *level)
{
	char what[64];
	size_t len;
	const char *text;

	switch (lua_type(r->L, index)) {
	case LUA_TNIL:
		*out = (struct value){ .type = VALUE_NIL };
		return charge(r, level, sizeof *out);
	case LUA_TBOOLEAN:
		*out = (struct value){ .type = VALUE_BOOL, .boolean = lua_toboolean(r->L, index) != 0 };
		return charge(r, level, sizeof *out);
	case LUA_TNUMBER:
		if (lua_isinteger(r->L, index))
			*out = (struct value){ .type = VALUE_INT, .integer = lua_tointeger(r->L, index) };
		else
			*out = (struct value){ .type = VALUE_NUMBER, .number = lua_tonumber(r->L, index) };
		return charge(r, level, sizeof *out);
	case LUA_TSTRING:
		text = lua_tolstring(r->L, index, &len);
		if (charge(r, level, sizeof *out + len + 1))
			return -1;
		*out = value_text(slice_make(text, len));
		return 0;
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(r->L, index))
			return refuse(r, level, "is json.null");
		return refuse(r, level, "is a userdata");
	default:
		snprintf(what, sizeof what, "is a %s", lua_typename(r->L, lua_type(r->L, index)));
		return refuse(r, level, what);
	}
}

static int read_any(struct reader *r, int index, struct value *out, const struct level *up);

/* The pair on top of the stack: key below, value above. Both stay there. */
static int read_pair(struct reader *r, struct value *table, struct level *level)
{
	struct value key, item;
	int top = lua_gettop(r->L);
	int type = lua_type(r->L, top - 1);

	level->key = NULL;
	if (type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING) {
		char what[64];
		snprintf(what, sizeof what, "has a %s as a key", lua_typename(r->L, type));
		return refuse(r, level, what);
	}
	if (read_plain(r, top - 1, &key, level))
		return -1;
	level->key = &key;
	int rc = read_any(r, top, &item, level);
	level->key = NULL;
	if (rc) {
		value_close(&key);
		return -1;
	}
	value_add(table, key, item);
	return 0;
}

static int read_table(struct reader *r, int index, struct value *out, const struct level *up)
{
	struct level level = { .up = up, .table = lua_topointer(r->L, index) };
	char path[240];

	for (const struct level *l = up; l; l = l->up)
		if (l->table == level.table)
			return err_set(r->err, ERR_INVALID, "%s is a table that holds itself", where(up, path, sizeof path));
	if (r->depth == 0)
		return err_set(r->err, ERR_INVALID, "%s is too deep: more than %u tables within tables",
		               where(up, path, sizeof path), depth_limit(r->limits));
	if (charge(r, up, sizeof *out))
		return -1;
	/* Tables that were emptied are walked all the same. The rule's next instruction raises. */
	if (deadline_passed())
		return err_set(r->err, ERR_TIMEOUT, "%s: the deadline has passed", where(up, path, sizeof path));
	if (!lua_checkstack(r->L, 4))
		return err_set(r->err, ERR_INVALID, "%s: the Lua stack is full", where(up, path, sizeof path));

	*out = (struct value){ .type = VALUE_TABLE };
	r->depth--;
	lua_pushnil(r->L);
	while (lua_next(r->L, index)) {
		/* A step takes as long as the chain of keys that collide. */
		bool late = deadline_passed();
		if (late)
			err_set(r->err, ERR_INVALID, "%s takes too long to read (limits.deadline)", where(up, path, sizeof path));
		if (late || read_pair(r, out, &level)) {
			lua_pop(r->L, 2);
			value_close(out);
			return -1;
		}
		lua_pop(r->L, 1);
	}
	r->depth++;
	return 0;
}

static int read_any(struct reader *r, int index, struct value *out, const struct level *up)
{
	luavalue_unproxy(r->L, index);
	if (lua_type(r->L, index) == LUA_TTABLE)
		return read_table(r, index, out, up);
	return read_plain(r, index, out, up);
}

const char luavalue_proxy;

void luavalue_unproxy(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
		return;
	if (lua_rawgetp(L, -1, &luavalue_proxy) == LUA_TTABLE)
		lua_replace(L, index);
	else
		lua_pop(L, 1);
	lua_pop(L, 1);
}

int luavalue_read(lua_State *L, int index, struct value *out, const struct luavalue_limits *limits, struct err *err)
{
	struct reader r = { .L = L, .limits = limits ? limits : &default_limits, .err = err };

	if (!lua_checkstack(L, 4))
		return err_set(err, ERR_INVALID, "the Lua stack is full");
	r.depth = depth_limit(r.limits);
	r.bytes = byte_limit(r.limits);
	*out = (struct value){ .type = VALUE_NIL };
	if (read_any(&r, lua_absindex(L, index), out, NULL)) {
		*out = (struct value){ .type = VALUE_NIL };
		return -1;
	}
	return 0;
}

static void push(lua_State *L, const struct value *value)
{
	luaL_checkstack(L, 3, NULL);
	switch (value->type) {
	case VALUE_NIL:
		lua_pushnil(L);
		break;
	case VALUE_BOOL:
		lua_pushboolean(L, value->boolean);
		break;
	case VALUE_INT:
		lua_pushinteger(L, value->integer);
		break;
	case VALUE_NUMBER:
		lua_pushnumber(L, value->number);
		break;
	case VALUE_TEXT:
		lua_pushlstring(L, value->text.bytes, value->text.len);
		break;
	case VALUE_TABLE:
		lua_newtable(L);
		for (size_t i = 0; i < value->table.count; i++) {
			push(L, &value->table.pairs[i].key);
			/* Data that did not come from Lua may hold a key that Lua cannot: it is left out. */
			if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) != lua_tonumber(L, -1))) {
				lua_pop(L, 1);
				continue;
			}
			push(L, &value->table.pairs[i].value);
			lua_rawset(L, -3);
		}
		break;
	}
}

void luavalue_push(lua_State *L, const struct value *value)
{
	/* Keys that collide make a table that takes long. */
	int was = kill_allow();
	push(L, value);
	kill_restore(was);
}

/* ---- packed values ---- */

/* A number up to `end`, taken off with it. */
static bool take_number(struct slice *in, char end, char word[48])
{
	const char *at = in->len > 0 ? memchr(in->ptr, end, in->len < 47 ? in->len : 47) : NULL;
	if (!at)
		return false;
	size_t n = (size_t)(at - in->ptr);
	memcpy(word, in->ptr, n);
	word[n] = '\0';
	*in = slice_make(in->ptr + n + 1, in->len - n - 1);
	return true;
}

/* Pushes one value and takes it off `in`; false: it is none, and nothing was pushed. */
static bool push_packed(lua_State *L, struct slice *in, unsigned depth)
{
	char word[48];
	int64_t n;

	if (in->len < 2 || depth > LUAVALUE_DEPTH_MAX || !lua_checkstack(L, 4))
		return false;
	char type = *in->ptr;
	*in = slice_make(in->ptr + 1, in->len - 1);
	switch (type) {
	case 't':
	case 'f':
		lua_pushboolean(L, type == 't');
		*in = slice_make(in->ptr + 1, in->len - 1);
		return true;
	case 'i':
		if (!take_number(in, ';', word) || !slice_to_int(slice_cstr(word), &n))
			return false;
		lua_pushinteger(L, n);
		return true;
	case 'n':
		if (!take_number(in, ';', word))
			return false;
		lua_pushnumber(L, strtod(word, NULL));
		return true;
	case 's':
		if (!take_number(in, ':', word) || !slice_to_int(slice_cstr(word), &n) || n < 0 || (uint64_t)n >= in->len)
			return false;
		lua_pushlstring(L, in->ptr, (size_t)n);
		*in = slice_make(in->ptr + n + 1, in->len - (size_t)n - 1);
		return true;
	case '{':
		lua_newtable(L);
		while (in->len > 0 && *in->ptr != '}') {
			if (!push_packed(L, in, depth + 1)) {
				lua_pop(L, 1);
				return false;
			}
			if (!push_packed(L, in, depth + 1)) {
				lua_pop(L, 2);
				return false;
			}
			lua_rawset(L, -3);
		}
		*in = slice_make(in->ptr + (in->len > 0), in->len - (in->len > 0));
		return true;
	default:
		return false;
	}
}

void luavalue_push_packed(lua_State *L, struct slice packed)
{
	if (!push_packed(L, &packed, 0))
		lua_pushnil(L);
}
