#include "harness/module_frame.h"

#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "ami/framer.h"
#include "base/mem.h"

#define BOX "hookswitch.rules.frame"
#define FRAME_MAX (64u * 1024 * 1024)
#define HEADERS_MAX 65536u
#define KEYS_MAX 1024u

/* Owns what is being made while Lua may raise. */
struct box {
	struct framer framer;
	struct buf bytes;
	struct message message;
	struct reply *reply;
};

static int box_gc(lua_State *L)
{
	struct box *box = lua_touserdata(L, 1);
	framer_close(&box->framer);
	buf_close(&box->bytes);
	reply_free(&box->reply);
	return 0;
}

static struct box *new_box(lua_State *L)
{
	static const struct framer_limits limits = { .max_frame = FRAME_MAX, .max_headers = HEADERS_MAX };
	struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = (struct box){ .reply = NULL };
	framer_init(&box->framer, &limits, false);
	buf_init(&box->bytes, 0);
	luaL_setmetatable(L, BOX);
	return box;
}

static void add_header(lua_State *L, struct buf *out, struct slice name, struct slice value)
{
	if (memchr(value.ptr, '\n', value.len) || memchr(value.ptr, '\r', value.len) || memchr(name.ptr, '\n', name.len))
		luaL_error(L, "header '%s' holds a line end: feed() takes raw bytes", name.ptr);
	buf_append(out, name);
	buf_append_cstr(out, ": ");
	buf_append(out, value);
	buf_append_cstr(out, "\r\n");
}

/* The header whose value is on top of the stack: a string, a number, a boolean, or a list of these. Takes it off. */
static void add_value(lua_State *L, struct buf *out, struct slice name)
{
	struct slice value;
	if (lua_istable(L, -1)) {
		for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++)
			add_value(L, out, name);
		lua_pop(L, 2);
		return;
	}
	value.ptr = luaL_tolstring(L, -1, &value.len);
	add_header(L, out, name, value);
	lua_pop(L, 2);
}

static bool names_frame(struct slice name)
{
	return slice_eq_nocase(name, SLICE("Event")) || slice_eq_nocase(name, SLICE("Response"));
}

/* By name; what says which frame it is stands first, as on the wire. */
static int compare_names(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	if (names_frame(*x) != names_frame(*y))
		return names_frame(*x) ? -1 : 1;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->ptr, y->ptr, n);
	return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

/* Names that begin with a small letter are left out where `own` says so: they are the reply's own. */
static void add_table(lua_State *L, int index, struct buf *out, bool own)
{
	struct slice *keys = lua_newuserdatauv(L, KEYS_MAX * sizeof *keys, 0);
	size_t count = 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || count == KEYS_MAX)
			luaL_error(L, "a header's name is a string");
		struct slice *key = &keys[count];
		key->ptr = lua_tolstring(L, -2, &key->len);
		count += !own || !(key->ptr[0] >= 'a' && key->ptr[0] <= 'z');
	}
	qsort(keys, count, sizeof *keys, compare_names);
	for (size_t i = 0; i < count; i++) {
		lua_pushlstring(L, keys[i].ptr, keys[i].len);
		lua_rawget(L, index);
		add_value(L, out, keys[i]);
	}
	lua_pop(L, 1);
}

static void add_headers(lua_State *L, int index, struct buf *out, bool own)
{
	luaL_checkstack(L, 12, NULL);
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	if (lua_rawlen(L, index) == 0) {
		add_table(L, index, out, own);
		return;
	}
	for (lua_Integer i = 1; lua_rawgeti(L, index, i) == LUA_TTABLE; i++) {
		struct slice name;
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		name.ptr = luaL_checklstring(L, -2, &name.len);
		add_value(L, out, name);
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
}

/* What stands in the box's bytes becomes its message. */
static const struct message *parse(lua_State *L, struct box *box)
{
	size_t used;
	buf_append_cstr(&box->bytes, "\r\n");
	framer_reset(&box->framer, false);
	if (framer_next(&box->framer, buf_slice(&box->bytes), &box->message, &used) != FRAMER_FRAME || used != buf_len(&box->bytes))
		luaL_error(L, "these headers make no AMI frame");
	return &box->message;
}

const struct message *frame_read(lua_State *L, int index, const char *first, struct slice value)
{
	index = lua_absindex(L, index);
	struct box *box = new_box(L);
	add_header(L, &box->bytes, slice_cstr(first), value);
	add_headers(L, index, &box->bytes, false);
	return parse(L, box);
}

/* ---- replies ---- */

static enum err_code check_code(lua_State *L, int index)
{
	const char *name = luaL_checkstring(L, index);
	for (int code = ERR_NONE; code < ERR_CODES; code++)
		if (strcmp(err_name((enum err_code)code), name) == 0)
			return (enum err_code)code;
	luaL_error(L, "'%s' is no code of an action's end", name);
	return ERR_NONE;
}

/* `events` on top of the stack: a list of tables of headers, each with Event in it. */
static void read_events(lua_State *L, struct box *box)
{
	luaL_checktype(L, -1, LUA_TTABLE);
	size_t count = lua_rawlen(L, -1);
	int list = lua_gettop(L);
	box->reply->is_list = true;
	box->reply->events = mem_zalloc((count + 1) * sizeof(struct message *));
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, list, (lua_Integer)i + 1);
		buf_clear(&box->bytes);
		add_headers(L, lua_gettop(L), &box->bytes, false);
		box->reply->events[i] = message_copy(parse(L, box));
		if (!box->reply->events[i])
			luaL_error(L, "not enough memory");
		box->reply->event_count++;
		lua_settop(L, list);
	}
}

struct reply *reply_read(lua_State *L, int index, struct slice action)
{
	struct slice name, text;
	index = lua_absindex(L, index);
	luaL_checktype(L, index, LUA_TTABLE);
	struct box *box = new_box(L);
	int top = lua_gettop(L);
	box->reply = reply_failed(ERR_NONE, "", NULL, "");
	struct reply *reply = box->reply;
	snprintf(reply->action, sizeof reply->action, "%.*s", SLICE_ARG(action));

	if (lua_getfield(L, index, "events") != LUA_TNIL)
		read_events(L, box);
	buf_clear(&box->bytes);
	if (lua_getfield(L, index, "Response") != LUA_TNIL || lua_getfield(L, index, "Event") != LUA_TNIL) {
		add_headers(L, index, &box->bytes, true);
		if (lua_getfield(L, index, "output") != LUA_TNIL) {
			reply->has_output = true;
			add_value(L, &box->bytes, SLICE("Output"));
		}
		reply->response = message_copy(parse(L, box));
	}
	if (lua_getfield(L, index, "code") != LUA_TNIL)
		reply->code = check_code(L, -1);
	else if (reply->response && message_get(reply->response, SLICE("Response"), &name) && slice_eq(name, SLICE("Error")))
		reply->code = ERR_ERROR;
	if (lua_getfield(L, index, "text") != LUA_TNIL)
		text = slice_cstr(luaL_checkstring(L, -1));
	else
		text = reply->response ? message_value(reply->response, SLICE("Message")) : SLICE("");
	snprintf(reply->text, sizeof reply->text, "%.*s", (int)(text.len < 255 ? text.len : 255), text.ptr);
	box->reply = NULL;
	lua_settop(L, top);
	return reply;
}

void frame_open(lua_State *L)
{
	luaL_newmetatable(L, BOX);
	lua_pushcfunction(L, box_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}
