/* Headers as text, secrets masked (P8). */
#ifndef CONTROL_HEADERS_H
#define CONTROL_HEADERS_H

#include "base/buf.h"
#include "engine/headers.h"

/* Appends the value masked and cleaned as by text_clean(). */
void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out);

#endif
