/* Plain data outside any Lua state: settings, store entries, fields of emitted events. Trees, never graphs. */
#ifndef BASE_VALUE_H
#define BASE_VALUE_H

#include <stdint.h>

#include "base/slice.h"

enum value_type { VALUE_NIL, VALUE_BOOL, VALUE_INT, VALUE_NUMBER, VALUE_TEXT, VALUE_TABLE };

struct value {
	enum value_type type;
	union {
		bool boolean;
		int64_t integer;
		double number;
		struct {
			char *bytes; /* owned, NUL-terminated */
			size_t len;
		} text;
		struct {
			struct value_pair *pairs; /* owned, in the order they were added */
			size_t count, cap;
		} table;
	};
};

struct value_pair {
	struct value key; /* bool, int, number or text */
	struct value value;
};

struct value value_text(struct slice text);
/* Frees what it owns and makes it nil. */
void value_close(struct value *value);
struct value value_copy(const struct value *value);
/* Appends to a table value; takes over `key` and `item`. */
void value_add(struct value *table, struct value key, struct value item);
/* The item with that text key, or NULL. */
const struct value *value_get(const struct value *table, struct slice key);
/* A table whose keys are all text, as JSON objects have them (an empty one included). NULL: no. */
bool value_is_object(const struct value *value);
/* Same types and same content; the order of a table's pairs counts, NaN equals itself. */
bool value_equal(const struct value *a, const struct value *b);
/* Bytes that the tree holds, for bounds. */
size_t value_size(const struct value *value);

#endif
