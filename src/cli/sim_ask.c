#include "cli/sim_ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cmd.h"

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
	} else {
		memcpy(address.sun_path, path, strlen(path));
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd != -1 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
	}
	fprintf(stderr, "hookswitch sim: cannot ask at %s: %s; does a simulator run with --truth %s?\n", path, strerror(errno), path);
	if (fd != -1)
		close(fd);
	return -1;
}

static int send_all(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			bytes = slice_make(bytes.ptr + n, bytes.len - (size_t)n);
	}
	return 0;
}

/* One line, its end included; -1: the connection ended before. */
static int receive_line(int fd, struct buf *line)
{
	for (;;) {
		char *to = buf_reserve(line, 65536);
		ssize_t n = recv(fd, to, 65536, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		buf_commit(line, (size_t)n);
		if (to[n - 1] == '\n')
			return 0;
	}
}

int sim_ask(const char *path, int count, char *const *words)
{
	struct buf text;
	int fd = connect_to(path), status = CMD_FAULT;

	if (fd == -1)
		return CMD_FAULT;
	buf_init(&text, 0);
	for (int i = 0; i < count; i++)
		(void)buf_printf(&text, "%s%s", i > 0 ? " " : "", words[i]);
	(void)buf_append_char(&text, '\n');
	int sent = send_all(fd, buf_slice(&text));
	buf_clear(&text);
	if (sent == -1 || receive_line(fd, &text) == -1) {
		fprintf(stderr, "hookswitch sim: the simulator at %s closed without an answer\n", path);
	} else {
		bool refused = slice_starts_with(buf_slice(&text), SLICE("{\"error\":"));
		fwrite(buf_cstr(&text), 1, buf_len(&text), refused ? stderr : stdout);
		status = refused ? CMD_FAULT : CMD_OK;
	}
	buf_close(&text);
	close(fd);
	return status;
}
