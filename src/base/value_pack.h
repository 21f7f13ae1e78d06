/* Plain data as text, to be stored: `i42;` an integer, `n0x1.8p+1;` a float (hexadecimal, so exact), `t;` and `f;` booleans,
 * `s5:hello;` a text with its length, `{` keys and values in turn `}` a table. Bytes of texts stand as they are. */
#ifndef BASE_VALUE_PACK_H
#define BASE_VALUE_PACK_H

#include "base/buf.h"
#include "base/value.h"

/* Appends `value`, which is not nil. 0, or -1 when the buffer is full. */
int value_pack(struct buf *out, const struct value *value);
/* Reads what value_pack() has made, the whole of `text`. -1 when it is something else; `out` is nil then. */
int value_unpack(struct slice text, struct value *out);

#endif
