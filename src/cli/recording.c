#include "cli/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"

static int make(const char *who, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd == -1)
		fprintf(stderr, "%s: %s cannot be made: %s\n", who, path,
		        errno == EEXIST ? "it is there already; name another one or remove it" : strerror(errno));
	return fd;
}

int recording_open(struct recording *recording, const char *who, const char *path)
{
	struct buf times;

	*recording = (struct recording){ .bytes = make(who, path) };
	if (recording->bytes == -1)
		return -1;
	buf_init(&times, 0);
	buf_printf(&times, "%s.times", path);
	recording->times = make(who, buf_cstr(&times));
	buf_close(&times);
	if (recording->times != -1)
		return 0;
	close(recording->bytes);
	unlink(path);
	return -1;
}

static int write_all(int fd, struct slice s)
{
	while (s.len > 0) {
		ssize_t n = write(fd, s.ptr, s.len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		s = slice_make(s.ptr + n, s.len - (size_t)n);
	}
	return 0;
}

int recording_write(struct recording *recording, struct slice bytes, double at)
{
	char line[64];
	int len = snprintf(line, sizeof line, "%llu %.6f\n", (unsigned long long)recording->offset, at);

	if (write_all(recording->bytes, bytes) || write_all(recording->times, slice_make(line, (size_t)len))) {
		int error = errno;
		/* A cut that fails leaves bytes too many; the error that is reported says that the recording is damaged. */
		if (ftruncate(recording->bytes, (off_t)recording->offset) || ftruncate(recording->times, (off_t)recording->times_offset))
			error = errno;
		errno = error;
		return -1;
	}
	recording->offset += bytes.len;
	recording->times_offset += (uint64_t)len;
	return 0;
}

int recording_close(struct recording *recording)
{
	const int files[] = { recording->bytes, recording->times };
	int error = 0;

	for (size_t i = 0; i < 2; i++) {
		if (fsync(files[i]) == -1 && error == 0)
			error = errno;
		if (close(files[i]) == -1 && error == 0)
			error = errno;
	}
	errno = error;
	return error ? -1 : 0;
}
