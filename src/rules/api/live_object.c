/* Objects of the live picture as rules hold them: read-only, always at the present, and as they were last once they are gone. */
#include "rules/api/live.h"

#include <stdio.h>

#include "rules/api/api.h"
#include "rules/loading.h"
#include "rules/picture_hold.h"
#include "rules/picture_pack.h"
#include "rules/state.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"
#include "value/luavalue.h"

/* What an object that has gone takes of the engine's memory, about: charged for each. */
#define HELD_BYTES ((size_t)768)

struct live_handle {
	uint64_t handle;      /* in the rule's holder; 0: none */
	const void *identity; /* only compared */
	enum live_kind kind;
};

/* ---- asking ---- */

static struct picture *picture_of(const struct rule *rule)
{
	return rule->host ? rule->host->picture : rule->loading->options->picture;
}

static void found(struct live_question *r, struct picture *p, struct live_object *object)
{
	if (!object)
		return;
	if (!r->rule->holder)
		r->rule->holder = picture_holder_open(p);
	r->handle = picture_hold(r->rule->holder, object);
	r->identity = object;
	r->kind = live_object_kind(object);
}

/* The server that the search is for; false: it has gone. */
static bool begin_search(struct live_search *s, struct live *live, uint64_t generation)
{
	if (s->one_server && !(s->filter.server = live_server_find(live, s->server)))
		return false;
	if (s->generation == 0) {
		live_walk(live, s->kind, &s->filter, &s->cursor);
		s->generation = generation;
	}
	return s->generation == generation;
}

static void next(struct live_question *r, struct picture *p, struct live *live)
{
	struct live_search *s = r->search;
	if (!begin_search(s, live, picture_generation(p)))
		return;
	found(r, p, live_next(&s->cursor, picture_now(p)));
}

static void get(struct live_question *r, struct picture *p)
{
	const struct live_object *object = r->rule->holder ? picture_held(r->rule->holder, r->handle) : NULL;
	struct buf *text = &r->rule->scratch->text;

	if (!object)
		return;
	r->value = live_get(object, r->field, picture_now(p));
	bool list = r->value.type == LIVE_LIST || r->value.type == LIVE_MAP;
	/* A text is borrowed: fine on the loop's thread. */
	if (!list && (r->value.type != LIVE_TEXT || r->rule->host))
		return;
	r->too_long = list && !r->rule->host && r->value.list.count > LIVE_LIST_MAX;
	if (r->too_long)
		return;
	buf_clear(text);
	picture_pack_value(text, &r->value, picture_now(p));
	r->packed = true;
}

static bool has_long_list(const struct live_object *object, int64_t now)
{
	enum live_kind kind = live_object_kind(object);
	for (uint32_t i = 0; live_field_name(kind, i); i++) {
		struct live_value value = live_get(object, (int)i, now);
		if ((value.type == LIVE_LIST || value.type == LIVE_MAP) && value.list.count > LIVE_LIST_MAX)
			return true;
	}
	return false;
}

static void table(struct live_question *r, struct picture *p)
{
	const struct live_object *object = r->rule->holder ? picture_held(r->rule->holder, r->handle) : NULL;
	int64_t now = picture_now(p);

	if (!object)
		return;
	r->too_long = !r->rule->host && has_long_list(object, now);
	if (r->too_long)
		return;
	buf_clear(&r->rule->scratch->text);
	picture_pack_object(&r->rule->scratch->text, object, true, now);
	r->packed = true;
}

/* On the loop's thread. */
static void perform(void *arg)
{
	struct live_question *r = arg;
	struct picture *p = picture_of(r->rule);
	struct live *live = p ? picture_live(p) : NULL;
	struct live_server *server;

	if (r->op == LIVE_OP_DROP) {
		picture_drop(r->rule->holder, r->handle);
		return;
	}
	if (!live)
		return;
	switch (r->op) {
	case LIVE_OP_NEXT:
		next(r, p, live);
		break;
	case LIVE_OP_COUNT:
		if (begin_search(r->search, live, picture_generation(p)))
			r->count = live_count(live, r->search->kind, &r->search->filter, picture_now(p));
		break;
	case LIVE_OP_FIND:
		server = live_server_find(live, r->server);
		found(r, p, server ? live_find(server, r->kind, r->name) : NULL);
		break;
	case LIVE_OP_STATE:
		server = live_server_find(live, r->server);
		r->state = server ? live_state(server) : LIVE_NONE;
		r->unknown = server ? live_unknown(server) : 0;
		break;
	case LIVE_OP_GET:
		get(r, p);
		break;
	case LIVE_OP_TABLE:
		table(r, p);
		break;
	case LIVE_OP_DROP:
		break;
	}
}

void live_ask(struct live_question *r)
{
	const struct rules_options *o = r->rule->loading ? r->rule->loading->options : NULL;
	if (o && o->on_loop)
		o->on_loop(o->ctx, perform, r);
	else
		perform(r);
}

/* ---- dropping ---- */

SANDBOX_FUNCTION(object_gc)
{
	struct live_handle *h = lua_touserdata(L, 1);
	struct rule *rule = rule_of(L);
	struct live_question r = { .op = LIVE_OP_DROP, .rule = rule, .handle = h->handle };

	if (h->handle == 0 || rule->closing)
		return 0;
	h->handle = 0;
	live_ask(&r);
	rule->held--;
	rule_credit(rule, HELD_BYTES);
	return 0;
}

/* ---- reading ---- */

static struct live_handle *test_object(lua_State *L, int index)
{
	const struct rule *rule = rule_of(L);
	return rule->meta.live != 0 ? object_test(L, index, rule->meta.live) : NULL;
}

