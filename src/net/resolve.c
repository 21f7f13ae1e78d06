#include "net/resolve.h"

#include <ares.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

struct resolver {
	struct ev_loop *loop;
	ares_channel channel;
	ev_timer timer; /* c-ares' own retries */
	struct list sockets;
};

struct resolver_socket {
	struct list node;
	struct resolver *resolver;
	ev_io io;
};

struct resolve {
	struct resolver *resolver;
	resolve_fn *fn; /* NULL: cancelled, c-ares still holds it */
	void *ctx;
	ev_timer timer; /* half of the deadline, then the deadline; at once when the answer is here */
	unsigned in_ares; /* questions that c-ares still has of it */
	bool asked_again, done, telling;
	double timeout;
	uint16_t port;
	char *host; /* owned */
	struct address addresses[RESOLVE_ADDRESSES_MAX];
	size_t count;
	struct err err;
};

static void arm(struct resolver *resolver)
{
	struct timeval left;

	ev_timer_stop(resolver->loop, &resolver->timer);
	if (!ares_timeout(resolver->channel, NULL, &left))
		return;
	ev_timer_set(&resolver->timer, (double)left.tv_sec + (double)left.tv_usec / 1e6, 0);
	ev_timer_start(resolver->loop, &resolver->timer);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct resolver *resolver = timer->data;
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(resolver);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	struct resolver *resolver = ((struct resolver_socket *)io->data)->resolver;
	/* c-ares may close the socket in here, and `io` is gone then. */
	ares_process_fd(resolver->channel, events & EV_READ ? io->fd : ARES_SOCKET_BAD,
	                events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
	arm(resolver);
}

static struct resolver_socket *find_socket(struct resolver *resolver, int fd)
{
	list_each(it, &resolver->sockets) {
		struct resolver_socket *socket = list_entry(it, struct resolver_socket, node);
		if (socket->io.fd == fd)
			return socket;
	}
	return NULL;
}

/* c-ares says what it wants to hear of a socket; neither: it is about to close it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = data;
	struct resolver_socket *socket = find_socket(resolver, fd);
	int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

	if (socket)
		ev_io_stop(resolver->loop, &socket->io);
	if (!events) {
		if (socket)
			list_remove(&socket->node);
		free(socket);
		return;
	}
	if (!socket) {
		socket = mem_zalloc(sizeof *socket);
		socket->resolver = resolver;
		ev_init(&socket->io, on_socket);
		socket->io.data = socket;
		list_append(&resolver->sockets, &socket->node);
	}
	ev_io_set(&socket->io, fd, events);
	ev_io_start(resolver->loop, &socket->io);
}

struct resolver *resolver_create(struct ev_loop *loop, struct err *err)
{
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status != ARES_SUCCESS) {
		err_set(err, ERR_SYSTEM, "the DNS resolver cannot start: %s", ares_strerror(status));
		return NULL;
	}
	struct resolver *resolver = mem_zalloc(sizeof *resolver);
	struct ares_options options = { .timeout = 2000, .tries = 3 };
	options.sock_state_cb = on_socket_state;
	options.sock_state_cb_data = resolver;
	resolver->loop = loop;
	list_init(&resolver->sockets);
	ev_timer_init(&resolver->timer, on_retry, 0, 0);
	resolver->timer.data = resolver;
	status = ares_init_options(&resolver->channel, &options,
	                           ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		err_set(err, ERR_SYSTEM, "the DNS resolver cannot start: %s", ares_strerror(status));
		free(resolver);
		ares_library_cleanup();
		return NULL;
	}
	return resolver;
}

void resolver_destroy(struct resolver **resolver)
{
	if (!*resolver)
		return;
	ares_destroy((*resolver)->channel);
	ev_timer_stop((*resolver)->loop, &(*resolver)->timer);
	free(*resolver);
	*resolver = NULL;
	ares_library_cleanup();
}

static void resolve_free(struct resolve *resolve)
{
	ev_timer_stop(resolve->resolver->loop, &resolve->timer);
	free(resolve->host);
	free(resolve);
}

/* The answer is told from a timer of its own, so that nobody is called from inside c-ares or resolve_start(). */
static void finish_soon(struct resolve *resolve)
{
	resolve->done = true;
	ev_timer_stop(resolve->resolver->loop, &resolve->timer);
	ev_timer_set(&resolve->timer, 0, 0);
	ev_timer_start(resolve->resolver->loop, &resolve->timer);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	(void)timeouts;
	struct resolve *resolve = arg;

	resolve->in_ares--;
	if (resolve->fn && !resolve->done && status == ARES_SUCCESS) {
		for (struct ares_addrinfo_node *node = result->nodes; node && resolve->count < RESOLVE_ADDRESSES_MAX;
		     node = node->ai_next)
			if (address_from(node->ai_addr, resolve->port, &resolve->addresses[resolve->count]))
				resolve->count++;
	}
	if (result)
		ares_freeaddrinfo(result);
	if (!resolve->fn) {
		if (!resolve->telling && resolve->in_ares == 0)
			resolve_free(resolve);
		return;
	}
	if (resolve->done || (resolve->count == 0 && resolve->in_ares > 0))
		return; /* one of two answers is enough */
	if (resolve->count == 0)
		err_set(&resolve->err, ERR_SYSTEM, "cannot resolve %s: %s; check `host` and the DNS settings", resolve->host,
		        status == ARES_SUCCESS ? "it has no address" : ares_strerror(status));
	finish_soon(resolve);
}

/* Lets c-ares read what its sockets hold already. */
static void read_now(struct resolver *resolver)
{
	int fds[16];
	size_t count = 0;

	list_each(it, &resolver->sockets)
		if (count < sizeof fds / sizeof fds[0])
			fds[count++] = list_entry(it, struct resolver_socket, node)->io.fd;
	for (size_t i = 0; i < count; i++)
		if (find_socket(resolver, fds[i]))
			ares_process_fd(resolver->channel, fds[i], ARES_SOCKET_BAD);
	arm(resolver);
}

static void ask(struct resolve *resolve, int family)
{
	const struct ares_addrinfo_hints hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };

	resolve->in_ares++;
	ares_getaddrinfo(resolve->resolver->channel, resolve->host, NULL, &hints, on_answer, resolve);
	arm(resolve->resolver);
}

