#include "base/value_json.h"

#include <inttypes.h>
#include <math.h>

static bool is_array(const struct value *table)
{
	for (size_t i = 0; i < table->table.count; i++) {
		const struct value *key = &table->table.pairs[i].key;
		if (key->type != VALUE_INT || key->integer != (int64_t)i + 1)
			return false;
	}
	return table->table.count > 0;
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
	bool array = is_array(table);
	buf_append_char(out, array ? '[' : '{');
	for (size_t i = 0; i < table->table.count; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		if (!array) {
			append_key(out, &table->table.pairs[i].key);
			buf_append_char(out, ':');
		}
		value_json(out, &table->table.pairs[i].value);
	}
	buf_append_char(out, array ? ']' : '}');
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
