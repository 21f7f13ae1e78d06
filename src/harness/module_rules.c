/* hookswitch.rules: the Lua proxy of module_harness.h. */
#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "value/luavalue.h"
#include "rules/picture.h"
#include "rules/state.h"
#include "rules/store_disk.h"
#include "harness/module.h"
#include "harness/module_frame.h"
#include "harness/module_harness.h"
#include "harness/module_hooks.h"
#include "harness/module_http.h"
#include "harness/module_jobs.h"
#include "harness/module_options.h"
#include "harness/module_values.h"

#define HARNESS "hookswitch.rules"
#define LOG_END "hookswitch.rules.log"

/* Harnesses of this thread: the last one ends the timer that limits rules. */
static _Thread_local unsigned harnesses;

struct harness *rules_check(lua_State *L)
{
	struct harness *h = luaL_checkudata(L, 1, HARNESS);
	luaL_argcheck(L, h->host, 1, "closed");
	return h;
}

static void push_faults(lua_State *L, const struct harness *h)
{
	lua_createtable(L, (int)h->faults.count, 0);
	for (size_t i = 0; i < h->faults.count; i++) {
		lua_pushstring(L, h->faults.lines[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

/* ---- life ---- */

static int rules_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct harness *h = lua_newuserdatauv(L, sizeof *h, 0);
	harness_init(h);
	harnesses++;
	luaL_setmetatable(L, HARNESS);
	options_read(L, 1, h);
	if (!h->rules)
		h->rules = mem_strdup("scripts");
	if (!h->lib)
		h->lib = mem_strdup("lib");
	if (h->server_count == 0)
		harness_add_server(h, SLICE("pbx1"));
	if (harness_load(h))
		lua_pushnil(L);
	else
		lua_pushvalue(L, 2);
	push_faults(L, h);
	if (lua_isnil(L, -2))
		harness_close(h);
	return 2;
}

static int rules_close(lua_State *L)
{
	struct harness *h = luaL_checkudata(L, 1, HARNESS);
	harness_close(h);
	return 0;
}

static int rules_gc(lua_State *L)
{
	rules_close(L);
	if (--harnesses == 0)
		deadline_stop();
	return 0;
}

static int rules_reload(lua_State *L)
{
	struct harness *h = rules_check(L);
	if (!lua_isnoneornil(L, 2))
		options_read(L, 2, h);
	bool good = harness_load(h) == 0;
	if (good)
		lua_pushboolean(L, true);
	else
		lua_pushnil(L);
	push_faults(L, h);
	return 2;
}

/* starve(n): the n-th allocation of each rule from now on fails, and all after it; 0: none. Gives how many are left to the first. */
static int rules_starve(lua_State *L)
{
	struct host *host = rules_check(L)->host;
	lua_Integer n = luaL_checkinteger(L, 2);
	luaL_argcheck(L, n >= 0, 2, "a number from 0 is expected");
	uint64_t left = host->rule_count > 0 ? host->rules[0]->arena.fail_at : 0;
	for (size_t i = 0; i < host->rule_count; i++)
		host->rules[i]->arena.fail_at = (uint64_t)n;
	lua_pushinteger(L, (lua_Integer)left);
	return 1;
}

static int rules_stop(lua_State *L)
{
	host_cancel_all(rules_check(L)->host);
	return 0;
}

/* ---- servers and events ---- */

static struct harness_server *named_server(lua_State *L, const struct harness *h, int index)
{
	struct harness_server *s = harness_find_server(h, check_slice(L, index));
	if (!s)
		luaL_argerror(L, index, "the harness has no such server");
	return s;
}

/* Options { server = name } at `index`; the first server by default. */
static struct harness_server *server_option(lua_State *L, const struct harness *h, int index)
{
	if (lua_isnoneornil(L, index) || lua_getfield(L, index, "server") == LUA_TNIL)
		return h->servers[0];
	return named_server(L, h, lua_gettop(L));
}

static int rules_ready(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct harness_server *s = lua_isnoneornil(L, 2) ? h->servers[0] : named_server(L, h, 2);
	harness_ready(h, s, lua_isnoneornil(L, 3) ? SLICE("") : check_slice(L, 3));
	return 0;
}

static int rules_lost(lua_State *L)
{
	struct harness *h = rules_check(L);
	harness_lost(h, named_server(L, h, 2), luaL_optstring(L, 3, "reset"));
	return 0;
}

static int rules_remove(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct harness_server *s = named_server(L, h, 2);
	if (s->ready)
		harness_lost(h, s, "removed");
	picture_remove(host_picture(h->host), s->id);
	s->removed = true;
	return 0;
}

static int rules_event(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct slice name = check_slice(L, 2);
	lua_settop(L, 4);
	struct harness_server *s = server_option(L, h, 4);
	const struct message *m = frame_read(L, 3, "Event", name);
	lua_pushboolean(L, harness_event(h, s, m));
	return 1;
}

#define LISTS_MAX 16

/* snapshot(lists, { server = }): lists[action] is a list of items, tables of headers with Event. */
static int rules_snapshot(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct reply *lists[LISTS_MAX];
	size_t count = 0;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 3);
	struct harness_server *s = server_option(L, h, 3);
	/* Twice: what is wrong raises in the first round, when nothing is held. */
	for (int round = 0; round < 2; round++)
		for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
			struct slice action = check_slice(L, -2);
			int top = lua_gettop(L);
			lua_createtable(L, 0, 1);
			lua_pushvalue(L, -2);
			lua_setfield(L, -2, "events");
			struct reply *list = reply_read(L, -1, action);
			lua_settop(L, top);
			if (round == 1 && count < LISTS_MAX)
				lists[count++] = list;
			else
				reply_free(&list);
		}
	harness_snapshot(h, s, lists, count);
	while (count > 0)
		reply_free(&lists[--count]);
	return 0;
}

static int rules_feed(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct slice bytes = check_slice(L, 2);
	struct err err;
	int64_t heard = harness_feed(h, server_option(L, h, 3), bytes, &err);
	if (heard < 0)
		return luaL_error(L, "%s", err.text);
	lua_pushinteger(L, heard);
	return 1;
}

static int rules_emit(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct slice name = check_slice(L, 2), names[64], values[64];
	struct err err;
	lua_settop(L, 3);
	const struct message *m = frame_read(L, 3, "Event", name);
	uint32_t count = m->header_count - 1;
	luaL_argcheck(L, count <= 64, 3, "too many fields");
	for (uint32_t i = 0; i < count; i++) {
		names[i] = message_header_name(m, i + 1);
		values[i] = message_header_value(m, i + 1);
	}
	if (host_emit(h->host, "test", NULL, name, names, values, count, &err))
		return push_error(L, &err);
	lua_pushboolean(L, true);
	return 1;
}

/* ---- time ---- */

static int rules_turn(lua_State *L)
{
	struct harness *h = rules_check(L);
	uint64_t next = harness_turn(h);
	if (next == UINT64_MAX)
		return 0;
	lua_pushnumber(L, next > h->now ? (double)(next - h->now) / 1e9 : 0);
	return 1;
}

static int rules_advance(lua_State *L)
{
	struct harness *h = rules_check(L);
	double seconds = luaL_optnumber(L, 2, 0);
	luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 2, "seconds, not negative");
	struct err err;
	if (harness_advance(h, clock_from_seconds(seconds), &err))
		return luaL_error(L, "%s", err.text);
	return 0;
}

