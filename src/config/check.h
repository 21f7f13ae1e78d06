/* From what a configuration file returned to the checked struct. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/config.h"
#include "config/read.h"

/* Everything that is wrong becomes a fault. The result is filled as far as it goes, also then; the caller destroys it. `dir`:
 * folder of the configuration file; `home`: what OPTION_HOME paths count from. */
struct config *check_reading(const struct reading *reading, const char *path, const char *dir, const char *home,
                             struct faults *faults);

/* The item at a path such as "tls.ca" below `table` (may be NULL), or NULL. */
const struct value *check_find(const struct value *table, const char *path);

/* Writes " (did you mean …?)" when an option of the section `pattern` ("servers.NAME", "" for the whole) has a name like
 * `key`, by edit distance; else nothing. */
void check_suggest(const char *pattern, struct slice key, struct buf *out);

#endif
