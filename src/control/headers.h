/* Headers as text and as JSON, secrets masked (P8). */
#ifndef CONTROL_HEADERS_H
#define CONTROL_HEADERS_H

#include "base/buf.h"
#include "engine/headers.h"

struct writer;

/* Appends the value masked and cleaned as by text_clean(). */
void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out);
/* An object of all headers; a repeated one has a list. */
void headers_json(const struct headers *headers, struct writer *writer, const char *key);

#endif
