#include "rules/api/action.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/deadline.h"
#include "value/luavalue.h"

#define KEYS_MAX 256 /* more than an action can have (Q31) */
#define FEW 16       /* keys that are sorted by hand: qsort() costs as much as all the rest */

/* An entry of a table whose keys and values stand on the stack. */
struct entry {
	struct slice key;
	int value; /* its place */
};

static int compare_keys(const void *a, const void *b)
{
	const struct slice *x = &((const struct entry *)a)->key, *y = &((const struct entry *)b)->key;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->ptr, y->ptr, n);
	return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

static void sort(struct entry *entries, size_t count)
{
	if (count > FEW) {
		qsort(entries, count, sizeof *entries, compare_keys);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		struct entry entry = entries[i];
		size_t k = i;
		for (; k > 0 && compare_keys(&entries[k - 1], &entry) > 0; k--)
			entries[k] = entries[k - 1];
		entries[k] = entry;
	}
}

/* The table's entries, sorted by their keys. Leaves them on the stack, also when it fails. */
static int sorted_entries(lua_State *L, int index, const char *what, struct entry entries[KEYS_MAX], size_t *count, struct err *err)
{
	*count = 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pushvalue(L, -2)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return err_set(err, ERR_INVALID, "%s: a %s stands where a header's name is expected", what, luaL_typename(L, -2));
		if (*count == KEYS_MAX)
			return err_set(err, ERR_INVALID, "%s: more than %d entries", what, KEYS_MAX);
		struct entry *entry = &entries[(*count)++];
		entry->key.ptr = lua_tolstring(L, -2, &entry->key.len);
		entry->value = lua_gettop(L);
		if (*count % 4 == 0) /* for four more, and for what reads one */
			luaL_checkstack(L, 20, NULL);
	}
	sort(entries, *count);
	return 0;
}

/* The text of a scalar; `scratch` holds that of a number. */
static int scalar_text(lua_State *L, int index, struct slice name, char scratch[40], struct slice *out, struct err *err)
{
	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		out->ptr = lua_tolstring(L, index, &out->len);
		return 0;
	case LUA_TBOOLEAN:
		*out = lua_toboolean(L, index) ? SLICE("true") : SLICE("false");
		return 0;
	case LUA_TNUMBER: {
		lua_Number n = lua_tonumber(L, index);
		int len;
		if (lua_isinteger(L, index))
			len = snprintf(scratch, 40, "%lld", (long long)lua_tointeger(L, index));
		else if (!isfinite(n))
			return err_set(err, ERR_INVALID, "header '%.*s' is not a finite number", (int)(name.len < 60 ? name.len : 60), name.ptr);
		else if (floor(n) == n && fabs(n) < 9e15)
			len = snprintf(scratch, 40, "%lld", (long long)n);
		else
			len = snprintf(scratch, 40, "%.14g", n);
		*out = slice_make(scratch, (size_t)len);
		return 0;
	}
	default:
		return err_set(err, ERR_INVALID, "header '%.*s' is a %s; a string, number, boolean or a list of these is expected",
		               (int)(name.len < 60 ? name.len : 60), name.ptr, luaL_typename(L, index));
	}
}

static int add_scalar(lua_State *L, int index, struct action *action, struct slice name, struct err *err)
{
	char scratch[40];
	struct slice value;
	if (scalar_text(L, index, name, scratch, &value, err))
		return -1;
	return action_add(action, name, value, err);
}

/* { A = 1, B = "x" }: sorted, so that the same table always makes the same bytes. */
static int add_variables(lua_State *L, int index, struct action *action, struct err *err)
{
	struct entry entries[KEYS_MAX];
	size_t count;
	int top = lua_gettop(L), rc = sorted_entries(L, index, "Variable", entries, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		char scratch[40];
		struct slice value;
		rc = scalar_text(L, entries[i].value, entries[i].key, scratch, &value, err);
		if (rc == 0)
			rc = action_add_variable(action, entries[i].key, value, err);
	}
	lua_settop(L, top);
	return rc;
}

static int add_list(lua_State *L, int index, struct action *action, struct slice name, struct err *err)
{
	size_t n = lua_rawlen(L, index), seen = 0;
	if (n > KEYS_MAX)
		return err_set(err, ERR_INVALID, "header '%.*s' has more than %d values", (int)(name.len < 60 ? name.len : 60), name.ptr, KEYS_MAX);
	/* A table that was emptied is walked all the same, and may stand for every header. */
	deadline_check(L);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (deadline_passed()) {
			lua_pop(L, 2);
			return err_set(err, ERR_INVALID, "the action takes too long to read (limits.deadline)");
		}
		if (++seen > n) {
			lua_pop(L, 2);
			return err_set(err, ERR_INVALID, "header '%.*s' is a table that is no list", (int)(name.len < 60 ? name.len : 60), name.ptr);
		}
	}
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(L, index, (lua_Integer)i);
		int rc = add_scalar(L, -1, action, name, err);
		lua_pop(L, 1);
		if (rc)
			return -1;
	}
	return 0;
}

static int add_header(lua_State *L, int index, struct action *action, struct slice name, struct err *err)
{
	luavalue_unproxy(L, index);
	if (lua_type(L, index) != LUA_TTABLE)
		return add_scalar(L, index, action, name, err);
	if (slice_eq_nocase(name, SLICE("Variable")) && lua_rawlen(L, index) == 0)
		return add_variables(L, index, action, err);
	return add_list(L, index, action, name, err);
}

int action_build(lua_State *L, int index, struct action *action, struct err *err)
{
	struct entry entries[KEYS_MAX];
	struct slice async;
	size_t count;

	index = lua_absindex(L, index);
	luaL_checkstack(L, 20, NULL);
	luavalue_unproxy(L, index);
	action_clear(action);
	int top = lua_gettop(L);
	int rc = sorted_entries(L, index, "the action", entries, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_header(L, entries[i].value, action, entries[i].key, err);
	lua_settop(L, top);
	if (rc)
		return -1;
	struct slice name = action_name(action);
	if (name.len == 0)
		return err_set(err, ERR_INVALID, "the action has no name: Action = \"…\" is missing");
	if (slice_eq_nocase(name, SLICE("Originate")) && !action_get(action, SLICE("Async"), &async))
		return action_add(action, SLICE("Async"), SLICE("true"), err);
	return 0;
}
