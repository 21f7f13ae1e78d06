#include "control/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/address.h"
#include "observe/log.h"

#define BACKLOG 64    /* connections that the kernel holds for us */
#define SPARE 8       /* more than http.connections inside libmicrohttpd, so that it is we who turn away and count */
#define SWEEP 0.5     /* seconds between two looks for connections that are too old */
#define TEXT_TYPE "text/plain; charset=utf-8"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum drop_reason { DROP_CONNECTIONS, DROP_SLOW, DROP_REASONS };
enum page { PAGE_METRICS, PAGE_HEALTHZ, PAGE_READY, PAGE_OTHER, PAGES };

static const char *const drop_names[DROP_REASONS] = { [DROP_CONNECTIONS] = "connections", [DROP_SLOW] = "slow" };
static const char *const page_names[PAGES] = {
	[PAGE_METRICS] = "/metrics", [PAGE_HEALTHZ] = "/healthz", [PAGE_READY] = "/ready", [PAGE_OTHER] = "other",
};

struct http {
	struct engine *engine;
	struct ev_loop *loop;
	struct MHD_Daemon *daemon; /* runs in our turns only, has no thread */
	ev_io io;                  /* of its epoll descriptor */
	ev_timer timer;            /* what it wants to do next by itself */
	ev_timer sweep;            /* runs while there are connections */
	struct list connections;   /* oldest first */
	int64_t connection_count;
	uint64_t timeout;          /* ns */
	int64_t connection_max;
	bool wants_all;            /* of /ready */
	struct address address;
	struct MHD_Response *metrics; /* rendered last; NULL: none yet */
	uint64_t rendered;         /* when; monotonic ns, as all times here */
	struct series *dropped[DROP_REASONS], *requests[PAGES];
};

struct connection {
	struct list node;
	int fd;
	uint64_t since;
	bool ending; /* its end was asked for */
};

static void drop(struct http *http, enum drop_reason reason)
{
	if (http->dropped[reason])
		http->dropped[reason]->value++;
	log_write(LOG_WARN, "http connection dropped", F_TEXT("reason", drop_names[reason]));
}

/* ---- what is answered ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	if (!response)
		return MHD_NO;
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response); /* our reference; the connection has its own */
	return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text, const char *allow)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

	if (response) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, TEXT_TYPE);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
		if (allow)
			MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	}
	return answer(connection, status, response);
}

static enum MHD_Result answer_metrics(struct http *http, struct MHD_Connection *connection)
{
	uint64_t now = clock_mono_ns();

	if (!http->metrics || now - http->rendered >= clock_from_seconds(HTTP_FRESH)) {
		struct buf out;
		buf_init(&out, 0);
		metrics_render(engine_metrics(http->engine), &out);
		struct slice text = buf_slice(&out);
		struct MHD_Response *fresh = MHD_create_response_from_buffer(text.len, (void *)(uintptr_t)text.ptr, MHD_RESPMEM_MUST_COPY);
		buf_close(&out);
		if (!fresh)
			return MHD_NO;
		MHD_add_response_header(fresh, MHD_HTTP_HEADER_CONTENT_TYPE, METRICS_TYPE);
		MHD_add_response_header(fresh, MHD_HTTP_HEADER_CONNECTION, "close");
		if (http->metrics)
			MHD_destroy_response(http->metrics);
		http->metrics = fresh;
		http->rendered = now;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, http->metrics);
}

static enum MHD_Result answer_ready(struct http *http, struct MHD_Connection *connection)
{
	size_t ready = 0, count = 0;
	struct link_view view;
	char text[96];

