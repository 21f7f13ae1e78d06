#include "config/tree.h"

#include <stdlib.h>

#include "sandbox/deadline.h"

struct copying {
	lua_State *L;
	struct faults *faults;
	struct buf path;
	const void *open[TREE_DEPTH_MAX]; /* the tables above, to find cycles */
	size_t depth, nodes, bytes;
	bool full; /* reported once */
};

static void push_text(struct buf *path, struct slice key)
{
	bool plain = key.len > 0;
	for (size_t i = 0; i < key.len && plain; i++) {
		char c = slice_lower(key.ptr[i]);
		plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
	}
	if (!plain)
		buf_append_cstr(path, "[\"");
	else if (buf_len(path) > 0)
		buf_append_char(path, '.');
	for (size_t i = 0; i < key.len && i < 64; i++) {
		char c = key.ptr[i];
		buf_append_char(path, (unsigned char)c < 0x20 || c == 0x7f ? '?' : c);
	}
	if (key.len > 64)
		buf_append_cstr(path, "…");
	if (!plain)
		buf_append_cstr(path, "\"]");
}

size_t tree_path_push(struct buf *path, const struct value *key)
{
	size_t mark = buf_len(path);
	if (key->type == VALUE_TEXT)
		push_text(path, slice_make(key->text.bytes, key->text.len));
	else if (key->type == VALUE_INT)
		buf_printf(path, "[%lld]", (long long)key->integer);
	else if (key->type == VALUE_NUMBER)
		buf_printf(path, "[%.14g]", key->number);
	else
		buf_append_cstr(path, key->type == VALUE_BOOL && key->boolean ? "[true]" : "[false]");
	return mark;
}

void tree_path_pop(struct buf *path, size_t mark)
{
	path->tail = path->head + mark;
}

static const char *where(struct copying *copying)
{
	return buf_len(&copying->path) ? buf_cstr(&copying->path) : "the configuration";
}

/* Counts one more node of `bytes`; false when the tree has grown too large. */
static bool charge(struct copying *copying, size_t bytes)
{
	copying->nodes++;
	copying->bytes += bytes;
	if (copying->nodes <= TREE_NODES_MAX && copying->bytes <= TREE_BYTES_MAX)
		return true;
	if (!copying->full)
		faults_add(copying->faults, "%s: too much; a configuration holds at most %d values and %u MiB of text", where(copying),
		           TREE_NODES_MAX, TREE_BYTES_MAX >> 20);
	copying->full = true;
	return false;
}

static int rank(const struct value *key)
{
	return key->type == VALUE_INT ? 0 : key->type == VALUE_NUMBER ? 1 : key->type == VALUE_BOOL ? 2 : 3;
}

static int compare_pairs(const void *left, const void *right)
{
	const struct value *a = &((const struct value_pair *)left)->key, *b = &((const struct value_pair *)right)->key;
	if (rank(a) != rank(b))
		return rank(a) - rank(b);
	switch (a->type) {
	case VALUE_INT: return (a->integer > b->integer) - (a->integer < b->integer);
	case VALUE_NUMBER: return (a->number > b->number) - (a->number < b->number);
	case VALUE_BOOL: return a->boolean - b->boolean;
	default: break;
	}
	size_t shorter = a->text.len < b->text.len ? a->text.len : b->text.len;
	int order = memcmp(a->text.bytes, b->text.bytes, shorter);
	return order ? order : (a->text.len > b->text.len) - (a->text.len < b->text.len);
}

static bool copy_any(struct copying *copying, struct value *out);

/* Key and value at the top of the stack. */
static void copy_pair(struct copying *copying, struct value *out)
{
	lua_State *L = copying->L;
	struct value key, item;
	int type = lua_type(L, -2);
	if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
		faults_add(copying->faults, "%s: a name must be a text, is a %s", where(copying), lua_typename(L, type));
		return;
	}
	lua_pushvalue(L, -2);
	bool good = copy_any(copying, &key);
	lua_pop(L, 1);
	if (!good)
		return;
	size_t mark = tree_path_push(&copying->path, &key);
	if (copy_any(copying, &item))
		value_add(out, key, item);
	else
		value_close(&key);
	tree_path_pop(&copying->path, mark);
}

/* The table at the top of the stack. */
static bool copy_table(struct copying *copying, struct value *out)
{
	lua_State *L = copying->L;
	const void *self = lua_topointer(L, -1);
	for (size_t i = 0; i < copying->depth; i++) {
		if (copying->open[i] == self) {
			faults_add(copying->faults, "%s: a table that contains itself; give plain data", where(copying));
			return false;
		}
	}
	if (copying->depth == TREE_DEPTH_MAX || !lua_checkstack(L, 8)) {
		faults_add(copying->faults, "%s: tables may be %d deep", where(copying), TREE_DEPTH_MAX);
		return false;
	}
	copying->open[copying->depth++] = self;
	*out = (struct value){ .type = VALUE_TABLE };

	for (lua_pushnil(L); lua_next(L, -2);) {
		/* A step takes as long as the chain of keys that collide. */
		if (deadline_passed() && !copying->full) {
			faults_add(copying->faults, "%s: takes too long to read; its keys are numbers that Lua keeps badly", where(copying));
			copying->full = true;
		} else {
			copy_pair(copying, out);
		}
		lua_pop(L, 1);
		if (copying->full) {
			lua_pop(L, 1);
			break;
		}
	}
	copying->depth--;
	if (out->table.count > 1)
		qsort(out->table.pairs, out->table.count, sizeof *out->table.pairs, compare_pairs);
	return true;
}

/* The value at the top of the stack; false when it was left out, with a fault. */
static bool copy_any(struct copying *copying, struct value *out)
{
	lua_State *L = copying->L;
	int type = lua_type(L, -1);
	size_t len = 0;
	const char *text = type == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

	*out = (struct value){ .type = VALUE_NIL };
	if (!charge(copying, len))
		return false;
	switch (type) {
	case LUA_TBOOLEAN:
		*out = (struct value){ .type = VALUE_BOOL, .boolean = lua_toboolean(L, -1) };
		return true;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1))
			*out = (struct value){ .type = VALUE_INT, .integer = lua_tointeger(L, -1) };
		else
			*out = (struct value){ .type = VALUE_NUMBER, .number = lua_tonumber(L, -1) };
		return true;
	case LUA_TSTRING:
		*out = value_text(slice_make(text, len));
		return true;
	case LUA_TTABLE:
		return copy_table(copying, out);
	default:
		faults_add(copying->faults, "%s: a %s; give plain data: booleans, numbers, texts, tables of them", where(copying),
		           lua_typename(L, type));
		return false;
	}
}

bool tree_copy(lua_State *L, struct value *out, struct faults *faults)
{
	struct copying copying = { .L = L, .faults = faults };
	int top = lua_gettop(L);
	buf_init(&copying.path, 0);
	if (!copy_any(&copying, out))
		*out = (struct value){ .type = VALUE_TABLE };
	buf_close(&copying.path);
	lua_settop(L, top);
	return !copying.full;
}
