/* string.find, match, gmatch and gsub over script/pattern.h. */
#include "sandbox/pattern.h"
#include "sandbox/stdlib_parts.h"

enum { STEPS_PER_BYTE = 16 };

static void poll_deadline(void *ctx)
{
	lua_State *L = ctx;
	const struct stdlib_options *lib = stdlib_of(L);
	if (lib->check)
		lib->check(L);
}

static void pattern_open(lua_State *L, struct pattern *p, struct slice subject, struct slice text)
{
	p->subject = subject;
	p->text = text;
	p->steps = stdlib_of(L)->steps + (uint64_t)subject.len * STEPS_PER_BYTE;
	p->poll = poll_deadline;
	p->ctx = L;
	p->next_poll = 0;
}

static int raise_pattern_error(lua_State *L, const struct pattern *p)
{
	if (p->error_index < 0)
		return luaL_error(L, "%s", p->error);
	return luaL_error(L, "%s %%%d", p->error, p->error_index);
}

/* The match that begins at `at`: true and its end. Raises what is wrong with the pattern. */
static bool match_at(lua_State *L, struct pattern *p, size_t at, size_t *end)
{
	int rc = pattern_match(p, at, end);
	if (rc == -1)
		raise_pattern_error(L, p);
	return rc == 1;
}

/* Pushes capture `i`; without captures the first is the whole match. */
static void push_capture(lua_State *L, const struct pattern *p, unsigned i, size_t from, size_t to)
{
	if (i >= p->captures) {
		if (i != 0)
			luaL_error(L, "invalid capture index %%%d", (int)i + 1);
		lua_pushlstring(L, p->subject.ptr + from, to - from);
		return;
	}
	const struct pattern_capture *c = &p->capture[i];
	if (c->len == PATTERN_UNFINISHED)
		luaL_error(L, "unfinished capture");
	if (c->len == PATTERN_POSITION)
		lua_pushinteger(L, c->start - p->subject.ptr + 1);
	else
		lua_pushlstring(L, c->start, (size_t)c->len);
}

/* Pushes all captures, or the whole match when there are none and `whole` says so. Returns how many. */
static int push_captures(lua_State *L, const struct pattern *p, size_t from, size_t to, bool whole)
{
	unsigned count = p->captures == 0 && whole ? 1 : p->captures;

	luaL_checkstack(L, (int)count, "too many captures");
	for (unsigned i = 0; i < count; i++)
		push_capture(L, p, i, from, to);
	return (int)count;
}

/* The offset where a search begins, from argument `arg`; beyond the end is len + 1. */
static size_t search_start(lua_State *L, int arg, size_t len)
{
	lua_Integer init = luaL_optinteger(L, arg, 1);

	if (init > 0)
		return (lua_Unsigned)init - 1 > len ? len + 1 : (size_t)init - 1;
	if (init == 0 || init < -(lua_Integer)len)
		return 0;
	return len - (size_t)-init;
}

static int push_positions(lua_State *L, size_t from, size_t to)
{
	lua_pushinteger(L, (lua_Integer)from + 1);
	lua_pushinteger(L, (lua_Integer)to);
	return 2;
}

/* memmem is linear for long needles and looks at no byte more than 256 times for short ones, so these are looked for in parts. */
static int find_plain(lua_State *L, struct slice s, struct slice text, size_t from)
{
	enum { SHORT = 256, PART = 64 * 1024 };
	size_t work = 0;

	for (;;) {
		size_t left = s.len - from, part = text.len <= SHORT && left > PART + SHORT ? PART + SHORT : left;
		ptrdiff_t at = slice_find(slice_make(s.ptr + from, part), text);
		if (at >= 0)
			return push_positions(L, from + (size_t)at, from + (size_t)at + text.len);
		if (part == left)
			break;
		from += PART;
		stdlib_poll(L, &work, PART);
	}
	lua_pushnil(L);
	return 1;
}

static bool take_anchor(struct slice *text)
{
	if (text->len == 0 || text->ptr[0] != '^')
		return false;
	text->ptr++;
	text->len--;
	return true;
}

static int search(lua_State *L, bool find)
{
	struct slice s = stdlib_check_text(L, 1), text = stdlib_check_text(L, 2);
	size_t at = search_start(L, 3, s.len), end;
	struct pattern p;

	if (at > s.len) {
		lua_pushnil(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || pattern_is_plain(text)))
		return find_plain(L, s, text, at);

	bool anchored = take_anchor(&text);
	pattern_open(L, &p, s, text);
	do {
		if (!match_at(L, &p, at, &end))
			continue;
		if (!find)
			return push_captures(L, &p, at, end, true);
		push_positions(L, at, end);
		return 2 + push_captures(L, &p, at, end, false);
	} while (at++ < s.len && !anchored);
	lua_pushnil(L);
	return 1;
}

static int lib_find(lua_State *L)
{
	return search(L, true);
}

static int lib_match(lua_State *L)
{
	return search(L, false);
}

/* Where an iteration over matches stands. */
struct progress {
	size_t at;       /* where the next try begins */
	size_t last_end; /* where the last match ended; an empty one there would be the same place again */
};

#define NO_MATCH SIZE_MAX

