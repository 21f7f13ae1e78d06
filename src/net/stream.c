#include "net/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define RECORDS_MAX 256 /* of TLS in one read: each costs a microsecond, however few bytes it holds */

enum phase { CLOSED, CONNECTING, OPEN, HANDSHAKE };

struct stream {
	struct ev_loop *loop;
	const struct stream_handler *handler;
	void *ctx;
	enum phase phase;
	int fd;
	SSL *ssl;
	char *name; /* owned: of the server, for TLS and its errors */
	ev_io reader, writer;
	ev_timer timer; /* of the address that is being tried */
	struct address *addresses; /* owned */
	size_t count, next;        /* `next - 1` is being tried or connected */
	uint64_t deadline;         /* of all addresses together */
	bool read_wanted, write_wanted;
	bool read_wants_write, write_wants_read; /* TLS may need the other direction first */
	bool broken; /* the last bytes were handed out, and behind them the connection was over */
	enum stream_failure broken_why;
	struct err *broken_err; /* owned; NULL unless broken */
};

static void update_reader(struct stream *stream)
{
	if (stream->read_wanted || stream->write_wants_read || stream->phase == HANDSHAKE)
		ev_io_start(stream->loop, &stream->reader);
	else
		ev_io_stop(stream->loop, &stream->reader);
}

static void update_writer(struct stream *stream)
{
	if (stream->write_wanted || stream->read_wants_write)
		ev_io_start(stream->loop, &stream->writer);
	else
		ev_io_stop(stream->loop, &stream->writer);
}

static void close_socket(struct stream *stream)
{
	ev_io_stop(stream->loop, &stream->reader);
	ev_io_stop(stream->loop, &stream->writer);
	ev_timer_stop(stream->loop, &stream->timer);
	if (stream->ssl) {
		/* Notifies the peer, if the socket takes it now; an answer is not waited for. */
		if (stream->phase == OPEN && !stream->broken)
			SSL_shutdown(stream->ssl);
		ERR_clear_error();
		SSL_free(stream->ssl);
		stream->ssl = NULL;
	}
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	stream->read_wanted = stream->write_wanted = stream->read_wants_write = stream->write_wants_read = false;
	stream->broken = false;
	free(stream->broken_err);
	stream->broken_err = NULL;
}

void stream_close(struct stream *stream)
{
	close_socket(stream);
	stream->phase = CLOSED;
	free(stream->addresses);
	free(stream->name);
	stream->addresses = NULL;
	stream->name = NULL;
	stream->count = stream->next = 0;
}

static enum stream_failure classify(int error, bool connecting)
{
	switch (error) {
	case ECONNREFUSED:
		return STREAM_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EACCES:
	case EPERM:
		return STREAM_UNREACHABLE;
	case ETIMEDOUT:
		return connecting ? STREAM_TIMEOUT : STREAM_RESET;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return STREAM_RESET;
	default:
		return STREAM_SYSTEM;
	}
}

static const char *errno_name(int error)
{
	const char *name = strerrorname_np(error);
	return name ? name : "?";
}

static void fail(struct stream *stream, enum stream_failure why, const struct err *err)
{
	stream_close(stream);
	stream->handler->failed(stream->ctx, why, err);
}

static void try_next(struct stream *stream);

/* This address did not work; the last one's failure is what is reported. */
static void address_failed(struct stream *stream, int error)
{
	const struct address *address = &stream->addresses[stream->next - 1];
	enum stream_failure why = classify(error, true);
	char ip[ADDRESS_TEXT_MAX];
	struct err err;

	address_text(address, ip);
	unsigned port = address_port(address);
	switch (why) {
	case STREAM_REFUSED:
		err_set(&err, ERR_SYSTEM, "nothing listens on %s port %u: is the manager interface on, and this its port? (%s)", ip,
		        port, errno_name(error));
		break;
	case STREAM_UNREACHABLE:
		err_set(&err, ERR_SYSTEM, "no way to %s port %u: check network and firewall (%s)", ip, port, errno_name(error));
		break;
	case STREAM_TIMEOUT:
		err_set(&err, ERR_TIMEOUT, "no answer from %s port %u: check network and firewall (%s)", ip, port,
		        errno_name(error));
		break;
	default:
		errno = error;
		err_system(&err, "cannot connect to %s port %u (%s)", ip, port, errno_name(error));
	}
	close_socket(stream);
	if (stream->next < stream->count && clock_mono_ns() < stream->deadline)
		try_next(stream);
	else
		fail(stream, why, &err);
}

