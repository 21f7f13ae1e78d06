/* A configuration and its rules, looked at without touching anything else. */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include "base/faults.h"

/* Reads both and makes everything that running would make short of opening sinks and sockets. Every fault and warning is in
 * `faults`. `rules` and `servers` (may be NULL): how many of each there are. */
void engine_check(const char *config_path, struct faults *faults, size_t *rules, size_t *servers);

#endif
