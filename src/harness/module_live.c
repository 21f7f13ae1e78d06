#include "harness/module_live.h"

#include <malloc.h>

#include <lauxlib.h>

#include "ami/catalogue.h"
#include "harness/module.h"
#include "harness/module_ami.h"
#include "harness/module_frame.h"
#include "harness/module_values.h"
#include "live/live.h"

#define PICTURE "hookswitch.live"
#define HELD "hookswitch.live.held"
#define CURSOR "hookswitch.live.cursor"

struct picture {
	struct live *live;
	lua_State *L;      /* of the call that goes on: changes are collected there */
	int changes;       /* reference of their list */
	lua_Integer count;
	struct framing framing;
	bool framing_open;
	bool deaf;         /* changes are not collected */
	int64_t now;
};

struct held {
	struct live_object *object;
};

struct cursor {
	struct live_cursor cursor;
	struct live_filter filter;
	int64_t now;
};

static struct picture *check_picture(lua_State *L)
{
	struct picture *p = luaL_checkudata(L, 1, PICTURE);
	luaL_argcheck(L, p->live, 1, "it is closed");
	p->L = L;
	luaL_checkstack(L, 40, NULL);
	return p;
}

/* Seconds at `index`, or the last time given. */
static int64_t check_time(lua_State *L, struct picture *p, int index)
{
	if (!lua_isnoneornil(L, index))
		p->now = (int64_t)(luaL_checknumber(L, index) * 1e6 + 0.5);
	return p->now;
}

static struct live_server *check_server(lua_State *L, struct picture *p, int index)
{
	struct live_server *s = live_server_find(p->live, check_slice(L, index));
	luaL_argcheck(L, s, index, "no such server");
	return s;
}

static enum live_kind check_kind(lua_State *L, int index)
{
	const char *name = luaL_checkstring(L, index);
	for (int kind = 0; kind < LIVE_SETS; kind++)
		if (strcmp(name, live_kind_name((enum live_kind)kind)) == 0)
			return (enum live_kind)kind;
	return (enum live_kind)luaL_argerror(L, index, "no such kind");
}

/* ---- values ---- */

static void push_object(lua_State *L, const struct live_object *object, int64_t now, int depth);

struct list_push {
	lua_State *L;
	int64_t now;
	lua_Integer count;
	int depth;
	bool is_map;
};

static bool push_item(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value)
{
	struct list_push *push = ctx;
	lua_State *L = push->L;

	if (push->is_map)
		push_slice(L, key);
	if (object)
		push_object(L, object, push->now, push->depth + 1);
	else if (value->type == LIVE_TEXT)
		push_slice(L, value->text);
	else if (value->type == LIVE_NUMBER)
		lua_pushnumber(L, value->number);
	else
		lua_pushnil(L);
	if (push->is_map)
		lua_settable(L, -3);
	else
		lua_rawseti(L, -2, ++push->count);
	return true;
}

static void push_list(lua_State *L, const struct live_value *value, int64_t now, int depth)
{
	struct list_push push = { .L = L, .now = now, .depth = depth, .is_map = value->type == LIVE_MAP };

	lua_createtable(L, (int)value->list.count, 0);
	live_each_item(value, push_item, &push);
}

static void push_value(lua_State *L, const struct live_value *value, int64_t now, int depth)
{
	switch (value->type) {
	case LIVE_NIL: lua_pushnil(L); break;
	case LIVE_BOOL: lua_pushboolean(L, value->boolean); break;
	case LIVE_INT: lua_pushinteger(L, value->integer); break;
	case LIVE_NUMBER:
	case LIVE_TIME: lua_pushnumber(L, value->number); break;
	case LIVE_TEXT: push_slice(L, value->text); break;
	default: push_list(L, value, now, depth);
	}
}

static void push_object(lua_State *L, const struct live_object *object, int64_t now, int depth)
{
	enum live_kind kind = live_object_kind(object);
	const char *name;
	luaL_checkstack(L, 10, NULL);
	lua_newtable(L);
	for (uint32_t i = 0; depth < 3 && (name = live_field_name(kind, i)); i++) {
		struct live_value value = live_get(object, (int)i, now);
		push_value(L, &value, now, depth);
		lua_setfield(L, -2, name);
	}
}

static void set_optional(lua_State *L, const char *key, struct slice s)
{
	if (s.ptr && s.len > 0)
		set_slice(L, key, s);
}

