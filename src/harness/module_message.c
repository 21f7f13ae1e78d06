#include "harness/module_ami.h"

#include "harness/module_values.h"

#define FRAMER "hookswitch.framer"
#define MESSAGE "hookswitch.message"

void push_fields(lua_State *L, const struct message *m)
{
	static const char *const kinds[] = { [MESSAGE_EVENT] = "event", [MESSAGE_RESPONSE] = "response", [MESSAGE_OTHER] = "other" };

	lua_createtable(L, 0, 8);
	lua_pushstring(L, kinds[m->kind]);
	lua_setfield(L, -2, "kind");
	set_slice(L, "name", m->name);
	set_slice(L, "action_id", m->action_id);
	set_slice(L, "bytes", slice_make(m->bytes, m->len));
	if (m->text.ptr)
		set_slice(L, "text", m->text);
	lua_createtable(L, (int)m->header_count, 0);
	for (uint32_t i = 0; i < m->header_count; i++) {
		lua_createtable(L, 2, 0);
		push_slice(L, message_header_name(m, i));
		lua_rawseti(L, -2, 1);
		push_slice(L, message_header_value(m, i));
		lua_rawseti(L, -2, 2);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "headers");
}

static struct message **new_message(lua_State *L)
{
	struct message **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, MESSAGE);
	return box;
}

static const struct message *check_message(lua_State *L)
{
	struct message **box = luaL_checkudata(L, 1, MESSAGE);
	luaL_argcheck(L, *box, 1, "closed");
	return *box;
}

static int message_lua_gc(lua_State *L)
{
	message_free(luaL_checkudata(L, 1, MESSAGE));
	return 0;
}

static int message_lua_get(lua_State *L)
{
	struct slice value;
	if (!message_get_nth(check_message(L), check_slice(L, 2), (uint32_t)luaL_optinteger(L, 3, 0), &value))
		return 0;
	push_slice(L, value);
	return 1;
}

static int message_lua_find(lua_State *L)
{
	int64_t i = message_find(check_message(L), check_slice(L, 2), (uint32_t)luaL_optinteger(L, 3, 0));
	if (i < 0)
		return 0;
	lua_pushinteger(L, i);
	return 1;
}

static int message_lua_copy(lua_State *L)
{
	const struct message *m = check_message(L);
	struct message **box = new_message(L);
	*box = message_copy(m);
	return *box ? 1 : luaL_error(L, "out of memory");
}

static int message_lua_size(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)message_copy_size(check_message(L)));
	return 1;
}

static int message_lua_fields(lua_State *L)
{
	push_fields(L, check_message(L));
	return 1;
}

static int message_lua_build(lua_State *L)
{
	struct slice event = check_slice(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_Integer count = luaL_len(L, 2);
	struct message **box = new_message(L);
	/* The strings stay in the table at 2 while they are read. */
	struct slice *names = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *names, 0);
	struct slice *values = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *values, 0);
	for (lua_Integer i = 0; i < count; i++) {
		lua_geti(L, 2, i + 1);
		lua_geti(L, -1, 1);
		lua_geti(L, -2, 2);
		luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, 2, "pairs of strings expected");
		names[i].ptr = lua_tolstring(L, -2, &names[i].len);
		values[i].ptr = lua_tolstring(L, -1, &values[i].len);
		lua_pop(L, 3);
	}
	*box = message_build(event, names, values, (size_t)count);
	lua_pop(L, 2);
	return *box ? 1 : luaL_error(L, "out of memory");
}

/* ---- framer ---- */

void framing_init(lua_State *L, int options, struct framing *framing)
{
	struct framer_limits limits = { .max_frame = (uint32_t)option_integer(L, options, "max_frame", 65536),
	                                .max_headers = (uint32_t)option_integer(L, options, "max_headers", 1000) };
	framer_init(&framing->framer, &limits, option_set(L, options, "banner"));
	buf_init(&framing->held, 0);
}

void framing_close(struct framing *framing)
{
	framer_close(&framing->framer);
	buf_close(&framing->held);
}

void framing_feed(lua_State *L, struct framing *framing, struct slice bytes)
{
	if (buf_append(&framing->held, bytes))
		luaL_error(L, "out of memory");
}

enum framer_status framing_next(lua_State *L, struct framing *framing, struct message *m, size_t *consumed)
{
	enum framer_status status = framer_next(&framing->framer, buf_slice(&framing->held), m, consumed);
	if (*consumed > buf_len(&framing->held))
		luaL_error(L, "the framer consumed more than it was given");
	return status;
}

const char *framing_status_name(enum framer_status status)
{
	static const char *const names[] = {
		[FRAMER_MORE] = "more", [FRAMER_BANNER] = "banner", [FRAMER_FRAME] = "frame", [FRAMER_OVERSIZE] = "oversize",
		[FRAMER_MALFORMED] = "malformed", [FRAMER_NOT_AMI] = "not_ami",
	};
	return names[status];
}