	for (; engine_server_view(http->engine, count, &view); count++)
		if (strcmp(view.state, "ready") == 0)
			ready++;
	snprintf(text, sizeof text, "%zu of %zu servers ready\n", ready, count);
	bool good = http->wants_all ? ready == count : ready > 0;
	return answer_text(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text, NULL);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len, void **state)
{
	struct http *http = ctx;
	enum page page = PAGE_METRICS;
	(void)version;
	(void)upload;
	(void)upload_len;
	(void)state;

	while (page < PAGE_OTHER && strcmp(url, page_names[page]) != 0)
		page++;
	if (http->requests[page])
		http->requests[page]->value++;
	if (page == PAGE_OTHER)
		return answer_text(connection, MHD_HTTP_NOT_FOUND, "not found; there are /metrics, /healthz and /ready\n", NULL);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n", "GET, HEAD");
	if (page == PAGE_METRICS)
		return answer_metrics(http, connection);
	if (page == PAGE_READY)
		return answer_ready(http, connection);
	return answer_text(connection, MHD_HTTP_OK, "ok\n", NULL);
}

/* ---- connections ---- */

static enum MHD_Result on_accept(void *ctx, const struct sockaddr *address, socklen_t len)
{
	struct http *http = ctx;
	(void)address;
	(void)len;

	if (http->connection_count < http->connection_max)
		return MHD_YES;
	drop(http, DROP_CONNECTIONS);
	return MHD_NO;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct http *http = ctx;
	struct connection *c;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		c = mem_zalloc(sizeof *c);
		c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		c->since = clock_mono_ns();
		list_append(&http->connections, &c->node);
		*context = c;
		if (http->connection_count++ == 0)
			ev_timer_again(http->loop, &http->sweep);
	} else if ((c = *context)) {
		list_remove(&c->node);
		free(c);
		*context = NULL;
		if (--http->connection_count == 0)
			ev_timer_stop(http->loop, &http->sweep);
	}
}

/* libmicrohttpd's own timeout counts from the last byte: who sends one now and then would stay for ever. */
static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct http *http = timer->data;
	uint64_t now = clock_mono_ns();
	(void)loop;
	(void)events;

	list_each(it, &http->connections) {
		struct connection *c = list_entry(it, struct connection, node);
		if (now - c->since < http->timeout)
			break;
		if (!c->ending) {
			c->ending = true;
			drop(http, DROP_SLOW);
			shutdown(c->fd, SHUT_RDWR); /* its end then comes to libmicrohttpd as an event */
		}
	}
}

/* ---- the loop ---- */

static void run(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(http->daemon);
	if (MHD_get_timeout(http->daemon, &ms) == MHD_YES) {
		ev_timer_stop(http->loop, &http->timer);
		ev_timer_set(&http->timer, (double)ms / 1000, 0);
		ev_timer_start(http->loop, &http->timer);
	} else {
		ev_timer_stop(http->loop, &http->timer);
	}
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	run(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	run(timer->data);
}

static __attribute__((format(printf, 2, 0))) void on_complaint(void *ctx, const char *format, va_list args)
{
	char text[256];
	(void)ctx;

	vsnprintf(text, sizeof text, format, args);
	text[strcspn(text, "\n")] = '\0';
	log_write(LOG_DEBUG, "http", F_TEXT("reason", text));
}

/* ---- making it ---- */

/* The check of the option has seen to its form. */
static int read_listen(const char *listen_text, struct address *address, struct err *err)
{
	const char *colon = strrchr(listen_text, ':');
	struct slice host = slice_make(listen_text, (size_t)(colon - listen_text));

	if (host.len > 1 && host.ptr[0] == '[')
		host = slice_make(host.ptr + 1, host.len - 2);
	char *name = mem_slicedup(host);
	bool known = address_literal(name, (uint16_t)strtoul(colon + 1, NULL, 10), address);
	free(name);
	return known ? 0 : err_set(err, ERR_INVALID, "http.listen %s: an IP address and a port are wanted, like 127.0.0.1:9150", listen_text);
}

static int listen_on(struct address *address, const char *text, struct err *err)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd == -1)
		return err_system(err, "http.listen %s", text);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 || bind(fd, &address->any, address->len) == -1 ||
	    listen(fd, BACKLOG) == -1 || getsockname(fd, &address->any, &address->len) == -1) {
		if (errno == EADDRINUSE)
			err_set(err, ERR_SYSTEM, "http.listen %s: in use; stop what listens there or choose another port", text);
		else
			err_system(err, "http.listen %s", text);
		close(fd);
		return -1;
	}
	return fd;
}