/* Inside a call from Lua: out of memory here is the test's end. */
static void changed(void *ctx, const struct live_change *change)
{
	struct picture *p = ctx;
	lua_State *L = p->L;
	if (p->deaf)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->changes);
	lua_newtable(L);
	set_text(L, "kind", live_change_name(change->kind));
	set_slice(L, "server", live_server_name(change->server));
	set_text(L, "reason", change->reason);
	set_boolean(L, "resync", change->resync);
	set_number(L, "at", (double)change->at / 1e6);
	set_integer(L, "count", change->count);
	set_integer(L, "gone", change->gone);
	set_integer(L, "corrected", change->corrected);
	set_optional(L, "number", change->number);
	set_optional(L, "name", change->name);
	set_optional(L, "queue", change->queue);
	if (change->object) {
		push_object(L, change->object, change->at, 0);
		lua_setfield(L, -2, "object");
	}
	lua_rawseti(L, -2, ++p->count);
	lua_pop(L, 1);
}

/* ---- making ---- */

static int64_t option_seconds(lua_State *L, int index, const char *key, int64_t otherwise)
{
	lua_getfield(L, index, key);
	int64_t us = lua_isnil(L, -1) ? otherwise : (int64_t)(luaL_checknumber(L, -1) * 1e6);
	lua_pop(L, 1);
	return us;
}

