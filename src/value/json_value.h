/* JSON from outside as plain data, for who has no Lua state: read by lua-cjson in one of its own (value/json.h). */
#ifndef VALUE_JSON_VALUE_H
#define VALUE_JSON_VALUE_H

#include "base/err.h"
#include "base/value.h"

struct json_value;

/* Reads lua-cjson from a file, so it may block: for the start. NULL with `err`. */
struct json_value *json_value_create(struct err *err);
void json_value_destroy(struct json_value **reader);
/* A copy of what `text` says; the keys of objects are sorted, members that are null are left out. -1: ERR_INVALID with the place of the
 * fault, or ERR_OVERFLOW beyond 1 MiB or 32 levels; `out` is nil then. */
int json_value_read(struct json_value *reader, struct slice text, struct value *out, struct err *err);

#endif
