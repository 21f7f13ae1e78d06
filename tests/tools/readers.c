/* Many clients of the API in one process: COUNT streams that are read, or left unread, and requests beside them.
 *
 * usage: readers [--deaf] [--requests N] [--last-id ID] [--bytes N] PORT TOKEN COUNT PATH
 *   --deaf       sends the requests for streams and reads nothing, with small receive buffers
 *   --requests   N GET /api/status a second on one connection of its own, which is kept
 *   --last-id    the streams go on behind the change with that id
 *   --bytes      prints "read" when the streams have had N bytes, all together
 *
 * Prints "asked" when all streams have been asked for, "reading" when every one has begun (--deaf: at once), and at SIGTERM a line of JSON: streams, ended (by the
 * other side), bytes (of the streams), requests, answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CHUNK 65536
#define DEAF_BUFFER 2048

enum kind { TIMER, SIGNALS, REQUESTS, STREAM };

struct client {
	enum kind kind;
	int fd;
	bool begun;
};

static struct sockaddr_in address = { .sin_family = AF_INET };
static const char *token, *last_id;
static bool deaf;
static size_t begun, ended, bytes, awaited, requests, answered;

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "readers: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int poll, struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	require(epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll");
}

static void ask(int fd, const char *path)
{
	char text[1024];
	int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s%s%s\r\n", path, token,
	                   last_id ? "Last-Event-ID: " : "", last_id ? last_id : "", last_id ? "\r\n" : "");

	require(len > 0 && (size_t)len < sizeof text && write(fd, text, (size_t)len) == len, "request");
}

static int connect_to(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = DEAF_BUFFER;

	require(fd != -1, "socket");
	if (deaf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	require(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0, "connect");
	return fd;
}

static void take(struct client *c)
{
	static char chunk[CHUNK];
	uint64_t ticks;
	ssize_t n = c->kind == TIMER ? read(c->fd, &ticks, sizeof ticks) : recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		require(c->kind == STREAM, "the connection of the requests");
		ended++;
		close(c->fd);
		return;
	}
	if (c->kind == STREAM) {
		/* The beginning of an answer comes in one piece. */
		if (!c->begun)
			require(n > 12 && memcmp(chunk, "HTTP/1.1 200", 12) == 0, "a stream was refused");
		begun += !c->begun;
		c->begun = true;
		bytes += (size_t)n;
		if (awaited > 0 && bytes >= awaited) {
			puts("read");
			fflush(stdout);
			awaited = 0;
		}
	} else if (c->kind == REQUESTS) {
		for (const char *at = chunk; (at = memmem(at, (size_t)(chunk + n - at), "HTTP/1.1 200", 12)); at += 12)
			answered++;
	}
}

static void report(size_t count)
{
	printf("{\"streams\":%zu,\"ended\":%zu,\"bytes\":%zu,\"requests\":%zu,\"answered\":%zu}\n", count, ended, bytes, requests, answered);
	exit(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "deaf", no_argument, NULL, 'd' }, { "requests", required_argument, NULL, 'r' },
		                                 { "last-id", required_argument, NULL, 'l' }, { "bytes", required_argument, NULL, 'b' }, { 0 } };
	struct client timer = { TIMER, -1, false }, signals = { SIGNALS, -1, false }, asks = { REQUESTS, -1, false };
	struct rlimit files;
	long rate = 0;
	sigset_t ends;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == '?')
			return 2;
		if (c == 'd')
			deaf = true;
		else if (c == 'l')
			last_id = optarg;
		else if (c == 'b')
			awaited = (size_t)atol(optarg);
		else
			rate = atol(optarg);
	}
	if (argc - optind != 4 || rate < 0 || rate > 1000)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	address.sin_port = htons((uint16_t)atoi(argv[optind]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	token = argv[optind + 1];
	size_t count = (size_t)atol(argv[optind + 2]);
	int poll = epoll_create1(EPOLL_CLOEXEC);
	struct client *streams = calloc(count + 1, sizeof *streams);
	require(poll != -1 && streams, "start");

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signals.fd = signalfd(-1, &ends, SFD_CLOEXEC);
	watch(poll, &signals);
	for (size_t i = 0; i < count; i++) {
		streams[i] = (struct client){ STREAM, connect_to(), false };
		ask(streams[i].fd, argv[optind + 3]);
		if (!deaf)
			watch(poll, &streams[i]);
	}
	puts("asked");
	fflush(stdout);
	if (rate > 0) {
		long ns = 1000000000 / rate;
		struct itimerspec every = { { ns / 1000000000, ns % 1000000000 }, { ns / 1000000000, ns % 1000000000 } };
		asks.fd = connect_to();
		timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		require(timer.fd != -1 && timerfd_settime(timer.fd, 0, &every, NULL) == 0, "timer");
		watch(poll, &asks);
		watch(poll, &timer);
	}
	for (bool said = false;;) {
		struct epoll_event events[256];

		if (!said && (deaf || begun == count)) {
			puts("reading");
			fflush(stdout);
			said = true;
		}
		int n = epoll_wait(poll, events, 256, -1);
		require(n >= 0 || errno == EINTR, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c->kind == SIGNALS)
				report(count);
			take(c);
			if (c->kind == TIMER) {
				ask(asks.fd, "/api/status");
				requests++;
			}
		}
	}
}
