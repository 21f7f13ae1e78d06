/* The two files of a recording: FILE, the bytes, and FILE.times, lines of "OFFSET SECONDS": from this offset on, up to the next
 * line's, the bytes arrived at that time (epoch). */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include <stdint.h>

#include "base/slice.h"

struct recording {
	int bytes, times;               /* descriptors */
	uint64_t offset, times_offset;  /* what the files have; when no write has failed since, exactly that */
};

/* Makes both, readable by their owner only; they must not exist yet. -1 with the reason on stderr, begun by `who`. */
int recording_open(struct recording *recording, const char *who, const char *path);
/* Written to the kernel at once, so that nothing is lost when this process ends badly. -1 with errno: then the files are cut
 * back to what they had before, so that they stay a recording as long as `offset` says. */
int recording_write(struct recording *recording, struct slice bytes, double at);
/* Brings both to the disk and closes them. -1 with errno when not everything could be written. */
int recording_close(struct recording *recording);

#endif
