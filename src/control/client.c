/* One client of the console: its bytes in and out. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "control/internal.h"
#include "control/table.h"
#include "view/json_writer.h"

#define SENT_PER_TURN (512u << 10) /* bytes, so that a big answer to a fast reader delays nobody */
#define REST_MAX 16                /* reads of what a client sent beyond its request */

static void want(struct client *client, int events)
{
	struct ev_loop *loop = client->console->loop;

	if (ev_is_active(&client->io) && (client->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(loop, &client->io);
	ev_io_set(&client->io, client->fd, events);
	if (events)
		ev_io_start(loop, &client->io);
}

/* Counts what waits here against the bound of all. */
static void charge(struct client *client)
{
	client->console->waiting += buf_len(&client->out) - client->charged;
	client->charged = buf_len(&client->out);
}

void client_destroy(struct client **client)
{
	struct client *c = *client;
	char rest[4096];

	if (!c)
		return;
	*client = NULL;
	if (c->cancel)
		c->cancel(c);
	ev_io_stop(c->console->loop, &c->io);
	ev_timer_stop(c->console->loop, &c->timer);
	/* Closing over unread bytes would turn the end of the stream into a reset. */
	for (int i = 0; i < REST_MAX && recv(c->fd, rest, sizeof rest, MSG_DONTWAIT) > 0; i++)
		continue;
	close(c->fd);
	list_remove(&c->node);
	c->console->client_count--;
	c->console->shared_count -= !(c->listener->roles & ROLE_ADMIN);
	c->console->waiting -= c->charged;
	buf_close(&c->out);
	free(c);
}

static void drop(struct client *client, enum drop_reason reason)
{
	console_dropped(client->console, reason, client);
	client_destroy(&client);
}

/* ---- out ---- */

bool client_flush(struct client *client)
{
	struct ev_loop *loop = client->console->loop;
	size_t sent = 0;

	if (client->cut) {
		drop(client, DROP_ANSWER);
		return false;
	}
	while (buf_len(&client->out) > 0 && sent < SENT_PER_TURN) {
		struct slice bytes = buf_slice(&client->out);
		if (bytes.len > SENT_PER_TURN - sent)
			bytes.len = SENT_PER_TURN - sent;
		ssize_t n = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			buf_consume(&client->out, (size_t)n);
			client->begun = true;
			sent += (size_t)n;
		} else if (n == -1 && errno == EAGAIN) {
			break;
		} else if (n == -1 && errno != EINTR) {
			/* It has hung up, as is its right. */
			client_destroy(&client);
			return false;
		}
	}
	charge(client);
	if (buf_len(&client->out) > CONSOLE_ANSWER_MAX || client->console->waiting > CONSOLE_WAITING_MAX) {
		drop(client, DROP_ANSWER);
		return false;
	}
	if (buf_len(&client->out) > 0) {
		want(client, EV_WRITE);
		if (sent > 0 || !ev_is_active(&client->timer)) {
			client->timer.repeat = client->patience;
			ev_timer_again(loop, &client->timer);
		}
		return true;
	}
	/* Nothing is read any more but that it goes. */
	want(client, client->no_more ? 0 : EV_READ);
	ev_timer_stop(loop, &client->timer);
	if (client->state == CLIENT_WRITING) {
		client_destroy(&client);
		return false;
	}
	return true;
}

void client_flush_later(struct client *client)
{
	want(client, EV_WRITE);
	if (ev_is_active(&client->timer))
		return;
	client->timer.repeat = client->patience;
	ev_timer_again(client->console->loop, &client->timer);
}

int client_refuse(struct client *client, int code, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	buf_clear(&client->out);
	buf_append_cstr(&client->out, "0\n");
	text_lines(&client->out, "", text);
	return code;
}

/* {"success":true,"message":"reloaded, generation 2"}: what an order says to a program. Wrong usage stays a text. */
static void wrap_answer(struct client *client, int code)
{
	struct slice text = buf_slice(&client->out);
	struct writer writer;
	struct buf out;

	if (!client->as_json || client->begun || code > 1)
		return;
	buf_init(&out, 0);
	buf_append_cstr(&out, "0\n");
	writer_init(&writer, &out);
	writer_open(&writer, NULL, '{');
	writer_bool(&writer, "success", code == 0);
	text = slice_make(text.ptr + 2, text.len - 2);
	text.len -= text.len > 0 && text.ptr[text.len - 1] == '\n';
	writer_slice(&writer, SLICE("message"), text);
	writer_close(&writer, '}');
	buf_append_char(&out, '\n');
	buf_close(&client->out);
	client->out = out;
}

void client_finish(struct client *client, int code)
{
	client->cancel = NULL;
	wrap_answer(client, code);
	if (!client->cut && (buf_len(&client->out) > CONSOLE_ANSWER_MAX ||
	    client->console->waiting + buf_len(&client->out) > CONSOLE_WAITING_MAX)) {
		console_dropped(client->console, DROP_ANSWER, client);
		buf_close(&client->out);
		code = client_refuse(client, 1, "the answer is too long, or too many wait for their clients; ask for less or later");
	}
	if (!client->begun)
		client->out.data[client->out.head] = (char)('0' + code);
	client->state = CLIENT_WRITING;
	client_flush(client);
}

/* ---- in ---- */

static void refuse(struct client *client)
{
	console_dropped(client->console, DROP_REQUEST, client);
	client_finish(client, client_refuse(client, 2, "no request: at most %d arguments, each ended by a NUL, and one NUL more, in all at most %d bytes",
	                                    CONSOLE_ARGUMENTS_MAX, CONSOLE_REQUEST_MAX));
}

static void run(struct client *client)
{
	char *argv[CONSOLE_ARGUMENTS_MAX + 1];
	int argc = 0, code;

	for (size_t at = 0; client->in[at] != '\0'; at += strlen(&client->in[at]) + 1) {
		if (argc == CONSOLE_ARGUMENTS_MAX) {
			refuse(client);
			return;
		}
		argv[argc++] = &client->in[at];
	}
	argv[argc] = NULL;
	client->state = CLIENT_RUNNING;
	want(client, EV_READ);
	ev_timer_stop(client->console->loop, &client->timer);
	buf_append_cstr(&client->out, "0\n");
	client->console->requests->value++;
	client->console->ran_in = ev_iteration(client->console->loop);
	code = command_run(client, argc, argv);
	if (code != COMMAND_LATER)
		client_finish(client, code);
}

/* True when more of the request is needed; else the client is at work, or gone. */
static bool read_request(struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_len, sizeof client->in - client->in_len, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == -1 || (n == 0 && client->in_len == 0)) {
		/* Coming and going is how somebody asks whether a daemon listens. */
		client_destroy(&client);
		return false;
	}
	size_t from = client->in_len > 0 ? client->in_len - 1 : 0;
	client->in_len += (size_t)n;
	/* A NUL at the very start is a request without arguments. */
	if (client->in[0] == '\0' || memmem(client->in + from, client->in_len - from, "\0", 2))
		run(client);
	else if (n == 0 || client->in_len == sizeof client->in)
		refuse(client);
	else
		return true;
	return false;
}

