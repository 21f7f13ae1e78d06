/* ami.on, ami.once, ami.emit, and the arguments of all that listens. */
#include <stdio.h>
#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/api/listen.h"
#include "rules/loading.h"
#include "rules/own_event.h"
#include "rules/picture.h"
#include "rules/task.h"
#include "value/luavalue.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"

#define NAMES_MAX 256
#define TESTS_MAX 4096     /* of one filter */
#define TEST_TEXT_MAX 1024 /* bytes of one */
#define EMIT_BYTES_MAX 65536
#define EMIT_TURN_BYTES_MAX (4u << 20) /* of one rule in one turn: what waits is not charged to its memory */
#define LISTENER_BYTES 512

/* What ami.prefix and ami.glob return. */
struct test_object {
	enum test_kind kind;
};

/* ---- names ---- */

static struct slice check_name(lua_State *L, int index)
{
	struct slice name;
	if (lua_type(L, index) != LUA_TSTRING)
		luaL_error(L, "an event's name is expected to be a string, not a %s", luaL_typename(L, index));
	name.ptr = lua_tolstring(L, index, &name.len);
	if (name.len == 0 || name.len > 128 || memchr(name.ptr, '\n', name.len))
		luaL_error(L, "an event's name has 1 to 128 bytes and no line end");
	return name;
}

/* Warns of a name that nothing sends; the rule may know better. */
static void check_known(lua_State *L, struct slice name)
{
	struct rule *rule = rule_of(L);
	static const char *const own[] = { "server.ready", "server.lost", "server.gap", "script.loaded", "script.quarantined" };
	if (!rule->loading || slice_eq(name, SLICE("*")))
		return;
	if (memchr(name.ptr, '.', name.len)) {
		if (!slice_starts_with_nocase(name, SLICE("server.")) && !slice_starts_with_nocase(name, SLICE("script.")))
			return;
		for (size_t i = 0; i < sizeof own / sizeof *own; i++)
			if (slice_eq_nocase(name, slice_cstr(own[i])))
				return;
		faults_warn(rule->loading->faults, "%s: the engine has no event '%.*s'", require_where(L), SLICE_ARG(name));
		lua_pop(L, 1);
	} else if (!catalogue_event(name)) {
		const char *nearest = catalogue_nearest_event(name);
		faults_warn(rule->loading->faults, "%s: no event '%.*s' is known%s%s%s", require_where(L), SLICE_ARG(name), nearest ? " (did you mean " : "",
		            nearest ? nearest : "", nearest ? "?)" : "");
		lua_pop(L, 1);
	}
}

static void read_names(lua_State *L, int index, struct listen_arguments *out)
{
	size_t count = 1;
	luavalue_unproxy(L, index);
	bool is_list = lua_istable(L, index);
	if (is_list)
		count = lua_rawlen(L, index);
	if (count == 0 || count > NAMES_MAX)
		luaL_argerror(L, index, "an event's name, a list of 1 to 256 names, or \"*\" is expected");
	out->names = lua_newuserdatauv(L, count * sizeof *out->names, 0);
	out->count = count;
	for (size_t i = 0; i < count; i++) {
		if (is_list)
			lua_rawgeti(L, index, (lua_Integer)i + 1);
		else
			lua_pushvalue(L, index);
		/* The string stays alive in the list, or as the argument. */
		out->names[i] = check_name(L, -1);
		check_known(L, out->names[i]);
		lua_pop(L, 1);
	}
}

/* ---- filters ---- */

static void set_text(lua_State *L, struct value_test *test, int index)
{
	const char *text = lua_tolstring(L, index, &test->len);
	if (test->len > TEST_TEXT_MAX) {
		test->len = 0;
		luaL_error(L, "a filter's value has at most %d bytes", TEST_TEXT_MAX);
	}
	test->text = mem_slicedup(slice_make(text, test->len));
	rule_of(L)->scratch->filter_bytes += sizeof *test + test->len;
}

