#include "web/web_connection.h"

#include <http_parser.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "web/web_listener.h"

#define CHUNK (16u << 10)     /* bytes of one read */
#define STREAM_UNSENT (64 << 10) /* bytes of a stream that the kernel holds, and doubles */
#define LINGER 2.0            /* seconds for the client to take the last answer and close */
#define KEPT_OUT (64u << 10)  /* bytes: a larger buffer is given back when it is empty */

static const struct web_listener_options *options_of(const struct web_connection *c)
{
	return &c->listener->options;
}

static void set_deadline(struct web_connection *c, double seconds)
{
	if (options_of(c)->one_request && c->state != WEB_LINGERING)
		c->deadline = c->since + clock_from_seconds(options_of(c)->timeout);
	else
		c->deadline = seconds > 0 ? clock_mono_ns() + clock_from_seconds(seconds) : UINT64_MAX;
}

/* ---- its end ---- */

static void connection_free(struct web_connection *c)
{
	list_remove(&c->node);
	c->listener->count--;
	ev_timer_stop(c->listener->loop, &c->again);
	stream_destroy(&c->stream);
	web_reader_close(&c->reader);
	buf_close(&c->extra);
	buf_close(&c->in);
	buf_close(&c->out);
	free(c);
}

void web_connection_end(struct web_connection *c)
{
	if (c->gone)
		return;
	c->gone = true;
	stream_close(c->stream);
	ev_timer_stop(c->listener->loop, &c->again);
	if (c->cancel)
		c->cancel(c->work);
	c->cancel = c->drained = NULL;
	if (c->busy == 0)
		connection_free(c);
}

static void enter(struct web_connection *c)
{
	c->busy++;
}

/* False: it is gone, and perhaps freed. */
static bool leave(struct web_connection *c)
{
	bool gone = c->gone;

	if (--c->busy == 0 && gone)
		connection_free(c);
	return !gone;
}

static void linger(struct web_connection *c)
{
	c->state = WEB_LINGERING;
	set_deadline(c, LINGER);
	stream_finish(c->stream);
	stream_want_write(c->stream, false);
	stream_start_read(c->stream);
}

/* ---- writing ---- */

/* Sends what waits. False when the connection is gone. */
static bool flush(struct web_connection *c)
{
	enum stream_failure why;
	struct err err;

	while (buf_len(&c->out) > 0) {
		ssize_t n = stream_write(c->stream, buf_slice(&c->out), &why, &err);
		if (n == -1) {
			web_connection_end(c);
			return false;
		}
		if (n == 0)
			break;
		buf_consume(&c->out, (size_t)n);
		set_deadline(c, options_of(c)->timeout);
	}
	stream_want_write(c->stream, buf_len(&c->out) > 0);
	if (buf_len(&c->out) == 0 && c->out.cap > KEPT_OUT)
		buf_close(&c->out);
	return true;
}

/* The answer is sent: on to the next request, or to the end. */
static void answered(struct web_connection *c)
{
	if (!c->keep_alive) {
		linger(c);
		return;
	}
	c->served = true;
	c->state = WEB_READING;
	web_reader_next(&c->reader);
	set_deadline(c, options_of(c)->timeout);
	stream_start_read(c->stream);
	if (buf_len(&c->in) > 0) /* in a turn of its own: many requests in one packet delay nobody else */
		ev_timer_start(c->listener->loop, &c->again);
}

static void go_on(struct web_connection *c)
{
	if (!flush(c) || buf_len(&c->out) > 0)
		return;
	if (c->state == WEB_WRITING)
		answered(c);
	else if (c->state == WEB_STREAMING) {
		c->deadline = UINT64_MAX;
		if (c->drained)
			c->drained(c->work);
	}
}

/* ---- answers ---- */

const char *web_connection_status(unsigned status)
{
	return http_status_str((enum http_status)status);
}

