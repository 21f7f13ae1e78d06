/* The socket's file: whose it is, its permissions, and its end. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "control/internal.h"

#define LOCK_TRIES 100
#define LOCK_WAIT_NS 10000000 /* 10 ms */

/* Two daemons that start at the same time must not both find a dead socket and remove each other's. The folder's lock is
 * held only while one of them looks and binds. Without it (no right to read the folder, somebody sits on the lock) only
 * that narrow race is open. Returns what to close, or -1. */
static int lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? mem_strdup(".") : mem_slicedup(slice_make(path, (size_t)(slash - path) + 1));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd != -1)
		for (int i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK; i++)
			nanosleep(&(struct timespec){ .tv_nsec = LOCK_WAIT_NS }, NULL);
	free(folder);
	return fd;
}

/* 0 when the path is free, after a dead socket was removed. */
static int clear_path(const struct listener *listener, const struct sockaddr_un *address, struct err *err)
{
	const char *path = address->sun_path;
	struct stat st;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? 0 : err_system(err, "%s %s", listener->option, path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_SYSTEM, "%s %s: there is something else that is no socket; remove it or choose another path",
		               listener->option, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_system(err, "%s %s", listener->option, path);
	int result = connect(fd, (const struct sockaddr *)address, sizeof *address), why = errno;
	close(fd);
	/* EAGAIN: it listens, but its queue is full. */
	if (result == 0 || why == EAGAIN)
		return err_set(err, ERR_SYSTEM, "%s %s: another daemon answers there; stop it or choose another path", listener->option, path);
	if (why == ENOENT)
		return 0;
	if (why != ECONNREFUSED) {
		errno = why;
		return err_system(err, "%s %s: in use, or not ours to replace", listener->option, path);
	}
	if (unlink(path) == -1 && errno != ENOENT)
		return err_system(err, "%s %s: a dead socket that cannot be removed", listener->option, path);
	return 0;
}

static int find_group(const struct listener *listener, const char *name, gid_t *gid, struct err *err)
{
	const struct group *found = getgrnam(name);
	int64_t number;

	if (found)
		*gid = found->gr_gid;
	else if (slice_to_int(slice_cstr(name), &number) && number >= 0 && number < UINT32_MAX)
		*gid = (gid_t)number;
	else
		return err_set(err, ERR_INVALID, "%s.group: this machine has no group '%s'", listener->section, name);
	return 0;
}

static int give_to_group(const struct listener *listener, const char *name, struct err *err)
{
	gid_t gid = 0;

	if (find_group(listener, name, &gid, err) == -1)
		return -1;
	if (lchown(listener->path, (uid_t)-1, gid) == -1)
		return err_system(err, "%s %s cannot be given to the group '%s'; put the daemon's user into that group", listener->option,
		                  listener->path, name);
	return 0;
}

/* Nobody can connect before listen(), and the file never has more permissions than `mode`: those of the unbound socket, which
 * bind() takes over less the umask, come first. */
static int bind_socket(struct listener *listener, int fd, const struct sockaddr_un *address, unsigned mode, const char *group,
                       struct err *err)
{
	struct stat st;

	if (fchmod(fd, mode) == -1)
		return err_system(err, "the mode of %s %s", listener->option, listener->path);
	if (bind(fd, (const struct sockaddr *)address, sizeof *address) == -1)
		return errno == ENOENT ? err_set(err, ERR_SYSTEM, "%s %s: its folder does not exist; make it first", listener->option, listener->path)
		                       : err_system(err, "%s %s", listener->option, listener->path);
	if (lstat(listener->path, &st) == -1)
		return err_system(err, "%s %s", listener->option, listener->path);
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
	if (group && give_to_group(listener, group, err) == -1) {
		listener_unlink(listener);
		return -1;
	}
	if ((st.st_mode & 07777) != mode && chmod(listener->path, mode) == -1) {
		err_system(err, "the mode of %s %s", listener->option, listener->path);
		listener_unlink(listener);
		return -1;
	}
	if (listen(fd, SOMAXCONN) == -1) {
		err_system(err, "%s %s", listener->option, listener->path);
		listener_unlink(listener);
		return -1;
	}
	return 0;
}

int listener_listen(struct listener *listener, unsigned mode, const char *group, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(listener->path);

	if (length == 0 || length >= sizeof address.sun_path)
		return err_set(err, ERR_INVALID, "%s %s: a unix socket's path has 1 to %zu bytes", listener->option, listener->path,
		               sizeof address.sun_path - 1);
	memcpy(address.sun_path, listener->path, length);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_system(err, "%s %s", listener->option, listener->path);
	int lock = lock_folder(listener->path);
	if (clear_path(listener, &address, err) == -1 || bind_socket(listener, fd, &address, mode, group, err) == -1) {
		close(fd);
		fd = -1;
	}
	if (lock != -1)
		close(lock);
	return fd;
}

void listener_unlink(const struct listener *listener)
{
	struct stat st;

	/* Our bound socket keeps its inode, so no other file can have the number while we live. */
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->path);
}
