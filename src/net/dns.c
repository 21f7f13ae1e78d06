#include "net/dns.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

struct dns {
	struct ev_loop *loop;
	ares_channel channel;
	ev_timer timer; /* c-ares' own retries */
	struct list sockets;
	unsigned open;
};

struct dns_socket {
	struct list node;
	struct dns *dns;
	ev_io io;
};

struct question {
	struct dns *dns;
	dns_fn *fn;
	void *ctx;
};

static void arm(struct dns *dns)
{
	struct timeval left;

	ev_timer_stop(dns->loop, &dns->timer);
	if (!ares_timeout(dns->channel, NULL, &left))
		return;
	ev_timer_set(&dns->timer, (double)left.tv_sec + (double)left.tv_usec / 1e6, 0);
	ev_timer_start(dns->loop, &dns->timer);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct dns *dns = timer->data;
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(dns);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	struct dns *dns = ((struct dns_socket *)io->data)->dns;
	/* c-ares may close the socket in here, and `io` is gone then. */
	ares_process_fd(dns->channel, events & EV_READ ? io->fd : ARES_SOCKET_BAD, events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
	arm(dns);
}

static struct dns_socket *find_socket(struct dns *dns, int fd)
{
	list_each(it, &dns->sockets) {
		struct dns_socket *socket = list_entry(it, struct dns_socket, node);
		if (socket->io.fd == fd)
			return socket;
	}
	return NULL;
}

/* c-ares says what it wants to hear of a socket; neither: it is about to close it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = data;
	struct dns_socket *socket = find_socket(dns, fd);
	int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

	if (socket)
		ev_io_stop(dns->loop, &socket->io);
	if (!events) {
		if (socket)
			list_remove(&socket->node);
		free(socket);
		return;
	}
	if (!socket) {
		socket = mem_zalloc(sizeof *socket);
		socket->dns = dns;
		ev_init(&socket->io, on_socket);
		socket->io.data = socket;
		list_append(&dns->sockets, &socket->node);
	}
	ev_io_set(&socket->io, fd, events);
	ev_io_start(dns->loop, &socket->io);
}

struct dns *dns_create(struct err *err)
{
	struct dns *dns = mem_zalloc(sizeof *dns);
	char lookups[] = "b"; /* name servers only: c-ares would open the hosts file at each question */
	struct ares_options options = { .flags = ARES_FLAG_NOALIASES, .timeout = 2000, .tries = 3, .lookups = lookups };

	options.sock_state_cb = on_socket_state;
	options.sock_state_cb_data = dns;
	list_init(&dns->sockets);
	ev_timer_init(&dns->timer, on_retry, 0, 0);
	dns->timer.data = dns;
	int status = ares_init_options(&dns->channel, &options,
	                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		err_set(err, ERR_SYSTEM, "the DNS resolver cannot start: %s", ares_strerror(status));
		free(dns);
		return NULL;
	}
	return dns;
}

void dns_destroy(struct dns **dns)
{
	if (!*dns)
		return;
	ares_destroy((*dns)->channel);
	if ((*dns)->loop)
		ev_timer_stop((*dns)->loop, &(*dns)->timer);
	free(*dns);
	*dns = NULL;
}

void dns_attach(struct dns *dns, struct ev_loop *loop)
{
	dns->loop = loop;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	(void)timeouts;
	struct question question = *(struct question *)arg;

	free(arg);
	question.dns->open--;
	question.fn(question.ctx, status, result);
}

void dns_ask(struct dns *dns, const char *host, int family, dns_fn *fn, void *ctx)
{
	const struct ares_addrinfo_hints hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct question *question = mem_alloc(sizeof *question);

	*question = (struct question){ dns, fn, ctx };
	dns->open++;
	ares_getaddrinfo(dns->channel, host, NULL, &hints, on_answer, question);
	arm(dns);
}

unsigned dns_open(const struct dns *dns)
{
	return dns->open;
}

void dns_read(struct dns *dns)
{
	int fds[16];
	size_t count = 0;

	list_each(it, &dns->sockets)
		if (count < sizeof fds / sizeof fds[0])
			fds[count++] = list_entry(it, struct dns_socket, node)->io.fd;
	for (size_t i = 0; i < count; i++)
		if (find_socket(dns, fds[i]))
			ares_process_fd(dns->channel, fds[i], ARES_SOCKET_BAD);
	arm(dns);
}
