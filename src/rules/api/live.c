/* `live` for rules: iterators over the live picture, look-ups, counts. */
#include "rules/api/live.h"

#include <stdio.h>

#include "rules/api/api.h"
#include "rules/loading.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"
#include "value/luavalue.h"

static const char *const plurals[LIVE_SETS] = {
	[LIVE_CHANNEL] = "channels", [LIVE_CALL] = "calls", [LIVE_BRIDGE] = "bridges", [LIVE_CONFERENCE] = "conferences", [LIVE_LOT] = "lots",
	[LIVE_QUEUE] = "queues", [LIVE_AGENT] = "agents", [LIVE_ENDPOINT] = "endpoints",
};

/* ---- errors that name what is right ---- */

int live_no_field(lua_State *L, enum live_kind kind, struct slice name)
{
	const char *field;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (uint32_t i = 0; (field = live_field_name(kind, i)); i++) {
		if (i > 0)
			luaL_addstring(&b, ", ");
		luaL_addstring(&b, field);
	}
	luaL_pushresult(&b);
	lua_pushlstring(L, name.ptr, name.len < 60 ? name.len : 60);
	return luaL_error(L, "a %s has no field '%s'; it has %s", live_kind_name(kind), lua_tostring(L, -1), lua_tostring(L, -2));
}

static enum live_kind check_kind(lua_State *L, int index)
{
	const char *name = luaL_checkstring(L, index);
	for (int kind = 0; kind < LIVE_SETS; kind++)
		if (strcmp(name, plurals[kind]) == 0)
			return (enum live_kind)kind;
	return (enum live_kind)luaL_error(L, "the live picture has no '%s'; it has calls, channels, queues, agents, endpoints, bridges, "
	                                  "conferences and lots", name);
}

/* ---- filters ---- */

/* Pushes what the value at the top is compared as, in its place. */
static void as_text(lua_State *L, const char *field)
{
	char text[48];
	const char *server = server_test(L, -1);

	if (lua_type(L, -1) == LUA_TSTRING)
		return;
	if (server && strcmp(field, "server") == 0) {
		lua_pushstring(L, server);
	} else if (lua_isboolean(L, -1)) {
		lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
	} else if (lua_isinteger(L, -1)) {
		lua_pushfstring(L, "%I", (LUAI_UACINT)lua_tointeger(L, -1));
	} else if (lua_type(L, -1) == LUA_TNUMBER) {
		snprintf(text, sizeof text, "%.14g", lua_tonumber(L, -1));
		lua_pushstring(L, text);
	} else {
		luaL_error(L, "%s: a filter's value is a string, a number or a boolean, not a %s", field, luaL_typename(L, -1));
	}
	lua_replace(L, -2);
}

static struct slice to_slice(lua_State *L, int index)
{
	struct slice s;
	s.ptr = lua_tolstring(L, index, &s.len);
	return s;
}

/* Reads the filter at `index` (none: all). The texts are left in a table on top of the stack, which keeps them. */
static void read_filter(lua_State *L, int index, struct live_search *search)
{
	lua_newtable(L);
	int kept = lua_gettop(L);
	lua_Integer n = 0;

	if (lua_isnoneornil(L, index))
		return;
	luavalue_unproxy(L, index);
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "a filter is a table { field = value }");
		struct slice name = to_slice(L, -2);
		int field = live_field(search->kind, name);
		if (field < 0)
			live_no_field(L, search->kind, name);
		as_text(L, name.ptr);
		char why[LIVE_FAULT_MAX];
		if (!live_value_fits(search->kind, field, to_slice(L, -1), why))
			luaL_error(L, "%s", why);
		lua_pushvalue(L, -1);
		lua_rawseti(L, kept, ++n);
		if (field == 0) { /* of every kind */
			search->one_server = true;
			search->server = to_slice(L, -1);
			continue;
		}
		if (search->filter.count == LIVE_FILTERS)
			luaL_error(L, "a filter has at most %d fields", (int)LIVE_FILTERS);
		search->filter.equal[search->filter.count].field = field;
		search->filter.equal[search->filter.count++].value = to_slice(L, -1);
	}
}

/* ---- iterators ---- */

