/* The byte stream over real sockets of this host: its loop and the server's side run in one thread, step by step. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <net/if.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "net/stream.h"

static char folder[] = "/tmp/stream-test-XXXXXX";
static struct ev_loop *loop;

/* What the stream has told, and what is done when it does. */
static struct {
	unsigned connected, secured, failed, readable, writable;
	enum stream_failure why;
	struct err err;
	bool reads; /* take what there is, `room` bytes at a time */
	size_t room;
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
	seen.bytes = mem_realloc(seen.bytes, seen.len + seen.room + 1, 1);
	seen.last = stream_read(seen.stream, seen.bytes + seen.len, seen.room, &seen.why, &seen.err);
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

/* Takes a connection that waits; with a certificate of the folder, goes on with the handshake. */
static void server_step(void)
{
	if (server.fd == -1 && server.listener != -1)
		server.fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK);
	if (server.fd == -1 || !server.ctx || server.shaken)
		return;
	if (!server.ssl) {
		server.ssl = SSL_new(server.ctx);
		SSL_set_fd(server.ssl, server.fd);
	}
	ERR_clear_error();
	server.shaken = SSL_accept(server.ssl) == 1;
}

static void server_speaks_tls(const char *certificate)
{
	char *path = mem_printf("%s/%s.pem", folder, certificate);

	server.ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_num_tickets(server.ctx, 0); /* what the client reads first is what the test writes */
	CHECK(SSL_CTX_use_certificate_file(server.ctx, path, SSL_FILETYPE_PEM) == 1);
	CHECK(SSL_CTX_use_PrivateKey_file(server.ctx, path, SSL_FILETYPE_PEM) == 1);
	free(path);
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
	seen.room = 65536;
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

/* A port of 127.0.0.1 on which nobody listens. */
static struct address dead_address(void)
{
	struct address address;
	server_listen("127.0.0.1", 1);
	address = server.address;
	server_end();
	return address;
}

static void connect_to_server(void)
{
	stream_connect(seen.stream, &server.address, 1, 10);
	AWAIT(seen.connected == 1 && server.fd != -1);
}

static struct tls *trusting(struct tls_pool *pool, const char *authority, bool verify)
{
	struct err err = { 0 };
	char *ca = mem_printf("%s/%s.pem", folder, authority);
	struct tls_options options = { .verify = verify, .ca = ca };
	struct tls *tls = tls_get(pool, &options, &err);
	CHECK_NAMED(tls, err.text);
	free(ca);
	return tls;
}

static struct tls *make_tls(struct tls_pool *pool, bool verify)
{
	return trusting(pool, "ca", verify);
}

/* The descriptor of the connection that the server has accepted. */
static int client_fd(void)
{
	struct address peer, own;
	socklen_t len = sizeof peer.in6, own_len;

	CHECK(getpeername(server.fd, &peer.any, &len) == 0);
	for (int fd = 0; fd < 1024; fd++) {
		own_len = sizeof own.in6;
		if (fd != server.fd && getsockname(fd, &own.any, &own_len) == 0 && own_len == len && memcmp(&own.any, &peer.any, len) == 0)
			return fd;
	}
	return -1;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;
	CHECK(getsockopt(fd, level, name, &value, &len) == 0);
	return value;
}

/* ---- plain ---- */

static void a_connection_carries_bytes_both_ways(void)
{
	char got[16];

	begin();
	server_listen("127.0.0.1", 4);
	CHECK(stream_peer(seen.stream) == NULL);
	connect_to_server();
	CHECK(!stream_is_tls(seen.stream));
	CHECK(memcmp(stream_peer(seen.stream), &server.address, server.address.len) == 0);
	int fd = client_fd();
	CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
	CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
	CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
	CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 10);
	CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 6);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);

	/* Nothing is told before it is asked for. */
	CHECK(write(server.fd, "hello", 5) == 5);
	settle();
	CHECK(seen.readable == 0 && seen.writable == 0);
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(seen.len == 5);
	CHECK(memcmp(seen.bytes, "hello", 5) == 0);
	CHECK(stream_read(seen.stream, got, sizeof got, &seen.why, &seen.err) == 0);

	CHECK(stream_write(seen.stream, SLICE("answer"), &seen.why, &seen.err) == 6);
	AWAIT(recv(server.fd, got, sizeof got, MSG_PEEK) == 6);
	stream_want_write(seen.stream, true);
	AWAIT(seen.writable == 1);
	settle();
	CHECK(seen.writable == 1);
	stream_close(seen.stream);
	CHECK(stream_peer(seen.stream) == NULL);
	CHECK(recv(server.fd, got, 6, 0) == 6 && recv(server.fd, got, 6, 0) == 0);
	CHECK(seen.connected == 1 && seen.failed == 0);
	end();
}

