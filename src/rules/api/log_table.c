#include "rules/api/log_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/utf8.h"
#include "observe/number.h"
#include "observe/redact.h"
#include "value/luavalue.h"
#include "sandbox/deadline.h"
#include "sandbox/stdlib.h"
#include "sandbox/kill.h"

#define KEY_SHOWN 64
/* Names beyond this are not looked through for what makes a secret: their values are masked. */
#define KEY_MAX 256

struct entry {
	int slot; /* of the key on the stack */
	struct slice key;
};

static void append_any(lua_State *L, int index, struct buf *out, unsigned depth);

/* Cut first, so that a huge string costs no more than a long one. */
static void append_string(struct buf *out, struct slice text, size_t max)
{
	char masked[LOG_TABLE_STRING + sizeof "…"];
	size_t used, len = redact_copy(masked, max, text, &used);

	if (used < text.len) {
		len = utf8_whole(slice_make(masked, len));
		memcpy(masked + len, "…", sizeof "…" - 1);
		len += sizeof "…" - 1;
	}
	buf_append_json(out, slice_make(masked, len));
}

static void append_number(lua_State *L, int index, struct buf *out)
{
	char text[NUMBER_TEXT_MAX];

	if (lua_isinteger(L, index))
		buf_printf(out, "%lld", (long long)lua_tointeger(L, index));
	else
		/* JSON has no NaN and no infinity. */
		buf_printf(out, isfinite(lua_tonumber(L, index)) ? "%s" : "\"%s\"", number_text(lua_tonumber(L, index), text));
}

static bool is_full(const struct buf *out)
{
	return buf_len(out) > LOG_TABLE_BYTES;
}

/* Copies the keys onto the stack, one more than will be shown when there are more; returns their number. */
static int push_keys(lua_State *L, int table)
{
	int base = lua_gettop(L), count = 0;

	lua_pushnil(L);
	while (lua_next(L, table)) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_insert(L, base + ++count);
		if (count > LOG_TABLE_ENTRIES) {
			lua_pop(L, 1);
			break;
		}
	}
	return count;
}

static bool is_list(lua_State *L, int table, int base, int count)
{
	lua_Integer len = (lua_Integer)lua_rawlen(L, table);

	for (int i = base + 1; i <= base + count; i++)
		if (!lua_isinteger(L, i) || lua_tointeger(L, i) < 1 || lua_tointeger(L, i) > len)
			return false;
	return count > 0;
}

static void append_list(lua_State *L, int table, struct buf *out, unsigned depth)
{
	lua_Integer len = (lua_Integer)lua_rawlen(L, table);

	buf_append_char(out, '[');
	for (lua_Integer i = 1; i <= len; i++) {
		if (i > 1)
			buf_append_char(out, ',');
		if (i > LOG_TABLE_ENTRIES || is_full(out)) {
			buf_append_cstr(out, "\"…\"");
			break;
		}
		lua_rawgeti(L, table, i);
		append_any(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	buf_append_char(out, ']');
}

/* The key in `slot` as text: its own, or one that is written to `number`. */
static struct slice key_text(lua_State *L, int slot, char number[NUMBER_TEXT_MAX])
{
	struct slice text;

	switch (lua_type(L, slot)) {
	case LUA_TSTRING:
		text.ptr = lua_tolstring(L, slot, &text.len);
		return text;
	case LUA_TNUMBER:
		if (!lua_isinteger(L, slot))
			return slice_cstr(number_text(lua_tonumber(L, slot), number));
		snprintf(number, NUMBER_TEXT_MAX, "%lld", (long long)lua_tointeger(L, slot));
		return slice_cstr(number);
	case LUA_TBOOLEAN:
		return slice_cstr(lua_toboolean(L, slot) ? "true" : "false");
	default:
		return slice_cstr(luaL_typename(L, slot));
	}
}

static int compare_entries(const void *a, const void *b)
{
	struct slice x = ((const struct entry *)a)->key, y = ((const struct entry *)b)->key;
	int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
	return order ? order : (x.len > y.len) - (x.len < y.len);
}

static void append_object(lua_State *L, int table, int base, int count, struct buf *out, unsigned depth)
{
	struct entry entries[LOG_TABLE_ENTRIES];
	char numbers[LOG_TABLE_ENTRIES][NUMBER_TEXT_MAX];
	int shown = count < LOG_TABLE_ENTRIES ? count : LOG_TABLE_ENTRIES;

	for (int i = 0; i < shown; i++)
		entries[i] = (struct entry){ .slot = base + 1 + i, .key = key_text(L, base + 1 + i, numbers[i]) };
	qsort(entries, (size_t)shown, sizeof *entries, compare_entries);
	buf_append_char(out, '{');
	for (int i = 0; i < count; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		if (i == LOG_TABLE_ENTRIES || is_full(out)) {
			buf_append_cstr(out, "\"…\":\"…\"");
			break;
		}
		append_string(out, entries[i].key, KEY_SHOWN);
		buf_append_char(out, ':');
		if (entries[i].key.len > KEY_MAX || redact_name(entries[i].key)) {
			buf_append_cstr(out, "\"" REDACTED "\"");
			continue;
		}
		lua_pushvalue(L, entries[i].slot);
		lua_rawget(L, table);
		append_any(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	buf_append_char(out, '}');
}

static void append_table(lua_State *L, int table, struct buf *out, unsigned depth)
{
	int base = lua_gettop(L);

	/* A table that holds itself ends here too. One that was emptied is walked all the same, so the time counts as well. */
	if (depth == LOG_TABLE_DEPTH || deadline_passed()) {
		buf_append_cstr(out, "\"…\"");
		return;
	}
	luaL_checkstack(L, LOG_TABLE_ENTRIES + 8, NULL);
	int count = push_keys(L, table);
	if (is_list(L, table, base, count))
		append_list(L, table, out, depth + 1);
	else
		append_object(L, table, base, count, out, depth + 1);
	lua_settop(L, base);
}

static void append_any(lua_State *L, int index, struct buf *out, unsigned depth)
{
	struct slice text;

	luavalue_unproxy(L, index);
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		buf_append_cstr(out, lua_toboolean(L, index) ? "true" : "false");
		return;
	case LUA_TNUMBER:
		append_number(L, index, out);
		return;
	case LUA_TSTRING:
		text.ptr = lua_tolstring(L, index, &text.len);
		append_string(out, text, LOG_TABLE_STRING);
		return;
	case LUA_TTABLE:
		append_table(L, index, out, depth);
		return;
	case LUA_TUSERDATA:
		/* Only the engine makes these: their __tostring is C and changes no table. */
		text.ptr = stdlib_tostring(L, index, &text.len);
		append_string(out, text, LOG_TABLE_STRING);
		lua_pop(L, 1);
		return;
	case LUA_TNIL:
	case LUA_TLIGHTUSERDATA: /* json.null */
		buf_append_cstr(out, "null");
		return;
	default:
		buf_printf(out, "\"%s\"", luaL_typename(L, index));
	}
}

void log_table_append(lua_State *L, int index, struct buf *out)
{
	append_table(L, lua_absindex(L, index), out, 0);
}
