/* The two files of a recording: FILE, the bytes, and FILE.times, lines of "OFFSET SECONDS": from this offset on, up to the next
 * line's, the bytes arrived at that time (epoch). */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include <stdio.h>

#include "base/slice.h"

struct recording {
	FILE *bytes, *times;
	uint64_t offset;
};

/* Makes both, readable by their owner only; they must not exist yet. -1 with the reason on stderr, begun by `who`. */
int recording_open(struct recording *recording, const char *who, const char *path);
/* Written through at once, so that nothing is lost when this ends badly. -1 with errno. */
int recording_write(struct recording *recording, struct slice bytes, double at);
/* -1 with errno when not everything could be written. */
int recording_close(struct recording *recording);

#endif
