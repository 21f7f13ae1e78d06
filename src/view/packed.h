/* Packed values (base/value_pack.h), as the engine's own events carry lists and tables, for people: as JSON. */
#ifndef VIEW_PACKED_H
#define VIEW_PACKED_H

#include "base/buf.h"

/* Appends `packed` as JSON; a table whose first key is a number as an array. Texts are masked as in any output (P8). What is no packed
 * value is left out. */
void packed_json(struct slice packed, struct buf *out);

#endif
