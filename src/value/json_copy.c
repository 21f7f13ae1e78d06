#include "value/json_copy.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "sandbox/deadline.h"
#include "value/json.h"
#include "value/luavalue.h"
#include "value/json_text.h"

/* Key of the registry under which a state keeps its marked tables: a weak table. */
static const char array_marks;

static void push_marks(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_marks) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &array_marks);
}

void json_mark_array(lua_State *L)
{
	luaL_checkstack(L, 4, NULL);
	push_marks(L);
	lua_pushvalue(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static bool is_marked(lua_State *L, int table)
{
	bool marked = false;
	int top = lua_gettop(L);

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_marks) == LUA_TTABLE) {
		lua_pushvalue(L, table);
		marked = lua_rawget(L, -2) == LUA_TBOOLEAN;
	}
	lua_settop(L, top);
	return marked;
}

/* In: from a rule to lua-cjson */

/* One table that is being copied: the way from the root. */
struct level {
	const struct level *up;
	const void *table;
	int key; /* index in `from` of the key that is looked at; 0: `place` counts instead, or nothing yet */
	lua_Integer place;
};

struct copy_in {
	lua_State *S, *from;
	size_t bytes, left;
	unsigned depth, deep;
	struct buf *work;
	struct err *err;
};

static void path_add(struct slice text, char *path, size_t size, size_t *used)
{
	for (size_t i = 0; i < text.len && *used + 1 < size; i++)
		path[(*used)++] = isprint((unsigned char)text.ptr[i]) ? text.ptr[i] : '?';
	path[*used] = '\0';
}

static void path_write(struct copy_in *c, const struct level *level, char *path, size_t size, size_t *used)
{
	char number[32];
	size_t len;

	if (!level)
		return;
	path_write(c, level->up, path, size, used);
	if (level->key && lua_type(c->from, level->key) == LUA_TSTRING) {
		const char *text = lua_tolstring(c->from, level->key, &len);
		if (*used > 0)
			path_add(SLICE("."), path, size, used);
		path_add(slice_make(text, len), path, size, used);
	} else if (level->key || level->place) {
		double key = level->key ? lua_tonumber(c->from, level->key) : (double)level->place;
		snprintf(number, sizeof number, "[%.14g]", key);
		path_add(slice_cstr(number), path, size, used);
	}
}

static int refuse(struct copy_in *c, const struct level *level, const char *what)
{
	char path[200] = "";
	size_t used = 0;

	path_write(c, level, path, sizeof path, &used);
	if (used == 0)
		return err_set(c->err, ERR_INVALID, "the value %s", what);
	return err_set(c->err, ERR_INVALID, "field '%s' %s", path, what);
}

/* Pays for what the text will have at least. */
static int charge(struct copy_in *c, size_t bytes)
{
	if (bytes > c->left)
		return err_set(c->err, ERR_OVERFLOW, "too long for JSON (more than %zu bytes)", c->bytes);
	c->left -= bytes;
	return 0;
}

static void push_tagged(struct copy_in *c, char tag, struct slice text)
{
	buf_clear(c->work);
	if (buf_append_char(c->work, tag) || json_text_utf8(text, c->work))
		luaL_error(c->S, "out of memory");
	struct slice tagged = buf_slice(c->work);
	lua_pushlstring(c->S, tagged.ptr, tagged.len);
}

/* The shortest text that reads back as the same number; integral ones without a point, as AMI fields have them. */
static void write_float(double number, char *to, size_t size)
{
	if (floor(number) == number && fabs(number) < 9007199254740992.0) {
		snprintf(to, size, "%.0f", number == 0 ? 0.0 : number);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(to, size, "%.*g", digits, number);
		if (strtod(to, NULL) >= number && strtod(to, NULL) <= number)
			break;
	}
}

static void write_number(lua_State *L, int index, char *to, size_t size)
{
	if (lua_isinteger(L, index))
		snprintf(to, size, "%lld", (long long)lua_tointeger(L, index));
	else
		write_float(lua_tonumber(L, index), to, size);
}

static int copy_number(struct copy_in *c, int index, const struct level *level)
{
	char text[40];

	if (!isfinite(lua_tonumber(c->from, index)))
		return refuse(c, level, "is not a finite number");
	write_number(c->from, index, text, sizeof text);
	push_tagged(c, 'r', slice_cstr(text));
	return charge(c, strlen(text));
}

static int copy_any(struct copy_in *c, int index, const struct level *level);

/* What a table is by its keys. */
struct shape {
	size_t count;
	lua_Integer last; /* largest of 1 … ; */
	bool list;        /* no other keys */
};

