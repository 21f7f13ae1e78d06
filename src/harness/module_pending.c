#include "ami/pending.h"
#include "harness/module_ami.h"
#include "harness/module_values.h"

#define PENDING "hookswitch.pending"

/* A session's bytes and the actions that wait in it. */
struct correlator {
	struct framing framing;
	struct pending *pending;
	struct reply *reply; /* handed out by `pending`, on its way into Lua */
};

static struct correlator *check_correlator(lua_State *L)
{
	return luaL_checkudata(L, 1, PENDING);
}

static int pending_lua_new(lua_State *L)
{
	struct pending_limits limits = { .max_actions = (uint32_t)option_integer(L, 1, "max_actions", 1000),
	                                 .max_list_events = (uint32_t)option_integer(L, 1, "max_list_events", 10000),
	                                 .max_list_bytes = (size_t)option_integer(L, 1, "max_list_bytes", 16u << 20) };
	struct slice prefix = SLICE("t");
	lua_settop(L, 1);
	if (!lua_isnoneornil(L, 1)) {
		lua_getfield(L, 1, "prefix");
		if (!lua_isnil(L, -1))
			prefix = check_slice(L, -1);
	}
	struct correlator *c = lua_newuserdatauv(L, sizeof *c, 0);
	framing_init(L, 1, &c->framing);
	c->reply = NULL;
	c->pending = NULL;
	luaL_setmetatable(L, PENDING); /* from here on it has an owner */
	c->pending = pending_create(&limits, prefix);
	return 1;
}

static int pending_lua_gc(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	framing_close(&c->framing);
	reply_free(&c->reply);
	pending_destroy(&c->pending);
	return 0;
}