/* One accepted form: a string, a number, a boolean, ami.prefix(), ami.glob(), or a server handle. */
static void read_test(lua_State *L, int index, struct value_test *test, const char *what)
{
	struct rule *rule = rule_of(L);
	index = lua_absindex(L, index);
	struct test_object *object = object_test(L, index, rule->meta.test);
	const char *server = server_test(L, index);

	if (object) {
		test->kind = object->kind;
		lua_getiuservalue(L, index, 1);
		set_text(L, test, -1);
		lua_pop(L, 1);
	} else if (server) {
		test->len = strlen(server);
		test->text = mem_strdup(server);
	} else if (lua_isboolean(L, index)) {
		lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
		set_text(L, test, -1);
		lua_pop(L, 1);
	} else if (lua_type(L, index) == LUA_TSTRING || lua_isinteger(L, index)) {
		lua_pushvalue(L, index);
		set_text(L, test, -1);
		lua_pop(L, 1);
	} else {
		luaL_error(L, "%s: a value is a string, an integer, a boolean, ami.prefix(s), ami.glob(s), or a list of these, not a %s", what,
		           luaL_typename(L, index));
	}
}

/* A value or a list of them. `*tests` belongs to the filter from the start, so nothing leaks when this raises. */
static void read_tests(lua_State *L, int index, struct value_test **tests, size_t *count, const char *what)
{
	index = lua_absindex(L, index);
	luavalue_unproxy(L, index);
	bool is_list = lua_type(L, index) == LUA_TTABLE;
	size_t n = is_list ? lua_rawlen(L, index) : 1;
	struct rule *rule = rule_of(L);
	rule->scratch->filter_tests += n;
	if (n == 0 || rule->scratch->filter_tests > TESTS_MAX)
		luaL_error(L, "%s: a filter has 1 to %d values in each list, and no more in all", what, TESTS_MAX);
	*tests = mem_zalloc(n * sizeof **tests);
	for (size_t i = 0; i < n; i++) {
		if (is_list)
			lua_rawgeti(L, index, (lua_Integer)i + 1);
		else
			lua_pushvalue(L, index);
		read_test(L, -1, &(*tests)[i], what);
		*count = i + 1;
		lua_pop(L, 1);
	}
}

static void read_set(lua_State *L, int index, struct header_set *set)
{
	size_t n = 0;
	index = lua_absindex(L, index);
	luavalue_unproxy(L, index);
	if (!lua_istable(L, index))
		luaL_error(L, "where: a table { Header = value } is expected, not a %s", luaL_typename(L, index));
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		deadline_check(L);
		n++;
	}
	if (n == 0 || n > 64)
		luaL_error(L, "where: a table of 1 to 64 headers is expected");
	set->headers = mem_zalloc(n * sizeof *set->headers);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "where: a header's name is a string");
		const char *name = lua_tostring(L, -2);
		if (lua_rawlen(L, -2) > 255)
			luaL_error(L, "where: a header's name has at most 255 bytes");
		rule_of(L)->scratch->filter_bytes += sizeof(struct header_test) + lua_rawlen(L, -2);
		struct header_test *test = &set->headers[set->count];
		test->name = mem_strdup(name);
		set->count++;
		char what[80];
		snprintf(what, sizeof what, "where.%.60s", name);
		read_tests(L, -1, &test->tests, &test->count, what);
	}
}

static void read_where(lua_State *L, int index, struct filter *filter)
{
	index = lua_absindex(L, index);
	luavalue_unproxy(L, index);
	if (!lua_istable(L, index))
		luaL_error(L, "where: a table { Header = value } is expected, not a %s", luaL_typename(L, index));
	size_t n = lua_rawlen(L, index);
	if (n > 64)
		luaL_error(L, "where: at most 64 alternatives");
	size_t keys = 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		deadline_check(L);
		keys++;
	}
	if (n > 0 && keys != n)
		luaL_error(L, "where: either one table { Header = value } or a list of such tables, not both in one");
	/* A list means any of its tables. */
	filter->sets = mem_zalloc((n ? n : 1) * sizeof *filter->sets);
	if (n == 0) {
		filter->set_count = 1;
		read_set(L, index, &filter->sets[0]);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		filter->set_count = i + 1;
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		read_set(L, -1, &filter->sets[i]);
		lua_pop(L, 1);
	}
}

