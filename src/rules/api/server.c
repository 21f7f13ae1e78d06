/* Servers, routes, and actions on their way. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/api/action.h"
#include "rules/api/api.h"
#include "rules/loading.h"
#include "rules/request.h"
#include "rules/state.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"

struct handle {
	uint32_t id; /* 0: not looked up yet */
	char name[]; /* NUL-terminated */
};

const char *server_test(lua_State *L, int index)
{
	struct handle *h = object_test(L, index, rule_of(L)->meta.server);
	return h ? h->name : NULL;
}

static struct handle *check_server(lua_State *L, int index)
{
	return object_check(L, index, rule_of(L)->meta.server, "a server");
}

/* Handles are kept by id and by name, so the same server is always the same object. */
void server_push(lua_State *L, struct rule *rule, uint32_t id, struct slice name)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->servers);
	if (id != 0 && lua_rawgeti(L, -1, id) == LUA_TUSERDATA) {
		lua_remove(L, -2);
		return;
	}
	if (id != 0)
		lua_pop(L, 1);
	lua_pushlstring(L, name.ptr, name.len);
	bool known = lua_rawget(L, -2) == LUA_TUSERDATA;
	struct handle *h = known ? lua_touserdata(L, -1) : NULL;
	if (h && h->id != 0 && id != 0 && h->id != id)
		h = NULL; /* another server had this name before */
	if (!h) {
		lua_pop(L, 1);
		h = lua_newuserdatauv(L, sizeof *h + name.len + 1, 0);
		h->id = 0;
		memcpy(h->name, name.ptr, name.len);
		h->name[name.len] = '\0';
		lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.server);
		lua_setmetatable(L, -2);
		lua_pushlstring(L, name.ptr, name.len);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
	}
	if (id != 0) {
		h->id = id;
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, id);
	}
	lua_remove(L, -2);
}

/* What the engine knows of it; false when it is gone or the rules are loading. */
static bool look_up(struct rule *rule, struct handle *h, struct host_server *out)
{
	struct host *host = rule->host;
	if (!host)
		return false;
	if (h->id != 0)
		return host->ops.server_by_id(host->ctx, h->id, out);
	if (!host->ops.server_by_name(host->ctx, slice_cstr(h->name), out))
		return false;
	h->id = out->id;
	return true;
}

/* ---- sending ---- */

static void count_denied(struct rule *rule, enum err_code code)
{
	struct slice labels[2] = { slice_cstr(rule->name), slice_cstr(err_name(code)) };
	struct series *s = metric_series(rule->host->m.denied, labels, 2);
	if (s)
		s->value++;
}

/* A flood to one server must not use up what the rule may send to another (P5). */
struct server_rate {
	uint32_t server;
	struct token_bucket bucket;
};

static bool take_rate(struct rule *rule, uint32_t server)
{
	uint32_t rate = rule->limits.actions_per_second, i = 0;
	if (rate == 0)
		return true;
	while (i < rule->rate_count && rule->rates[i].server != server)
		i++;
	if (i == rule->rate_count) {
		rule->rates = mem_realloc(rule->rates, ++rule->rate_count, sizeof *rule->rates);
		rule->rates[i] = (struct server_rate){ .server = server };
	}
	return rule_take_token(&rule->rates[i].bucket, rate, rule->host->ops.now(rule->host->ctx));
}

struct sending {
	int action, options; /* stack indices; options 0: none */
	double timeout;      /* 0: none given */
	uint32_t server;
	const char *server_name;
};

static double read_timeout(lua_State *L, int index)
{
	double timeout = 0;
	if (index == 0)
		return 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		if (strcmp(key, "timeout") != 0)
			luaL_error(L, "unknown option '%s' of an action; there is only timeout", key);
		timeout = lua_tonumber(L, -1);
		if (lua_type(L, -1) != LUA_TNUMBER || !(timeout > 0))
			luaL_error(L, "timeout is a number of seconds above 0");
	}
	return timeout;
}

