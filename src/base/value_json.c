#include "base/value_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Numbers first, then texts, as Lua's own order is another one each time. */
static int compare_keys(const void *a, const void *b)
{
	const struct value *x = &(*(const struct value_pair *const *)a)->key, *y = &(*(const struct value_pair *const *)b)->key;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->type == VALUE_TEXT)
		return strcmp(x->text.bytes, y->text.bytes);
	if (x->type == VALUE_INT)
		return (x->integer > y->integer) - (x->integer < y->integer);
	return (x->number > y->number) - (x->number < y->number);
}

static bool is_array(const struct value_pair *const *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pairs[i]->key.type != VALUE_INT || pairs[i]->key.integer != (int64_t)i + 1)
			return false;
	return count > 0;
}

static void append_number(struct buf *out, double number)
{
	if (isfinite(number))
		buf_printf(out, "%.17g", number);
	else
		buf_append_cstr(out, "null");
}

static void append_key(struct buf *out, const struct value *key)
{
	if (key->type == VALUE_TEXT) {
		buf_append_json(out, slice_make(key->text.bytes, key->text.len));
		return;
	}
	buf_append_char(out, '"');
	value_json(out, key);
	buf_append_char(out, '"');
}

static void append_table(struct buf *out, const struct value *table)
{
	size_t count = table->table.count;
	const struct value_pair **pairs = mem_alloc((count + 1) * sizeof *pairs);

	for (size_t i = 0; i < count; i++)
		pairs[i] = &table->table.pairs[i];
	qsort(pairs, count, sizeof *pairs, compare_keys);
	bool array = is_array(pairs, count);
	buf_append_char(out, array ? '[' : '{');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		if (!array) {
			append_key(out, &pairs[i]->key);
			buf_append_char(out, ':');
		}
		value_json(out, &pairs[i]->value);
	}
	buf_append_char(out, array ? ']' : '}');
	free(pairs);
}

void value_json(struct buf *out, const struct value *value)
{
	switch (value->type) {
	case VALUE_NIL:
		buf_append_cstr(out, "null");
		break;
	case VALUE_BOOL:
		buf_append_cstr(out, value->boolean ? "true" : "false");
		break;
	case VALUE_INT:
		buf_printf(out, "%" PRId64, value->integer);
		break;
	case VALUE_NUMBER:
		append_number(out, value->number);
		break;
	case VALUE_TEXT:
		buf_append_json(out, slice_make(value->text.bytes, value->text.len));
		break;
	case VALUE_TABLE:
		append_table(out, value);
		break;
	}
}
