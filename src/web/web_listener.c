#include "web/web_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

#define BACKLOG 256
#define ACCEPTS 32        /* of one wake-up: a crowd that comes delays nobody else by more */
#define ACCEPT_PAUSE 0.5  /* seconds, after the system had no descriptor left */
#define SWEEP 0.5         /* seconds between two looks for connections that are too slow */

const char *web_drop_name(enum web_drop drop)
{
	static const char *const names[WEB_DROPS] = {
		[WEB_DROP_CONNECTIONS] = "connections", [WEB_DROP_DESCRIPTORS] = "descriptors", [WEB_DROP_SLOW] = "slow",
		[WEB_DROP_MALFORMED] = "malformed", [WEB_DROP_TLS] = "tls",
	};
	return names[drop];
}

void web_listener_dropped(struct web_listener *listener, enum web_drop drop, const struct address *peer, const char *why)
{
	char ip[ADDRESS_TEXT_MAX] = "";

	if (listener->dropped[drop])
		listener->dropped[drop]->value++;
	if (peer)
		address_text(peer, ip);
	log_write(LOG_WARN, strcmp(listener->options.name, "http") == 0 ? "http connection dropped" : "web connection dropped",
	          F_TEXT("reason", web_drop_name(drop)), F_TEXT("address", peer ? ip : NULL), F_TEXT("error", why));
}

/* ---- connections ---- */

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_listener *l = timer->data;
	uint64_t now = clock_mono_ns();
	(void)events;

	list_each_safe(it, &l->connections) {
		struct web_connection *c = list_entry(it, struct web_connection, node);
		if (now < c->deadline)
			continue;
		bool idle = c->state == WEB_LINGERING ||
		            (c->state == WEB_READING && !l->options.one_request && !web_reader_begun(&c->reader) && c->served);
		if (!idle)
			web_listener_dropped(l, WEB_DROP_SLOW, web_connection_peer(c), NULL);
		web_connection_end(c);
	}
	if (list_empty(&l->connections))
		ev_timer_stop(loop, timer);
}

static void take(struct web_listener *l, int fd, const struct sockaddr *from)
{
	struct address peer;

	if (!address_from(from, 0, &peer)) {
		close(fd);
		return;
	}
	enum web_drop drop = l->count >= l->options.connections ? WEB_DROP_CONNECTIONS : fd >= l->options.descriptors ? WEB_DROP_DESCRIPTORS : WEB_DROPS;
	if (drop != WEB_DROPS) {
		close(fd);
		web_listener_dropped(l, drop, &peer, NULL);
		return;
	}
	if (list_empty(&l->connections))
		ev_timer_again(l->loop, &l->sweep);
	web_connection_create(l, fd, &peer);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct web_listener *l = io->data;
	(void)events;

	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof from;
		int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			take(l, fd, (struct sockaddr *)&from);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			web_listener_dropped(l, WEB_DROP_DESCRIPTORS, NULL, strerror(errno));
			ev_io_stop(loop, io);
			ev_timer_again(loop, &l->accept_pause);
			return;
		}
		/* Others are of that connection, which has ended already. */
	}
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_listener *l = timer->data;
	(void)events;
	ev_timer_stop(loop, timer);
	ev_io_start(loop, &l->accept_io);
}

/* ---- making it ---- */

/* The check of the option has seen to its form. */
static int read_listen(const struct web_listener_options *o, struct address *address, struct err *err)
{
	const char *colon = strrchr(o->listen, ':');
	struct slice host = slice_make(o->listen, (size_t)(colon - o->listen));

	if (host.len > 1 && host.ptr[0] == '[')
		host = slice_make(host.ptr + 1, host.len - 2);
	char *name = mem_slicedup(host);
	bool known = address_literal(name, (uint16_t)strtoul(colon + 1, NULL, 10), address);
	free(name);
	return known ? 0 : err_set(err, ERR_INVALID, "%s.listen %s: an IP address and a port are wanted, like 127.0.0.1:8080", o->name, o->listen);
}

static int listen_on(const struct web_listener_options *o, struct address *address, struct err *err)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd == -1)
		return err_system(err, "%s.listen %s", o->name, o->listen);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 || bind(fd, &address->any, address->len) == -1 ||
	    listen(fd, BACKLOG) == -1 || getsockname(fd, &address->any, &address->len) == -1) {
		if (errno == EADDRINUSE)
			err_set(err, ERR_SYSTEM, "%s.listen %s: in use; stop what listens there or choose another port", o->name, o->listen);
		else
			err_system(err, "%s.listen %s", o->name, o->listen);
		close(fd);
		return -1;
	}
	return fd;
}

struct web_listener *web_listener_create(struct ev_loop *loop, const struct web_listener_options *options, struct err *err)
{
	struct address address = { 0 };
	int fd;

	if (read_listen(options, &address, err) == -1 || (fd = listen_on(options, &address, err)) == -1)
		return NULL;
	struct web_listener *l = mem_zalloc(sizeof *l);
	l->options = *options;
	l->loop = loop;
	l->address = address;
	l->fd = fd;
	list_init(&l->connections);
	web_turn_init(&l->handshakes, loop);
	web_turn_init(&l->reading, loop);
	web_turn_init(&l->streaming, loop);
	ev_timer_init(&l->sweep, on_sweep, 0, SWEEP);
	ev_timer_init(&l->accept_pause, on_accept_pause, 0, ACCEPT_PAUSE);
	ev_io_init(&l->accept_io, on_accept, fd, EV_READ);
	ev_set_priority(&l->accept_io, WEB_TURN_PRIORITY);
	l->sweep.data = l->accept_pause.data = l->accept_io.data = l;
	ev_io_start(loop, &l->accept_io);
	return l;
}

void web_listener_destroy(struct web_listener **listener)
{
	struct web_listener *l = *listener;

	if (!l)
		return;
	*listener = NULL;
	list_each_safe(it, &l->connections)
		web_connection_end(list_entry(it, struct web_connection, node));
	ev_io_stop(l->loop, &l->accept_io);
	ev_timer_stop(l->loop, &l->accept_pause);
	ev_timer_stop(l->loop, &l->sweep);
	close(l->fd);
	free(l);
}
