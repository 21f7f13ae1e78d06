/* A stream over real sockets of this host: its loop and the server's side run in one thread, step by step. What stream_test.c and
 * stream_tls_test.c share. */
#ifndef TESTS_UNIT_STREAM_SUPPORT_H
#define TESTS_UNIT_STREAM_SUPPORT_H

#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "net/stream.h"

static struct ev_loop *loop;

/* What the stream has reported, and what is done then. */
static struct {
	unsigned connected, secured, failed, readable, writable;
	enum stream_failure why;
	struct err err;
	bool reads; /* take what there is, `space` bytes at a time */
	size_t space;
	char *bytes; /* owned */
	size_t len;
	ssize_t last;
	struct stream *stream;
} seen;

static void on_connected(void *ctx)
{
	(void)ctx;
	seen.connected++;
}

static void on_secured(void *ctx)
{
	(void)ctx;
	seen.secured++;
}

static void on_failed(void *ctx, enum stream_failure why, const struct err *err)
{
	(void)ctx;
	seen.failed++;
	seen.why = why;
	seen.err = *err;
}

static void on_readable(void *ctx)
{
	(void)ctx;
	seen.readable++;
	if (!seen.reads)
		return;
	seen.bytes = mem_realloc(seen.bytes, seen.len + seen.space + 1, 1);
	seen.last = stream_read(seen.stream, seen.bytes + seen.len, seen.space, &seen.why, &seen.err);
	if (seen.last > 0)
		seen.len += (size_t)seen.last;
	if (seen.last == -1)
		seen.reads = false;
}

static void on_writable(void *ctx)
{
	(void)ctx;
	seen.writable++;
	stream_want_write(seen.stream, false);
}

static const struct stream_handler handler = {
	.connected = on_connected, .secured = on_secured, .failed = on_failed, .readable = on_readable, .writable = on_writable,
};

/* ---- the server's side ---- */

static struct {
	int listener, fd;
	struct address address;
	SSL_CTX *ctx;
	SSL *ssl;
	bool shaken;
} server;

static void server_listen(const char *ip, int backlog)
{
	socklen_t len = sizeof server.address.in6;

	CHECK(address_literal(ip, 0, &server.address));
	server.listener = socket(server.address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	server.fd = -1;
	CHECK(bind(server.listener, &server.address.any, server.address.len) == 0);
	CHECK(listen(server.listener, backlog) == 0);
	CHECK(getsockname(server.listener, &server.address.any, &len) == 0);
	server.address.len = len;
}

/* Takes a connection that waits; with `ctx`, goes on with the handshake. */
static void server_step(void)
{
	if (server.fd == -1 && server.listener != -1)
		server.fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK);
	if (server.fd == -1 || !server.ctx || server.shaken)
		return;
	if (!server.ssl) {
		server.ssl = SSL_new(server.ctx);
		SSL_set_fd(server.ssl, server.fd);
		SSL_set_accept_state(server.ssl);
	}
	ERR_clear_error();
	server.shaken = SSL_do_handshake(server.ssl) == 1;
}

static void server_hang_up(bool reset)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	SSL_free(server.ssl);
	server.ssl = NULL;
	server.shaken = false;
	if (reset)
		CHECK(setsockopt(server.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
	close(server.fd);
	server.fd = -1;
}

static void server_end(void)
{
	if (server.fd != -1)
		server_hang_up(false);
	SSL_CTX_free(server.ctx);
	if (server.listener != -1)
		close(server.listener);
	memset(&server, 0, sizeof server);
	server.listener = server.fd = -1;
}

/* ---- helpers ---- */

static void begin(void)
{
	memset(&seen, 0, sizeof seen);
	seen.space = 65536;
	seen.stream = stream_create(loop, &handler, NULL);
}

static void end(void)
{
	stream_destroy(&seen.stream);
	CHECK(seen.stream == NULL);
	server_end();
	free(seen.bytes);
	seen.bytes = NULL;
}

/* Lets both sides go on until `condition`, at most 10 s. */
#define AWAIT(condition) \
	do { \
		uint64_t till_ = clock_mono_ns() + 10 * CLOCK_NS_PER_S; \
		bool met_; \
		while (!(met_ = (condition)) && clock_mono_ns() < till_) \
			turn(); \
		CHECK_NAMED(met_, #condition); \
	} while (0)

static void turn(void)
{
	server_step();
	ev_run(loop, EVRUN_NOWAIT);
	usleep(200);
}

/* Long enough for what must not come. */
static void settle(void)
{
	for (int i = 0; i < 30; i++)
		turn();
}

static void connect_to_server(void)
{
	stream_connect(seen.stream, &server.address, 1, 10);
	AWAIT(seen.connected == 1 && server.fd != -1);
}

static void loop_open(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = ev_default_loop(0);
	server_end();
}

#endif
