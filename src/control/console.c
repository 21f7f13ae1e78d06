#include "control/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "control/internal.h"
#include "observe/log.h"

#define ACCEPTS_PER_TURN 32
#define ACCEPT_PAUSE 1.0 /* s */

static const char *const drop_names[DROP_REASONS] = {
	[DROP_CLIENTS] = "clients", [DROP_DESCRIPTORS] = "descriptors", [DROP_REQUEST] = "request",
	[DROP_SILENT] = "silent",   [DROP_ANSWER] = "answer",           [DROP_SLOW] = "slow",
};

void console_dropped(struct console *console, enum drop_reason reason, const struct client *client)
{
	if (console->dropped[reason])
		console->dropped[reason]->value++;
	if (client)
		log_write(LOG_WARN, "console client dropped", F_TEXT("reason", drop_names[reason]), F_INT("uid", client->uid),
		          F_INT("pid", client->pid));
	else
		log_write(LOG_WARN, "console client dropped", F_TEXT("reason", drop_names[reason]));
}

/* A full house says so; its few bytes always fit into a fresh socket. */
static void turn_away(struct console *console, int fd)
{
	static const char text[] = "1\ntoo many clients on this console; try again later\n";

	if (send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
		log_write(LOG_DEBUG, "console client left", F_TEXT("error", strerror(errno)));
	close(fd);
	console_dropped(console, DROP_CLIENTS, NULL);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct console *console = io->data;
	(void)events;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(console->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			if (console->client_count < CONSOLE_CLIENTS_MAX)
				client_create(console, fd);
			else
				turn_away(console, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			/* The socket stays readable, and trying at once again would burn the loop. */
			console_dropped(console, DROP_DESCRIPTORS, NULL);
			ev_io_stop(loop, &console->accept_io);
			ev_timer_set(&console->accept_pause, ACCEPT_PAUSE, 0);
			ev_timer_start(loop, &console->accept_pause);
			return;
		}
	}
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct console *console = timer->data;
	(void)events;
	ev_io_start(loop, &console->accept_io);
}

static int add_metrics(struct console *console, struct err *err)
{
	static const char *const reason[] = { "reason" };
	struct metrics *metrics = engine_metrics(console->engine);
	struct metric *dropped = metrics_add(metrics, METRIC_COUNTER, "hookswitch_console_dropped_total",
	                                     "Console clients closed before they had their answer, by reason: clients (too many), descriptors, request, silent, answer (too long), slow.", reason, 1, NULL, 0, 0, err);
	struct metric *requests = metrics_add(metrics, METRIC_COUNTER, "hookswitch_console_requests_total",
	                                      "Requests that consoles have sent.", NULL, 0, NULL, 0, 0, err);

	if (!dropped || !requests)
		return -1;
	for (size_t i = 0; i < DROP_REASONS; i++) {
		struct slice name = slice_cstr(drop_names[i]);
		console->dropped[i] = metric_series(dropped, &name, 1);
	}
	console->requests = metric_series(requests, NULL, 0);
	return 0;
}

struct console *console_create(struct engine *engine, const char *socket_path, unsigned mode, const char *group,
                               struct err *err)
{
	struct console *console = mem_zalloc(sizeof *console);

	console->engine = engine;
	console->loop = engine_loop(engine);
	console->path = mem_strdup(socket_path);
	list_init(&console->clients);
	list_init(&console->tails);
	if (add_metrics(console, err) == -1 || (console->fd = console_listen(console, mode, group, err)) == -1) {
		free(console->path);
		free(console);
		return NULL;
	}
	ev_io_init(&console->accept_io, on_accept, console->fd, EV_READ);
	ev_timer_init(&console->accept_pause, on_accept_pause, ACCEPT_PAUSE, 0);
	console->accept_io.data = console->accept_pause.data = console;
	ev_io_start(console->loop, &console->accept_io);
	return console;
}

void console_destroy(struct console **console)
{
	struct console *c = *console;

	if (!c)
		return;
	*console = NULL;
	ev_io_stop(c->loop, &c->accept_io);
	ev_timer_stop(c->loop, &c->accept_pause);
	console_unlink(c);
	close(c->fd);
	while (!list_empty(&c->clients)) {
		struct client *client = list_entry(c->clients.next, struct client, node);
		client_destroy(&client);
	}
	free(c->path);
	free(c);
}