static void set_options(int fd)
{
	/* A refused option costs speed or a later discovery of a dead peer, nothing else. */
	const int on = 1, idle = 60, interval = 10, count = 6;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* On the same host, a connect to a port where nothing listens can meet itself when that port is its own. */
static bool connected_to_itself(int fd)
{
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof own, peer_len = sizeof peer;

	return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
	       memcmp(&own, &peer, own_len) == 0;
}

/* The socket says that connect() has ended. */
static void connect_ended(struct stream *stream)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error == 0 && connected_to_itself(stream->fd))
		error = ECONNREFUSED;
	if (error) {
		address_failed(stream, error);
		return;
	}
	ev_timer_stop(stream->loop, &stream->timer);
	stream->write_wanted = false;
	update_writer(stream);
	set_options(stream->fd);
	stream->phase = OPEN;
	stream->handler->connected(stream->ctx);
}

static void try_next(struct stream *stream)
{
	const struct address *address = &stream->addresses[stream->next++];
	uint64_t now = clock_mono_ns();
	uint64_t left = stream->deadline > now ? stream->deadline - now : 0;
	double share = (double)left / 1e9 / (double)(stream->count - stream->next + 1);

	stream->phase = CONNECTING;
	stream->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (stream->fd == -1) {
		address_failed(stream, errno);
		return;
	}
	ev_io_set(&stream->reader, stream->fd, EV_READ);
	ev_io_set(&stream->writer, stream->fd, EV_WRITE);
	if (connect(stream->fd, &address->any, address->len) == -1 && errno != EINPROGRESS) {
		address_failed(stream, errno);
		return;
	}
	stream->write_wanted = true;
	update_writer(stream);
	/* A long turn may lie behind us: the deadline counts from now. */
	ev_now_update(stream->loop);
	ev_timer_set(&stream->timer, share, 0);
	ev_timer_start(stream->loop, &stream->timer);
}

static bool socket_ready(const struct stream *stream)
{
	struct pollfd pfd = { .fd = stream->fd, .events = POLLOUT };
	return poll(&pfd, 1, 0) == 1;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct stream *stream = timer->data;
	if (socket_ready(stream))
		connect_ended(stream);
	else
		address_failed(stream, ETIMEDOUT);
}

static void handshake(struct stream *stream)
{
	ERR_clear_error();
	errno = 0;
	int result = SSL_do_handshake(stream->ssl);
	if (result == 1) {
		stream->write_wanted = false;
		stream->phase = OPEN;
		update_reader(stream);
		update_writer(stream);
		stream->handler->secured(stream->ctx);
		return;
	}
	int wants = SSL_get_error(stream->ssl, result);
	if (wants == SSL_ERROR_WANT_READ || wants == SSL_ERROR_WANT_WRITE) {
		stream->write_wanted = wants == SSL_ERROR_WANT_WRITE;
		update_writer(stream);
		return;
	}
	struct err err;
	if (tls_failed(stream->ssl, result, stream->name, &err))
		err_set(&err, ERR_PROTOCOL, SSL_is_server(stream->ssl) ? "the client closed the connection in the TLS handshake"
		                                                       : "the server closed the connection in the TLS handshake: does this port speak TLS?");
	fail(stream, STREAM_TLS, &err);
}

static void handshake_ready(struct stream *stream)
{
	if (stream->handler->handshake)
		stream->handler->handshake(stream->ctx);
	else
		handshake(stream);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop, (void)events;
	struct stream *stream = io->data;

	if (stream->phase == HANDSHAKE) {
		handshake_ready(stream);
	} else if (stream->write_wants_read) {
		/* Once: the watcher is level-triggered and comes back for the reader. */
		stream->write_wants_read = false;
		update_reader(stream);
		stream->handler->writable(stream->ctx);
	} else {
		stream->handler->readable(stream->ctx);
	}
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop, (void)events;
	struct stream *stream = io->data;

	if (stream->phase == CONNECTING) {
		connect_ended(stream);
	} else if (stream->phase == HANDSHAKE) {
		handshake_ready(stream);
	} else if (stream->read_wants_write) {
		stream->read_wants_write = false;
		update_writer(stream);
		stream->handler->readable(stream->ctx);
	} else {
		stream->handler->writable(stream->ctx);
	}
}

