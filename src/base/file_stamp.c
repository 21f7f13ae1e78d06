#include "base/file_stamp.h"

#include <string.h>
#include <sys/stat.h>

struct file_stamp file_stamp_take(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) == -1)
		return (struct file_stamp){ 0 };
	return (struct file_stamp){ .device = st.st_dev, .inode = st.st_ino, .size = (uint64_t)st.st_size,
	                            .seconds = (uint64_t)st.st_mtim.tv_sec, .nanoseconds = (uint64_t)st.st_mtim.tv_nsec };
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}