static void one_object_serves_one_connection_after_the_other(void)
{
	begin();
	server_listen("::1", 4);
	connect_to_server();
	for (unsigned i = 2; i <= 3; i++) {
		/* Once it was closed, once it was not. */
		if (i == 2)
			stream_close(seen.stream);
		int before = server.fd;
		char byte;
		server.fd = -1;
		stream_connect(seen.stream, &server.address, 1, 10);
		AWAIT(seen.connected == i && server.fd != -1);
		AWAIT(recv(before, &byte, 1, 0) == 0);
		close(before);
		CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == 1);
		AWAIT(recv(server.fd, &byte, 1, 0) == 1);
	}
	end();
}

static void the_end_of_a_connection_is_named(void)
{
	char to[16];

	begin();
	server_listen("127.0.0.1", 4);
	connect_to_server();
	CHECK(write(server.fd, "bye", 3) == 3);
	server_hang_up(false);
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(!seen.reads);
	CHECK(seen.len == 3 && seen.why == STREAM_EOF && seen.err.code == ERR_SYSTEM);
	CHECK_NAMED(strcmp(seen.err.text, "the server closed the connection") == 0, seen.err.text);

	/* A reset. */
	stream_close(seen.stream);
	seen.connected = 0;
	connect_to_server();
	server_hang_up(true);
	seen.why = STREAM_EOF;
	AWAIT(stream_read(seen.stream, to, sizeof to, &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET && seen.err.code == ERR_SYSTEM);
	CHECK_NAMED(strstr(seen.err.text, "the connection broke (ECONNRESET)"), seen.err.text);
	CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET);
	CHECK_NAMED(strstr(seen.err.text, "the connection broke (EPIPE)"), seen.err.text);
	end();
}

static void what_the_socket_does_not_take_waits_for_writable(void)
{
	static char block[1 << 16];
	size_t sent = 0, got = 0;
	ssize_t n;

	begin();
	server_listen("127.0.0.1", 4);
	connect_to_server();
	while ((n = stream_write(seen.stream, slice_make(block, sizeof block), &seen.why, &seen.err)) > 0)
		sent += (size_t)n;
	CHECK(n == 0);
	stream_want_write(seen.stream, true);
	settle();
	CHECK(seen.writable == 0);
	uint64_t till = clock_mono_ns() + 10 * CLOCK_NS_PER_S;
	while (got < sent && clock_mono_ns() < till) {
		if ((n = read(server.fd, block, sizeof block)) > 0)
			got += (size_t)n;
		else
			turn();
	}
	CHECK(got == sent);
	AWAIT(seen.writable == 1);
	end();
}

/* ---- addresses that do not answer ---- */

static void a_refused_connection_is_named(void)
{
	struct address dead = dead_address();
	char *text = mem_printf("nothing listens on 127.0.0.1 port %u: is the manager interface on, and this its port? (ECONNREFUSED)",
	                        (unsigned)address_port(&dead));
	begin();
	stream_connect(seen.stream, &dead, 1, 10);
	AWAIT(seen.failed == 1);
	CHECK(seen.why == STREAM_REFUSED && seen.err.code == ERR_SYSTEM);
	CHECK_NAMED(strcmp(seen.err.text, text) == 0, seen.err.text);
	CHECK(stream_peer(seen.stream) == NULL);
	settle();
	CHECK(seen.failed == 1 && seen.connected == 0);
	free(text);
	end();
}

