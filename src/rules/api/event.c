/* Events, answers and errors as rules see them: read-only objects that own their bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "rules/api/api.h"
#include "rules/api/live.h"
#include "rules/task.h"
#include "sandbox/kill.h"
#include "value/luavalue.h"

#define SHOWN_MAX 1024u

/* The head of the userdata; header records and the frame's bytes stand behind it. */
struct event {
	double at; /* epoch seconds of its arrival */
	struct message message;
};

/* User values of a reply. */
enum { REPLY_EVENTS = 1, REPLY_OUTPUT, REPLY_VALUES = REPLY_OUTPUT };

static struct event *new_event(lua_State *L, const struct message *m, int values)
{
	size_t headers = m->header_count * sizeof *m->headers;
	struct event *ev = lua_newuserdatauv(L, sizeof *ev + headers + m->len, values);
	struct header *copy = (struct header *)(ev + 1);
	char *bytes = (char *)copy + headers;

	memcpy(copy, m->headers, headers);
	memcpy(bytes, m->bytes, m->len);
	ev->message = *m;
	ev->message.headers = copy;
	ev->message.bytes = bytes;
	if (m->name.len > 0)
		ev->message.name.ptr = bytes + (m->name.ptr - m->bytes);
	return ev;
}

void event_push(lua_State *L, struct rule *rule, const struct message *m, double at)
{
	struct event *ev = new_event(L, m, 0);
	ev->at = at;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.event);
	lua_setmetatable(L, -2);
}

static void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.ptr, s.len);
}

/* The value of a header: text, but for what the engine's own events say. */
static void push_value(lua_State *L, const struct message *m, uint32_t i)
{
	struct slice value = message_header_value(m, i);
	char number[48];
	int64_t integer = 0;

	switch (message_header_type(m, i)) {
	case MESSAGE_INTEGER:
		slice_to_int(value, &integer);
		lua_pushinteger(L, integer);
		break;
	case MESSAGE_NUMBER:
		slice_to_text(value, number, sizeof number);
		lua_pushnumber(L, strtod(number, NULL));
		break;
	case MESSAGE_BOOLEAN:
		lua_pushboolean(L, slice_eq(value, SLICE("true")));
		break;
	case MESSAGE_LIST:
	case MESSAGE_MAP:
		luavalue_push_packed(L, value);
		break;
	case MESSAGE_TEXT:
		push_slice(L, value);
		break;
	}
}

static int event_index(lua_State *L)
{
	/* __index is reached through our own metatable only: the object needs no check. */
	const struct event *ev = lua_touserdata(L, 1);
	struct slice name;
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	name.ptr = lua_tolstring(L, 2, &name.len);
	int64_t i = message_find(&ev->message, name, 0);
	if (i < 0)
		return 0;
	push_value(L, &ev->message, (uint32_t)i);
	return 1;
}

static int event_newindex(lua_State *L)
{
	return luaL_error(L, "an event is read-only: use ami.table(ev) for a copy that can be changed");
}

static int event_len(lua_State *L)
{
	const struct event *ev = lua_touserdata(L, 1);
	lua_Integer named = 0; /* a line without a name is no header (Q09) */
	for (uint32_t i = 0; i < ev->message.header_count; i++)
		named += ev->message.headers[i].name_len > 0;
	lua_pushinteger(L, named);
	return 1;
}

/* The control variable of the loop is a name, which may repeat: the position is kept in the closure. */
static int event_next(lua_State *L)
{
	const struct event *ev = lua_touserdata(L, lua_upvalueindex(1));
	uint32_t i = (uint32_t)lua_tointeger(L, lua_upvalueindex(2));
	while (i < ev->message.header_count && ev->message.headers[i].name_len == 0)
		i++; /* a line without a name (Q09) */
	if (i >= ev->message.header_count)
		return 0;
	lua_pushinteger(L, (lua_Integer)i + 1);
	lua_replace(L, lua_upvalueindex(2));
	push_slice(L, message_header_name(&ev->message, i));
	push_value(L, &ev->message, i);
	return 2;
}

static int event_pairs(lua_State *L)
{
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, event_next, 2);
	return 1;
}

static int event_tostring(lua_State *L)
{
	const struct message *m = &((const struct event *)lua_touserdata(L, 1))->message;
	luaL_Buffer b;
	size_t shown = m->name.len;
	luaL_buffinit(L, &b);
	luaL_addlstring(&b, m->name.ptr, m->name.len);
	for (uint32_t i = 0; i < m->header_count && shown < SHOWN_MAX; i++) {
		struct slice name = message_header_name(m, i), value = message_header_value(m, i);
		if (i == 0 && value.ptr == m->name.ptr)
			continue;
		if (value.len > 200)
			value.len = 200;
		luaL_addchar(&b, ' ');
		luaL_addlstring(&b, name.ptr, name.len);
		luaL_addchar(&b, '=');
		luaL_addlstring(&b, value.ptr, value.len);
		shown += name.len + value.len + 2;
	}
	luaL_pushresult(&b);
	return 1;
}

static struct event *check_event(lua_State *L, int index)
{
	struct rule *rule = rule_of(L);
	struct event *ev = object_test(L, index, rule->meta.event);
	if (!ev)
		ev = object_test(L, index, rule->meta.reply);
	if (!ev)
		luaL_argerror(L, index, "expected an event, an answer or an object of the live picture");
	return ev;
}