/* Warns while loading of a server that the configuration does not have. */
static void check_servers_known(lua_State *L, const struct filter *filter)
{
	struct rule *rule = rule_of(L);
	if (rule->loading)
		loading_note_servers(rule);
	for (size_t i = 0; rule->loading && i < filter->server_count; i++) {
		bool known = rule->loading->options->server_count == 0;
		for (size_t k = 0; k < rule->loading->options->server_count && !known; k++)
			known = value_test_passes(&filter->servers[i], slice_cstr(rule->loading->options->servers[k]));
		if (known)
			continue;
		faults_warn(rule->loading->faults, "%s: the configuration has no server '%s'", require_where(L), filter->servers[i].text);
		lua_pop(L, 1);
	}
}

static void read_filter(lua_State *L, int index, struct listen_arguments *out)
{
	struct rule *rule = rule_of(L);
	/* What an error left of the last one goes here. */
	out->filter = &rule->scratch->filter;
	filter_close(out->filter);
	rule->scratch->filter_tests = rule->scratch->filter_bytes = 0;
	if (lua_isnoneornil(L, index))
		return;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		if (strcmp(key, "server") == 0) {
			read_tests(L, -1, &out->filter->servers, &out->filter->server_count, "server");
			check_servers_known(L, out->filter);
		} else if (strcmp(key, "where") == 0) {
			read_where(L, -1, out->filter);
		} else if (strcmp(key, "priority") == 0) {
			if (!lua_isinteger(L, -1))
				luaL_error(L, "priority is an integer, higher ones first");
			out->priority = lua_tointeger(L, -1);
		} else if (strcmp(key, "label") == 0) {
			if (lua_type(L, -1) != LUA_TSTRING || lua_rawlen(L, -1) > RULE_NAME_MAX)
				luaL_error(L, "label is a string of at most %d bytes", RULE_NAME_MAX);
			out->label = lua_tostring(L, -1); /* the filter's table holds it */
		} else {
			luaL_error(L, "unknown key '%s' in a filter; it has server, where, priority and label", key[0] ? key : "(not a string)");
		}
	}
}

static bool picture_has(struct slice event, struct slice field)
{
	const char *name;
	for (uint32_t i = 0; (name = picture_event_field(event, i)); i++)
		if (slice_eq_nocase(field, slice_cstr(name)))
			return true;
	return false;
}

/* The fields of the live picture's events are known: a filter on another one would never fit. */
static void check_picture_fields(lua_State *L, const struct listen_arguments *args, struct slice field)
{
	const char *name;
	luaL_Buffer b;

	for (size_t i = 0; i < args->count; i++)
		if (!picture_event_names(args->names[i]) || picture_has(args->names[i], field))
			return;
	luaL_buffinit(L, &b);
	for (uint32_t i = 0; (name = picture_event_field(args->names[0], i)); i++) {
		luaL_addstring(&b, i > 0 ? ", " : "");
		luaL_addstring(&b, name);
	}
	luaL_pushresult(&b);
	luaL_error(L, "where: %s has no field '%s'; it has %s", args->names[0].ptr, field.ptr, lua_tostring(L, -1));
}

static bool passes_any(const struct value_test *test, const char *const *words)
{
	while (*words && !value_test_passes(test, slice_cstr(*words)))
		words++;
	return *words != NULL;
}

/* A field with fixed words: a value that none of them passes would never fit. */
static void check_picture_words(lua_State *L, const struct listen_arguments *args, struct slice field, const struct value_test *test)
{
	const char *const *words = NULL;
	char why[LIVE_FAULT_MAX];

	for (size_t i = 0; i < args->count; i++) {
		if (picture_event_names(args->names[i]) && !picture_has(args->names[i], field))
			continue;
		words = picture_event_words(args->names[i], field);
		if (!words || passes_any(test, words))
			return;
	}
	live_words_fault(words, field, slice_make(test->text, test->len), why);
	luaL_error(L, "where: %s", why);
}