SANDBOX_FUNCTION(step)
{
	struct live_question r = { .op = LIVE_OP_NEXT, .rule = rule_of(L), .search = lua_touserdata(L, lua_upvalueindex(1)) };

	deadline_check(L);
	live_object_begin(L);
	live_ask(&r);
	live_object_end(L, &r);
	return 1;
}

static int iterate(lua_State *L, enum live_kind kind)
{
	lua_settop(L, 1);
	struct live_search *search = lua_newuserdatauv(L, sizeof *search, 1);
	*search = (struct live_search){ .kind = kind };
	read_filter(L, 1, search);
	lua_setiuservalue(L, 2, 1);
	lua_pushcclosure(L, step, 1);
	return 1;
}

#define ITERATOR(name, kind) \
	SANDBOX_FUNCTION(name) \
	{ \
		return iterate(L, kind); \
	}
ITERATOR(each_calls, LIVE_CALL)
ITERATOR(each_channels, LIVE_CHANNEL)
ITERATOR(each_queues, LIVE_QUEUE)
ITERATOR(each_agents, LIVE_AGENT)
ITERATOR(each_endpoints, LIVE_ENDPOINT)
ITERATOR(each_bridges, LIVE_BRIDGE)
ITERATOR(each_conferences, LIVE_CONFERENCE)
ITERATOR(each_lots, LIVE_LOT)

SANDBOX_FUNCTION(count_all)
{
	struct live_search search = { .kind = check_kind(L, 1) };
	struct live_question r = { .op = LIVE_OP_COUNT, .rule = rule_of(L), .search = &search };

	lua_settop(L, 2);
	read_filter(L, 2, &search);
	live_ask(&r);
	lua_pushinteger(L, (lua_Integer)r.count);
	return 1;
}

/* ---- single objects ---- */

/* A server's name, or its handle. */
static struct slice check_server(lua_State *L, int index)
{
	const char *name = server_test(L, index);
	if (name)
		return slice_cstr(name);
	if (lua_type(L, index) != LUA_TSTRING)
		luaL_argerror(L, index, "a server, or its name, is expected");
	return to_slice(L, index);
}

static int find(lua_State *L, enum live_kind kind)
{
	struct live_question r = { .op = LIVE_OP_FIND, .rule = rule_of(L), .kind = kind, .server = check_server(L, 1) };

	r.name.ptr = luaL_checklstring(L, 2, &r.name.len);
	live_object_begin(L);
	live_ask(&r);
	live_object_end(L, &r);
	return 1;
}

#define FINDER(name, kind) \
	SANDBOX_FUNCTION(name) \
	{ \
		return find(L, kind); \
	}
FINDER(find_call, LIVE_CALL)
FINDER(find_channel, LIVE_CHANNEL)
FINDER(find_queue, LIVE_QUEUE)
FINDER(find_agent, LIVE_AGENT)
FINDER(find_endpoint, LIVE_ENDPOINT)
FINDER(find_bridge, LIVE_BRIDGE)
FINDER(find_conference, LIVE_CONFERENCE)
FINDER(find_lot, LIVE_LOT)

SANDBOX_FUNCTION(server_state)
{
	struct live_question r = { .op = LIVE_OP_STATE, .rule = rule_of(L), .server = check_server(L, 1) };
	lua_Integer n = 0;

	live_ask(&r);
	lua_pushstring(L, live_state_name(r.state));
	lua_newtable(L);
	for (unsigned bit = 1; live_part_name(bit); bit <<= 1) {
		if (!(r.unknown & bit))
			continue;
		lua_pushstring(L, live_part_name(bit));
		lua_rawseti(L, -2, ++n);
	}
	return 2;
}

void live_open_table(lua_State *L, struct rule *rule)
{
	(void)rule;
	static const luaL_Reg functions[] = {
		{ "calls", each_calls }, { "channels", each_channels }, { "queues", each_queues }, { "agents", each_agents },
		{ "endpoints", each_endpoints }, { "bridges", each_bridges }, { "conferences", each_conferences }, { "lots", each_lots },
		{ "count", count_all }, { "call", find_call }, { "channel", find_channel }, { "queue", find_queue }, { "agent", find_agent },
		{ "endpoint", find_endpoint }, { "bridge", find_bridge }, { "conference", find_conference }, { "lot", find_lot },
		{ "state", server_state }, { NULL, NULL },
	};
	luaL_newlib(L, functions);
}