/* Builds the action in the scratch and asks whether it may be sent. -1 with `err`. May raise. */
static int prepare(lua_State *L, const struct sending *sending, struct err *err)
{
	struct rule *rule = rule_of(L);

	if (action_build(L, sending->action, &rule->scratch->action, err) || policy_check(rule->policy, rule->name, &rule->scratch->action, err)) {
		count_denied(rule, err->code);
		return -1;
	}
	if (rule->ending) {
		err_set(err, ERR_CANCELLED, "newer rules were loaded, or the engine stops");
		count_denied(rule, err->code);
		return -1;
	}
	if (rule->pending >= rule->limits.pending) {
		err_set(err, ERR_BACKPRESSURE, "%u actions of this rule wait for their answers (limits.pending)", rule->pending);
		count_denied(rule, err->code);
		return -1;
	}
	if (!take_rate(rule, sending->server)) {
		err_set(err, ERR_BACKPRESSURE, "more than %u actions a second of this rule to this server (limits.actions_per_second)",
		        rule->limits.actions_per_second);
		count_denied(rule, err->code);
		return -1;
	}
	return 0;
}

/* Sends what prepare() has built; raises nothing. The request, or NULL with `err`. */
static struct request *transmit(struct rule *rule, const struct sending *sending, char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct host *host = rule->host;
	if (!rule_charge(rule, sizeof(struct request))) {
		err_set(err, ERR_BACKPRESSURE, "no memory left for another action (limits.rule_memory)");
		count_denied(rule, err->code);
		return NULL;
	}
	struct request *request = request_create(rule, sending->server, sending->server_name, action_name(&rule->scratch->action));
	request->charged = true;
	if (host->ops.send(host->ctx, sending->server, rule->name, &rule->scratch->action, sending->timeout, request, id, err)) {
		count_denied(rule, err->code);
		request_free(request);
		return NULL;
	}
	return request;
}

/* [action, options, fn] at 2 … of a method: where they stand. The place of the function, or 0. */
static int find_arguments(lua_State *L, struct sending *sending)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	sending->options = 0;
	sending->timeout = 0;
	sending->action = 2;
	if (lua_gettop(L) == 2)
		return 0;
	int fn = lua_isfunction(L, 3) ? 3 : lua_isfunction(L, 4) ? 4 : 0;
	sending->options = lua_istable(L, 3) ? 3 : 0;
	if (!lua_isnoneornil(L, 3) && sending->options == 0 && fn != 3)
		luaL_argerror(L, 3, "options (a table) or a callback (a function) is expected");
	if (!lua_isnoneornil(L, 4) && fn != 4)
		luaL_argerror(L, 4, "a callback (a function) is expected");
	sending->timeout = read_timeout(L, sending->options);
	return fn;
}

static int send_to(lua_State *L, struct sending *sending)
{
	struct rule *rule = rule_of(L);
	char id[ACTION_ID_MAX + 1];
	struct err err;
	int fn = find_arguments(L, sending), ref = LUA_NOREF;
	if (prepare(L, sending, &err))
		return error_push_failure(L, rule, &err);
	if (fn) {
		/* The last that may raise: a reference that nobody holds would stay for ever. */
		lua_pushvalue(L, fn);
		ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	struct request *request = transmit(rule, sending, id, &err);
	if (!request) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		return error_push_failure(L, rule, &err);
	}
	request->callback = ref;
	lua_pushstring(L, id);
	return 1;
}

SANDBOX_CONTINUATION(call_ended)
{
	struct task *task = rule_of(L)->current;
	(void)status;
	task->reply = request_take_reply((struct wait *)ctx);
	return event_push_answer(L, task);
}

static int call_to(lua_State *L, struct sending *sending)
{
	struct rule *rule = rule_of(L);
	struct task *task = rule->current;
	char id[ACTION_ID_MAX + 1];
	struct err err;

	if (find_arguments(L, sending))
		return luaL_error(L, "call takes no callback: it returns the answer (send takes one)");
	task_check_wait(L, "call");
	struct request *request = prepare(L, sending, &err) ? NULL : transmit(rule, sending, id, &err);
	if (!request && (err.code == ERR_INVALID || err.code == ERR_DENIED))
		return error_push_failure(L, rule, &err);
	if (request)
		request_await(request, task);
	else /* what may go well later is reported a turn later, so that a loop around it leaves the others served */
		request_refuse(rule, task, sending->server, sending->server_name, reply_failed(err.code, err.text, NULL, ""));
	return task_wait(L, call_ended);
}

/* ---- handles ---- */

static void sending_for(lua_State *L, struct handle *h, struct sending *sending)
{
	struct host_server server;
	task_check_live(L, "sending an action", false);
	if (!look_up(rule_of(L), h, &server))
		server.id = h->id; /* gone: the engine answers not_ready */
	sending->server = server.id;
	sending->server_name = h->name;
}