/* A step through a table takes as long as the chain of keys that collide. */
static bool is_late(struct copy_in *c)
{
	if (deadline_passed())
		err_set(c->err, ERR_OVERFLOW, "takes too long to be written as JSON (limits.deadline)");
	return deadline_passed();
}

static int look_at_keys(struct copy_in *c, int index, struct level *level, struct shape *shape)
{
	*shape = (struct shape){ .list = true };
	/* A table that was emptied is walked all the same, and may be in the value often. The error is not seen: the next instruction
	 * of the rule raises. */
	if (deadline_passed())
		return err_set(c->err, ERR_TIMEOUT, "the deadline has passed");
	lua_pushnil(c->from);
	while (lua_next(c->from, index)) {
		lua_pop(c->from, 1);
		if (is_late(c)) {
			lua_pop(c->from, 1);
			return -1;
		}
		int type = lua_type(c->from, -1);
		if (type != LUA_TSTRING && type != LUA_TNUMBER) {
			char what[64];
			snprintf(what, sizeof what, "has a %s as a key", lua_typename(c->from, type));
			lua_pop(c->from, 1);
			return refuse(c, level->up, what);
		}
		lua_Integer key = lua_isinteger(c->from, -1) ? lua_tointeger(c->from, -1) : 0;
		if (key < 1)
			shape->list = false;
		else if (key > shape->last)
			shape->last = key;
		shape->count++;
	}
	/* Some places of a list may be nil; a few large numbers, such as extensions, make an object. */
	if (shape->last > 10 && (lua_Unsigned)shape->last > 2 * (lua_Unsigned)shape->count)
		shape->list = false;
	return 0;
}

static int copy_list(struct copy_in *c, int index, struct level *level, lua_Integer last)
{
	lua_createtable(c->S, (int)last, 0);
	for (lua_Integer i = 1; i <= last; i++) {
		level->place = i;
		lua_rawgeti(c->from, index, i);
		int rc = copy_any(c, lua_gettop(c->from), level);
		lua_pop(c->from, 1);
		if (rc || charge(c, 1))
			return -1;
		lua_rawseti(c->S, -2, i);
	}
	return 0;
}

static int copy_key(struct copy_in *c, int index)
{
	char number[40];
	size_t len;

	if (lua_type(c->from, index) == LUA_TSTRING) {
		const char *text = lua_tolstring(c->from, index, &len);
		if (charge(c, len + 4))
			return -1;
		push_tagged(c, 's', slice_make(text, len));
		return 0;
	}
	write_number(c->from, index, number, sizeof number);
	push_tagged(c, 's', slice_cstr(number));
	return charge(c, strlen(number) + 4);
}

/* The pair on top of `from`: key and value. Both stay there. */
static int copy_pair(struct copy_in *c, struct level *level)
{
	int top = lua_gettop(c->from);

	level->key = top - 1;
	if (copy_key(c, top - 1) || copy_any(c, top, level))
		return -1;
	level->key = 0;
	lua_rawset(c->S, -3);
	return 0;
}

static int copy_object(struct copy_in *c, int index, struct level *level)
{
	lua_newtable(c->S);
	lua_pushnil(c->from);
	while (lua_next(c->from, index)) {
		if (is_late(c) || copy_pair(c, level))
			return -1;
		lua_pop(c->from, 1);
	}
	return 0;
}

static int copy_table(struct copy_in *c, int index, const struct level *up)
{
	struct level level = { .up = up, .table = lua_topointer(c->from, index) };
	struct shape shape;

	for (const struct level *l = up; l; l = l->up)
		if (l->table == level.table)
			return refuse(c, up, "is a table that holds itself");
	if (c->deep == c->depth)
		return err_set(c->err, ERR_OVERFLOW, "nested too deep for JSON (more than %u levels)", c->depth);
	if (!lua_checkstack(c->from, 6))
		return err_set(c->err, ERR_OVERFLOW, "the Lua stack is full");
	luaL_checkstack(c->S, 6, NULL);
	if (charge(c, 2) || look_at_keys(c, index, &level, &shape))
		return -1;
	bool marked = is_marked(c->from, index);
	if (marked && !shape.list)
		return refuse(c, up, "is marked as an array, and has other keys than 1, 2, 3 …");
	if (shape.count == 0 && marked) {
		lua_pushliteral(c->S, "r[]");
		return 0;
	}
	c->deep++;
	int rc = shape.list && shape.count > 0 ? copy_list(c, index, &level, shape.last) : copy_object(c, index, &level);
	c->deep--;
	return rc;
}

static int copy_text(struct copy_in *c, int index)
{
	size_t len;
	const char *text = lua_tolstring(c->from, index, &len);

	if (charge(c, len + 2))
		return -1;
	push_tagged(c, 's', slice_make(text, len));
	return 0;
}