static void an_unreachable_address_is_named_at_once(void)
{
	struct address broadcast, odd = { .any.sa_family = AF_UNIX, .len = 2 };

	begin();
	CHECK(address_literal("255.255.255.255", 5038, &broadcast));
	stream_connect(seen.stream, &broadcast, 1, 10);
	CHECK(seen.failed == 1 && seen.why == STREAM_UNREACHABLE);
	CHECK_NAMED(strstr(seen.err.text, "no way to 255.255.255.255 port 5038: check network and firewall (E"), seen.err.text);
	stream_connect(seen.stream, &odd, 1, 10);
	CHECK(seen.failed == 2 && seen.why == STREAM_SYSTEM);
	CHECK_NAMED(strstr(seen.err.text, "cannot connect to "), seen.err.text);
	end();
}

static void a_host_without_descriptors_is_its_own_fault(void)
{
	struct rlimit before, none;

	begin();
	server_listen("127.0.0.1", 4);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	stream_connect(seen.stream, &server.address, 1, 10);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(seen.failed == 1 && seen.why == STREAM_SYSTEM && seen.err.code == ERR_SYSTEM);
	CHECK_NAMED(strstr(seen.err.text, "(EMFILE)") && strstr(seen.err.text, "cannot connect to 127.0.0.1 port "), seen.err.text);
	end();
}

static void the_next_address_is_tried_and_the_last_failure_told(void)
{
	struct address dead = dead_address(), list[3];

	begin();
	server_listen("127.0.0.1", 4);
	list[0] = dead;
	CHECK(address_literal("255.255.255.255", 5038, &list[1]));
	list[2] = server.address;
	stream_connect(seen.stream, list, 3, 10);
	/* They are copied. */
	memset(list, 0, sizeof list);
	AWAIT(seen.connected == 1);
	CHECK(seen.failed == 0);
	CHECK(address_port(stream_peer(seen.stream)) == address_port(&server.address));
	stream_close(seen.stream);

	CHECK(address_literal("255.255.255.255", 5038, &list[0]));
	list[1] = dead;
	stream_connect(seen.stream, list, 2, 10);
	AWAIT(seen.failed == 1);
	CHECK(seen.why == STREAM_REFUSED);
	/* Behind the deadline none is begun. */
	list[1] = server.address;
	stream_connect(seen.stream, list, 2, 0);
	AWAIT(seen.failed == 2);
	CHECK(seen.why == STREAM_UNREACHABLE && seen.connected == 1);
	end();
}

/* A port whose queue is full drops what comes: the connects that fill it. */
static void fill_queue(int fillers[8])
{
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], &server.address.any, server.address.len);
	}
	usleep(20000);
}

static double since(uint64_t from)
{
	return (double)(clock_mono_ns() - from) / 1e9;
}