SANDBOX_FUNCTION(server_send)
{
	struct sending sending;
	sending_for(L, check_server(L, 1), &sending);
	return send_to(L, &sending);
}

SANDBOX_FUNCTION(server_call)
{
	struct sending sending;
	sending_for(L, check_server(L, 1), &sending);
	return call_to(L, &sending);
}

SANDBOX_FUNCTION(server_index)
{
	/* __index is reached through our own metatable only: the object needs no check. */
	struct handle *h = lua_touserdata(L, 1);
	struct host_server server = { .state = "removed", .version = "" };
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

	if (strcmp(key, "send") == 0) {
		lua_pushcfunction(L, server_send);
	} else if (strcmp(key, "call") == 0) {
		lua_pushcfunction(L, server_call);
	} else if (strcmp(key, "name") == 0) {
		lua_pushstring(L, h->name);
	} else if (strcmp(key, "ready") == 0) {
		lua_pushboolean(L, look_up(rule_of(L), h, &server) && server.ready);
	} else if (strcmp(key, "state") == 0) {
		if (!look_up(rule_of(L), h, &server) && rule_of(L)->loading)
			server.state = "waiting";
		lua_pushstring(L, server.state);
	} else if (strcmp(key, "version") == 0) {
		look_up(rule_of(L), h, &server);
		lua_pushstring(L, server.version);
	} else {
		return luaL_error(L, "a server has no field '%s'; it has name, ready, state, version, send and call", key);
	}
	return 1;
}

static int server_tostring(lua_State *L)
{
	lua_pushstring(L, check_server(L, 1)->name);
	return 1;
}

static int server_newindex(lua_State *L)
{
	return luaL_error(L, "a server is read-only");
}

SANDBOX_FUNCTION(ami_server)
{
	struct rule *rule = rule_of(L);
	struct host_server server;
	struct slice name;
	name.ptr = luaL_checklstring(L, 1, &name.len);
	if (rule->loading) {
		loading_note_servers(rule);
		for (size_t i = 0; i < rule->loading->options->server_count; i++) {
			if (!slice_eq(name, slice_cstr(rule->loading->options->servers[i])))
				continue;
			server_push(L, rule, 0, name);
			return 1;
		}
		faults_warn(rule->loading->faults, "%s: the configuration has no server '%.*s'", require_where(L), SLICE_ARG(name));
		lua_pushnil(L);
		return 1;
	}
	if (rule->host->ops.server_by_name(rule->host->ctx, name, &server))
		server_push(L, rule, server.id, name);
	else
		lua_pushnil(L);
	return 1;
}