/* Until half of its time is over, or the rest of it. */
static void wait_half(struct resolve *resolve)
{
	/* A long turn may lie behind us: the deadline counts from now. */
	ev_now_update(resolve->resolver->loop);
	ev_timer_set(&resolve->timer, resolve->timeout / 2, 0);
	ev_timer_start(resolve->resolver->loop, &resolve->timer);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct resolve *resolve = timer->data;

	if (!resolve->done) {
		read_now(resolve->resolver);
		if (resolve->done)
			return; /* its own timer tells it */
		if (!resolve->asked_again) {
			/* Some name servers are silent to questions for IPv6, and c-ares would wait for that answer in vain. */
			resolve->asked_again = true;
			wait_half(resolve);
			ask(resolve, AF_INET);
			return;
		}
		err_set(&resolve->err, ERR_TIMEOUT, "cannot resolve %s: no answer from DNS in %g s; check the DNS settings",
		        resolve->host, resolve->timeout);
	}
	resolve_fn *fn = resolve->fn;
	resolve->fn = NULL;
	resolve->telling = true;
	fn(resolve->ctx, resolve->addresses, resolve->count, resolve->count > 0 ? NULL : &resolve->err);
	resolve->telling = false;
	if (resolve->in_ares == 0)
		resolve_free(resolve);
}

struct resolve *resolve_start(struct resolver *resolver, const char *host, uint16_t port, double timeout, resolve_fn *fn,
                              void *ctx)
{
	struct resolve *resolve = mem_zalloc(sizeof *resolve);

	resolve->resolver = resolver;
	resolve->fn = fn;
	resolve->ctx = ctx;
	resolve->port = port;
	resolve->timeout = timeout;
	resolve->host = mem_strdup(host);
	ev_timer_init(&resolve->timer, on_due, 0, 0);
	resolve->timer.data = resolve;
	if (address_literal(host, port, &resolve->addresses[0])) {
		resolve->count = 1;
		finish_soon(resolve);
		return resolve;
	}
	wait_half(resolve);
	ask(resolve, AF_UNSPEC);
	return resolve;
}

void resolve_cancel(struct resolve **resolve)
{
	if (!*resolve)
		return;
	(*resolve)->fn = NULL;
	ev_timer_stop((*resolve)->resolver->loop, &(*resolve)->timer);
	/* c-ares cannot take back one question: it answers on_answer() later, which frees it. */
	if ((*resolve)->in_ares == 0)
		resolve_free(*resolve);
	*resolve = NULL;
}