static int add_metrics(struct http *http, struct err *err)
{
	static const char *const reason[] = { "reason" }, *const path[] = { "path" };
	struct metrics *metrics = engine_metrics(http->engine);
	struct metric *dropped = metrics_add(metrics, METRIC_COUNTER, "hookswitch_http_dropped_total",
	                                     "HTTP connections closed by a bound: connections (too many), slow (older than http.timeout).",
	                                     reason, 1, NULL, 0, 0, err);
	struct metric *requests = metrics_add(metrics, METRIC_COUNTER, "hookswitch_http_requests_total", "HTTP requests by path.", path, 1,
	                                      NULL, 0, 0, err);

	if (!dropped || !requests)
		return -1;
	for (size_t i = 0; i < DROP_REASONS; i++) {
		struct slice name = slice_cstr(drop_names[i]);
		http->dropped[i] = metric_series(dropped, &name, 1);
	}
	for (size_t i = 0; i < PAGES; i++) {
		struct slice name = slice_cstr(page_names[i]);
		http->requests[i] = metric_series(requests, &name, 1);
	}
	return 0;
}

/* libmicrohttpd on `fd`, which it takes over. */
static int start(struct http *http, int fd, struct err *err)
{
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, on_accept, http, on_request, http,
	                                MHD_OPTION_EXTERNAL_LOGGER, on_complaint, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
	                                MHD_OPTION_CONNECTION_LIMIT, (unsigned)http->connection_max + SPARE,
	                                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
	                                MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
	const union MHD_DaemonInfo *info = http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		if (!http->daemon)
			close(fd);
		return err_set(err, ERR_SYSTEM, "http: libmicrohttpd does not start; too few descriptors, or no epoll");
	}
	ev_io_init(&http->io, on_io, info->epoll_fd, EV_READ);
	ev_io_start(http->loop, &http->io);
	return 0;
}

struct http *http_create(struct engine *engine, struct err *err)
{
	const struct config *config = engine_config(engine);
	struct http *http = mem_zalloc(sizeof *http);
	int fd;

	http->engine = engine;
	http->loop = engine_loop(engine);
	http->timeout = clock_from_seconds(config->http.timeout);
	http->connection_max = config->http.connections;
	http->wants_all = strcmp(config->http.ready, "all") == 0;
	list_init(&http->connections);
	ev_init(&http->io, on_io);
	ev_timer_init(&http->timer, on_timer, 0, 0);
	ev_timer_init(&http->sweep, on_sweep, 0, SWEEP);
	http->io.data = http->timer.data = http->sweep.data = http;
	if (add_metrics(http, err) == -1 || read_listen(config->http.listen, &http->address, err) == -1 ||
	    (fd = listen_on(&http->address, config->http.listen, err)) == -1 || start(http, fd, err) == -1) {
		http_destroy(&http);
		return NULL;
	}
	return http;
}

void http_destroy(struct http **http)
{
	struct http *h = *http;

	if (!h)
		return;
	*http = NULL;
	ev_io_stop(h->loop, &h->io);
	if (h->daemon)
		MHD_stop_daemon(h->daemon); /* closes the listening socket too, and calls on_connection() for each end */
	ev_timer_stop(h->loop, &h->timer);
	ev_timer_stop(h->loop, &h->sweep);
	if (h->metrics)
		MHD_destroy_response(h->metrics);
	free(h);
}

uint16_t http_port(const struct http *http)
{
	return address_port(&http->address);
}