/* Pushes the reply as a table, or nil, and frees it. */
static void push_reply(lua_State *L, struct correlator *c, struct reply *reply)
{
	struct slice line;
	size_t cursor = 0;

	if (!reply) {
		lua_pushnil(L);
		return;
	}
	reply_free(&c->reply); /* one that an error left behind */
	c->reply = reply;
	lua_createtable(L, 0, 10);
	lua_pushstring(L, err_name(reply->code));
	lua_setfield(L, -2, "code");
	set_slice(L, "text", slice_cstr(reply->text));
	set_slice(L, "action", slice_cstr(reply->action));
	set_integer(L, "sequence", reply->sequence);
	set_integer(L, "started", reply->started);
	set_integer(L, "tag", (uint64_t)(uintptr_t)reply->tag);
	set_boolean(L, "is_list", reply->is_list);
	if (reply->response) {
		push_fields(L, reply->response);
		lua_setfield(L, -2, "response");
	}
	lua_createtable(L, (int)reply->event_count, 0);
	for (uint32_t i = 0; i < reply->event_count; i++) {
		push_fields(L, reply->events[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "events");
	if (reply->has_output) {
		lua_newtable(L);
		for (lua_Integer n = 1; reply_output(reply, &cursor, &line); n++) {
			push_slice(L, line);
			lua_rawseti(L, -2, n);
		}
		lua_setfield(L, -2, "output");
	}
	reply_free(&c->reply);
}

static int pending_lua_add(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	struct err err = { 0 };
	char id[ACTION_ID_MAX + 1];
	struct pending_options options = {
		.now = option_integer(L, 3, "now", 0), .deadline = option_integer(L, 3, "deadline", (uint64_t)INT64_MAX),
		.offset = option_integer(L, 3, "offset", 0), .no_call_events = option_set(L, 3, "no_call_events"),
		.streams = option_set(L, 3, "streams"),
	};
	uintptr_t tag = (uintptr_t)option_integer(L, 3, "tag", 0);
	memcpy(&options.tag, &tag, sizeof tag);
	struct scratch *scratch = new_scratch(L, 0);
	if (read_action(L, 2, &scratch->action, &err))
		return push_error(L, &err);
	uint64_t sequence = pending_add(c->pending, &scratch->action, &options, id, &err);
	if (sequence == 0)
		return push_error(L, &err);
	lua_pushstring(L, id);
	lua_pushinteger(L, (lua_Integer)sequence);
	return 2;
}

static enum pending_result match(struct correlator *c, enum framer_status status, const struct message *m, struct reply **done)
{
	*done = NULL;
	if (status == FRAMER_FRAME)
		return pending_match(c->pending, m, done);
	if (status == FRAMER_BANNER)
		pending_set_version(c->pending, catalogue_ami_version(framer_banner_version(slice_make(m->bytes, m->len))));
	if (status == FRAMER_OVERSIZE)
		*done = pending_overflow(c->pending, m->action_id, m->kind == MESSAGE_RESPONSE);
	return PENDING_NOT_OURS;
}

static int pending_lua_feed(lua_State *L)
{
	static const char *const results[] = {
		[PENDING_NOT_OURS] = "not_ours", [PENDING_TAKEN] = "taken", [PENDING_ITEM] = "item", [PENDING_COMPLETED] = "completed",
		[PENDING_COMPLETED_EVENT] = "completed_event", [PENDING_STRAY] = "stray",
	};
	struct correlator *c = check_correlator(L);
	struct message m = { 0 };
	enum framer_status status = FRAMER_FRAME;
	size_t consumed;

	framing_feed(L, &c->framing, check_slice(L, 2));
	lua_newtable(L);
	for (lua_Integer n = 1; status != FRAMER_NOT_AMI; n++) {
		status = framing_next(L, &c->framing, &m, &consumed);
		if (status == FRAMER_MORE) {
			buf_consume(&c->framing.held, consumed);
			break;
		}
		if (status == FRAMER_NOT_AMI)
			m = (struct message){ .kind = MESSAGE_OTHER };
		push_fields(L, &m);
		struct reply *done;
		enum pending_result result = match(c, status, &m, &done);
		push_reply(L, c, done);
		lua_rawseti(L, -2, 2);
		lua_pushstring(L, status == FRAMER_FRAME ? results[result] : framing_status_name(status));
		lua_rawseti(L, -2, 1);
		lua_rawseti(L, -2, n);
		buf_consume(&c->framing.held, consumed);
	}
	return 1;
}

static int pending_lua_written(lua_State *L)
{
	pending_written(check_correlator(L)->pending, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static int pending_lua_set_version(lua_State *L)
{
	pending_set_version(check_correlator(L)->pending, catalogue_ami_version(check_slice(L, 2)));
	return 0;
}

static int pending_lua_forget(lua_State *L)
{
	pending_forget(check_correlator(L)->pending, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static int pending_lua_reset(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	pending_reset(c->pending);
	framer_reset(&c->framing.framer, lua_toboolean(L, 2));
	buf_clear(&c->framing.held);
	return 0;
}

static int pending_lua_expire(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	uint64_t now = (uint64_t)luaL_checkinteger(L, 2);
	struct reply *reply;
	lua_newtable(L);
	for (lua_Integer n = 1; (reply = pending_expire(c->pending, now)); n++) {
		push_reply(L, c, reply);
		lua_rawseti(L, -2, n);
	}
	return 1;
}

static int pending_lua_next_deadline(lua_State *L)
{
	uint64_t deadline = pending_next_deadline(check_correlator(L)->pending);
	if (deadline == UINT64_MAX)
		return 0;
	lua_pushinteger(L, (lua_Integer)deadline);
	return 1;
}

static int pending_lua_cancel(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	uint64_t sequence;
	if (lua_type(L, 2) == LUA_TSTRING) {
		struct slice id = check_slice(L, 2);
		const char *dash = memrchr(id.ptr, '-', id.len);
		int64_t n = 0;
		if (dash)
			slice_to_int(slice_make(dash + 1, id.len - (size_t)(dash + 1 - id.ptr)), &n);
		sequence = (uint64_t)n;
	} else {
		sequence = (uint64_t)luaL_checkinteger(L, 2);
	}
	const char *text = luaL_optstring(L, 3, "cancelled");
	push_reply(L, c, pending_cancel(c->pending, sequence, ERR_CANCELLED, text));
	return 1;
}

static int pending_lua_overflow(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	push_reply(L, c, pending_overflow(c->pending, check_slice(L, 2), lua_toboolean(L, 3)));
	return 1;
}

static int pending_lua_fail_next(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	uint64_t flushed = (uint64_t)luaL_checkinteger(L, 2);
	push_reply(L, c, pending_fail_next(c->pending, flushed, luaL_checkstring(L, 3)));
	return 1;
}

static int pending_lua_count(lua_State *L)
{
	lua_pushinteger(L, pending_count(check_correlator(L)->pending));
	return 1;
}

static int pending_lua_line_held(lua_State *L)
{
	lua_pushboolean(L, pending_line_held(check_correlator(L)->pending));
	return 1;
}

static int pending_lua_stats(lua_State *L)
{
	const struct pending_stats *stats = pending_stats(check_correlator(L)->pending);
	lua_createtable(L, 0, 3);
	set_integer(L, "late", stats->late);
	set_integer(L, "unmatched", stats->unmatched);
	set_integer(L, "idless", stats->idless);
	return 1;
}

/* pending_each holds nothing of its own while this may raise. */
static void add_view(void *ctx, const struct pending_view *view)
{
	lua_State *L = ctx;
	lua_createtable(L, 0, 5);
	set_integer(L, "sequence", view->sequence);
	set_integer(L, "started", view->started);
	set_integer(L, "deadline", view->deadline);
	set_integer(L, "tag", (uint64_t)(uintptr_t)view->tag);
	set_slice(L, "action", slice_cstr(view->action));
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int pending_lua_each(lua_State *L)
{
	struct correlator *c = check_correlator(L);
	lua_newtable(L);
	pending_each(c->pending, add_view, L);
	return 1;
}

void ami_open_pending(lua_State *L)
{
	static const luaL_Reg pending_methods[] = {
		{ "add", pending_lua_add }, { "feed", pending_lua_feed }, { "written", pending_lua_written },
		{ "set_version", pending_lua_set_version }, { "forget", pending_lua_forget }, { "reset", pending_lua_reset },
		{ "expire", pending_lua_expire }, { "next_deadline", pending_lua_next_deadline }, { "cancel", pending_lua_cancel },
		{ "overflow", pending_lua_overflow }, { "fail_next", pending_lua_fail_next }, { "count", pending_lua_count },
		{ "line_held", pending_lua_line_held }, { "stats", pending_lua_stats }, { "each", pending_lua_each }, { NULL, NULL },
	};
	static const luaL_Reg pending_functions[] = { { "new", pending_lua_new }, { NULL, NULL } };

	ami_make_type(L, PENDING, pending_methods, pending_lua_gc);
	ami_add_functions(L, "pending", pending_functions);
}