SANDBOX_FUNCTION(ami_servers)
{
	struct rule *rule = rule_of(L);
	struct host_server server;
	lua_newtable(L);
	if (rule->loading) {
		loading_note_servers(rule);
		for (size_t i = 0; i < rule->loading->options->server_count; i++) {
			server_push(L, rule, 0, slice_cstr(rule->loading->options->servers[i]));
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		return 1;
	}
	for (size_t i = 0; rule->host->ops.server_at(rule->host->ctx, i, &server); i++) {
		server_push(L, rule, server.id, slice_cstr(server.name));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* ---- routes ---- */

enum route_kind { ROUTE_FAILOVER, ROUTE_ROUND_ROBIN, ROUTE_LEAST_PENDING };
static const char *const route_names[] = { "failover", "round_robin", "least_pending", NULL };

struct route {
	enum route_kind kind;
	size_t next;       /* round robin: where to begin */
	size_t count;      /* names in the list that is its user value; 0: all servers */
};

/* The server at position `i` of the route. */
static bool route_server(lua_State *L, int index, const struct route *route, size_t i, struct host_server *out)
{
	struct host *host = rule_of(L)->host;
	if (route->count == 0)
		return host->ops.server_at(host->ctx, i, out);
	lua_getiuservalue(L, index, 1);
	lua_rawgeti(L, -1, (lua_Integer)i + 1);
	struct slice name;
	name.ptr = lua_tolstring(L, -1, &name.len);
	if (!host->ops.server_by_name(host->ctx, name, out))
		*out = (struct host_server){ .id = 0, .ready = false };
	lua_pop(L, 2);
	return true;
}

static bool pick(lua_State *L, int index, struct route *route, struct host_server *best)
{
	struct host_server server;
	size_t count = route->count, chosen = 0;
	bool found = false;
	if (count == 0)
		while (route_server(L, index, route, count, &server))
			count++;
	for (size_t k = 0; k < count; k++) {
		deadline_check(L);
		size_t i = route->kind == ROUTE_ROUND_ROBIN ? (route->next + k) % count : k;
		if (!route_server(L, index, route, i, &server) || !server.ready)
			continue;
		if (found && server.pending >= best->pending)
			continue;
		*best = server;
		chosen = i;
		found = true;
		if (route->kind != ROUTE_LEAST_PENDING)
			break;
	}
	if (found)
		route->next = chosen + 1;
	return found;
}

static struct route *check_route(lua_State *L, int index)
{
	return object_check(L, index, rule_of(L)->meta.route, "a route");
}

static void no_server(struct err *err)
{
	err_set(err, ERR_NOT_READY, "no server of the route is ready");
}

SANDBOX_FUNCTION(route_pick)
{
	struct rule *rule = rule_of(L);
	struct route *route = check_route(L, 1);
	struct host_server server;
	struct err err;
	task_check_live(L, "picking a server", false);
	if (!pick(L, 1, route, &server)) {
		no_server(&err);
		return error_push_failure(L, rule, &err);
	}
	server_push(L, rule, server.id, slice_cstr(server.name));
	return 1;
}

static bool route_sending(lua_State *L, struct sending *sending)
{
	struct host_server server;
	struct route *route = check_route(L, 1);
	task_check_live(L, "sending an action", false);
	if (!pick(L, 1, route, &server))
		server = (struct host_server){ .id = 0, .name = "" };
	sending->server = server.id;
	sending->server_name = server.name;
	return server.id != 0;
}

SANDBOX_FUNCTION(route_send)
{
	struct sending sending;
	struct err err;
	if (route_sending(L, &sending))
		return send_to(L, &sending);
	no_server(&err);
	return error_push_failure(L, rule_of(L), &err);
}

SANDBOX_FUNCTION(route_call)
{
	struct sending sending;
	route_sending(L, &sending);
	/* Without a ready server the engine answers not_ready, a turn later. */
	return call_to(L, &sending);
}

SANDBOX_FUNCTION(ami_route)
{
	struct rule *rule = rule_of(L);
	enum route_kind kind = (enum route_kind)luaL_checkoption(L, 1, NULL, route_names);
	size_t count = 0;

	lua_settop(L, 2);
	lua_newtable(L);
	if (rule->loading)
		loading_note_servers(rule);
	if (!lua_isnil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		count = lua_rawlen(L, 2);
		luaL_argcheck(L, count > 0 && count <= 10000, 2, "a list of server names is expected");
	}
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, 2, (lua_Integer)i);
		const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : server_test(L, -1);
		if (!name)
			return luaL_error(L, "a route's list has server names or servers, not a %s", luaL_typename(L, -1));
		bool known = !rule->loading || rule->loading->options->server_count == 0;
		for (size_t k = 0; !known && k < rule->loading->options->server_count; k++)
			known = strcmp(rule->loading->options->servers[k], name) == 0;
		if (!known) {
			faults_warn(rule->loading->faults, "%s: the configuration has no server '%s'", require_where(L), name);
			lua_pop(L, 1);
		}
		lua_pushstring(L, name);
		lua_rawseti(L, 3, (lua_Integer)i);
		lua_pop(L, 1);
	}
	struct route *route = lua_newuserdatauv(L, sizeof *route, 1);
	*route = (struct route){ .kind = kind, .count = count };
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, -2, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.route);
	lua_setmetatable(L, -2);
	return 1;
}

void server_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg server_meta[] = {
		{ "__index", server_index }, { "__newindex", server_newindex }, { "__tostring", server_tostring }, { NULL, NULL },
	};
	static const luaL_Reg route_meta[] = { { NULL, NULL } };
	static const luaL_Reg route_methods[] = { { "send", route_send }, { "call", route_call }, { "pick", route_pick }, { NULL, NULL } };
	static const luaL_Reg functions[] = {
		{ "server", ami_server }, { "servers", ami_servers }, { "route", ami_route }, { NULL, NULL },
	};
	rule->meta.server = object_meta(L, "server", server_meta, NULL);
	object_name_method(L, "server", "send", server_send);
	object_name_method(L, "server", "call", server_call);
	rule->meta.route = object_meta(L, "route", route_meta, route_methods);
	lua_newtable(L);
	rule->servers = luaL_ref(L, LUA_REGISTRYINDEX);
	luaL_setfuncs(L, functions, 0);
}