struct stream *stream_create(struct ev_loop *loop, const struct stream_handler *handler, void *ctx)
{
	struct stream *stream = mem_zalloc(sizeof *stream);

	stream->loop = loop;
	stream->handler = handler;
	stream->ctx = ctx;
	stream->fd = -1;
	ev_io_init(&stream->reader, on_readable, -1, EV_READ);
	ev_io_init(&stream->writer, on_writable, -1, EV_WRITE);
	ev_timer_init(&stream->timer, on_timer, 0, 0);
	stream->reader.data = stream->writer.data = stream->timer.data = stream;
	return stream;
}

void stream_destroy(struct stream **stream)
{
	if (!*stream)
		return;
	stream_close(*stream);
	free(*stream);
	*stream = NULL;
}

void stream_set_priority(struct stream *stream, int priority)
{
	ev_set_priority(&stream->reader, priority);
	ev_set_priority(&stream->writer, priority);
	ev_set_priority(&stream->timer, priority);
}

void stream_connect(struct stream *stream, const struct address *addresses, size_t count, double timeout)
{
	stream_close(stream);
	stream->addresses = mem_alloc(count * sizeof *addresses);
	memcpy(stream->addresses, addresses, count * sizeof *addresses);
	stream->count = count;
	stream->deadline = clock_mono_ns() + clock_from_seconds(timeout);
	try_next(stream);
}

void stream_start_tls(struct stream *stream, struct tls *tls, const char *name)
{
	struct err err;

	stream->name = mem_strdup(name);
	stream->ssl = tls_session(tls, stream->fd, name, &err);
	if (!stream->ssl) {
		fail(stream, STREAM_TLS, &err);
		return;
	}
	stream->phase = HANDSHAKE;
	update_reader(stream);
	handshake(stream);
}

void stream_accept(struct stream *stream, int fd, const struct address *peer)
{
	stream_close(stream);
	stream->addresses = mem_alloc(sizeof *peer);
	*stream->addresses = *peer;
	stream->count = stream->next = 1;
	stream->fd = fd;
	ev_io_set(&stream->reader, fd, EV_READ);
	ev_io_set(&stream->writer, fd, EV_WRITE);
	set_options(fd);
	stream->phase = OPEN;
}

void stream_serve_tls(struct stream *stream, struct tls *tls)
{
	struct err err;

	stream->ssl = tls_serve(tls, stream->fd, &err);
	if (!stream->ssl) {
		fail(stream, STREAM_TLS, &err);
		return;
	}
	stream->phase = HANDSHAKE;
	update_reader(stream);
}

void stream_poll(struct stream *stream)
{
	if (stream->phase == HANDSHAKE)
		handshake(stream);
	else if (stream->phase == CONNECTING && socket_ready(stream))
		connect_ended(stream);
}

void stream_start_read(struct stream *stream)
{
	stream->read_wanted = true;
	update_reader(stream);
	/* TLS may have read ahead in the handshake. */
	if (stream->ssl && SSL_has_pending(stream->ssl))
		ev_feed_event(stream->loop, &stream->reader, EV_READ);
}

void stream_stop_read(struct stream *stream)
{
	stream->read_wanted = false;
	ev_clear_pending(stream->loop, &stream->reader);
	update_reader(stream);
}

void stream_want_write(struct stream *stream, bool wanted)
{
	stream->write_wanted = wanted;
	update_writer(stream);
}