static void check_header(lua_State *L, const struct listen_arguments *args, const struct header_test *header)
{
	check_picture_fields(L, args, slice_cstr(header->name));
	for (size_t i = 0; i < header->count; i++)
		check_picture_words(L, args, slice_cstr(header->name), &header->tests[i]);
}

static void check_fields(lua_State *L, const struct listen_arguments *args)
{
	if (!picture_event_names(args->names[0]))
		return;
	for (size_t i = 0; i < args->filter->set_count; i++)
		for (size_t k = 0; k < args->filter->sets[i].count; k++)
			check_header(L, args, &args->filter->sets[i].headers[k]);
}

void listen_read(lua_State *L, int names, int filter, struct listen_arguments *out)
{
	*out = (struct listen_arguments){ .label = NULL };
	if (lua_gettop(L) < filter)
		lua_settop(L, filter); /* what is pushed below must not take the place of an absent argument */
	if (!lua_isnoneornil(L, filter))
		luaL_checktype(L, filter, LUA_TTABLE);
	luaL_checkstack(L, 20, NULL);
	read_names(L, names, out);
	read_filter(L, filter, out);
	check_fields(L, out);
	if (!out->label) {
		/* Names the place: "missed.lua:12 QueueCallerAbandon". */
		luaL_where(L, 1);
		lua_pushlstring(L, out->names[0].ptr, out->names[0].len);
		lua_concat(L, 2);
		out->label = lua_tostring(L, -1);
	}
}

/* Listeners stand outside of Lua, and count all the same. */
bool listen_charge(lua_State *L, const struct listen_arguments *args)
{
	struct rule *rule = rule_of(L);
	size_t bytes = LISTENER_BYTES + args->count * 2 * sizeof(void *) + rule->scratch->filter_bytes;
	const struct arena *a = &rule->arena;
	/* As Lua does for its own blocks: what is refused only because of garbage is not refused. */
	if (a->limit && a->used + bytes > a->limit)
		lua_gc(L, LUA_GCCOLLECT);
	if (!rule_charge(rule, bytes))
		return false;
	args->filter->bytes = bytes;
	return true;
}

/* ---- functions ---- */

static int add_listener(lua_State *L, bool once)
{
	struct rule *rule = rule_of(L);
	struct listen_arguments args;
	int fn = lua_isfunction(L, 2) ? 2 : 3, filter = fn == 3 ? 2 : 4;

	if (rule->draining)
		task_check_live(L, "a new listener", true);
	lua_settop(L, 4);
	luaL_checktype(L, fn, LUA_TFUNCTION);
	if (!lua_isnil(L, fn == 2 ? 3 : 4))
		luaL_argerror(L, fn + 1, "nothing is expected here: the filter stands before the function");
	listen_read(L, 1, filter, &args);
	if (rule->listener_count >= rule->limits.listeners && rule->host)
		listeners_sweep(rule->host);
	if (rule->listener_count >= rule->limits.listeners)
		return luaL_error(L, "too many listeners (%d, limits.listeners)", (int)rule->listener_count);
	uint64_t *handle = lua_newuserdatauv(L, sizeof *handle, 0);
	*handle = 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.listener);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, fn);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (!listen_charge(L, &args)) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		return luaL_error(L, LISTEN_NO_MEMORY);
	}
	struct listener *l = listener_add(rule, args.names, args.count, args.filter, args.priority, args.label, once, ref, NULL);
	*handle = listener_handle(l);
	return 1;
}

SANDBOX_FUNCTION(ami_on)
{
	return add_listener(L, false);
}

SANDBOX_FUNCTION(ami_once)
{
	return add_listener(L, true);
}

SANDBOX_FUNCTION(handle_cancel)
{
	const uint64_t *handle = object_check(L, 1, rule_of(L)->meta.listener, "what ami.on returned");
	struct listener *l = handle_get(&rule_of(L)->handles, *handle);
	if (l)
		listener_cancel(l);
	return 0;
}

