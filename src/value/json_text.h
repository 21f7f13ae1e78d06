/* Texts on their way to and from lua-cjson. Between us and lua-cjson every string begins with a letter: 's' before a
 * string, 'r' before a number's own digits (or "[]"), "a" alone for an empty array. Pure: no Lua here. */
#ifndef VALUE_JSON_TEXT_H
#define VALUE_JSON_TEXT_H

#include "base/buf.h"
#include "base/err.h"

/* Writes JSON as it came from outside into `out` with the letters set; counts depth; checks numbers, which
 * lua-cjson then does not see. Other faults of the text are lua-cjson's to find. -1: ERR_INVALID or ERR_OVERFLOW. */
int json_text_tag(struct slice text, unsigned depth, struct buf *out, struct err *err);

/* The offset in `text` of what stands at offset `tagged` in its tagged form. `scratch` is overwritten. */
size_t json_text_origin(struct slice text, size_t tagged, struct buf *scratch);

/* Writes what lua-cjson made into `out` with the letters taken off again. -1: the cap of `out` was reached. */
int json_text_untag(struct slice tagged, struct buf *out);

/* Appends `s` with all that is not UTF-8 replaced by U+FFFD. -1: the cap of `out`. */
int json_text_utf8(struct slice s, struct buf *out);

#endif