static int ami_values(lua_State *L)
{
	const struct event *ev = check_event(L, 1);
	struct slice name;
	name.ptr = luaL_checklstring(L, 2, &name.len);
	lua_newtable(L);
	lua_Integer n = 0;
	for (uint32_t i = 0; i < ev->message.header_count; i++) {
		if (!slice_eq_nocase(message_header_name(&ev->message, i), name))
			continue;
		push_value(L, &ev->message, i);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

SANDBOX_FUNCTION(ami_table)
{
	if (live_object_table(L, 1))
		return 1;
	const struct message *m = &check_event(L, 1)->message;
	lua_newtable(L);
	for (uint32_t i = 0; i < m->header_count; i++) {
		struct slice name = message_header_name(m, i);
		if (name.len == 0)
			continue;
		push_slice(L, name);
		int type = lua_rawget(L, -2);
		if (type == LUA_TTABLE) {
			push_value(L, m, i);
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
			lua_pop(L, 1);
			continue;
		}
		push_slice(L, name);
		if (type == LUA_TNIL) {
			push_value(L, m, i);
		} else {
			lua_createtable(L, 2, 0);
			lua_pushvalue(L, -3);
			lua_rawseti(L, -2, 1);
			push_value(L, m, i);
			lua_rawseti(L, -2, 2);
		}
		lua_rawset(L, -4);
		lua_pop(L, 1);
	}
	return 1;
}

static int ami_time(lua_State *L)
{
	lua_pushnumber(L, check_event(L, 1)->at);
	return 1;
}

/* ---- answers ---- */

static int reply_index(lua_State *L)
{
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	/* Exact lower-case names are ours, every other name is a header. */
	if (strcmp(key, "events") == 0) {
		lua_getiuservalue(L, 1, REPLY_EVENTS);
		return 1;
	}
	if (strcmp(key, "output") == 0) {
		lua_getiuservalue(L, 1, REPLY_OUTPUT);
		return 1;
	}
	if (strcmp(key, "message") == 0) {
		lua_pushstring(L, "Message");
		lua_replace(L, 2);
	}
	return event_index(L);
}

static void push_output(lua_State *L, const struct reply *reply)
{
	size_t cursor = 0;
	struct slice line;
	lua_Integer n = 0;
	lua_newtable(L);
	while (reply_output(reply, &cursor, &line)) {
		push_slice(L, line);
		lua_rawseti(L, -2, ++n);
	}
}

static void reply_push(lua_State *L, struct rule *rule, const struct reply *reply)
{
	static const struct header no_header = { 0 };
	static const struct message none = { .bytes = "", .headers = &no_header, .kind = MESSAGE_RESPONSE, .name = { "", 0 } };
	struct event *ev = new_event(L, reply->response ? reply->response : &none, REPLY_VALUES);
	ev->at = 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.reply);
	lua_setmetatable(L, -2);
	if (reply->is_list) {
		lua_createtable(L, (int)reply->event_count, 0);
		for (uint32_t i = 0; i < reply->event_count; i++) {
			event_push(L, rule, reply->events[i], 0);
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		lua_setiuservalue(L, -2, REPLY_EVENTS);
	}
	if (reply->has_output || (reply->response && reply->response->text.ptr)) {
		push_output(L, reply);
		lua_setiuservalue(L, -2, REPLY_OUTPUT);
	}
}

int event_push_answer(lua_State *L, struct task *task)
{
	struct rule *rule = task->rule;
	const struct reply *reply = task->reply;
	int count = 1;
	if (reply->code == ERR_NONE) {
		reply_push(L, rule, reply);
	} else {
		struct err err;
		err_set(&err, reply->code, "%s", reply->text);
		lua_pushnil(L);
		error_push(L, rule, &err, reply);
		count = 2;
	}
	reply_free(&task->reply); /* the next call's answer will stand there */
	return count;
}

/* ---- errors ---- */

static int error_tostring(lua_State *L)
{
	lua_pushstring(L, "message");
	lua_rawget(L, 1);
	lua_pushstring(L, "code");
	lua_rawget(L, 1);
	const char *message = lua_tostring(L, -2), *code = lua_tostring(L, -1);
	if (!message || message[0] == '\0')
		lua_pushstring(L, code ? code : "error");
	else
		lua_pushfstring(L, "%s: %s", code ? code : "error", message);
	return 1;
}

void error_push(lua_State *L, struct rule *rule, const struct err *err, const struct reply *reply)
{
	lua_createtable(L, 0, 3);
	lua_pushstring(L, err_name(err->code));
	lua_setfield(L, -2, "code");
	lua_pushstring(L, err->text);
	lua_setfield(L, -2, "message");
	if (reply && reply->response) {
		reply_push(L, rule, reply);
		lua_setfield(L, -2, "response");
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.error);
	lua_setmetatable(L, -2);
}

int error_push_one(lua_State *L, const struct err *err)
{
	error_push(L, rule_of(L), err, NULL);
	return 1;
}

int error_push_failure(lua_State *L, struct rule *rule, const struct err *err)
{
	lua_pushnil(L);
	error_push(L, rule, err, NULL);
	return 2;
}

void event_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg event_meta[] = {
		{ "__index", event_index }, { "__newindex", event_newindex }, { "__len", event_len },
		{ "__pairs", event_pairs }, { "__tostring", event_tostring }, { NULL, NULL },
	};
	static const luaL_Reg reply_meta[] = {
		{ "__index", reply_index }, { "__newindex", event_newindex }, { "__len", event_len },
		{ "__pairs", event_pairs }, { "__tostring", event_tostring }, { NULL, NULL },
	};
	static const luaL_Reg error_meta[] = { { "__tostring", error_tostring }, { NULL, NULL } };
	static const luaL_Reg functions[] = {
		{ "values", ami_values }, { "table", ami_table }, { "time", ami_time }, { NULL, NULL },
	};
	rule->meta.event = object_meta(L, "event", event_meta, NULL);
	rule->meta.reply = object_meta(L, "answer", reply_meta, NULL);
	rule->meta.error = object_meta(L, "error", error_meta, NULL);
	luaL_setfuncs(L, functions, 0);
}
