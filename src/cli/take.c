#include "cli/take.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "cli/cmd.h"
#include "cli/recording.h"

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static int refuse(const char *what)
{
	fprintf(stderr, "hookswitch ctl: %s\n", what);
	return CMD_FAULT;
}

/* One block, if it is whole: 1; 0: more must come; -1: the end, with the exit code. */
static int take_block(struct recording *recording, struct buf *held, int *code)
{
	struct slice all = buf_slice(held);
	ptrdiff_t end = slice_find(all, SLICE("\n"));
	char line[512];
	char *rest;

	if (end == -1 && all.len < sizeof line)
		return 0;
	snprintf(line, sizeof line, "%.*s", (int)(end == -1 ? 0 : end), all.ptr);
	if (line[0] == 'E') {
		fprintf(stderr, "hookswitch ctl: the session has ended: %s\n", line[1] ? line + 2 : "?");
		*code = CMD_FAULT;
		return -1;
	}
	unsigned long long length = line[0] == 'B' ? strtoull(line + 1, &rest, 10) : 0;
	double at = length > 0 ? strtod(rest, NULL) : 0;
	if (length == 0 || at <= 0) {
		*code = refuse("what answers sends no recording");
		return -1;
	}
	if (all.len - (size_t)end - 1 < length)
		return 0;
	if (recording_write(recording, slice_make(all.ptr + end + 1, length), at)) {
		fprintf(stderr, "hookswitch ctl: the recording cannot be written: %s\n", strerror(errno));
		*code = CMD_FAULT;
		return -1;
	}
	buf_consume(held, (size_t)end + 1 + length);
	return 1;
}

static int take_all(int fd, struct buf *held, struct recording *recording)
{
	int code = CMD_OK;

	for (;;) {
		int block = take_block(recording, held, &code);
		if (block == -1 || (block == 0 && ended))
			return code;
		if (block == 1)
			continue;
		char *free_bytes = buf_reserve(held, 65536);
		if (!free_bytes)
			return refuse("a block is longer than any daemon's");
		ssize_t n = recv(fd, free_bytes, 65536, 0);
		if (n > 0) {
			buf_commit(held, (size_t)n);
		} else if (n == 0 || errno != EINTR) {
			refuse("the daemon has ended the stream: it stopped, or this was too slow for what the server sends");
			return CMD_NO_DAEMON;
		}
	}
}

static void print_end(const char *path, unsigned long long bytes, bool json)
{
	struct buf out;

	if (!json) {
		printf("%llu bytes in %s\n", bytes, path);
		return;
	}
	buf_init(&out, 0);
	buf_append_json(&out, slice_cstr(path));
	printf("{\"file\":%.*s,\"bytes\":%llu}\n", SLICE_ARG(buf_slice(&out)), bytes);
	buf_close(&out);
}

int take_recording(int fd, struct buf *held, const char *path, bool json)
{
	/* No SA_RESTART: a signal ends the wait. */
	const struct sigaction action = { .sa_handler = on_signal };
	struct recording recording;

	if (recording_open(&recording, "hookswitch ctl", path))
		return CMD_FAULT;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	int code = take_all(fd, held, &recording);
	unsigned long long bytes = recording.offset;
	if (recording_close(&recording) && code == CMD_OK) {
		fprintf(stderr, "hookswitch ctl: the recording cannot be written: %s\n", strerror(errno));
		return CMD_FAULT;
	}
	print_end(path, bytes, json);
	return code;
}