/* -1, with what a TLS call that failed for good means. */
static ssize_t tls_broken(struct stream *stream, int result, enum stream_failure *why, struct err *err)
{
	int saved = errno;
	if (tls_failed(stream->ssl, result, stream->name, err))
		*why = saved ? classify(saved, false) : STREAM_EOF;
	else
		*why = STREAM_TLS;
	/* Nothing more may be done with the session, not even its shutdown. */
	stream->broken = true;
	stream->broken_why = *why;
	stream->broken_err = mem_alloc(sizeof *err);
	*stream->broken_err = *err;
	return -1;
}

static ssize_t tls_read(struct stream *stream, char *to, size_t space, enum stream_failure *why, struct err *err)
{
	size_t got = 0;

	if (stream->broken) {
		*why = stream->broken_why;
		*err = *stream->broken_err;
		return -1;
	}
	for (unsigned records = 0; got < space && records < RECORDS_MAX; records++) {
		size_t n = 0;
		ERR_clear_error();
		errno = 0;
		int result = SSL_read_ex(stream->ssl, to + got, space - got, &n);
		if (result == 1) {
			got += n;
			continue;
		}
		int wants = SSL_get_error(stream->ssl, result);
		if (wants == SSL_ERROR_WANT_READ)
			return (ssize_t)got;
		if (wants == SSL_ERROR_WANT_WRITE) {
			stream->read_wants_write = true;
			update_writer(stream);
			return (ssize_t)got;
		}
		tls_broken(stream, result, why, err);
		if (got == 0)
			return -1;
		break;
	}
	/* No event of the socket comes for what OpenSSL holds already. */
	if (stream->broken || SSL_has_pending(stream->ssl))
		ev_feed_event(stream->loop, &stream->reader, EV_READ);
	return (ssize_t)got;
}

static ssize_t tls_write(struct stream *stream, struct slice bytes, enum stream_failure *why, struct err *err)
{
	size_t n = 0;

	if (stream->broken) {
		*why = stream->broken_why;
		*err = *stream->broken_err;
		return -1;
	}
	ERR_clear_error();
	errno = 0;
	int result = SSL_write_ex(stream->ssl, bytes.ptr, bytes.len, &n);
	if (result == 1)
		return (ssize_t)n;
	int wants = SSL_get_error(stream->ssl, result);
	if (wants == SSL_ERROR_WANT_READ) {
		stream->write_wants_read = true;
		update_reader(stream);
	}
	if (wants == SSL_ERROR_WANT_READ || wants == SSL_ERROR_WANT_WRITE)
		return 0;
	return tls_broken(stream, result, why, err);
}

static ssize_t broke(enum stream_failure *why, struct err *err)
{
	*why = classify(errno, false);
	err_system(err, "the connection broke (%s)", errno_name(errno));
	return -1;
}

ssize_t stream_read(struct stream *stream, char *to, size_t space, enum stream_failure *why, struct err *err)
{
	if (stream->ssl)
		return tls_read(stream, to, space, why, err);
	ssize_t n = recv(stream->fd, to, space, 0);
	if (n > 0)
		return n;
	if (n == 0) {
		*why = STREAM_EOF;
		return err_set(err, ERR_SYSTEM, "the server closed the connection");
	}
	return errno == EAGAIN || errno == EINTR ? 0 : broke(why, err);
}

ssize_t stream_write(struct stream *stream, struct slice bytes, enum stream_failure *why, struct err *err)
{
	if (stream->ssl)
		return tls_write(stream, bytes, why, err);
	ssize_t n = send(stream->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : broke(why, err);
}

void stream_finish(struct stream *stream)
{
	if (stream->ssl && !stream->broken)
		SSL_shutdown(stream->ssl);
	ERR_clear_error();
	/* It fails when the peer has gone, which the next read reports. */
	shutdown(stream->fd, SHUT_WR);
}

void stream_limit_unsent(struct stream *stream, int bytes)
{
	/* A refusal costs memory of the kernel's, nothing else. */
	setsockopt(stream->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

bool stream_is_tls(const struct stream *stream)
{
	return stream->ssl != NULL;
}

double stream_certificate_end(const struct stream *stream)
{
	return stream->ssl ? tls_certificate_end(stream->ssl) : 0;
}

const struct address *stream_peer(const struct stream *stream)
{
	return stream->next > 0 ? &stream->addresses[stream->next - 1] : NULL;
}
