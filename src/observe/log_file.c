#include "observe/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define READER_PATIENCE CLOCK_NS_PER_S

static bool is_regular(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* O_NONBLOCK: a named pipe without a reader is an error, not a wait. */
#define APPEND (O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define MODE 0640

static int refuse(const char *name, struct err *err)
{
	return err_system(err, "cannot open %s for appending", name);
}

static int open_append(const char *name, bool *made, struct err *err)
{
	int fd = open(name, APPEND);

	*made = fd == -1 && errno == ENOENT;
	if (*made && (fd = open(name, APPEND | O_CREAT, MODE)) != -1 && fchmod(fd, MODE) == -1) {
		/* Somebody else has made it meanwhile, so its mode is that one's. */
		*made = false;
	}
	return fd == -1 ? refuse(name, err) : fd;
}

/* Whether a file of that name, which is not there, could be made. */
static int check_folder(const char *name, struct err *err)
{
	const char *slash = strrchr(name, '/');
	char *folder = !slash ? mem_strdup(".") : slash == name ? mem_strdup("/") : mem_slicedup(slice_make(name, (size_t)(slash - name)));
	int rc = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);

	if (rc == -1)
		refuse(name, err);
	free(folder);
	return rc;
}

static struct log_file *create(int fd, const char *name)
{
	struct log_file *file = mem_zalloc(sizeof *file);
	file->name = name ? mem_strdup(name) : NULL;
	file->fd = fd;
	file->regular = is_regular(fd);
	buf_init(&file->out, 0);
	return file;
}

struct log_file *log_file_prepare(const char *name, struct err *err)
{
	int fd = open(name, APPEND);

	if (fd == -1 && errno != ENOENT)
		refuse(name, err);
	else if (fd != -1 || check_folder(name, err) == 0)
		return create(fd, name);
	return NULL;
}

int log_file_make(struct log_file *file, struct err *err)
{
	if (file->fd != -1)
		return 0;
	file->fd = open_append(file->name, &file->made, err);
	file->regular = is_regular(file->fd);
	return file->fd == -1 ? -1 : 0;
}

struct log_file *log_file_open(const char *name, struct err *err)
{
	struct log_file *file = create(-1, name);

	if (log_file_make(file, err))
		log_file_close(&file);
	return file;
}

void log_file_discard(struct log_file **file)
{
	struct stat ours, named;
	bool remove = *file && (*file)->made && fstat((*file)->fd, &ours) == 0 && ours.st_size == 0 && lstat((*file)->name, &named) == 0 &&
	              named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;

	/* Nothing was promised about a file that cannot be removed: it is empty. */
	if (remove)
		unlink((*file)->name);
	log_file_close(file);
}

static int connect_journal(const char *name, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	if (len >= sizeof address.sun_path)
		return err_set(err, ERR_INVALID, "%s is too long for a socket's path", name);
	memcpy(address.sun_path, name, len);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_system(err, "cannot make a socket for the journal");
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	err_set(err, ERR_SYSTEM, "there is no journal at %s: %s; with log.format text or json the log goes to stderr or log.file", name,
	        strerror(errno));
	close(fd);
	return -1;
}

struct log_file *log_file_journal(const char *name, struct err *err)
{
	int fd = connect_journal(name, err);
	if (fd == -1)
		return NULL;
	struct log_file *file = create(fd, name);
	file->datagrams = true;
	return file;
}

struct log_file *log_file_stderr(void)
{
	return create(STDERR_FILENO, NULL);
}

void log_file_close(struct log_file **file)
{
	if (!*file)
		return;
	if ((*file)->name && (*file)->fd != -1)
		close((*file)->fd);
	free((*file)->name);
	buf_close(&(*file)->out);
	free(*file);
	*file = NULL;
}

int log_file_reopen(struct log_file *file, struct err *err)
{
	if (!file->name)
		return 0;
	bool made;
	int fd = file->datagrams ? connect_journal(file->name, err) : open_append(file->name, &made, err);
	if (fd == -1)
		return -1;
	close(file->fd);
	file->fd = fd;
	file->regular = is_regular(fd);
	file->begun = false;
	return 0;
}

