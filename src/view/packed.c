#include "view/packed.h"

#include <stdlib.h>

#include "base/value_pack.h"
#include "observe/number.h"
#include "observe/redact.h"

static void append_text(struct buf *out, struct slice text)
{
	char *copy;
	buf_append_json(out, redact_text(text, &copy));
	free(copy);
}

static void append(struct buf *out, const struct value *value);

static void append_table(struct buf *out, const struct value *table)
{
	bool list = table->table.count == 0 || table->table.pairs[0].key.type == VALUE_INT;

	buf_append_char(out, list ? '[' : '{');
	for (size_t i = 0; i < table->table.count; i++) {
		const struct value_pair *pair = &table->table.pairs[i];
		if (i > 0)
			buf_append_char(out, ',');
		if (!list) {
			append_text(out, slice_make(pair->key.text.bytes, pair->key.text.len)); /* the picture's keys are names */
			buf_append_char(out, ':');
		}
		append(out, &pair->value);
	}
	buf_append_char(out, list ? ']' : '}');
}

static void append(struct buf *out, const struct value *value)
{
	char number[NUMBER_TEXT_MAX];

	switch (value->type) {
	case VALUE_NIL: buf_append_cstr(out, "null"); break;
	case VALUE_BOOL: buf_append_cstr(out, value->boolean ? "true" : "false"); break;
	case VALUE_INT: buf_printf(out, "%lld", (long long)value->integer); break;
	case VALUE_NUMBER: buf_append_cstr(out, number_text(value->number, number)); break;
	case VALUE_TEXT: append_text(out, slice_make(value->text.bytes, value->text.len)); break;
	case VALUE_TABLE: append_table(out, value); break;
	}
}

void packed_json(struct slice packed, bool map, struct buf *out)
{
	struct value value;

	if (value_unpack(packed, &value) == 0) {
		if (map && value.type == VALUE_TABLE && value.table.count == 0)
			buf_append_cstr(out, "{}");
		else
			append(out, &value);
	}
	value_close(&value);
}
