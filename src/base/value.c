#include "base/value.h"

#include <stdlib.h>

#include "base/mem.h"

struct value value_text(struct slice text)
{
	return (struct value){ .type = VALUE_TEXT, .text = { mem_slicedup(text), text.len } };
}

void value_close(struct value *value)
{
	if (value->type == VALUE_TEXT) {
		free(value->text.bytes);
	} else if (value->type == VALUE_TABLE) {
		for (size_t i = 0; i < value->table.count; i++) {
			value_close(&value->table.pairs[i].key);
			value_close(&value->table.pairs[i].value);
		}
		free(value->table.pairs);
	}
	*value = (struct value){ .type = VALUE_NIL };
}

struct value value_copy(const struct value *value)
{
	if (value->type == VALUE_TEXT)
		return value_text(slice_make(value->text.bytes, value->text.len));
	if (value->type != VALUE_TABLE)
		return *value;
	struct value copy = { .type = VALUE_TABLE };
	for (size_t i = 0; i < value->table.count; i++)
		value_add(&copy, value_copy(&value->table.pairs[i].key), value_copy(&value->table.pairs[i].value));
	return copy;
}

void value_add(struct value *table, struct value key, struct value item)
{
	if (table->table.count == table->table.cap) {
		table->table.cap = table->table.cap ? table->table.cap * 2 : 4;
		table->table.pairs = mem_realloc(table->table.pairs, table->table.cap, sizeof *table->table.pairs);
	}
	table->table.pairs[table->table.count++] = (struct value_pair){ key, item };
}

const struct value *value_get(const struct value *table, struct slice key)
{
	if (table->type != VALUE_TABLE)
		return NULL;
	for (size_t i = 0; i < table->table.count; i++) {
		const struct value *k = &table->table.pairs[i].key;
		if (k->type == VALUE_TEXT && slice_eq(slice_make(k->text.bytes, k->text.len), key))
			return &table->table.pairs[i].value;
	}
	return NULL;
}

size_t value_size(const struct value *value)
{
	size_t size = sizeof *value;
	if (value->type == VALUE_TEXT)
		size += value->text.len + 1;
	if (value->type == VALUE_TABLE)
		for (size_t i = 0; i < value->table.count; i++)
			size += value_size(&value->table.pairs[i].key) + value_size(&value->table.pairs[i].value);
	return size;
}

bool value_is_object(const struct value *value)
{
	if (!value || value->type != VALUE_TABLE)
		return false;
	for (size_t i = 0; i < value->table.count; i++)
		if (value->table.pairs[i].key.type != VALUE_TEXT)
			return false;
	return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_NIL:
		return true;
	case VALUE_BOOL:
		return a->boolean == b->boolean;
	case VALUE_INT:
		return a->integer == b->integer;
	case VALUE_NUMBER:
		return memcmp(&a->number, &b->number, sizeof a->number) == 0;
	case VALUE_TEXT:
		return a->text.len == b->text.len && memcmp(a->text.bytes, b->text.bytes, a->text.len) == 0;
	case VALUE_TABLE:
		break;
	}
	if (a->table.count != b->table.count)
		return false;
	for (size_t i = 0; i < a->table.count; i++)
		if (!value_equal(&a->table.pairs[i].key, &b->table.pairs[i].key) || !value_equal(&a->table.pairs[i].value, &b->table.pairs[i].value))
			return false;
	return true;
}
