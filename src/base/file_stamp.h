/* Whether a file is still the one that was read. Take the stamp before reading: what changes meanwhile is then read again. */
#ifndef BASE_FILE_STAMP_H
#define BASE_FILE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct file_stamp {
	uint64_t device, inode, size, seconds, nanoseconds; /* all 0: there is no such file */
};

/* Of the file that `path` leads to; NULL: of none. May block. */
struct file_stamp file_stamp_take(const char *path);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

#endif