static int make_test(lua_State *L, enum test_kind kind)
{
	luaL_checktype(L, 1, LUA_TSTRING);
	struct test_object *object = lua_newuserdatauv(L, sizeof *object, 1);
	object->kind = kind;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule_of(L)->meta.test);
	lua_setmetatable(L, -2);
	return 1;
}

SANDBOX_FUNCTION(ami_prefix)
{
	return make_test(L, TEST_PREFIX);
}

SANDBOX_FUNCTION(ami_glob)
{
	return make_test(L, TEST_GLOB);
}

/* By name: a table has no order of its own. */
static void sort_fields(struct slice *names, struct slice *values, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct slice name = names[i], value = values[i];
		size_t at = i;
		for (; at > 0 && strcmp(names[at - 1].ptr, name.ptr) > 0; at--) {
			names[at] = names[at - 1];
			values[at] = values[at - 1];
		}
		names[at] = name;
		values[at] = value;
	}
}

SANDBOX_FUNCTION(ami_emit)
{
	struct rule *rule = rule_of(L);
	struct slice names[64], values[64], name;
	size_t count = 0, bytes = 0;
	struct err err;

	task_check_live(L, "ami.emit", false);
	name.ptr = luaL_checklstring(L, 1, &name.len);
	if (!lua_isnoneornil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		luaL_checkstack(L, 140, NULL);
		lua_settop(L, 2);
		for (lua_pushnil(L); lua_next(L, 2);) {
			if (count == 64)
				return luaL_error(L, "an event has at most 64 fields");
			if (lua_type(L, -2) != LUA_TSTRING || lua_rawlen(L, -2) > 255)
				return luaL_error(L, "a field's name is a string of at most 255 bytes");
			int type = lua_type(L, -1);
			if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
				return luaL_error(L, "field '%s' is a %s: a string, number or boolean is expected", lua_tostring(L, -2), lua_typename(L, type));
			names[count].ptr = lua_tolstring(L, -2, &names[count].len);
			/* The text stays on the stack until the event is queued; the key is left on top for lua_next. */
			values[count].ptr = luaL_tolstring(L, -1, &values[count].len);
			bytes += values[count].len;
			lua_replace(L, -2);
			lua_insert(L, -2);
			count++;
		}
	}
	/* What waits is not charged to its memory. */
	if (rule->turn.emit_turn != rule->host->turn)
		rule->turn.emitted_bytes = 0;
	rule->turn.emit_turn = rule->host->turn;
	if (bytes > EMIT_BYTES_MAX) {
		err_set(&err, ERR_INVALID, "an event has at most %d bytes", EMIT_BYTES_MAX);
		return error_push_failure(L, rule, &err);
	}
	if (rule->turn.emitted_bytes + bytes > EMIT_TURN_BYTES_MAX) {
		own_event_dropped(rule->host, name);
		err_set(&err, ERR_OVERFLOW, "the rule has emitted %u bytes in this turn already (%u bytes)", rule->turn.emitted_bytes, EMIT_TURN_BYTES_MAX);
		return error_push_failure(L, rule, &err);
	}
	rule->turn.emitted_bytes += (uint32_t)bytes;
	sort_fields(names, values, count);
	if (host_emit(rule->host, "rule", rule->name, name, names, values, count, &err))
		return error_push_failure(L, rule, &err);
	lua_pushboolean(L, true);
	return 1;
}

void listen_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg functions[] = {
		{ "on", ami_on }, { "once", ami_once }, { "subscribe", subscription_new }, { "wait", subscription_wait },
		{ "emit", ami_emit }, { "prefix", ami_prefix }, { "glob", ami_glob }, { NULL, NULL },
	};
	static const luaL_Reg handle_methods[] = { { "cancel", handle_cancel }, { NULL, NULL } };
	static const luaL_Reg nothing[] = { { NULL, NULL } };

	rule->meta.listener = object_meta(L, "listener", nothing, handle_methods);
	rule->meta.test = object_meta(L, "test", nothing, NULL);
	subscription_open(L, rule);
	luaL_setfuncs(L, functions, 0);
}