/* It sent something beyond its request, or has gone. */
static void look_for_end(struct client *client)
{
	char rest[4096];
	struct pollfd look = { .fd = client->fd };
	ssize_t n = recv(client->fd, rest, sizeof rest, MSG_DONTWAIT);

	if (n > 0 || (n == -1 && (errno == EAGAIN || errno == EINTR)))
		return;
	client->no_more = true;
	if (n == -1 || (poll(&look, 1, 0) == 1 && (look.revents & POLLHUP)))
		client_destroy(&client);
	else
		want(client, client->io.events & EV_WRITE);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *client = io->data;

	if (client->state != CLIENT_READING && !(events & EV_WRITE))
		look_for_end(client);
	else if (client->state != CLIENT_READING)
		client_flush(client);
	else if (client->console->ran_in != ev_iteration(loop))
		read_request(client);
}

/* Time is up. After a pause of this process it is up before the socket was looked at, so that comes first. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct client *client = timer->data;
	(void)loop, (void)events;

	if (client->state == CLIENT_READING) {
		if (read_request(client))
			drop(client, DROP_SILENT);
		return;
	}
	if (send(client->fd, client->out.data + client->out.head, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
		buf_consume(&client->out, 1);
		client_flush(client);
	} else {
		drop(client, DROP_SLOW);
	}
}

bool client_has_role(const struct client *client, unsigned roles)
{
	return (client->listener->roles & (roles | ROLE_ADMIN)) != 0;
}

void client_create(const struct listener *listener, int fd)
{
	struct console *console = listener->console;
	struct client *client = mem_zalloc(sizeof *client);
	struct ucred peer = { .pid = -1, .uid = (uid_t)-1 };
	socklen_t size = sizeof peer;

	/* When it fails the log names nobody. */
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	client->uid = peer.uid;
	client->pid = peer.pid;
	client->console = console;
	client->listener = listener;
	client->fd = fd;
	client->state = CLIENT_READING;
	client->patience = CONSOLE_PATIENCE;
	buf_init(&client->out, 0);
	list_append(&console->clients, &client->node);
	console->client_count++;
	console->shared_count += !(listener->roles & ROLE_ADMIN);
	ev_io_init(&client->io, on_io, fd, EV_READ);
	ev_timer_init(&client->timer, on_timer, CONSOLE_PATIENCE, 0);
	client->io.data = client->timer.data = client;
	ev_io_start(console->loop, &client->io);
	ev_timer_start(console->loop, &client->timer);
}
