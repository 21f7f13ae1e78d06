/* The byte stream without TLS: bytes both ways, ends, addresses that do not answer. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <net/if.h>

#include "stream_support.h"

/* A port of 127.0.0.1 on which nobody listens. */
static struct address dead_address(void)
{
	struct address address;
	server_listen("127.0.0.1", 1);
	address = server.address;
	server_end();
	return address;
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

	/* Nothing is reported before it is asked for. */
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

static void the_next_address_is_tried_and_the_last_failure_reported(void)
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
	stream_connect(seen.stream, list, 3, 3);
	AWAIT(seen.connected == 1);
	CHECK(since(from) > 1.9);
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

int main(void)
{
	loop_open();
	a_connection_carries_bytes_both_ways();
	one_object_serves_one_connection_after_the_other();
	the_end_of_a_connection_is_named();
	what_the_socket_does_not_take_waits_for_writable();
	a_refused_connection_is_named();
	an_unreachable_address_is_named_at_once();
	a_host_without_descriptors_is_its_own_fault();
	the_next_address_is_tried_and_the_last_failure_reported();
	a_silent_address_gets_its_share_of_the_time();
	a_pause_before_the_deadline_loses_no_connection();
	a_connection_to_itself_is_refused();
	ev_loop_destroy(loop);
	return check_report();
}
