/* A whole small file in memory, and what is wrong with one that Lua itself would take. */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/faults.h"

/* Reads the regular file `path` of at most `max` bytes into `out` (emptied first). The error's text lacks the path and
 * says what is wrong with it. */
int source_read(const char *path, size_t max, struct buf *out, struct err *err);

/* Names each key that stands twice in one table constructor: Lua would silently keep the last, so a copied server that
 * was not renamed would hide the first. `text` must be Lua that has compiled. Faults begin "`name`:line: ". */
void source_check_keys(const char *name, struct slice text, struct faults *faults);

#endif
