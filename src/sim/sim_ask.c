/* The socket of --truth: commands in lines, each answered by one line of JSON. Whoever may open the socket may ask. */
#include "sim/sim_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COMMAND_MAX 255 /* bytes */
#define ASKERS_MAX 16
#define RUN_MAX 86400.0 /* s at once */

struct asker {
	struct list node;
	struct sim *sim;
	int fd;
	ev_io io;
	char in[COMMAND_MAX + 1];
	size_t in_len;
	struct buf out;
};

static void lose(struct asker *asker)
{
	ev_io_stop(asker->sim->loop, &asker->io);
	close(asker->fd);
	buf_close(&asker->out);
	list_remove(&asker->node);
	asker->sim->asker_count--;
	free(asker);
}

static void refuse(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void refuse(struct buf *out, const char *format, ...)
{
	char text[COMMAND_MAX + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)buf_append_cstr(out, "{\"error\":");
	(void)buf_append_json(out, slice_cstr(text));
	(void)buf_append_cstr(out, "}");
}

static void tell_time(struct sim *sim, struct buf *out)
{
	(void)buf_printf(out, "{\"now\":%.6f}", sim_wall(sim));
}

/* A number from 0 to `max`, or -1. */
static double read_seconds(const char *text, double max)
{
	char *end;
	double seconds = strtod(text, &end);
	return end != text && *end == '\0' && seconds >= 0 && seconds <= max ? seconds : -1;
}

static void run(struct sim *sim, const char *text, struct buf *out)
{
	double seconds = read_seconds(text, RUN_MAX);

	if (!sim->options.step) {
		refuse(out, "time passes by itself; start the simulator with --step");
	} else if (seconds < 0) {
		refuse(out, "run '%s': give seconds from 0 to 86400", text);
	} else {
		sim_run(sim, seconds);
		tell_time(sim, out);
	}
}

static void restart(struct sim *sim, const char *how, const char *text, struct buf *out)
{
	double down = *text ? read_seconds(text, RUN_MAX) : 3;

	if (strcmp(how, "clean") != 0 && strcmp(how, "kill") != 0) {
		refuse(out, "restart '%s': say clean or kill", how);
	} else if (down < 0) {
		refuse(out, "restart for '%s': give seconds from 0 to 86400", text);
	} else {
		sim_restart(sim, strcmp(how, "clean") == 0, down);
		tell_time(sim, out);
	}
}

static void answer(struct asker *asker, const char *line)
{
	struct sim *sim = asker->sim;
	char word[16] = "", first[32] = "", second[32] = "", rest;
	int words = sscanf(line, "%15s %31s %31s %c", word, first, second, &rest);

	sim_time_update(sim);
	if (words == 1 && strcmp(word, "state") == 0) {
		sim_truth(sim, &asker->out);
	} else if (words == 1 && strcmp(word, "actions") == 0) {
		sim_received_write(sim, &asker->out);
	} else if (words == 1 && strcmp(word, "settle") == 0) {
		sim_settle(sim);
		tell_time(sim, &asker->out);
	} else if (words == 1 && strcmp(word, "cut") == 0) {
		sim_cut(sim);
		tell_time(sim, &asker->out);
	} else if (words == 2 && strcmp(word, "run") == 0) {
		run(sim, first, &asker->out);
	} else if ((words == 2 || words == 3) && strcmp(word, "restart") == 0) {
		restart(sim, first, second, &asker->out);
	} else {
		refuse(&asker->out, "no such command: '%s'; there are state, actions, settle, cut, run SECONDS, restart clean|kill [SECONDS]", line);
	}
	(void)buf_append_char(&asker->out, '\n');
}

/* False: it is gone. */
static bool read_commands(struct asker *asker)
{
	ssize_t n = recv(asker->fd, asker->in + asker->in_len, COMMAND_MAX - asker->in_len, 0);
	char *end;

	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		return false;
	asker->in_len += n > 0 ? (size_t)n : 0;
	while ((end = memchr(asker->in, '\n', asker->in_len)) != NULL) {
		*end = '\0';
		answer(asker, asker->in);
		asker->in_len -= (size_t)(end + 1 - asker->in);
		memmove(asker->in, end + 1, asker->in_len);
	}
	return asker->in_len < COMMAND_MAX;
}

static bool write_answers(struct asker *asker)
{
	struct slice bytes = buf_slice(&asker->out);
	ssize_t n = bytes.len > 0 ? send(asker->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) : 0;

	if (n == -1)
		return errno == EAGAIN || errno == EINTR;
	buf_consume(&asker->out, (size_t)n);
	return true;
}

static void on_asker(struct ev_loop *loop, ev_io *io, int events)
{
	struct asker *asker = io->data;

	/* One that does not take its answer is asked nothing more meanwhile. */
	if (((events & EV_READ) && !read_commands(asker)) || !write_answers(asker)) {
		lose(asker);
		return;
	}
	ev_io_stop(loop, io);
	ev_io_set(io, asker->fd, buf_len(&asker->out) > 0 ? EV_WRITE : EV_READ);
	ev_io_start(loop, io);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct sim *sim = io->data;
	int fd = accept4(sim->truth_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	(void)events;

	if (fd == -1)
		return;
	if (sim->asker_count == ASKERS_MAX) {
		close(fd);
		return;
	}
	struct asker *asker = mem_zalloc(sizeof(*asker));
	asker->sim = sim;
	asker->fd = fd;
	buf_init(&asker->out, 0);
	list_append(&sim->askers, &asker->node);
	sim->asker_count++;
	ev_io_init(&asker->io, on_asker, fd, EV_READ);
	asker->io.data = asker;
	ev_io_start(loop, &asker->io);
}

int sim_ask_listen(struct sim *sim, struct err *err)
{
	const char *path = sim->options.truth_path;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID, "the path %s is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path));
	sim->truth_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sim->truth_fd == -1)
		return err_system(err, "cannot make a socket");
	if (bind(sim->truth_fd, (struct sockaddr *)&address, sizeof(address)) == -1) {
		if (errno == EADDRINUSE)
			return err_set(err, ERR_SYSTEM, "%s is there already; remove it or give another path", path);
		return err_system(err, "cannot listen on %s", path);
	}
	sim->truth_bound = true;
	if (listen(sim->truth_fd, ASKERS_MAX) == -1)
		return err_system(err, "cannot listen on %s", path);
	ev_io_init(&sim->truth_io, on_accept, sim->truth_fd, EV_READ);
	sim->truth_io.data = sim;
	ev_io_start(sim->loop, &sim->truth_io);
	return 0;
}

void sim_ask_close(struct sim *sim)
{
	list_each_safe(it, &sim->askers)
		lose(list_entry(it, struct asker, node));
	if (sim->truth_fd == -1)
		return;
	ev_io_stop(sim->loop, &sim->truth_io);
	close(sim->truth_fd);
	if (sim->truth_bound)
		unlink(sim->options.truth_path);
}
