#include "persist/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

int files_create(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_system(err, "cannot create %s", path);
	close(fd);
	return 0;
}

int files_lock(const char *path, struct err *err)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		struct stat mine, there;
		if (fd == -1)
			return err_set(err, ERR_SYSTEM, "cannot open %s: %s; it must be a file that the daemon may write to, in a folder that exists and that it "
			               "may write to", path, strerror(errno));
		if (fstat(fd, &mine) == 0 && !S_ISREG(mine.st_mode)) {
			close(fd);
			return err_set(err, ERR_INVALID, "%s is not a regular file", path);
		}
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			int error = errno;
			close(fd);
			errno = error;
			return error == EWOULDBLOCK
			           ? err_set(err, ERR_DENIED, "%s is in use by another hookswitch; stop that one, or choose another file", path)
			           : err_system(err, "cannot lock %s", path);
		}
		/* It may have been replaced between open and lock. */
		if (fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
			return fd;
		close(fd);
	}
}

char *files_timed_name(const char *name)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	struct stat there;
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	char *timed = mem_printf("%s-%s", name, stamp);
	for (int n = 2; lstat(timed, &there) == 0; n++) {
		free(timed);
		timed = mem_printf("%s-%s.%d", name, stamp, n);
	}
	return timed;
}

int files_sync_folder(const char *path, struct err *err)
{
	char *copy = mem_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd == -1 ? -1 : fsync(fd);
	if (rc)
		err_system(err, "cannot sync the folder of %s", path);
	if (fd != -1)
		close(fd);
	free(copy);
	return rc;
}

char *files_rewrite_name(const char *path)
{
	return mem_printf("%s.rewrite.part", path);
}

/* It bears this name once it is whole. */
static char *whole_name(const char *path)
{
	return mem_printf("%s.rewrite", path);
}

/* What is not there needs no renaming. */
static int move(const char *from, const char *to, const char *suffix, struct err *err)
{
	char *a = mem_printf("%s%s", from, suffix), *b = mem_printf("%s%s", to, suffix);
	int rc = rename(a, b);
	if (rc && errno == ENOENT)
		rc = 0;
	if (rc)
		err_system(err, "cannot rename %s to %s", a, b);
	free(a);
	free(b);
	return rc;
}

static bool is_empty(const char *path)
{
	struct stat there;
	return stat(path, &there) == 0 && there.st_size == 0;
}

int files_swap(const char *path, char **aside, struct err *err)
{
	char *part = files_rewrite_name(path), *whole = whole_name(path), *name = mem_printf("%s.damaged", path);
	char *to = files_timed_name(name);
	int rc = move(part, whole, "", err) || files_sync_folder(path, err) ? -1 : 0;

	/* The WAL goes before its file: a WAL that stood beside the new file would be applied to it. An empty file is what a
	 * lock has made. */
	if (rc == 0 && (move(path, to, "-wal", err) || move(path, to, "-shm", err) ||
	                (!is_empty(path) && move(path, to, "", err)) || move(whole, path, "", err) || files_sync_folder(path, err)))
		rc = -1;
	struct stat there;
	*aside = stat(to, &there) == 0 ? mem_strdup(to) : NULL;
	free(part);
	free(whole);
	free(name);
	free(to);
	return rc;
}

bool files_swap_pending(const char *path)
{
	char *whole = whole_name(path);
	struct stat there;
	bool pending = stat(whole, &there) == 0;
	free(whole);
	return pending;
}

void files_discard_rewrite(const char *path)
{
	static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };
	char *part = files_rewrite_name(path);
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char *name = mem_printf("%s%s", part, suffixes[i]);
		unlink(name);
		free(name);
	}
	free(part);
}