static bool wait_writable(const struct log_file *file, uint64_t give_up)
{
	struct pollfd poll_fd = { .fd = file->fd, .events = POLLOUT };
	for (;;) {
		uint64_t now = clock_mono_ns();
		int left = now < give_up ? (int)((give_up - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS) : 0;
		int rc = poll(&poll_fd, 1, left);
		if (rc == -1 && errno == EINTR)
			continue;
		return rc > 0;
	}
}

/* Returns how many bytes were written; fewer than `s` has: refused, with errno. */
static size_t write_some(struct log_file *file, struct slice s)
{
	uint64_t give_up = file->failing ? 0 : clock_mono_ns() + READER_PATIENCE;
	size_t done = 0;

	while (done < s.len) {
		size_t n = s.len - done;
		if (!file->regular) {
			/* stderr is not ours to make non-blocking: a ready pipe takes this much without a wait. */
			if (n > PIPE_BUF)
				n = PIPE_BUF;
			if (!wait_writable(file, give_up)) {
				errno = EAGAIN;
				break;
			}
		}
		ssize_t written = write(file->fd, s.ptr + done, n);
		if (written == -1 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		done += (size_t)written;
	}
	return done;
}

/* The last byte of what others, or this program before a crash, have written is no line end. Not known when the file may be
 * appended to but not read: then it is taken for whole. */
static bool ends_inside_line(const struct log_file *file)
{
	struct stat ours, st;
	char last = '\n';

	if (!file->regular || fstat(file->fd, &ours) == -1 || ours.st_size == 0)
		return false;
	int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1)
		return false;
	bool same = fstat(fd, &st) == 0 && st.st_dev == ours.st_dev && st.st_ino == ours.st_ino;
	bool cut = same && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
	close(fd);
	return cut;
}

/* Ends a line that was cut, so that the next one is not glued to it. The file is looked at here and not when it is opened: at
 * a reload another log_file may still be writing to it then. */
static bool end_cut_line(struct log_file *file)
{
	if (!file->begun)
		file->midline = file->name && ends_inside_line(file);
	file->begun = true;
	if (file->midline && write_some(file, SLICE("\n")) == 1)
		file->midline = false;
	return !file->midline;
}

/* As write_some(): the bytes of the datagrams that were sent. A journal that was started anew is another socket. */
static size_t send_some(struct log_file *file, struct slice s)
{
	uint64_t give_up = file->failing ? 0 : clock_mono_ns() + READER_PATIENCE;
	bool again = false;
	size_t done = 0;

	for (size_t i = 0; i < file->lines;) {
		if (send(file->fd, s.ptr + done, file->ends[i] - done, MSG_NOSIGNAL) != -1) {
			done = file->ends[i++];
			again = false;
		} else if (errno == EAGAIN) {
			if (!wait_writable(file, give_up)) {
				errno = EAGAIN;
				break;
			}
		} else if (errno != EINTR) {
			int error = errno;
			struct err err;
			if (again || log_file_reopen(file, &err)) {
				errno = error;
				break;
			}
			again = true;
		}
	}
	return done;
}

struct log_fates log_file_flush(struct log_file *file)
{
	struct slice batch = buf_slice(&file->out);
	struct log_fates fates = { .written = file->lines };
	size_t written = 0;

	if (batch.len == 0)
		return fates;
	if (file->datagrams)
		written = send_some(file, batch);
	else if (end_cut_line(file))
		written = write_some(file, batch);
	file->failing = written < batch.len;
	if (file->failing) {
		file->error = errno;
		if (written > 0 && !file->datagrams)
			file->midline = batch.ptr[written - 1] != '\n';
		for (size_t i = 0; i < file->lines; i++)
			fates.lost += file->ends[i] > written;
	}
	fates.written -= fates.lost;
	file->lost += fates.lost;
	file->lines = 0;
	buf_clear(&file->out);
	return fates;
}

struct log_fates log_file_line_end(struct log_file *file)
{
	file->ends[file->lines++] = buf_len(&file->out);
	if (file->lines == LOG_FILE_BATCH || buf_len(&file->out) >= LOG_FILE_BATCH_BYTES)
		return log_file_flush(file);
	return (struct log_fates){ 0 };
}
