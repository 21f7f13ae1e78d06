/* A rule's table as JSON for a log record: what it can show, never an error. */
#ifndef RULES_API_LOG_TABLE_H
#define RULES_API_LOG_TABLE_H

#include <lua.h>

#include "base/buf.h"

/* Bounds; what is beyond shows as "…". */
#define LOG_TABLE_DEPTH 8
#define LOG_TABLE_ENTRIES 64        /* of one table */
#define LOG_TABLE_STRING 512        /* bytes of one string */
#define LOG_TABLE_BYTES (4 * 1024)  /* no new entry behind so many; so the whole always fits LOG_TEXT_MAX */

/* Appends the table at `index`, read raw: keys sorted, a sequence as a list, values under secret names and known secrets
 * masked (P8), objects of the engine as their text. Leaves the stack as it was. May raise (memory, stack): `out` has then
 * part of it. */
void log_table_append(lua_State *L, int index, struct buf *out);

#endif
