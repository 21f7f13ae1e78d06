/* Packed values (base/value_pack.h), as the engine's own events carry lists and tables, for people: as JSON. */
#ifndef VIEW_PACKED_H
#define VIEW_PACKED_H

#include "base/buf.h"

/* Appends the table `packed` as JSON: a `map` as an object, a list as an array, also when it is empty. Tables inside it are objects when their
 * first key is a text. Texts are masked as in any output (P8). What is no packed value is left out. */
void packed_json(struct slice packed, bool map, struct buf *out);

#endif