/* Upvalues: options, subject, pattern, progress. */
static int gmatch_next(lua_State *L)
{
	struct progress *progress = lua_touserdata(L, lua_upvalueindex(4));
	struct slice s = stdlib_check_text(L, lua_upvalueindex(2)), text = stdlib_check_text(L, lua_upvalueindex(3));
	struct pattern p;
	size_t end;

	pattern_open(L, &p, s, text);
	for (size_t at = progress->at; at <= s.len; at++) {
		if (!match_at(L, &p, at, &end) || end == progress->last_end)
			continue;
		progress->at = progress->last_end = end;
		return push_captures(L, &p, at, end, true);
	}
	return 0;
}

static int lib_gmatch(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1);
	stdlib_check_text(L, 2);
	size_t from = search_start(L, 3, s.len);

	lua_settop(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	struct progress *progress = lua_newuserdatauv(L, sizeof *progress, 0);
	*progress = (struct progress){ from, NO_MATCH };
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

struct substitution {
	luaL_Buffer out; /* while it is in use, what is pushed above it must be taken off again */
	struct pattern p;
	int type; /* of argument 3 */
	size_t work;
};

static void out_add(lua_State *L, luaL_Buffer *out, const char *bytes, size_t len)
{
	stdlib_check_bytes(L, luaL_bufflen(out), len);
	luaL_addlstring(out, bytes, len);
}

/* Adds the string or number on top of the stack, which goes. */
static void out_add_value(lua_State *L, luaL_Buffer *out)
{
	size_t len;

	lua_tolstring(L, -1, &len);
	stdlib_check_bytes(L, luaL_bufflen(out), len);
	luaL_addvalue(out);
}

/* The replacement is a text in which %0 … %9 stand for captures. */
static void add_template(lua_State *L, struct substitution *sub, size_t from, size_t to)
{
	struct slice text = stdlib_check_text(L, 3);
	size_t i = 0;

	while (i < text.len) {
		const char *sign = memchr(text.ptr + i, '%', text.len - i);
		size_t run = sign ? (size_t)(sign - text.ptr) : text.len;
		/* Captures may be empty: the length of what is made bounds nothing. */
		stdlib_poll(L, &sub->work, 16);
		out_add(L, &sub->out, text.ptr + i, run - i);
		if (!sign)
			return;
		char c = run + 1 < text.len ? text.ptr[run + 1] : '\0';
		i = run + 2;
		if (c == '%') {
			out_add(L, &sub->out, "%", 1);
		} else if (c == '0') {
			out_add(L, &sub->out, sub->p.subject.ptr + from, to - from);
		} else if (c >= '1' && c <= '9') {
			unsigned index = (unsigned)(c - '1');
			if (index >= sub->p.captures && index > 0)
				luaL_error(L, "invalid capture index %%%d in replacement string", (int)index + 1);
			push_capture(L, &sub->p, index, from, to);
			out_add_value(L, &sub->out);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement string");
		}
	}
}

/* Adds what the match from..to becomes; false when it stays as it is. */
static bool add_replacement(lua_State *L, struct substitution *sub, size_t from, size_t to)
{
	switch (sub->type) {
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(L, &sub->p, from, to, true), 1);
		break;
	case LUA_TTABLE:
		push_capture(L, &sub->p, 0, from, to);
		lua_gettable(L, 3);
		stdlib_poll(L, &sub->work, stdlib_element_cost(L, 3));
		break;
	default:
		add_template(L, sub, from, to);
		return true;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		out_add(L, &sub->out, sub->p.subject.ptr + from, to - from);
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	out_add_value(L, &sub->out);
	return true;
}

static int lib_gsub(lua_State *L)
{
	struct slice s = stdlib_check_text(L, 1), text = stdlib_check_text(L, 2);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.len + 1), count = 0;
	struct substitution sub = { .type = lua_type(L, 3) };
	size_t at = 0, last_end = NO_MATCH, end;
	bool changed = false;

	luaL_argexpected(L, sub.type == LUA_TNUMBER || sub.type == LUA_TSTRING || sub.type == LUA_TTABLE ||
	                            sub.type == LUA_TFUNCTION, 3, "string/function/table");
	bool anchored = take_anchor(&text);
	pattern_open(L, &sub.p, s, text);
	luaL_buffinit(L, &sub.out);
	while (count < most) {
		if (match_at(L, &sub.p, at, &end) && end != last_end) {
			count++;
			changed |= add_replacement(L, &sub, at, end);
			at = last_end = end;
		} else if (at < s.len) {
			out_add(L, &sub.out, s.ptr + at, 1);
			at++;
		} else {
			break;
		}
		if (anchored)
			break;
	}
	if (!changed) {
		lua_pushvalue(L, 1);
	} else {
		out_add(L, &sub.out, s.ptr + at, s.len - at);
		luaL_pushresult(&sub.out);
	}
	lua_pushinteger(L, count);
	return 2;
}

static const luaL_Reg functions[] = {
	{ "find", lib_find }, { "match", lib_match }, { "gmatch", lib_gmatch }, { "gsub", lib_gsub }, { NULL, NULL },
};

void stdlib_add_matching(lua_State *L, int lib)
{
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, functions, 1);
}