static void add_date(struct buf *out)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)clock_wall();
	struct tm tm = { 0 };

	gmtime_r(&now, &tm); /* names by hand: a locale must not change them */
	buf_printf(out, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + (ptrdiff_t)tm.tm_wday * 3, tm.tm_mday, months + (ptrdiff_t)tm.tm_mon * 3, tm.tm_year + 1900,
	           tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void begin_head(struct web_connection *c, unsigned status, const char *type, struct slice headers)
{
	struct buf *out = &c->out;

	buf_printf(out, "HTTP/1.1 %u %s\r\n", status, web_connection_status(status));
	add_date(out);
	if (type)
		buf_printf(out, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", type);
	buf_append(out, headers);
	buf_append(out, buf_slice(&c->extra));
	buf_clear(&c->extra);
}

static void release_input(struct web_connection *c)
{
	c->cancel = NULL;
	c->drained = NULL;
	c->work = NULL;
}

void web_connection_answer(struct web_connection *c, const struct web_answer *answer)
{
	enter(c);
	release_input(c);
	if (answer->close || options_of(c)->one_request)
		c->keep_alive = false;
	begin_head(c, answer->status, answer->type, answer->headers);
	bool bare = answer->status == 204 || answer->status == 304; /* a body would be read as the next answer */
	if (!bare)
		buf_printf(&c->out, "Content-Length: %zu\r\n", answer->body.len);
	if (!c->keep_alive)
		buf_append_cstr(&c->out, "Connection: close\r\n");
	else if (c->reader.request.http10)
		buf_append_cstr(&c->out, "Connection: keep-alive\r\n");
	bool fits = buf_append_cstr(&c->out, "\r\n") == 0 && (c->head_only || bare || buf_append(&c->out, answer->body) == 0);
	c->state = WEB_WRITING;
	set_deadline(c, options_of(c)->timeout);
	if (fits)
		go_on(c);
	else
		web_connection_end(c); /* no memory: half an answer would be a wrong one */
	leave(c);
}

bool web_connection_stream(struct web_connection *c, const char *type, struct slice headers)
{
	enter(c);
	c->keep_alive = false;
	begin_head(c, 200, type, headers);
	buf_append_cstr(&c->out, "Connection: close\r\n\r\n");
	c->state = WEB_STREAMING;
	stream_limit_unsent(c->stream, STREAM_UNSENT);
	set_deadline(c, options_of(c)->timeout);
	if (flush(c) && buf_len(&c->out) == 0)
		c->deadline = UINT64_MAX;
	return leave(c);
}

bool web_connection_send(struct web_connection *c, struct slice bytes)
{
	enum stream_failure why;
	struct err err;

	if (c->gone)
		return false;
	enter(c);
	if (buf_len(&c->out) == 0 && !mem_is_short()) {
		set_deadline(c, options_of(c)->timeout);
		while (bytes.len > 0) {
			ssize_t n = stream_write(c->stream, bytes, &why, &err);
			if (n == -1)
				web_connection_end(c);
			if (n <= 0)
				break;
			bytes = slice_make(bytes.ptr + n, bytes.len - (size_t)n);
		}
	}
	if (!c->gone) {
		if (bytes.len == 0 && buf_len(&c->out) == 0)
			c->deadline = UINT64_MAX;
		else if (buf_append(&c->out, bytes))
			web_connection_end(c);
		else
			stream_want_write(c->stream, true);
	}
	return leave(c);
}

bool web_connection_is_full(const struct web_connection *c)
{
	return c->gone || buf_len(&c->out) > 0;
}

const struct address *web_connection_peer(const struct web_connection *c)
{
	return &c->peer;
}

/* ---- reading ---- */

static void refuse(struct web_connection *c)
{
	const struct web_reader *r = &c->reader;
	char text[128];
	size_t n = (size_t)snprintf(text, sizeof text, "%s\n", r->reason);

	web_listener_dropped(c->listener, WEB_DROP_MALFORMED, web_connection_peer(c), r->reason);
	buf_clear(&c->in);
	c->head_only = false;
	web_connection_answer(c, &(struct web_answer){ .status = r->status, .type = "text/plain; charset=utf-8", .close = true,
	                                               .body = slice_make(text, n) });
}

/* What came early waits; more than a read's worth is not taken. */
static void keep(struct web_connection *c, struct slice bytes)
{
	if (bytes.len > 0 && buf_append(&c->in, bytes))
		web_connection_end(c);
	else if (buf_len(&c->in) > 0)
		stream_stop_read(c->stream);
}

static void feed(struct web_connection *c, struct slice bytes)
{
	size_t taken;

	switch (web_reader_feed(&c->reader, bytes, &taken)) {
	case WEB_READ_MORE:
		return;
	case WEB_READ_CONTINUE:
		buf_append_cstr(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		flush(c);
		return;
	case WEB_READ_REFUSED:
		refuse(c);
		return;
	case WEB_READ_REQUEST:
		break;
	}
	const struct web_request *request = &c->reader.request;
	keep(c, slice_make(bytes.ptr + taken, bytes.len - taken));
	if (c->gone)
		return;
	c->state = WEB_HANDLING;
	c->keep_alive = request->keep_alive;
	c->head_only = slice_eq(request->method, SLICE("HEAD"));
	set_deadline(c, 0);
	options_of(c)->request(options_of(c)->ctx, c, request);
}

static void read_some(struct web_connection *c)
{
	enum stream_failure why;
	struct err err;
	char bytes[CHUNK];

	ssize_t n = stream_read(c->stream, bytes, sizeof bytes, &why, &err);
	if (n == -1) {
		/* Who only says that it sends no more still gets its answer. */
		if (c->state == WEB_WRITING && why == STREAM_EOF && !stream_is_tls(c->stream)) {
			c->keep_alive = false;
			stream_stop_read(c->stream);
		} else {
			web_connection_end(c);
		}
	} else if (n > 0 && c->state == WEB_READING) {
		if (!web_reader_begun(&c->reader))
			set_deadline(c, options_of(c)->timeout);
		feed(c, slice_make(bytes, (size_t)n));
	} else if (n > 0 && c->state != WEB_LINGERING) {
		keep(c, slice_make(bytes, (size_t)n));
	}
}

/* A crowd that comes at once is served in several turns of the loop, so that it delays nobody else by more (P5). */
static void read_in_turn(struct web_connection *c)
{
	struct web_turn *turn = &c->listener->reading;

	if (web_turn_is_over(turn)) {
		ev_timer_start(c->listener->loop, &c->again);
		return;
	}
	web_turn_begin(turn);
	enter(c);
	if (c->state == WEB_READING && buf_len(&c->in) > 0) {
		struct buf in = c->in;
		buf_init(&c->in, 0);
		feed(c, buf_slice(&in));
		buf_close(&in);
	} else if (c->state != WEB_TLS) {
		read_some(c);
	}
	leave(c);
	web_turn_end(turn);
}

static void on_readable(void *ctx)
{
	read_in_turn(ctx);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	read_in_turn(timer->data);
}

static void on_writable(void *ctx)
{
	struct web_connection *c = ctx;
	struct web_turn *turn = c->state == WEB_STREAMING ? &c->listener->streaming : &c->listener->reading;

	/* The loop calls again. */
	if (web_turn_is_over(turn))
		return;
	web_turn_begin(turn);
	enter(c);
	go_on(c);
	leave(c);
	web_turn_end(turn);
}

/* A step computes for a millisecond. */
static void on_handshake(void *ctx)
{
	struct web_connection *c = ctx;
	struct web_turn *turn = &c->listener->handshakes;

	/* The loop calls again. */
	if (web_turn_is_over(turn))
		return;
	web_turn_begin(turn);
	enter(c);
	stream_poll(c->stream);
	leave(c);
	web_turn_end(turn);
}

static void on_secured(void *ctx)
{
	struct web_connection *c = ctx;

	c->state = WEB_READING;
	set_deadline(c, options_of(c)->timeout);
	stream_start_read(c->stream);
}

static void on_failed(void *ctx, enum stream_failure why, const struct err *err)
{
	struct web_connection *c = ctx;
	(void)why;

	enter(c);
	web_listener_dropped(c->listener, WEB_DROP_TLS, web_connection_peer(c), err->text);
	web_connection_end(c);
	leave(c);
}

void web_connection_create(struct web_listener *listener, int fd, const struct address *peer)
{
	static const struct stream_handler handler = { .secured = on_secured, .failed = on_failed, .handshake = on_handshake, .readable = on_readable,
	                                               .writable = on_writable };
	struct web_connection *c = mem_zalloc(sizeof *c);

	c->listener = listener;
	c->peer = *peer;
	c->since = clock_mono_ns();
	list_append(&listener->connections, &c->node);
	listener->count++;
	buf_init(&c->extra, 0);
	buf_init(&c->in, 0);
	buf_init(&c->out, 0);
	web_reader_init(&c->reader, listener->options.head, listener->options.body);
	ev_timer_init(&c->again, on_again, 0, 0);
	ev_set_priority(&c->again, WEB_TURN_PRIORITY);
	c->again.data = c;
	c->stream = stream_create(listener->loop, &handler, c);
	stream_set_priority(c->stream, WEB_TURN_PRIORITY);
	c->state = WEB_TLS;
	set_deadline(c, listener->options.timeout);
	stream_accept(c->stream, fd, peer);
	enter(c);
	if (listener->options.tls)
		stream_serve_tls(c->stream, listener->options.tls);
	else
		on_secured(c);
	leave(c);
}