static int framer_lua_new(lua_State *L)
{
	lua_settop(L, 1);
	struct framing *framing = lua_newuserdatauv(L, sizeof *framing, 0);
	framing_init(L, 1, framing);
	luaL_setmetatable(L, FRAMER);
	return 1;
}

static int framer_lua_gc(lua_State *L)
{
	framing_close(luaL_checkudata(L, 1, FRAMER));
	return 0;
}

static int framer_lua_feed(lua_State *L)
{
	struct framing *framing = luaL_checkudata(L, 1, FRAMER);
	struct message m = { 0 };
	enum framer_status status = FRAMER_FRAME;
	size_t consumed;

	framing_feed(L, framing, check_slice(L, 2));
	lua_newtable(L);
	for (lua_Integer n = 1; status != FRAMER_NOT_AMI; n++) {
		status = framing_next(L, framing, &m, &consumed);
		if (status == FRAMER_MORE) {
			buf_consume(&framing->held, consumed);
			break;
		}
		if (status == FRAMER_NOT_AMI)
			m = (struct message){ .kind = MESSAGE_OTHER };
		push_fields(L, &m);
		lua_pushstring(L, framing_status_name(status));
		lua_setfield(L, -2, "status");
		if (status == FRAMER_BANNER)
			set_slice(L, "version", framer_banner_version(slice_make(m.bytes, m.len)));
		lua_rawseti(L, -2, n);
		buf_consume(&framing->held, consumed);
	}
	return 1;
}

static int framer_lua_partial(lua_State *L)
{
	struct framing *framing = luaL_checkudata(L, 1, FRAMER);
	lua_pushboolean(L, framer_partial(&framing->framer, buf_slice(&framing->held)));
	return 1;
}

static int framer_lua_held(lua_State *L)
{
	struct framing *framing = luaL_checkudata(L, 1, FRAMER);
	lua_pushinteger(L, (lua_Integer)buf_len(&framing->held));
	return 1;
}

static int framer_lua_reset(lua_State *L)
{
	struct framing *framing = luaL_checkudata(L, 1, FRAMER);
	framer_reset(&framing->framer, lua_toboolean(L, 2));
	buf_clear(&framing->held);
	return 0;
}

/* Methods are in the upvalue; the two fields are read from C. */
static int framer_lua_index(lua_State *L)
{
	struct framing *framing = luaL_checkudata(L, 1, FRAMER);
	struct slice key = check_slice(L, 2);
	if (slice_eq(key, SLICE("lf_mode"))) {
		lua_pushboolean(L, framing->framer.lf_mode);
	} else if (slice_eq(key, SLICE("lines_no_colon"))) {
		lua_pushinteger(L, (lua_Integer)framing->framer.lines_no_colon);
	} else {
		lua_settop(L, 2);
		lua_rawget(L, lua_upvalueindex(1));
	}
	return 1;
}

/* The one frame that `bytes` are, read by a framer of its own. */
static int message_lua_parse(lua_State *L)
{
	struct slice bytes = check_slice(L, 1);
	struct message m;
	size_t consumed;
	struct framing *framing = lua_newuserdatauv(L, sizeof *framing, 0);
	struct framer_limits limits = { .max_frame = 1u << 24, .max_headers = 1u << 20 };
	framer_init(&framing->framer, &limits, false);
	buf_init(&framing->held, 0);
	luaL_setmetatable(L, FRAMER);
	framing_feed(L, framing, bytes);
	if (framing_next(L, framing, &m, &consumed) != FRAMER_FRAME || consumed != bytes.len)
		return 0;
	struct message **box = new_message(L);
	*box = message_copy(&m);
	return *box ? 1 : luaL_error(L, "out of memory");
}

void ami_open_message(lua_State *L)
{
	static const luaL_Reg framer_methods[] = {
		{ "feed", framer_lua_feed }, { "partial", framer_lua_partial }, { "held", framer_lua_held }, { "reset", framer_lua_reset },
		{ NULL, NULL },
	};
	static const luaL_Reg message_methods[] = {
		{ "get", message_lua_get }, { "find", message_lua_find }, { "copy", message_lua_copy }, { "size", message_lua_size },
		{ "fields", message_lua_fields }, { NULL, NULL },
	};
	static const luaL_Reg framer_functions[] = { { "new", framer_lua_new }, { NULL, NULL } };
	static const luaL_Reg message_functions[] = { { "parse", message_lua_parse }, { "build", message_lua_build }, { NULL, NULL } };

	ami_make_type(L, FRAMER, NULL, framer_lua_gc);
	luaL_getmetatable(L, FRAMER);
	luaL_newlib(L, framer_methods);
	lua_pushcclosure(L, framer_lua_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	ami_make_type(L, MESSAGE, message_methods, message_lua_gc);
	ami_add_functions(L, "framer", framer_functions);
	ami_add_functions(L, "message", message_functions);
}