static void a_silent_address_gets_its_share_of_the_time(void)
{
	struct address silent, list[3];
	int fillers[8], full;

	begin();
	server_listen("127.0.0.1", 0);
	full = server.listener;
	silent = server.address;
	fill_queue(fillers);
	server_listen("127.0.0.1", 4);
	list[0] = list[1] = silent;
	list[2] = server.address;
	uint64_t from = clock_mono_ns();
	stream_connect(seen.stream, list, 3, 0.6);
	AWAIT(seen.connected == 1);
	CHECK(since(from) > 0.39);
	CHECK(address_port(stream_peer(seen.stream)) == address_port(&server.address));
	stream_close(seen.stream);

	from = clock_mono_ns();
	stream_connect(seen.stream, list, 2, 0.3);
	/* Nothing to do for it yet. */
	stream_poll(seen.stream);
	CHECK(seen.connected == 1);
	AWAIT(seen.failed == 1);
	CHECK(seen.why == STREAM_TIMEOUT && seen.err.code == ERR_TIMEOUT);
	CHECK_NAMED(strstr(seen.err.text, "no answer from 127.0.0.1 port ") && strstr(seen.err.text, "(ETIMEDOUT)"), seen.err.text);
	CHECK(since(from) > 0.29);
	/* The deadline counts from now, however old the loop's own idea of now is. */
	ev_now_update(loop);
	usleep(300000);
	stream_connect(seen.stream, list, 1, 0.25);
	ev_run(loop, EVRUN_NOWAIT);
	CHECK(seen.failed == 1);
	stream_close(seen.stream);
	for (int i = 0; i < 8; i++)
		close(fillers[i]);
	close(full);
	end();
}

static void a_pause_before_the_deadline_loses_no_connection(void)
{
	begin();
	server_listen("127.0.0.1", 4);
	stream_connect(seen.stream, &server.address, 1, 0.01);
	usleep(50000);
	AWAIT(seen.connected == 1 || seen.failed == 1);
	CHECK(seen.connected == 1);
	stream_close(seen.stream);
	/* Its user may look before the loop does. */
	stream_connect(seen.stream, &server.address, 1, 10);
	usleep(5000);
	stream_poll(seen.stream);
	CHECK(seen.connected == 2);
	stream_poll(seen.stream);
	settle();
	CHECK(seen.connected == 2 && seen.failed == 0);
	end();
}

