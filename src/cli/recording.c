#include "cli/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"

static FILE *make(const char *who, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *file = fd == -1 ? NULL : fdopen(fd, "w");

	if (!file)
		fprintf(stderr, "%s: %s cannot be made: %s\n", who, path,
		        errno == EEXIST ? "it is there already; name another one or remove it" : strerror(errno));
	return file;
}

int recording_open(struct recording *recording, const char *who, const char *path)
{
	struct buf times;

	*recording = (struct recording){ .bytes = make(who, path) };
	if (!recording->bytes)
		return -1;
	buf_init(&times, 0);
	buf_printf(&times, "%s.times", path);
	recording->times = make(who, buf_cstr(&times));
	buf_close(&times);
	if (recording->times)
		return 0;
	fclose(recording->bytes);
	unlink(path);
	return -1;
}

int recording_write(struct recording *recording, struct slice bytes, double at)
{
	if (fwrite(bytes.ptr, 1, bytes.len, recording->bytes) != bytes.len || fflush(recording->bytes) == EOF ||
	    fprintf(recording->times, "%llu %.6f\n", (unsigned long long)recording->offset, at) < 0 || fflush(recording->times) == EOF)
		return -1;
	recording->offset += bytes.len;
	return 0;
}

int recording_close(struct recording *recording)
{
	int rc = fclose(recording->bytes), rc_times = fclose(recording->times);
	return rc == EOF || rc_times == EOF ? -1 : 0;
}