static void read_limits(lua_State *L, int index, struct live_limits *limits)
{
	struct {
		const char *name;
		uint32_t *limit;
	} all[] = {
		{ "channels", &limits->channels }, { "bridges", &limits->bridges }, { "queues", &limits->queues }, { "members", &limits->members },
		{ "agents", &limits->agents }, { "endpoints", &limits->endpoints }, { "conferences", &limits->conferences },
		{ "parked", &limits->parked },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		*all[i].limit = (uint32_t)option_integer(L, index, all[i].name, *all[i].limit);
}

/* The list of strings `key`, kept alive as a user value of the object on top of the stack. */
static uint32_t read_names(lua_State *L, int index, const char *key, const char ***names, int user)
{
	lua_getfield(L, index, key);
	uint32_t count = lua_istable(L, -1) ? (uint32_t)lua_rawlen(L, -1) : 0;
	int list = lua_gettop(L);
	*names = lua_newuserdatauv(L, (count + 1) * sizeof **names, 1);
	for (uint32_t i = 0; i < count; i++) {
		lua_rawgeti(L, list, (lua_Integer)i + 1);
		(*names)[i] = luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	lua_pushvalue(L, list);
	lua_setiuservalue(L, -2, 1);
	lua_setiuservalue(L, -3, user);
	lua_pop(L, 1);
	return count;
}

static int picture_new(lua_State *L)
{
	struct live_options options;
	const char **variables, **trunks;
	lua_settop(L, 1);
	if (lua_isnil(L, 1) || lua_isnone(L, 1)) {
		lua_newtable(L);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	live_options_init(&options);
	read_limits(L, 1, &options.limits);
	options.grace = option_seconds(L, 1, "grace", options.grace);
	options.doubt = option_seconds(L, 1, "doubt", options.doubt);
	options.resync_every = option_seconds(L, 1, "resync_every", options.resync_every);
	options.service_level = option_seconds(L, 1, "service_level", options.service_level);
	options.snapshots_in_flight = (uint32_t)option_integer(L, 1, "snapshots_in_flight", options.snapshots_in_flight);
	struct picture *p = lua_newuserdatauv(L, sizeof *p, 2);
	*p = (struct picture){ .L = L };
	luaL_setmetatable(L, PICTURE);
	options.variable_count = read_names(L, 1, "variables", &variables, 1);
	options.trunk_count = read_names(L, 1, "trunks", &trunks, 2);
	options.variables = variables;
	options.trunks = trunks;
	lua_newtable(L);
	p->changes = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	framing_init(L, lua_gettop(L), &p->framing);
	p->framing_open = true;
	lua_pop(L, 1);
	p->live = live_create(&options, changed, p);
	return 1;
}

static int picture_close(lua_State *L)
{
	struct picture *p = luaL_checkudata(L, 1, PICTURE);
	live_destroy(&p->live);
	if (p->framing_open)
		framing_close(&p->framing);
	p->framing_open = false;
	luaL_unref(L, LUA_REGISTRYINDEX, p->changes);
	p->changes = LUA_NOREF;
	return 0;
}

/* ---- feeding ---- */

static int picture_server(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_server_add(p->live, check_slice(L, 2));
	return 0;
}

static int picture_remove(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	live_server_remove(&s, check_time(L, p, 3));
	return 0;
}

static int picture_leave(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_server_leave(check_server(L, p, 2), check_time(L, p, 3));
	return 0;
}

static int picture_session(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_session(check_server(L, p, 2), catalogue_ami_version(check_slice(L, 3)), check_time(L, p, 4));
	return 0;
}

static int picture_lost(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_lost(check_server(L, p, 2), check_time(L, p, 3));
	return 0;
}

static int picture_gap(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_gap(check_server(L, p, 2), check_time(L, p, 3));
	return 0;
}

static int picture_event(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	int64_t now = check_time(L, p, 5);
	lua_pushboolean(L, live_event(s, frame_read(L, 4, "Event", check_slice(L, 3)), now));
	return 1;
}

static int picture_item(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	int64_t now = check_time(L, p, 5);
	live_list_item(s, frame_read(L, 4, "Event", check_slice(L, 3)), now);
	return 0;
}

static enum live_answer check_answer(lua_State *L, int index)
{
	static const char *const names[] = { "answered", "refused", "failed", NULL };
	return (enum live_answer)luaL_checkoption(L, index, NULL, names);
}

static int picture_answer(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	enum live_answer how = check_answer(L, 3);
	int64_t now = check_time(L, p, 5);
	const struct message *response = lua_isnoneornil(L, 4) ? NULL : frame_read(L, 4, "Response", how == LIVE_REFUSED ? SLICE("Error") : SLICE("Success"));
	live_answer(s, how, response, now);
	return 0;
}

static int picture_begin(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	struct slice action = check_slice(L, 3);
	lua_pushboolean(L, live_list_begin(s, action, check_time(L, p, 4)));
	return 1;
}

static int picture_request(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_request request;
	if (!live_next_request(p->live, &request, check_time(L, p, 2)))
		return 0;
	lua_newtable(L);
	set_slice(L, "server", live_server_name(request.server));
	set_text(L, "action", request.action);
	for (uint32_t i = 0; i < request.header_count; i++)
		set_text(L, request.headers[i].name, request.headers[i].value);
	return 1;
}

static int picture_want(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_want_snapshot(check_server(L, p, 2), check_time(L, p, 3));
	return 0;
}

static int picture_tick(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_tick(p->live, check_time(L, p, 2));
	return 0;
}

static int picture_new_day(lua_State *L)
{
	struct picture *p = check_picture(L);
	live_new_day(p->live, check_time(L, p, 2));
	return 0;
}

static int picture_deadline(lua_State *L)
{
	struct picture *p = check_picture(L);
	int64_t at = live_deadline(p->live);
	if (at == INT64_MAX)
		return 0;
	lua_pushnumber(L, (double)at / 1e6);
	return 1;
}

/* The time of an event that says it: "1795268162.702613". */
static void read_time(struct picture *p, const struct message *m)
{
	struct slice text = message_value(m, SLICE("Timestamp"));
	int64_t seconds, us;
	const char *dot = text.len > 0 ? memchr(text.ptr, '.', text.len) : NULL;
	if (!dot || text.len - (size_t)(dot + 1 - text.ptr) != 6 || !slice_to_int(slice_make(text.ptr, (size_t)(dot - text.ptr)), &seconds) ||
	    !slice_to_int(slice_make(dot + 1, 6), &us))
		return;
	p->now = seconds * 1000000 + us;
}

/* Asks the test what this frame is: "item", "answered", "refused", or nothing: an event. */
static const char *ask(lua_State *L, const struct message *m)
{
	lua_pushvalue(L, 4);
	push_fields(L, m);
	lua_call(L, 1, 1);
	return lua_tostring(L, -1);
}

static void feed_frame(lua_State *L, struct picture *p, struct live_server *s, const struct message *m)
{
	const char *what = NULL;
	read_time(p, m);
	if (!lua_isnoneornil(L, 4) && (m->action_id.len > 0 || m->kind != MESSAGE_EVENT || slice_eq(m->name, SLICE("UserEvent"))))
		what = ask(L, m);
	if (!what) {
		if (m->kind == MESSAGE_EVENT)
			live_event(s, m, p->now);
	} else if (strcmp(what, "item") == 0) {
		live_list_item(s, m, p->now);
	} else if (strcmp(what, "answered") == 0) {
		live_answer(s, LIVE_ANSWERED, m, p->now);
	} else if (strcmp(what, "refused") == 0) {
		live_answer(s, LIVE_REFUSED, m, p->now);
	}
}

static int picture_feed(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	struct message m;
	size_t used;
	enum framer_status status;
	lua_settop(L, 4);
	framing_feed(L, &p->framing, check_slice(L, 3));
	while ((status = framing_next(L, &p->framing, &m, &used)) != FRAMER_MORE) {
		if (status == FRAMER_FRAME)
			feed_frame(L, p, s, &m);
		lua_settop(L, 4);
		buf_consume(&p->framing.held, used);
	}
	buf_consume(&p->framing.held, used);
	return 0;
}

static int picture_variables(lua_State *L)
{
	const struct picture *p = check_picture(L);
	const char *name;

	lua_newtable(L);
	for (uint32_t i = 0; (name = live_variable_name(p->live, i)); i++) {
		lua_pushstring(L, name);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int picture_deaf(lua_State *L)
{
	check_picture(L)->deaf = lua_toboolean(L, 2);
	return 0;
}

static int picture_changes(lua_State *L)
{
	struct picture *p = check_picture(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->changes);
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, p->changes);
	p->count = 0;
	return 1;
}

/* ---- reading ---- */

static void read_filter(lua_State *L, struct picture *p, int index, enum live_kind kind, struct live_filter *filter)
{
	*filter = (struct live_filter){ .count = 0 };
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index);) {
		struct slice name = check_slice(L, -2);
		int field = live_field(kind, name);
		luaL_tolstring(L, -1, NULL);
		struct slice value = check_slice(L, -1);
		if (slice_eq(name, SLICE("server")))
			filter->server = live_server_find(p->live, value);
		luaL_argcheck(L, field >= 0 && filter->count < LIVE_FILTERS, index, "no such field");
		filter->equal[filter->count].field = field;
		filter->equal[filter->count++].value = value;
		/* The text is kept by the filter's own table. */
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, value.ptr);
		lua_pop(L, 2);
	}
}

static int picture_walk(lua_State *L)
{
	struct picture *p = check_picture(L);
	enum live_kind kind = check_kind(L, 2);
	struct live_filter filter;
	struct live_cursor cursor;
	int64_t now = check_time(L, p, 4);
	read_filter(L, p, 3, kind, &filter);
	lua_newtable(L);
	live_walk(p->live, kind, &filter, &cursor);
	for (struct live_object *o; (o = live_next(&cursor, now));) {
		push_object(L, o, now, 0);
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	}
	return 1;
}

static int cursor_next(lua_State *L)
{
	struct cursor *c = lua_touserdata(L, lua_upvalueindex(1));
	struct live_object *o = live_next(&c->cursor, c->now);
	if (!o)
		return 0;
	push_object(L, o, c->now, 0);
	return 1;
}

static int picture_iterate(lua_State *L)
{
	struct picture *p = check_picture(L);
	enum live_kind kind = check_kind(L, 2);
	struct cursor *c = lua_newuserdatauv(L, sizeof *c, 0);
	c->now = p->now;
	read_filter(L, p, 3, kind, &c->filter);
	live_walk(p->live, kind, &c->filter, &c->cursor);
	lua_pushcclosure(L, cursor_next, 1);
	return 1;
}

static int picture_count(lua_State *L)
{
	struct picture *p = check_picture(L);
	enum live_kind kind = check_kind(L, 2);
	struct live_filter filter;
	read_filter(L, p, 3, kind, &filter);
	lua_pushinteger(L, (lua_Integer)live_count(p->live, kind, &filter, p->now));
	return 1;
}

static int picture_find(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	const struct live_object *o = live_find(s, check_kind(L, 3), check_slice(L, 4));
	if (!o)
		return 0;
	push_object(L, o, check_time(L, p, 5), 0);
	return 1;
}

static int picture_state(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	lua_pushstring(L, live_state_name(live_state(s)));
	lua_newtable(L);
	for (unsigned bit = 1; live_part_name(bit); bit <<= 1) {
		if (!(live_unknown(s) & bit))
			continue;
		lua_pushstring(L, live_part_name(bit));
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	}
	return 2;
}

static int picture_stats(lua_State *L)
{
	struct picture *p = check_picture(L);
	const struct live_stats *stats = live_stats(check_server(L, p, 2));
	lua_newtable(L);
	set_integer(L, "events", stats->events);
	set_integer(L, "texts", stats->texts);
	set_integer(L, "idle_texts", stats->idle_texts);
	set_integer(L, "snapshots", stats->snapshots);
	set_number(L, "snapshot_time", (double)stats->snapshot_time / 1e6);
	set_integer(L, "contradictions", stats->contradictions);
	set_integer(L, "unseen", stats->unseen);
	set_integer(L, "doubts", stats->doubts);
	set_integer(L, "walked", stats->walked);
	set_integer(L, "refused", stats->refused);
	lua_newtable(L);
	for (int kind = 0; kind < LIVE_KINDS; kind++)
		set_integer(L, live_kind_name((enum live_kind)kind), stats->overflow[kind]);
	lua_setfield(L, -2, "overflow");
	return 1;
}

static int picture_hold(lua_State *L)
{
	struct picture *p = check_picture(L);
	struct live_server *s = check_server(L, p, 2);
	struct live_object *o = live_find(s, check_kind(L, 3), check_slice(L, 4));
	if (!o)
		return 0;
	struct held *held = lua_newuserdatauv(L, sizeof *held, 1);
	held->object = o;
	live_retain(o);
	luaL_setmetatable(L, HELD);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static int held_get(lua_State *L)
{
	struct held *held = luaL_checkudata(L, 1, HELD);
	luaL_argcheck(L, held->object, 1, "it was released");
	push_object(L, held->object, (int64_t)(luaL_optnumber(L, 2, 0) * 1e6), 0);
	lua_pushboolean(L, live_object_gone(held->object));
	return 2;
}

static int held_release(lua_State *L)
{
	struct held *held = luaL_checkudata(L, 1, HELD);
	if (held->object)
		live_release(&held->object);
	return 0;
}

static int live_memory(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT);
	lua_pushinteger(L, (lua_Integer)mallinfo2().uordblks);
	return 1;
}

static int live_changes(lua_State *L)
{
	lua_newtable(L);
	for (int kind = 0; kind < LIVE_CHANGES; kind++) {
		lua_pushstring(L, live_change_name((enum live_change_kind)kind));
		lua_rawseti(L, -2, kind + 1);
	}
	return 1;
}

static int push_words(lua_State *L, const char *const *words)
{
	if (!words)
		return 0;
	lua_newtable(L);
	for (lua_Integer i = 0; words[i]; i++) {
		lua_pushstring(L, words[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int live_words(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct slice field = check_slice(L, 2);

	for (int kind = 0; kind < LIVE_KINDS; kind++)
		if (strcmp(name, live_kind_name((enum live_kind)kind)) == 0)
			return push_words(L, live_field_words((enum live_kind)kind, live_field((enum live_kind)kind, field)));
	for (int kind = 0; kind < LIVE_CHANGES; kind++)
		if (strcmp(name, live_change_name((enum live_change_kind)kind)) == 0)
			return push_words(L, live_change_reasons((enum live_change_kind)kind));
	return luaL_argerror(L, 1, "no such kind of object or change");
}

void live_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "new", picture_new }, { "memory", live_memory }, { "changes", live_changes }, { "words", live_words }, { NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "server", picture_server }, { "remove", picture_remove }, { "leave", picture_leave }, { "session", picture_session }, { "lost", picture_lost },
		{ "gap", picture_gap }, { "event", picture_event }, { "item", picture_item }, { "answer", picture_answer },
		{ "begin", picture_begin }, { "request", picture_request }, { "want", picture_want }, { "tick", picture_tick },
		{ "new_day", picture_new_day }, { "deadline", picture_deadline }, { "feed", picture_feed }, { "changes", picture_changes }, { "deaf", picture_deaf }, { "variables", picture_variables },
		{ "walk", picture_walk }, { "iterate", picture_iterate }, { "count", picture_count }, { "find", picture_find },
		{ "state", picture_state }, { "stats", picture_stats }, { "hold", picture_hold }, { "close", picture_close }, { NULL, NULL },
	};
	static const luaL_Reg held_methods[] = { { "get", held_get }, { "release", held_release }, { NULL, NULL } };
	ami_make_type(L, PICTURE, methods, picture_close);
	ami_make_type(L, HELD, held_methods, held_release);
	frame_open(L);
	ami_add_functions(L, "live", functions);
}