/* In a network of its own with one free port, a connect to that port meets itself. */
static void a_connection_to_itself_is_refused(void)
{
	pid_t child = fork();
	if (child == 0) {
		struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
		int fd, ports;
		if (unshare(CLONE_NEWNET) == -1)
			_exit(77);
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		ports = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
		if (ioctl(fd, SIOCSIFFLAGS, &lo) == -1 || ports == -1 || write(ports, "45038 45038", 11) != 11)
			_exit(77);
		struct address own;
		ev_loop_fork(loop);
		begin();
		(void)address_literal("127.0.0.1", 45038, &own);
		stream_connect(seen.stream, &own, 1, 10);
		for (int i = 0; i < 1000 && !seen.connected && !seen.failed; i++)
			turn();
		_exit(seen.connected == 0 && seen.failed == 1 && seen.why == STREAM_REFUSED ? 0 : 1);
	}
	int status = -1;
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("a connection to itself: needs root and network namespaces, left out\n");
	else
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- TLS ---- */

static void secure(struct tls *tls, const char *certificate)
{
	begin();
	server_listen("127.0.0.1", 4);
	server_speaks_tls(certificate);
	connect_to_server();
	stream_start_tls(seen.stream, tls, "pbx.example");
}

static void tls_carries_bytes_both_ways(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static char block[100000], got[100000];
	size_t n;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(stream_is_tls(seen.stream));
	CHECK(strcmp(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "pbx.example") == 0);
	settle();
	CHECK(seen.readable == 0 && seen.writable == 0 && seen.secured == 1);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(i * 7 % 251);
	seen.reads = true;
	seen.room = 1000; /* OpenSSL holds what is left of a record */
	stream_start_read(seen.stream);
	CHECK(SSL_write_ex(server.ssl, block, sizeof block, &n) == 1);
	AWAIT(seen.len == sizeof block);
	CHECK(memcmp(seen.bytes, block, sizeof block) == 0);
	unsigned calls = seen.readable;
	CHECK(calls >= 100);
	settle();
	CHECK(seen.readable <= calls + 1);

	CHECK(stream_write(seen.stream, SLICE("answer"), &seen.why, &seen.err) == 6);
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 1);
	CHECK(n == 6 && memcmp(got, "answer", 6) == 0);
	/* The peer hears of the end. */
	stream_close(seen.stream);
	CHECK(!stream_is_tls(seen.stream));
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 0 && SSL_get_shutdown(server.ssl) == SSL_RECEIVED_SHUTDOWN);
	CHECK(seen.failed == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void tls_hands_out_everything_before_the_end(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static const struct {
		bool shutdown, reset;
		enum stream_failure why;
		const char *text;
	} ends[] = {
		{ true, false, STREAM_EOF, "the server closed the connection" },
		{ false, false, STREAM_EOF, "the server closed the connection without ending TLS" },
	};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		size_t n;
		secure(tls, "good");
		AWAIT(seen.secured == 1 && server.shaken);
		CHECK(SSL_write_ex(server.ssl, "last words", 10, &n) == 1);
		if (ends[i].shutdown)
			SSL_shutdown(server.ssl);
		server_hang_up(ends[i].reset);
		usleep(5000);
		seen.reads = true;
		stream_start_read(seen.stream);
		AWAIT(!seen.reads);
		CHECK(seen.len == 10 && memcmp(seen.bytes, "last words", 10) == 0);
		CHECK(seen.why == ends[i].why);
		CHECK_NAMED(strcmp(seen.err.text, ends[i].text) == 0, seen.err.text);
		/* It stays over, in both directions. */
		seen.why = STREAM_REFUSED;
		seen.err.text[0] = '\0';
		CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == -1);
		CHECK(seen.why == ends[i].why && strcmp(seen.err.text, ends[i].text) == 0);
		seen.why = STREAM_REFUSED;
		seen.err.text[0] = '\0';
		char byte;
		CHECK(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
		CHECK(seen.why == ends[i].why && strcmp(seen.err.text, ends[i].text) == 0);
		end();
	}
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void tls_that_breaks_is_named(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	char byte;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(write(server.fd, "\x17\x03\x03\x00\x10" "not what was sealed", 21) == 21);
	AWAIT(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL);
	CHECK_NAMED(strstr(seen.err.text, "TLS failed with pbx.example: "), seen.err.text);
	end();

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	server_hang_up(true);
	usleep(5000);
	AWAIT(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET);
	CHECK_NAMED(strstr(seen.err.text, "the connection broke (ECONNRESET)"), seen.err.text);
	end();

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	server_hang_up(true);
	usleep(5000);
	CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET && seen.err.code == ERR_SYSTEM);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void bytes_behind_the_handshake_are_not_lost(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	size_t n;

	secure(tls, "good");
	/* The server writes as soon as it may: its bytes come with the end of the handshake, or right behind. */
	AWAIT(server.shaken);
	CHECK(SSL_write_ex(server.ssl, "banner", 6, &n) == 1);
	AWAIT(seen.secured == 1);
	settle();
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(seen.len == 6);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void bad_certificates_end_the_handshake(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true), *careless = make_tls(pool, false);
	static const char *const bad[][2] = {
		{ "other", "the certificate is for another name than pbx.example (it says other.example)" },
		{ "expired", "the certificate of pbx.example has expired (20" },
		{ "self-signed", "the certificate of pbx.example is self-signed and not trusted" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		secure(tls, bad[i][0]);
		AWAIT(seen.failed == 1);
		CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL && seen.secured == 0);
		CHECK_NAMED(strstr(seen.err.text, bad[i][1]) == seen.err.text, seen.err.text);
		CHECK(stream_peer(seen.stream) == NULL && !stream_is_tls(seen.stream));
		end();
		secure(careless, bad[i][0]);
		AWAIT(seen.secured == 1);
		end();
	}
	struct tls *stranger = trusting(pool, "self-signed", true);
	secure(stranger, "good");
	AWAIT(seen.failed == 1);
	CHECK_NAMED(strstr(seen.err.text, "the certificate of pbx.example is signed by an unknown authority: name its certificate as tls.ca"), seen.err.text);
	end();
	tls_release(&stranger);
	tls_release(&tls);
	tls_release(&careless);
	tls_pool_destroy(&pool);
}

static void a_port_without_tls_is_named(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	char hello[1024];

	begin();
	server_listen("127.0.0.1", 4);
	connect_to_server();
	stream_start_tls(seen.stream, tls, "pbx.example");
	/* Without waiting for the loop, and more than once. */
	AWAIT(recv(server.fd, hello, sizeof hello, 0) > 0);
	CHECK(write(server.fd, "Asterisk Call Manager/9.0.0\r\n", 29) == 29);
	usleep(5000);
	stream_poll(seen.stream);
	CHECK(seen.failed == 1 && seen.why == STREAM_TLS);
	CHECK_NAMED(strstr(seen.err.text, "the server does not speak TLS here"), seen.err.text);
	stream_poll(seen.stream);
	CHECK(seen.failed == 1);

	seen.connected = 0;
	server_hang_up(false);
	connect_to_server();
	stream_start_tls(seen.stream, tls, "pbx.example");
	AWAIT(recv(server.fd, hello, sizeof hello, 0) > 0);
	server_hang_up(false);
	AWAIT(seen.failed == 2);
	CHECK(seen.why == STREAM_TLS);
	CHECK_NAMED(strcmp(seen.err.text, "the server closed the connection in the TLS handshake: does this port speak TLS?") == 0, seen.err.text);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* The server asks for new keys while the client's direction is full: the answer to that has to wait, and everything goes on
 * when there is space. */
static void tls_waits_for_the_other_direction(bool write_wanted)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static char block[1 << 14], sink[1 << 16];
	size_t n, sent = 0, got = 0;
	ssize_t written;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	while ((written = stream_write(seen.stream, slice_make(block, sizeof block), &seen.why, &seen.err)) > 0)
		sent += (size_t)written;
	CHECK(written == 0);
	stream_want_write(seen.stream, write_wanted);
	seen.reads = true;
	stream_start_read(seen.stream);
	CHECK(SSL_key_update(server.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
	CHECK(SSL_write_ex(server.ssl, "news", 4, &n) == 1);
	settle();
	uint64_t till = clock_mono_ns() + 10 * CLOCK_NS_PER_S;
	while ((got < sent || seen.len < 4) && clock_mono_ns() < till) {
		if (SSL_read_ex(server.ssl, sink, sizeof sink, &n) == 1)
			got += n;
		else
			turn();
	}
	CHECK(seen.len == 4 && got >= sent);
	if (write_wanted)
		AWAIT(seen.writable >= 1);
	settle();
	CHECK(seen.writable == write_wanted);
	CHECK(seen.failed == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	const char *slash = strrchr(argv[0], '/');
	if (!mkdtemp(folder))
		return 1;
	char *command = mem_printf("%.*scertificates %s", slash ? (int)(slash + 1 - argv[0]) : 0, argv[0], folder);
	CHECK(system(command) == 0);
	free(command);
	signal(SIGPIPE, SIG_IGN);
	loop = ev_default_loop(0);
	server_end();
	a_connection_carries_bytes_both_ways();
	one_object_serves_one_connection_after_the_other();
	the_end_of_a_connection_is_named();
	what_the_socket_does_not_take_waits_for_writable();
	a_refused_connection_is_named();
	an_unreachable_address_is_named_at_once();
	a_host_without_descriptors_is_its_own_fault();
	the_next_address_is_tried_and_the_last_failure_told();
	a_silent_address_gets_its_share_of_the_time();
	a_pause_before_the_deadline_loses_no_connection();
	a_connection_to_itself_is_refused();
	tls_carries_bytes_both_ways();
	tls_hands_out_everything_before_the_end();
	tls_that_breaks_is_named();
	bytes_behind_the_handshake_are_not_lost();
	bad_certificates_end_the_handshake();
	a_port_without_tls_is_named();
	tls_waits_for_the_other_direction(true);
	tls_waits_for_the_other_direction(false);
	ev_loop_destroy(loop);
	command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
