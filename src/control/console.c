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

/* The few bytes always fit into a fresh socket. */
static void turn_away(struct console *console, int fd)
{
	static const char text[] = "1\ntoo many clients on this console; try again later\n";

	if (send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
		log_write(LOG_DEBUG, "console client left", F_TEXT("error", strerror(errno)));
	close(fd);
	console_dropped(console, DROP_CLIENTS, NULL);
}

static bool has_place(const struct listener *listener)
{
	const struct console *console = listener->console;

	return console->client_count < CONSOLE_CLIENTS_MAX &&
	       ((listener->roles & ROLE_ADMIN) || console->shared_count < CONSOLE_CLIENTS_SHARED);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct listener *listener = io->data;
	struct console *console = listener->console;
	(void)events;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			if (has_place(listener))
				client_create(listener, fd);
			else
				turn_away(console, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			/* The socket stays readable, and trying at once again would burn the loop. */
			console_dropped(console, DROP_DESCRIPTORS, NULL);
			ev_io_stop(loop, &listener->accept_io);
			ev_timer_set(&listener->accept_pause, ACCEPT_PAUSE, 0);
			ev_timer_start(loop, &listener->accept_pause);
			return;
		}
	}
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct listener *listener = timer->data;
	(void)events;
	ev_io_start(loop, &listener->accept_io);
}

static int add_metrics(struct console *console, struct err *err)
{
	static const char *const reason[] = { "reason" };
	struct metrics *metrics = engine_metrics(console->engine);
	struct metric *dropped = metrics_add(metrics, METRIC_COUNTER, "hookswitch_console_dropped_total",
	                                     "Console clients closed before they had their answer, by reason: clients (too many), descriptors, request, silent, answer (too long), slow.", reason, 1, NULL, 0, 0, err);
	struct metric *requests = metrics_add(metrics, METRIC_COUNTER, "hookswitch_console_requests_total",
	                                      "Requests that consoles have sent.", NULL, 0, NULL, 0, 0, err);
	struct metric *refused = metrics_add(metrics, METRIC_COUNTER, "hookswitch_console_refused_total",
	                                     "Requests refused because their socket does not grant the role that they need.", NULL, 0, NULL, 0, 0, err);

	if (!dropped || !requests || !refused)
		return -1;
	for (size_t i = 0; i < DROP_REASONS; i++) {
		struct slice name = slice_cstr(drop_names[i]);
		console->dropped[i] = metric_series(dropped, &name, 1);
	}
	console->requests = metric_series(requests, NULL, 0);
	console->refused = metric_series(refused, NULL, 0);
	return 0;
}

static int open_listener(struct listener *listener, struct console *console, const struct console_socket *socket, struct err *err)
{
	*listener = (struct listener){ .console = console, .path = mem_strdup(socket->path), .roles = socket->roles };
	listener->section = socket->name ? mem_printf("control.sockets.%s", socket->name) : mem_strdup("control");
	listener->option = mem_printf("%s.%s", listener->section, socket->name ? "path" : "socket");
	ev_io_init(&listener->accept_io, on_accept, -1, EV_READ);
	ev_timer_init(&listener->accept_pause, on_accept_pause, ACCEPT_PAUSE, 0);
	listener->accept_io.data = listener->accept_pause.data = listener;
	listener->fd = listener_listen(listener, socket->mode, socket->group, err);
	if (listener->fd == -1)
		return -1;
	ev_io_set(&listener->accept_io, listener->fd, EV_READ);
	ev_io_start(console->loop, &listener->accept_io);
	return 0;
}

static void close_listener(struct listener *listener)
{
	ev_io_stop(listener->console->loop, &listener->accept_io);
	ev_timer_stop(listener->console->loop, &listener->accept_pause);
	if (listener->fd != -1) {
		listener_unlink(listener);
		close(listener->fd);
	}
	free(listener->path);
	free(listener->section);
	free(listener->option);
}

struct console *console_create(struct engine *engine, const struct console_socket *sockets, size_t count, struct err *err)
{
	struct console *console = mem_zalloc(sizeof *console);
	bool good = true;

	console->engine = engine;
	console->loop = engine_loop(engine);
	console->listeners = mem_zalloc((count + 1) * sizeof *console->listeners);
	list_init(&console->clients);
	list_init(&console->tails);
	good = add_metrics(console, err) == 0;
	for (size_t i = 0; i < count && good; i++)
		good = open_listener(&console->listeners[console->listener_count++], console, &sockets[i], err) == 0;
	if (!good)
		console_destroy(&console);
	return console;
}

static unsigned roles_of(const struct config_list *names)
{
	static const char *const roles[] = { "look", "emit", "act", "admin" }; /* bit by bit */
	unsigned found = 0;

	for (size_t i = 0; i < names->count; i++)
		for (unsigned bit = 0; bit < sizeof roles / sizeof *roles; bit++)
			if (strcmp(names->items[i], roles[bit]) == 0)
				found |= 1u << bit;
	return found;
}

struct console *console_open(struct engine *engine, struct err *err)
{
	const struct config *config = engine_config(engine);
	struct console_socket *sockets = mem_zalloc((config->control.socket_count + 1) * sizeof *sockets);
	struct console *console = NULL;
	size_t count = 0;

	*err = (struct err){ .code = ERR_NONE };
	if (config->control.socket)
		sockets[count++] = (struct console_socket){ .path = config->control.socket, .group = config->control.group,
		                                            .mode = (unsigned)strtoul(config->control.mode, NULL, 8), .roles = ROLE_ADMIN };
	for (size_t i = 0; i < config->control.socket_count; i++) {
		const struct config_socket *one = &config->control.sockets[i];
		sockets[count++] = (struct console_socket){ .name = one->name, .path = one->path, .group = one->group,
		                                            .mode = (unsigned)strtoul(one->mode, NULL, 8), .roles = roles_of(&one->roles) };
	}
	if (count > 0)
		console = console_create(engine, sockets, count, err);
	free(sockets);
	return console;
}

void console_destroy(struct console **console)
{
	struct console *c = *console;

	if (!c)
		return;
	*console = NULL;
	for (size_t i = 0; i < c->listener_count; i++)
		close_listener(&c->listeners[i]);
	while (!list_empty(&c->clients)) {
		struct client *client = list_entry(c->clients.next, struct client, node);
		client_destroy(&client);
	}
	free(c->listeners);
	free(c);
}