static int rules_now(lua_State *L)
{
	const struct harness *h = rules_check(L);
	lua_pushnumber(L, (lua_Number)h->now / 1e9);
	lua_pushnumber(L, h->wall);
	return 2;
}

/* ---- what rules did ---- */

static void push_headers(lua_State *L, const struct action *action)
{
	lua_newtable(L);
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice name = action_field_name(action, i), value = action_field_value(action, i);
		lua_pushlstring(L, name.ptr, name.len);
		int type = lua_rawget(L, -2);
		if (type == LUA_TSTRING) {
			lua_createtable(L, 2, 0);
			lua_insert(L, -2);
			lua_rawseti(L, -2, 1);
		}
		if (type != LUA_TNIL) { /* a repeated header is a list */
			lua_pushlstring(L, value.ptr, value.len);
			lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
		} else {
			lua_pop(L, 1);
			lua_pushlstring(L, value.ptr, value.len);
		}
		lua_pushlstring(L, name.ptr, name.len);
		lua_insert(L, -2);
		lua_rawset(L, -3);
	}
}

static int rules_sent(lua_State *L)
{
	const struct harness *h = rules_check(L);
	lua_createtable(L, (int)h->sent_count, 0);
	for (size_t i = 0; i < h->sent_count; i++) {
		const struct harness_action *a = h->sent[i];
		lua_createtable(L, 0, 6);
		set_text(L, "server", h->servers[a->server - 1]->name);
		set_text(L, "rule", a->rule);
		set_text(L, "id", a->id);
		set_boolean(L, "answered", !a->tag);
		if (a->timeout > 0)
			set_number(L, "timeout", a->timeout);
		push_headers(L, &a->action);
		lua_setfield(L, -2, "action");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static struct harness_action *find_sent(lua_State *L, const struct harness *h, int index)
{
	if (lua_isinteger(L, index)) {
		lua_Integer i = lua_tointeger(L, index);
		if (i < 0)
			i += (lua_Integer)h->sent_count + 1;
		luaL_argcheck(L, i >= 1 && (size_t)i <= h->sent_count, index, "no such action was sent");
		return h->sent[i - 1];
	}
	struct slice id = check_slice(L, index);
	for (size_t i = 0; i < h->sent_count; i++)
		if (slice_eq(slice_cstr(h->sent[i]->id), id))
			return h->sent[i];
	luaL_argerror(L, index, "no action of that id was sent");
	return NULL;
}

static int rules_answer(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct harness_action *a = find_sent(L, h, 2);
	luaL_argcheck(L, a->tag, 2, "it was answered already");
	lua_settop(L, 3);
	harness_answer(h, a, reply_read(L, 3, action_name(&a->action)));
	return 0;
}

static int rules_sink_lines(lua_State *L)
{
	const struct harness *h = rules_check(L);
	lua_createtable(L, (int)h->line_count, 0);
	for (size_t i = 0; i < h->line_count; i++) {
		lua_createtable(L, 0, 2);
		set_text(L, "sink", h->lines[i].sink);
		lua_pushlstring(L, h->lines[i].text, h->lines[i].len);
		lua_setfield(L, -2, "line");
		if (h->lines[i].ttl > 0)
			set_number(L, "ttl", h->lines[i].ttl);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int rules_metrics(lua_State *L)
{
	struct harness *h = rules_check(L);
	buf_clear(&h->text);
	metrics_render(h->metrics, &h->text);
	lua_pushlstring(L, buf_slice(&h->text).ptr, buf_len(&h->text));
	return 1;
}

static int rules_store(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct store *store = host_store(h->host);
	struct err err;
	if (lua_toboolean(L, 3)) {
		struct persist_store *disk = persist_store_open(h->persist, check_slice(L, 2), &err);
		if (!disk)
			return luaL_error(L, "%s", err.text);
		struct value all = store_disk_snapshot(disk, h->now);
		luavalue_push(L, &all);
		value_close(&all);
		return 1;
	}
	struct store_space *space = store_open(store, store_owner(store, SLICE("harness")), check_slice(L, 2), &err);
	const struct value *key, *item;
	size_t cursor = 0;
	if (!space)
		return luaL_error(L, "%s", err.text);
	lua_newtable(L);
	while (store_next(space, &cursor, h->now, &key, &item)) {
		luavalue_push(L, key);
		luavalue_push(L, item);
		lua_rawset(L, -3);
	}
	return 1;
}

#define WAITS_LISTED 100

static void add_wait(void *ctx, struct slice text)
{
	lua_State *L = ctx;
	lua_pushlstring(L, text.ptr, text.len);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void push_view(lua_State *L, const struct harness *h, size_t index, const struct host_rule_view *v)
{
	lua_createtable(L, 0, 22);
	set_text(L, "name", v->name);
	set_text(L, "file", v->file);
	set_text(L, "digest", v->digest);
	set_text(L, "change", v->change);
	set_number(L, "since", v->since);
	set_integer(L, "generation", v->number);
	set_text(L, "last_error", v->last_error);
	set_integer(L, "listeners", v->listeners);
	set_integer(L, "timers", v->timers);
	set_integer(L, "subscriptions", v->subscriptions);
	set_integer(L, "waiting", v->waiting);
	lua_newtable(L);
	host_rule_waits(h->host, index, WAITS_LISTED, add_wait, L);
	lua_setfield(L, -2, "waits");
	set_integer(L, "pending", v->pending);
	set_integer(L, "calls", v->calls);
	set_integer(L, "errors", v->errors);
	set_integer(L, "deadlines", v->deadlines);
	set_integer(L, "refused", v->refused);
	set_integer(L, "skipped", v->skipped);
	set_integer(L, "memory", v->memory);
	set_number(L, "seconds", v->seconds);
	set_boolean(L, "quarantined", v->quarantined);
	set_boolean(L, "down", v->down);
	set_boolean(L, "failed", v->failed);
}

static int rules_views(lua_State *L)
{
	const struct harness *h = rules_check(L);
	struct host_rule_view v;
	lua_newtable(L);
	for (size_t i = 0; host_rule_view(h->host, i, &v); i++) {
		if (v.draining)
			continue;
		push_view(L, h, i, &v);
		lua_setfield(L, -2, v.name);
	}
	return 1;
}

static int rules_draining(lua_State *L)
{
	const struct harness *h = rules_check(L);
	struct host_rule_view v;
	lua_Integer n = 0;
	lua_newtable(L);
	for (size_t i = 0; host_rule_view(h->host, i, &v); i++) {
		if (!v.draining)
			continue;
		push_view(L, h, i, &v);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static int rules_status(lua_State *L)
{
	const struct harness *h = rules_check(L);
	struct host_view v;
	host_view(h->host, &v);
	lua_createtable(L, 0, 5);
	set_integer(L, "generation", v.generation);
	set_number(L, "since", v.since);
	set_integer(L, "memory", v.memory);
	set_integer(L, "rules", v.rule_count);
	set_integer(L, "draining", v.draining_count);
	return 1;
}

/* ---- the log ---- */

static int log_end(lua_State *L)
{
	(void)L;
	log_stop(2);
	return 0;
}

static int rules_log(lua_State *L)
{
	struct err err;
	log_stop(2);
	if (lua_isnoneornil(L, 1))
		return 0;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "file");
	lua_getfield(L, 1, "level");
	const char *level = luaL_optstring(L, 3, "info");
	const struct log_options options = {
		.file = luaL_checkstring(L, 2), .format = LOG_JSON, .level = (enum log_level)log_level_parse(level),
	};
	luaL_argcheck(L, (int)options.level >= 0, 1, "level: debug, info, warn or error is expected");
	/* The writer thread must have ended before the module is unloaded. */
	if (lua_getfield(L, LUA_REGISTRYINDEX, LOG_END ".guard") == LUA_TNIL) {
		lua_newuserdatauv(L, 1, 0);
		luaL_setmetatable(L, LOG_END);
		lua_setfield(L, LUA_REGISTRYINDEX, LOG_END ".guard");
	}
	if (log_start(&options, &err))
		return luaL_error(L, "%s", err.text);
	return 0;
}

int module_open_rules(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "close", rules_close }, { "reload", rules_reload }, { "stop", rules_stop }, { "ready", rules_ready },
		{ "lost", rules_lost }, { "remove", rules_remove }, { "event", rules_event }, { "feed", rules_feed }, { "snapshot", rules_snapshot },
		{ "emit", rules_emit }, { "turn", rules_turn }, { "advance", rules_advance }, { "now", rules_now },
		{ "sent", rules_sent }, { "answer", rules_answer }, { "requests", rules_requests }, { "respond", rules_respond }, { "http_in", rules_http_in }, { "http_out", rules_http_out },
		{ "sink_lines", rules_sink_lines }, { "metrics", rules_metrics },
		{ "starve", rules_starve }, { "work", rules_work }, { "jobs", rules_jobs }, { "store", rules_store }, { "rules", rules_views }, { "draining", rules_draining }, { "status", rules_status }, { NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "new", rules_new }, { "log", rules_log }, { NULL, NULL } };

	frame_open(L);
	luaL_newmetatable(L, LOG_END);
	lua_pushcfunction(L, log_end);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	luaL_newmetatable(L, HARNESS);
	lua_pushcfunction(L, rules_gc);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, rules_close);
	lua_setfield(L, -2, "__close");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