static int copy_any(struct copy_in *c, int index, const struct level *level)
{
	char what[64];

	luavalue_unproxy(c->from, index);
	switch (lua_type(c->from, index)) {
	case LUA_TNIL:
		lua_pushlightuserdata(c->S, NULL);
		return charge(c, 4);
	case LUA_TBOOLEAN:
		lua_pushboolean(c->S, lua_toboolean(c->from, index));
		return charge(c, 4);
	case LUA_TNUMBER:
		return copy_number(c, index, level);
	case LUA_TSTRING:
		return copy_text(c, index);
	case LUA_TTABLE:
		return copy_table(c, index, level);
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(c->from, index)) {
			lua_pushlightuserdata(c->S, NULL);
			return charge(c, 4);
		}
		return refuse(c, level, "is a userdata, which JSON cannot hold");
	default:
		snprintf(what, sizeof what, "is a %s, which JSON cannot hold",
		         lua_typename(c->from, lua_type(c->from, index)));
		return refuse(c, level, what);
	}
}

int json_copy_in(lua_State *scratch, lua_State *from, int index, size_t bytes, unsigned depth, struct buf *work,
                 struct err *err)
{
	struct copy_in c = { .S = scratch, .from = from, .bytes = bytes, .left = bytes, .depth = depth, .work = work, .err = err };
	int top = lua_gettop(from);

	if (!lua_checkstack(from, 6))
		return err_set(err, ERR_OVERFLOW, "the Lua stack is full");
	luaL_checkstack(scratch, 6, NULL);
	int rc = copy_any(&c, lua_absindex(from, index), NULL);
	lua_settop(from, top);
	return rc;
}

/* Out: from lua-cjson to a rule */

static int push_number(lua_State *to, const char *text, struct err *err)
{
	if (!strpbrk(text, ".eE")) {
		errno = 0;
		long long integer = strtoll(text, NULL, 10);
		if (errno == 0) {
			lua_pushinteger(to, integer);
			return 0;
		}
	}
	double number = strtod(text, NULL);
	if (!isfinite(number))
		return err_set(err, ERR_INVALID, "number %.20s%s is out of range", text, strlen(text) > 20 ? "…" : "");
	lua_pushnumber(to, number);
	return 0;
}

/* The tagged string on top of S. */
static int push_string(lua_State *S, lua_State *to, struct err *err)
{
	size_t len;
	const char *text = lua_tolstring(S, -1, &len);

	if (text[0] == 'r')
		return push_number(to, text + 1, err);
	if (text[0] == 'a') {
		lua_newtable(to);
		json_mark_array(to);
		return 0;
	}
	lua_pushlstring(to, text + 1, len - 1);
	return 0;
}

static int push_any(lua_State *S, lua_State *to, struct err *err);

static int push_table(lua_State *S, lua_State *to, struct err *err)
{
	size_t len, count = lua_rawlen(S, -1);

	lua_createtable(to, (int)count, 0);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(S, -1, (lua_Integer)i);
		if (push_any(S, to, err))
			return -1;
		lua_rawseti(to, -2, (lua_Integer)i);
		lua_pop(S, 1);
	}
	if (count > 0)
		return 0;
	lua_pushnil(S);
	while (lua_next(S, -2)) {
		const char *key = lua_tolstring(S, -2, &len);
		/* A number or an empty array in the place of a key went through lua-cjson as a string. */
		if (key[0] != 's')
			return err_set(err, ERR_INVALID, "expected object key string, found %.20s", key[0] == 'r' ? key + 1 : "[]");
		lua_pushlstring(to, key + 1, len - 1);
		if (push_any(S, to, err))
			return -1;
		lua_rawset(to, -3);
		lua_pop(S, 1);
	}
	return 0;
}

/* The value on top of S, which stays there. */
static int push_any(lua_State *S, lua_State *to, struct err *err)
{
	luaL_checkstack(to, 6, "JSON nested too deep");
	if (!lua_checkstack(S, 6))
		return err_set(err, ERR_OVERFLOW, "JSON nested too deep");
	switch (lua_type(S, -1)) {
	case LUA_TBOOLEAN:
		lua_pushboolean(to, lua_toboolean(S, -1));
		return 0;
	case LUA_TSTRING:
		return push_string(S, to, err);
	case LUA_TTABLE:
		return push_table(S, to, err);
	default:
		lua_pushlightuserdata(to, NULL);
		return 0;
	}
}

int json_copy_out(lua_State *scratch, lua_State *to, struct err *err)
{
	int top = lua_gettop(to);

	if (push_any(scratch, to, err)) {
		lua_settop(to, top);
		return -1;
	}
	return 0;
}
