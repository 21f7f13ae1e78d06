/* Headers as JSON, secrets masked (P8). */
#ifndef VIEW_HEADERS_JSON_H
#define VIEW_HEADERS_JSON_H

#include "engine/headers.h"
#include "view/json_writer.h"

/* An object of all headers; a repeated one has a list. */
void headers_json(const struct headers *headers, struct writer *writer, const char *key);
/* The same as members of the object that is open, without the header of the name `but`. */
void headers_json_members(const struct headers *headers, struct writer *writer, struct slice but);

#endif