static void push_value(lua_State *L, const struct live_question *r)
{
	if (r->packed) {
		luaL_checkstack(L, 10, NULL);
		luavalue_push_packed(L, buf_slice(&r->rule->scratch->text));
		return;
	}
	switch (r->value.type) {
	case LIVE_BOOL: lua_pushboolean(L, r->value.boolean); break;
	case LIVE_INT: lua_pushinteger(L, r->value.integer); break;
	case LIVE_NUMBER:
	case LIVE_TIME: lua_pushnumber(L, r->value.number); break;
	case LIVE_TEXT: lua_pushlstring(L, r->value.text.ptr, r->value.text.len); break;
	default: lua_pushnil(L);
	}
}

static int too_long(lua_State *L)
{
	return luaL_error(L, "a list of more than %d items cannot be read while the rules are loading: do it in a listener, a timer or a callback",
	                  (int)LIVE_LIST_MAX);
}

SANDBOX_FUNCTION(object_index)
{
	const struct live_handle *h = lua_touserdata(L, 1);
	struct live_question r = { .op = LIVE_OP_GET, .rule = rule_of(L), .handle = h->handle };
	struct slice name;

	name.ptr = luaL_checklstring(L, 2, &name.len);
	r.field = live_field(h->kind, name);
	if (r.field < 0)
		return live_no_field(L, h->kind, name);
	live_ask(&r);
	if (r.too_long)
		return too_long(L);
	push_value(L, &r);
	return 1;
}

static void push_table(lua_State *L, const struct live_handle *h)
{
	struct live_question r = { .op = LIVE_OP_TABLE, .rule = rule_of(L), .handle = h->handle };

	live_ask(&r);
	if (r.too_long)
		too_long(L);
	luaL_checkstack(L, 10, NULL);
	if (r.packed)
		luavalue_push_packed(L, buf_slice(&r.rule->scratch->text));
	else
		lua_newtable(L);
}

bool live_object_table(lua_State *L, int index)
{
	const struct live_handle *h = test_object(L, index);
	if (h)
		push_table(L, h);
	return h != NULL;
}

static int object_newindex(lua_State *L)
{
	return luaL_error(L, "an object of the live picture is read-only: use ami.table(object) for a copy that can be changed");
}

static int next_pair(lua_State *L)
{
	lua_settop(L, 2);
	if (lua_next(L, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

SANDBOX_FUNCTION(object_pairs)
{
	lua_pushcfunction(L, next_pair);
	push_table(L, lua_touserdata(L, 1));
	lua_pushnil(L);
	return 3;
}

static int object_eq(lua_State *L)
{
	const struct live_handle *a = test_object(L, 1), *b = test_object(L, 2);
	lua_pushboolean(L, a && b && a->handle != 0 && b->handle != 0 && a->identity == b->identity);
	return 1;
}

/* "call 1795210149.21" */
SANDBOX_FUNCTION(object_tostring)
{
	const struct live_handle *h = lua_touserdata(L, 1);
	struct live_question r = { .op = LIVE_OP_GET, .rule = rule_of(L), .handle = h->handle };

	r.field = live_field(h->kind, h->kind == LIVE_CALL || h->kind == LIVE_BRIDGE ? SLICE("id") : h->kind == LIVE_AGENT ? SLICE("interface") : SLICE("name"));
	live_ask(&r);
	lua_pushstring(L, live_kind_name(h->kind));
	lua_pushstring(L, " ");
	push_value(L, &r);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushstring(L, "?");
	}
	lua_concat(L, 3);
	return 1;
}

/* ---- making ---- */

/* Made when the rule holds its first object: most rules never do. */
static void push_meta(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = {
		{ "__index", object_index }, { "__newindex", object_newindex }, { "__pairs", object_pairs }, { "__eq", object_eq },
		{ "__tostring", object_tostring }, { "__gc", object_gc }, { NULL, NULL },
	};
	if (rule->meta.live == 0)
		rule->meta.live = object_meta(L, "live object", meta, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.live);
}

static void make_room(lua_State *L, struct rule *rule)
{
	uint64_t turn = rule->host ? rule->host->turn : 0;
	bool full = rule->held >= rule->limits.live_objects || (rule->arena.limit && rule->arena.used + HELD_BYTES > rule->arena.limit);

	/* Most of them may be garbage: a collection finds out. Where the last one freed little, the next one waits for another turn. */
	if (full && (rule->held_collected != turn || rule->held_kept <= rule->held / 2)) {
		rule->held_collected = turn;
		lua_gc(L, LUA_GCCOLLECT);
		rule->held_kept = rule->held;
	}
	if (rule->held >= rule->limits.live_objects)
		luaL_error(L, "too many objects of the live picture are held (%d, limits.live_objects)", (int)rule->held);
}

void live_object_begin(lua_State *L)
{
	struct rule *rule = rule_of(L);

	make_room(L, rule);
	struct live_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
	*h = (struct live_handle){ .handle = 0 };
	push_meta(L, rule);
	lua_setmetatable(L, -2);
	if (!rule_charge(rule, HELD_BYTES))
		luaL_error(L, "no memory left for another object of the live picture (limits.rule_memory)");
}

void live_object_end(lua_State *L, const struct live_question *found)
{
	struct rule *rule = rule_of(L);
	struct live_handle *h = lua_touserdata(L, -1);

	if (found->handle == 0) {
		rule_credit(rule, HELD_BYTES);
		lua_pop(L, 1);
		lua_pushnil(L);
		return;
	}
	rule->held++;
	*h = (struct live_handle){ .handle = found->handle, .identity = found->identity, .kind = found->kind };
}
